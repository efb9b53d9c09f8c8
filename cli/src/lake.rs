//! The lake that a command works on.

use std::path::PathBuf;

use clap::Args;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::FolderStore;

use crate::exit::BadInput;
use crate::output::shell_word;

/// The lake that a command works on when none is named.
const DEFAULT: &str = "lake";

/// Which lake.
#[derive(Debug, Clone, Args)]
pub(crate) struct LakeArgs {
    /// Folder of the lake
    #[arg(long, value_name = "DIR", default_value = DEFAULT, env = "ROLLCALL_LAKE")]
    lake: PathBuf,
}

impl LakeArgs {
    /// The lake's store.
    pub(crate) fn store(&self) -> FolderStore {
        FolderStore::new(&self.lake)
    }

    /// The lake's store, of a lake that is there.
    ///
    /// # Errors
    /// [`BadInput`] when there is no such folder.
    pub(crate) fn existing_store(&self) -> Result<FolderStore, BadInput> {
        if self.lake.is_dir() {
            return Ok(self.store());
        }
        let found = self.lake.display();
        Err(BadInput(format!("open lake `{found}`: expected a folder, found none\nhint: name it with --lake")))
    }

    /// The flag that names this lake again; none for the default.
    pub(crate) fn flag(&self) -> Option<String> {
        let lake = self.lake.to_string_lossy();
        (lake != DEFAULT).then(|| format!("--lake {}", shell_word(&lake)))
    }

    /// The lake's catalog.
    pub(crate) fn catalog(&self) -> FileCatalog<FolderStore> {
        FileCatalog::new(self.store())
    }
}
