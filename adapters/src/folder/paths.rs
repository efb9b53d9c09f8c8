//! Paths below the lake's folder: creates missing folders, and refuses links that lead out of the lake.

use std::fs;
use std::io;
use std::path::Path;

use crate::folder::file::sync_folder;

/// Creates the missing folders between `root` and `path`, and syncs the parent of each. If the lake's own folder is
/// gone, it is not created again.
pub(super) fn create_parents(root: &Path, path: &Path) -> io::Result<()> {
    create_parents_and(root, path, sync_folder)
}

/// Does the same as [`create_parents`], but does not sync. For files that need not survive a power failure.
pub(super) fn create_unflushed_parents(root: &Path, path: &Path) -> io::Result<()> {
    create_parents_and(root, path, |_| Ok(()))
}

fn create_parents_and(root: &Path, path: &Path, sync: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    check_within(root, path)?;
    let mut folder = root.to_owned();
    for name in relative_folder(root, path) {
        folder.push(name);
        if folder.is_dir() {
            continue;
        }
        match fs::create_dir(&folder) {
            Ok(()) => sync(&folder)?,
            // Another write has created it in the meantime.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the folder of `path`, relative to the lake `root`.
pub(super) fn relative_folder<'p>(root: &Path, path: &'p Path) -> &'p Path {
    path.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(Path::new(""))
}

/// Checks that no folder between the lake `root` and `path` is a link. Nothing outside the lake is ever changed, and files
/// written there would not be found again. The lake itself may be a link.
pub(super) fn check_within(root: &Path, path: &Path) -> io::Result<()> {
    let mut folder = root.to_owned();
    for name in relative_folder(root, path) {
        folder.push(name);
        if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_symlink()) {
            return Err(link_error(&folder));
        }
    }
    Ok(())
}

pub(super) fn link_error(link: &Path) -> io::Error {
    io::Error::other(format!("expected no links in a lake, found `{}`", link.display()))
}
