//! The lake that a command works on: a folder on this machine, or a bucket.

pub(crate) mod args;
pub(crate) mod claim;
pub(crate) mod mark;

use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::FolderStore;
#[cfg(feature = "aws")]
use rollcall_aws::s3::S3Store;

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
