//! The lake that a command works on.

use std::path::PathBuf;

use clap::Args;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::FolderStore;

/// Which lake.
#[derive(Debug, Clone, Args)]
pub(crate) struct LakeArgs {
    /// Folder of the lake
    #[arg(long, value_name = "DIR", default_value = "lake", env = "ROLLCALL_LAKE")]
    lake: PathBuf,
}

impl LakeArgs {
    /// The lake's store.
    pub(crate) fn store(&self) -> FolderStore {
        FolderStore::new(&self.lake)
    }

    /// The lake's catalog.
    pub(crate) fn catalog(&self) -> FileCatalog<FolderStore> {
        FileCatalog::new(self.store())
    }
}
