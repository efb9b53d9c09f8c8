//! The lake that a command works on: a folder of this machine, or a bucket.

pub(crate) mod mark;

use std::path::PathBuf;

use clap::Args;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::{FolderState, FolderStore};

#[cfg(feature = "aws")]
use rollcall_aws::s3::S3Store;
use rollcall_core::dataset::Dataset;
use rollcall_core::request::DEFAULT_DATASET;
use rollcall_core::{Error, keys};

use crate::exit::BadInput;
use crate::lake::mark::LakeMark;
use crate::words::shell_word;

/// The lake that a command works on when none is named.
const DEFAULT: &str = "lake";
/// How a bucket is named.
const BUCKET_SCHEME: &str = "s3://";

/// Which lake.
#[derive(Debug, Clone, Args)]
pub(crate) struct LakeArgs {
    /// Folder of the lake; `status` and `plan` also take s3://BUCKET
    #[arg(long, value_name = "DIR", default_value = DEFAULT, env = "ROLLCALL_LAKE")]
    lake: PathBuf,
}

/// A lake to read.
pub(crate) enum Lake {
    Folder(FolderStore),
    #[cfg(feature = "aws")]
    Bucket(S3Store),
}

impl LakeArgs {
    /// The name of the bucket; `None` for a folder.
    pub(crate) fn bucket(&self) -> Option<&str> {
        let bucket = self.lake.to_str()?.strip_prefix(BUCKET_SCHEME)?;
        Some(bucket.trim_end_matches('/'))
    }

    /// Whether none was named.
    #[cfg(feature = "aws")]
    pub(crate) fn is_default(&self) -> bool {
        self.lake.as_os_str() == DEFAULT
    }

    /// The store of a lake in a folder.
    ///
    /// - `hint`: what to do instead with one in a bucket.
    ///
    /// # Errors
    /// [`BadInput`] when a bucket is named.
    pub(crate) fn folder(&self, hint: &str) -> Result<FolderStore, BadInput> {
        match self.bucket() {
            None => Ok(FolderStore::new(&self.lake)),
            Some(_) => Err(BadInput(format!(
                "open lake `{}`: expected a folder, found a bucket\nhint: {hint}",
                self.lake.display()
            ))),
        }
    }

    /// The store of a lake in a folder that is there, be it empty.
    ///
    /// # Errors
    /// [`BadInput`] when there is no such folder, it is not a lake, or a bucket is named.
    pub(crate) async fn existing_folder(&self, hint: &str) -> anyhow::Result<FolderStore> {
        existing(self.folder(hint)?).await
    }

    /// The lake to be read; a folder need not be there.
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

    /// The lake to be read, a folder that is there or a bucket.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<Lake> {
        match self.open().await? {
            Lake::Folder(store) => Ok(Lake::Folder(existing(store).await?)),
            #[cfg(feature = "aws")]
            bucket @ Lake::Bucket(_) => Ok(bucket),
        }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.lake.display().to_string()
    }

    /// The flag that names this lake again; none for the default.
    pub(crate) fn flag(&self) -> Option<String> {
        let lake = self.lake.to_string_lossy();
        (lake != DEFAULT).then(|| format!("--lake {}", shell_word(&lake)))
    }
}

/// The command that writes anew what is stale in a lake.
///
/// - `named`: the dataset as the command line named it, where it did.
pub(crate) fn anew(dataset: &Dataset, named: Option<&str>, lake: &LakeArgs) -> String {
    let mut words = vec!["rollcall run --mode stale".to_owned()];
    // A file may describe a dataset of the default's name.
    let named = named.unwrap_or(&dataset.name);
    if named != DEFAULT_DATASET {
        words.push(format!("--dataset {}", shell_word(named)));
    }
    match lake.bucket() {
        Some(_) => words.push("--on aws".to_owned()),
        None => words.extend(lake.flag()),
    }
    words.join(" ")
}

/// A folder that is there, and a lake or empty.
async fn existing(store: FolderStore) -> anyhow::Result<FolderStore> {
    let found = store.root().display();
    let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
    if store.inspect().await.map_err(failed)? == FolderState::Missing {
        return Err(
            BadInput(format!("open lake `{found}`: expected a folder, found none\nhint: name it with --lake")).into()
        );
    }
    LakeMark::find(&store).await?;
    Ok(store)
}

/// The catalog of a lake in a folder.
pub(crate) fn catalog(store: &FolderStore) -> FileCatalog<FolderStore> {
    FileCatalog::new(store.clone())
}

#[cfg(feature = "aws")]
async fn open_bucket(bucket: &str) -> Result<Lake, BadInput> {
    if bucket.is_empty() || bucket.contains('/') {
        return Err(BadInput(format!("open lake: expected s3://BUCKET, found `{BUCKET_SCHEME}{bucket}`")));
    }
    Ok(Lake::Bucket(S3Store::new(&crate::aws::config().await?, bucket)))
}

#[cfg(not(feature = "aws"))]
async fn open_bucket(bucket: &str) -> Result<Lake, BadInput> {
    Err(crate::aws::missing(&format!("open lake `{BUCKET_SCHEME}{bucket}`")))
}
