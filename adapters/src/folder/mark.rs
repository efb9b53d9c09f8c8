//! Finds out whether a folder is a lake, and creates new lakes.
//!
//! A folder is a lake if it has a mark, which is the first file written to it. A folder with other files and no mark
//! belongs to somebody else, whatever its files are called. Nothing in it is changed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use rollcall_core::ports::StoreError;
use rollcall_core::{Error, keys};

use crate::folder::file::{self, is_absent, open_regular};
use crate::folder::store::{FolderStore, store_error};

/// Prefix of the mark's temporary name while it is being written to an empty folder.
pub(super) const MARK_PREFIX: &str = ".lake.json-";

/// State of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderState {
    /// It does not exist.
    Missing,
    /// It is empty and may become a lake.
    Empty,
    /// It has a file with the mark's name and these bytes. The caller checks whether they are a valid mark.
    Marked(Bytes),
    /// It contains something else.
    Other,
    /// It is a file, not a folder.
    File,
}

impl FolderStore {
    /// Returns the state of the folder, without changing anything.
    ///
    /// # Errors
    /// Fails if the folder cannot be listed, or its mark cannot be read.
    pub async fn inspect(&self) -> Result<FolderState, StoreError> {
        self.blocking(keys::MARK, |store| {
            store.inspect_blocking().map_err(|error| store_error("inspect", &store.root, error))
        })
        .await
    }

    fn inspect_blocking(&self) -> io::Result<FolderState> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FolderState::Missing),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(FolderState::File),
            Err(error) => return Err(error),
        };
        let mut is_empty = true;
        for entry in entries {
            let entry = entry?;
            // Left by a run that was killed while it created the lake.
            let is_unfinished_mark =
                entry.file_name().to_str().is_some_and(|name| file::is_temporary(name, MARK_PREFIX));
            // File systems and desktops put these in any folder.
            let is_system_file = matches!(entry.file_name().to_str(), Some("lost+found" | ".DS_Store"));
            is_empty &= is_system_file || is_unfinished_mark && entry.file_type()?.is_file();
        }
        // Checked after the other files, because another run that is creating this lake writes the mark first.
        let mark = self.root.join(keys::MARK);
        match fs::symlink_metadata(&mark) {
            Ok(found) if found.is_file() => {
                let mut bytes = Vec::new();
                open_regular(&mark)?.0.read_to_end(&mut bytes)?;
                Ok(FolderState::Marked(bytes.into()))
            }
            Ok(_) => Ok(FolderState::Other),
            Err(error) if is_absent(&error) => Ok(if is_empty { FolderState::Empty } else { FolderState::Other }),
            Err(error) => Err(error),
        }
    }

    /// Creates the folder of a new lake with its mark, unless there is a mark by now. The mark appears complete or not at
    /// all, and replaces nothing.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the folder cannot be written to.
    pub async fn create(&self, mark: Bytes) -> Result<(), Error> {
        let found = self.blocking(keys::MARK, move |store| {
            let path = store.root.join(keys::MARK);
            store.create_blocking(&path, &mark).map_err(|error| store_error("write", &path, error))
        });
        found.await.map_err(|source| Error::StoreFailed { action: "write", key: keys::MARK.to_owned(), source })
    }

    fn create_blocking(&self, path: &Path, mark: &[u8]) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn inspect(root: &Path) -> io::Result<FolderState> {
        FolderStore::new(root).inspect_blocking()
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lake");
        assert_eq!(inspect(&path).unwrap(), FolderState::Missing);
        fs::write(&path, "a file").unwrap();
        assert_eq!(inspect(&path).unwrap(), FolderState::File);
    }

    /// The folder can be listed, but the path of its mark is longer than the system's maximum of 4,095 bytes.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_mark_that_cannot_be_inspected_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().to_owned();
        while path.as_os_str().len() < 4_090 {
            path.push("x".repeat((4_090 - 1 - path.as_os_str().len()).clamp(1, 200)));
        }
        fs::create_dir_all(&path).unwrap();
        assert_eq!(inspect(&path).unwrap_err().kind(), io::ErrorKind::InvalidFilename);
    }

    #[test]
    fn unfinished_marks_and_system_files_leave_a_folder_empty() {
        for (name, is_file, expected) in [
            (".lake.json-AbC123", true, FolderState::Empty),
            (".DS_Store", true, FolderState::Empty),
            ("lost+found", false, FolderState::Empty),
            (".lake.json-AbC123", false, FolderState::Other),
            (".lake.json-AbC12", true, FolderState::Other),
            ("notes.txt", true, FolderState::Other),
            ("lake.json", false, FolderState::Other),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path: PathBuf = folder.path().join(name);
            if is_file {
                fs::write(&path, "").unwrap()
            } else {
                fs::create_dir(&path).unwrap()
            }
            assert_eq!(inspect(folder.path()).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn the_first_mark_of_a_lake_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path().join("a/lake"));
        let path = store.root.join(keys::MARK);
        store.create_blocking(&path, b"first").unwrap();
        store.create_blocking(&path, b"second").unwrap();
        assert_eq!(inspect(&store.root).unwrap(), FolderState::Marked(Bytes::from_static(b"first")));
        // Only the mark is left: the second write's temporary file is gone.
        assert_eq!(fs::read_dir(&store.root).unwrap().count(), 1);
        store.create_blocking(&store.root.join("missing/lake.json"), b"mark").unwrap_err();
    }
}
