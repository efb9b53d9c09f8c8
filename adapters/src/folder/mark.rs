//! Which folder is a lake.
//!
//! A lake is known by its mark, which is the first file in it. A folder that holds anything else and no mark is somebody's,
//! whatever the names in it; nothing there is changed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use rollcall_core::ports::StoreError;
use rollcall_core::{Error, keys};

use crate::folder::file::{self, is_absent, open_regular};
use crate::folder::store::{FolderStore, refused};

/// What the name of a mark begins with while it is written, in a folder that holds nothing yet.
pub(super) const MARK_PREFIX: &str = ".lake.json-";

/// What a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such folder.
    Nothing,
    /// A folder without anything in it, which may become a lake.
    Empty,
    /// A folder with a file of the mark's name, whose bytes these are. Whether they are a mark is for the caller to say.
    Marked(Bytes),
    /// A folder of other things.
    Other,
}

impl FolderStore {
    /// What is in the folder. Nothing is changed.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub async fn look(&self) -> Result<Found, StoreError> {
        self.blocking(keys::MARK, |store| store.look_now().map_err(|error| refused("look into", &store.root, error)))
            .await
    }

    fn look_now(&self) -> io::Result<Found> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let mut is_empty = true;
        for entry in entries {
            let entry = entry?;
            // What a run leaves that is killed while it makes a lake.
            let is_of_new_lake = entry.file_name().to_str().is_some_and(|name| file::is_temporary(name, MARK_PREFIX));
            // What file systems and desktops put into any folder.
            let is_of_system = matches!(entry.file_name().to_str(), Some("lost+found" | ".DS_Store"));
            is_empty &= is_of_system || is_of_new_lake && entry.file_type()?.is_file();
        }
        // Looked for after the others: another run that makes this lake just now makes its mark first.
        let mark = self.root.join(keys::MARK);
        match fs::symlink_metadata(&mark) {
            Ok(found) if found.is_file() => {
                let mut bytes = Vec::new();
                open_regular(&mark)?.0.read_to_end(&mut bytes)?;
                Ok(Found::Marked(bytes.into()))
            }
            Ok(_) => Ok(Found::Other),
            Err(error) if is_absent(&error) => Ok(if is_empty { Found::Empty } else { Found::Other }),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder of a new lake with its mark, unless a mark is there by now. The mark comes into place whole, and
    /// replaces nothing.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] when the folder cannot be written to.
    pub async fn found(&self, mark: Bytes) -> Result<(), Error> {
        let found = self.blocking(keys::MARK, move |store| {
            let path = store.root.join(keys::MARK);
            store.found_now(&path, &mark).map_err(|error| refused("write", &path, error))
        });
        found.await.map_err(|source| Error::StoreFailed { action: "write", key: keys::MARK.to_owned(), source })
    }

    fn found_now(&self, path: &Path, mark: &[u8]) -> io::Result<()> {
        let missing: Vec<&Path> =
            self.root.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
        fs::create_dir_all(&self.root)?;
        missing.into_iter().rev().try_for_each(file::sync_folder)?;
        let temporary = file::write_temporary(&self.root, MARK_PREFIX, mark, None)?;
        match temporary.persist_noclobber(path) {
            Ok(_) => file::sync_folder(path),
            // Another run was faster.
            Err(_) if fs::symlink_metadata(path).is_ok() => Ok(()),
            Err(error) => Err(error.error),
        }
    }
}
