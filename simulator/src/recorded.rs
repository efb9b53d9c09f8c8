//! Recorded responses: bodies in a folder, one file per page, served unchanged.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::route::BASE;

/// What the folder contains for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// The contents of `<page>.json`.
    Plain(Vec<u8>),
    /// The contents of `<page>.json.gz`.
    Gzip(Vec<u8>),
    /// The path is recorded, but not this page.
    NoPage,
    /// Nothing is recorded for the path.
    NoFolder,
}

/// Reads `<folder>/<path below /api/v1/>/<page>.json` or `.json.gz`.
pub(crate) fn read(folder: &Path, path: &str, page: u64) -> Recorded {
    let Some(folder) = folder_of(folder, path).filter(|folder| folder.is_dir()) else {
        return Recorded::NoFolder;
    };
    let plain = fs::read(folder.join(format!("{page}.json")));
    let compressed = || fs::read(folder.join(format!("{page}.json.gz")));
    match plain {
        Ok(bytes) => Recorded::Plain(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => compressed().map_or(Recorded::NoPage, Recorded::Gzip),
        Err(_) => Recorded::NoPage,
    }
}

/// Returns the folder for a path; `None` if a segment could lead outside the recording.
fn folder_of(root: &Path, path: &str) -> Option<PathBuf> {
    let below = path.strip_prefix(BASE)?.trim_end_matches('/');
    let is_plain = |segment: &str| {
        !segment.starts_with('.')
            && !segment.is_empty()
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    below.split('/').all(is_plain).then(|| root.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_lead_outside_the_folder() {
        for path in ["/api/v1/../x/", "/api/v1/a/./b/", "/api/v1//etc/", "/api/v1/%2e%2e/", "/api/v1/", "/other/"] {
            assert_eq!(folder_of(Path::new("root"), path), None, "{path}");
        }
        let folder = folder_of(Path::new("root"), "/api/v1/schools/ccd/enrollment/2021/grade-pk/");
        assert_eq!(folder, Some(PathBuf::from("root/schools/ccd/enrollment/2021/grade-pk")));
    }
}
