//! The flag `--lake`, and opening the lake that it names.

use std::path::PathBuf;

use clap::Args;
use rollcall_adapters::folder::{FolderState, FolderStore};
use rollcall_core::{Error, keys};

use crate::exit::BadInput;
use crate::lake::mark::{LakeMark, how_to_fetch};
use crate::lake::{DEFAULT, Lake, VARIABLE, lake_flag};

/// Prefix of a bucket name.
const BUCKET_SCHEME: &str = "s3://";

#[derive(Debug, Clone, Args)]
pub(crate) struct LakeArgs {
    /// Folder of the lake
    #[arg(long, value_name = "DIR", default_value = DEFAULT, env = VARIABLE)]
    lake: PathBuf,
}

impl LakeArgs {
    /// Returns the flag for this folder or bucket.
    pub(crate) fn of(lake: PathBuf) -> Self {
        Self { lake }
    }

    /// Returns the bucket name; `None` for a folder.
    pub(super) fn bucket(&self) -> Option<&str> {
        let bucket = self.lake.to_str()?.strip_prefix(BUCKET_SCHEME)?;
        Some(bucket.trim_end_matches('/'))
    }

    /// Checks whether the lake is the default one, whether or not the flag was given.
    #[cfg(feature = "aws")]
    pub(crate) fn is_default(&self) -> bool {
        self.lake.as_os_str() == DEFAULT
    }

    /// Returns the store of a lake in a folder. Does not access the folder.
    ///
    /// - `hint`: what to do instead if a bucket is named.
    ///
    /// # Errors
    /// [`BadInput`] if a bucket is named.
    pub(crate) fn folder(&self, hint: &str) -> Result<FolderStore, BadInput> {
        match self.bucket() {
            None => Ok(FolderStore::new(&self.lake)),
            Some(_) => Err(BadInput(format!(
                "open lake `{}`: expected a folder, found a bucket\nhint: {hint}",
                self.lake.display()
            ))),
        }
    }

    /// Returns the store of a lake in an existing folder, which may be empty.
    ///
    /// # Errors
    /// [`BadInput`] if the folder does not exist or is not a lake, or if a bucket is named.
    pub(crate) async fn existing_folder(&self, hint: &str) -> anyhow::Result<FolderStore> {
        check_exists(self.folder(hint)?).await
    }

    /// Opens the lake for reading. A folder need not exist.
    pub(crate) async fn open(&self) -> anyhow::Result<Lake> {
        match self.bucket() {
            None => {
                let store = FolderStore::new(&self.lake);
                LakeMark::find(&store).await?;
                Ok(Lake::Folder(store))
            }
            Some(bucket) => Ok(open_bucket(bucket).await?),
        }
    }

    /// Opens the lake for reading: an existing folder, or a bucket.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<Lake> {
        match self.open().await? {
            Lake::Folder(store) => Ok(Lake::Folder(check_exists(store).await?)),
            #[cfg(feature = "aws")]
            bucket @ Lake::Bucket(_) => Ok(bucket),
        }
    }

    /// Checks whether the lake is a folder that does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.bucket().is_none() && !self.lake.exists()
    }

    /// Returns the lake's folder or bucket, as given in the flag.
    pub(crate) fn name(&self) -> String {
        self.lake.display().to_string()
    }

    /// Returns a command that is for this lake: `rollcall tables` → `rollcall tables --lake other`.
    pub(crate) fn command(&self, command: &str) -> String {
        [Some(command.to_owned()), self.flag()].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Returns the flag that selects this lake; `None` for the default.
    pub(crate) fn flag(&self) -> Option<String> {
        lake_flag(&self.lake)
    }
}

/// Returns the store if its folder exists and is a lake or empty.
async fn check_exists(store: FolderStore) -> anyhow::Result<FolderStore> {
    let folder = store.root().display();
    let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
    if store.inspect().await.map_err(failed)? == FolderState::Missing {
        let hint = how_to_fetch(store.root());
        return Err(BadInput(format!("open lake `{folder}`: expected a folder, found none\nhint: {hint}")).into());
    }
    LakeMark::find(&store).await?;
    Ok(store)
}

#[cfg(feature = "aws")]
async fn open_bucket(bucket: &str) -> Result<Lake, BadInput> {
    if bucket.is_empty() || bucket.contains('/') {
        return Err(BadInput(format!("open lake: expected s3://BUCKET, found `{BUCKET_SCHEME}{bucket}`")));
    }
    Ok(Lake::Bucket(rollcall_aws::s3::S3Store::new(&crate::aws::config().await?, bucket)))
}

#[cfg(not(feature = "aws"))]
async fn open_bucket(bucket: &str) -> Result<Lake, BadInput> {
    Err(crate::aws::missing(&format!("open lake `{BUCKET_SCHEME}{bucket}`")))
}
