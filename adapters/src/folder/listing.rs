//! Lists the files below a folder.

use std::io;
use std::path::Path;

use crate::folder::file::{entries, is_machine_error};

/// Adds the keys of all files below `folder` to `keys`. `prefix` is the key of the folder itself.
pub(super) fn list_below(folder: &Path, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let Some(entries) = entries(folder)? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        // rollcall writes only UTF-8 names. Others are listed with replacement characters.
        let key = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            match list_below(&entry.path(), &key, keys) {
                // The content of this folder is unknown, but its siblings can still be listed.
                Err(error) if !is_machine_error(&error) => {
                    tracing::error!(key, %error, "folder unreadable, skipped");
                    keys.push(format!("{key}/"));
                }
                below => below?,
            }
        } else {
            keys.push(key);
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::fs::{Mode, mkdirat};

    /// The path of a folder is longer than the system's maximum of 4,095 bytes.
    #[test]
    fn d4_a_folder_that_this_machine_cannot_list_fails_the_listing() {
        let root = tempfile::tempdir().unwrap();
        let mut path = root.path().to_owned();
        while path.as_os_str().len() < 4_090 {
            path.push("x".repeat((4_090 - 1 - path.as_os_str().len()).clamp(1, 200)));
        }
        std::fs::create_dir_all(&path).unwrap();
        list_below(root.path(), "data", &mut Vec::new()).unwrap();
        mkdirat(std::fs::File::open(&path).unwrap(), "too-long", Mode::RWXU).unwrap();
        let error = list_below(root.path(), "data", &mut Vec::new()).unwrap_err();
        assert!(is_machine_error(&error), "{error}");
    }
}
