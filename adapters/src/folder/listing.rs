//! Lists the files below a folder.

use std::fs;
use std::io;
use std::path::Path;

use crate::folder::file::{is_absent, is_machine_error};

/// Adds the keys of all files below `folder` to `keys`. `prefix` is the key of the folder itself.
pub(super) fn list_below(folder: &Path, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
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
