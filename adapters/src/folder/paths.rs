//! Paths below the lake's folder: made where they are missing, and refused where a link leads out.

use std::fs;
use std::io;
use std::path::Path;

use crate::folder::file::sync_folder;

/// Makes the folders above `path` and below `root` that are not there, each flushed into the one above it. The lake's own
/// folder is not made: where it is gone, it stays gone.
pub(super) fn make_parents(root: &Path, path: &Path) -> io::Result<()> {
    check_within(root, path)?;
    let mut folder = root.to_owned();
    for name in below(root, path) {
        folder.push(name);
        if folder.is_dir() {
            continue;
        }
        match fs::create_dir(&folder) {
            Ok(()) => sync_folder(&folder)?,
            // Another write made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The path from the lake `root` to the folder of `path`.
pub(super) fn below<'p>(root: &Path, path: &'p Path) -> &'p Path {
    path.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(Path::new(""))
}

/// Refuses to change a file of the lake `root` whose folder is a link to elsewhere: nothing outside is ever changed, and
/// what is there would not be found again. The lake itself may be a link.
pub(super) fn check_within(root: &Path, path: &Path) -> io::Result<()> {
    let mut folder = root.to_owned();
    for name in below(root, path) {
        folder.push(name);
        if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_symlink()) {
            return Err(leads_out(&folder));
        }
    }
    Ok(())
}

pub(super) fn leads_out(link: &Path) -> io::Error {
    io::Error::other(format!("expected no links in a lake, found `{}`", link.display()))
}
