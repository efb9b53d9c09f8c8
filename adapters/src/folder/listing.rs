//! Lists the files below a folder.

use std::fs;
use std::io;
use std::path::Path;

use crate::folder::file::{is_absent, is_of_the_machine};

/// Adds the keys of all files below `folder`, whose own key is `prefix`.
pub(super) fn list_below(folder: &Path, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 is not one of ours, and is listed as what it looks like.
        let key = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            match list_below(&entry.path(), &key, keys) {
                // What is below is not known; what is beside it is.
                Err(error) if !is_of_the_machine(&error) => {
                    tracing::error!(key, %error, "folder unreadable, passed over");
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
