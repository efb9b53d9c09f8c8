//! Copies an object within the lake: as a second name of the same file, where the file system has that. Files are
//! replaced, but never changed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use rollcall_core::ports::{Put, StoreError};

use crate::folder::file::{self, is_absent, open_regular, sync_folder};
use crate::folder::paths::create_parents;
use crate::folder::store::{FolderStore, TEMPORARY, TEMPORARY_PREFIX, store_error};

impl FolderStore {
    /// Copies an object, with its time, provided that it has this etag.
    pub(super) fn copy_blocking(&self, key: &str, etag: &str, to: &str) -> Result<Put, StoreError> {
        if self.etag_blocking(key)?.is_none_or(|found| found != etag) {
            return Ok(Put::Lost);
        }
        // Moving a second name of a file onto another one would leave both.
        if self.etag_blocking(to)?.is_some_and(|found| found == etag) {
            return Ok(Put::Done(etag.to_owned()));
        }
        let (source, target) = (self.path(key), self.path(to));
        match self.link(&source, etag, &target) {
            Ok(put) => Ok(put),
            Err(error) if is_absent(&error) => Ok(Put::Lost),
            // Another disk, a file system without second names, or a link in the place of the file.
            Err(_) => self.copy_bytes(&source, etag, &target),
        }
    }

    fn link(&self, source: &Path, etag: &str, target: &Path) -> io::Result<Put> {
        if !fs::symlink_metadata(source)?.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let folder = self.root.join(TEMPORARY);
        self.prepare_temporary(&folder)?;
        let name = file::temporary_name(TEMPORARY_PREFIX).make_in(&folder, |path| fs::hard_link(source, path))?;
        if file::etag(&fs::metadata(name.path())?)? != etag {
            return Ok(Put::Lost);
        }
        create_parents(&self.root, target)?;
        name.persist(target).map_err(|error| error.error)?;
        sync_folder(target)?;
        Ok(Put::Done(etag.to_owned()))
    }

    fn copy_bytes(&self, source: &Path, etag: &str, target: &Path) -> Result<Put, StoreError> {
        let read = || {
            let (mut file, metadata) = open_regular(source)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok((bytes, file::etag(&metadata)?, metadata.modified()?))
        };
        match read() {
            Ok((bytes, found, modified)) if found == etag => {
                let temporary = self.write_temporary(&bytes, Some(modified))?;
                self.rename(temporary, target, &bytes, Some(modified))?;
                Ok(Put::Done(etag.to_owned()))
            }
            Ok(_) => Ok(Put::Lost),
            Err(error) if is_absent(&error) => Ok(Put::Lost),
            Err(error) => Err(store_error("read", source, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_core::ports::Store;

    const KEY: &str = "data/t/year=2021/part-00000.parquet";
    const COPY: &str = "history/t/year=2021/edition=1/part-00000.parquet";

    /// Returns a lake with a file, and its etag.
    fn lake() -> (tempfile::TempDir, FolderStore, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "first").unwrap();
        let store = FolderStore::new(folder.path());
        let etag = store.etag_blocking(KEY).unwrap().unwrap();
        (folder, store, etag)
    }

    #[tokio::test]
    async fn a_copy_has_the_bytes_and_the_time_of_the_object_and_outlives_it() {
        let (folder, store, etag) = lake();
        for _ in 0..2 {
            assert_eq!(store.copy(KEY, &etag, COPY).await.unwrap(), Put::Done(etag.clone()));
        }
        assert_eq!(store.etag_blocking(COPY).unwrap(), Some(etag.clone()));
        assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count(), 0);
        fs::remove_file(folder.path().join(KEY)).unwrap();
        fs::write(folder.path().join(KEY), "second").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(COPY)).unwrap(), "first");
        // By now, the object is another one.
        assert_eq!(store.copy(KEY, "another", COPY).await.unwrap(), Put::Lost);
        fs::remove_file(folder.path().join(COPY)).unwrap();
        assert_eq!(store.copy(KEY, &etag, COPY).await.unwrap(), Put::Lost);
        fs::remove_file(folder.path().join(KEY)).unwrap();
        assert_eq!(store.copy(KEY, &etag, COPY).await.unwrap(), Put::Lost);
        assert!(!folder.path().join(COPY).exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_object_that_is_a_link_is_copied_as_a_file() {
        let (folder, store, _) = lake();
        let (path, target) = (folder.path().join(KEY), folder.path().join("target"));
        fs::rename(&path, &target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let etag = store.etag_blocking(KEY).unwrap().unwrap();
        assert_eq!(store.copy(KEY, &etag, COPY).await.unwrap(), Put::Done(etag.clone()));
        assert!(fs::symlink_metadata(folder.path().join(COPY)).unwrap().is_file());
        assert_eq!(store.etag_blocking(COPY).unwrap(), Some(etag));
    }
}
