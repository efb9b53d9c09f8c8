//! The folder and the lock file of a lake that a run has locked.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::folder::file::{identity, is_absent};

/// Name of the lock file.
pub(super) const LOCK: &str = ".lock";

/// The lake's folder and its lock file at the time of locking. They stay open, so that no other file gets their identity.
#[derive(Debug)]
pub(super) struct Held {
    /// `None` on systems where folders cannot be opened.
    pub(super) root: Option<File>,
    pub(super) lock: File,
}

impl Held {
    /// Checks whether the folder and the lock file still have their names.
    pub(super) fn is_in_place(&self, root: &Path) -> io::Result<bool> {
        let is_same = |file: &File, found: io::Result<fs::Metadata>| match found {
            Ok(found) => Ok(identity(&file.metadata()?) == identity(&found)),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        };
        if let Some(held) = &self.root
            && !is_same(held, fs::metadata(root))?
        {
            return Ok(false);
        }
        is_same(&self.lock, fs::symlink_metadata(root.join(LOCK)))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_lake_that_cannot_be_reached_is_not_reported_as_moved() {
        let folder = tempfile::tempdir().unwrap();
        let [root, unreachable] = ["lake", "loop"].map(|name| folder.path().join(name));
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(&unreachable, &unreachable).unwrap();
        let lock = File::create(root.join(LOCK)).unwrap();
        let held = Held { root: Some(File::open(&root).unwrap()), lock };
        assert!(held.is_in_place(&root).unwrap());
        held.is_in_place(&unreachable).unwrap_err();
        fs::rename(&root, folder.path().join("moved")).unwrap();
        assert!(!held.is_in_place(&root).unwrap());
    }
}
