//! The lake that a command works on: a folder on this machine, or a bucket.

pub(crate) mod args;
pub(crate) mod busy;
pub(crate) mod claim;
pub(crate) mod mark;
pub(crate) mod offer;

use std::ffi::OsStr;
use std::path::Path;

use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::FolderStore;
#[cfg(feature = "aws")]
use rollcall_aws::s3::S3Store;

use crate::words::shell_word;

/// Default folder of a lake.
pub(crate) const DEFAULT: &str = "lake";
/// Variable in the environment that names another default.
pub(crate) const VARIABLE: &str = "ROLLCALL_LAKE";

/// A lake opened for reading.
pub(crate) enum Lake {
    Folder(FolderStore),
    #[cfg(feature = "aws")]
    Bucket(S3Store),
}

/// Returns the catalog of a lake in a folder.
pub(crate) fn catalog(store: &FolderStore) -> FileCatalog<FolderStore> {
    FileCatalog::new(store.clone())
}

/// Returns the flag that selects a folder or bucket; `None` for the default, unless the environment names another one.
fn lake_flag(lake: &Path) -> Option<String> {
    let is_meant = lake == DEFAULT && std::env::var_os(VARIABLE).is_none_or(|named| named == OsStr::new(DEFAULT));
    (!is_meant).then(|| format!("--lake {}", shell_word(&lake.to_string_lossy())))
}
