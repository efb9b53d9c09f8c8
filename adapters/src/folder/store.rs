//! The lake's folder: paths, temporary files, renames, and calls to the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rollcall_core::ports::{Condition, ObjectFacts, StoreError};
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use crate::folder::calls::Calls;
use crate::folder::facts::{facts, unreadable};
use crate::folder::file::{self, is_absent, is_machine_error, sync_folder};
use crate::folder::held::{Held, LOCK};
use crate::folder::paths::{check_within, create_parents, create_unflushed_parents};

/// Folder for files that are being written. Readers of `data/` never see them.
pub(super) const TEMPORARY: &str = ".tmp";

/// Prefix of temporary file names, which never end in `.parquet`.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp";

/// Time limit of a call to the disk.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A lake in a folder. Clones share it. Calls have a time limit, so they need a runtime with time enabled.
#[derive(Debug, Clone)]
pub struct FolderStore {
    pub(super) root: PathBuf,
    /// One lock per key, held while an object is compared and replaced. A call that hangs blocks no other object.
    commits: Arc<Mutex<BTreeMap<String, Arc<Mutex<()>>>>>,
    pub(super) calls: Calls,
    /// Etag and run of the objects that this process wrote, by key. A file itself does not record its run.
    pub(super) written: Arc<Mutex<BTreeMap<String, (String, String)>>>,
    /// The folder and the lock file at the time of locking.
    pub(super) held: Arc<Mutex<Option<Arc<Held>>>>,
    /// Cancelled once the folder or the lock file has been moved or replaced.
    pub(super) lost: CancellationToken,
}

impl FolderStore {
    /// Returns the lake in `root`, which need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            commits: Arc::default(),
            calls: Calls::new(CALL_TIMEOUT),
            written: Arc::default(),
            held: Arc::default(),
            lost: CancellationToken::new(),
        }
    }

    /// Returns the folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until no call is running, such as a write whose caller was cancelled, but no longer than the time limit of a
    /// call.
    pub async fn settle(&self) {
        self.calls.settle().await;
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        self.calls.run(&self.path(key).display().to_string(), move || work(&store)).await
    }

    pub(super) fn commit_lock(&self, key: &str) -> Arc<Mutex<()>> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.entry(key.to_owned()).or_default().clone()
    }

    /// Writes bytes to a temporary file and flushes it to disk. `modified` becomes its modification time.
    pub(super) fn write_temporary(
        &self,
        bytes: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<NamedTempFile, StoreError> {
        let folder = self.root.join(TEMPORARY);
        self.prepare_temporary(&folder)
            .and_then(|()| file::write_temporary(&folder, TEMPORARY_PREFIX, bytes, modified))
            .map_err(|error| store_error("write temporary file in", &folder, error))
    }

    /// Checks that the lake is still in place, and creates the folder for temporary files if it is missing.
    pub(super) fn prepare_temporary(&self, folder: &Path) -> io::Result<()> {
        self.check_in_place()?;
        create_parents(&self.root, &folder.join(TEMPORARY_PREFIX))
    }

    /// Writes a file that need not survive a power failure, so nothing is flushed.
    pub(super) fn write_unflushed_blocking(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = self.root.join(TEMPORARY);
        self.prepare_temporary(&folder)
            .and_then(|()| file::write_unflushed(&folder, TEMPORARY_PREFIX, bytes, None))
            .and_then(|temporary| self.persist(temporary, path, bytes, None, create_unflushed_parents))
            .map_err(|error| store_error("write", path, error))
    }

    /// Moves a temporary file into place and flushes the folder, so that the file survives a power failure.
    ///
    /// - `bytes`, `modified`: the file's content and time. If the folder is on another disk, the file cannot be moved there
    ///   and is written again.
    pub(super) fn rename(
        &self,
        temporary: NamedTempFile,
        path: &Path,
        bytes: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<(), StoreError> {
        self.persist(temporary, path, bytes, modified, create_parents)
            .and_then(|()| sync_folder(path))
            .map_err(|error| store_error("write", path, error))
    }

    fn persist(
        &self,
        temporary: NamedTempFile,
        path: &Path,
        bytes: &[u8],
        modified: Option<SystemTime>,
        create_parents: fn(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        self.check_in_place()?;
        create_parents(&self.root, path)?;
        match (temporary.persist(path), path.parent()) {
            (Err(refused), Some(folder)) if refused.error.kind() == io::ErrorKind::CrossesDevices => {
                file::clear_temporary(folder, TEMPORARY_PREFIX)?;
                file::write_temporary(folder, TEMPORARY_PREFIX, bytes, modified)?.persist(path)?;
            }
            (persisted, _) => {
                persisted?;
            }
        }
        Ok(())
    }

    /// Reads the facts about an object. An object that exists but cannot be read has no stamp. This is not an error,
    /// because an error would stop work on other objects.
    pub(super) fn head_blocking(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let path = self.path(key);
        match facts(&path) {
            Ok(mut facts) => {
                let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
                let run = written.get(key).filter(|(etag, _)| *etag == facts.etag).map(|(_, run)| run.clone());
                if let Some(stamp) = &mut facts.stamp {
                    stamp.run = run;
                }
                Ok(Some(facts))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) if is_machine_error(&error) => Err(store_error("read", &path, error)),
            Err(error) => {
                tracing::warn!(key, %error, "object unreadable");
                // For a broken link, uses the link's own time and size.
                let found = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path));
                let etag = found.as_ref().map_err(|_| ()).and_then(|found| file::etag(found).map_err(|_| ()));
                Ok(Some(unreadable(
                    etag.unwrap_or_else(|()| "unknown".to_owned()),
                    found.map_or(0, |found| found.len()),
                )))
            }
        }
    }

    /// Returns the etag of a file, whatever its content, or `None` if there is no file.
    pub(super) fn etag_blocking(&self, key: &str) -> Result<Option<String>, StoreError> {
        let path = self.path(key);
        // For a broken link, uses the link's own etag.
        let found = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path));
        match found.and_then(|found| file::etag(&found)) {
            Ok(etag) => Ok(Some(etag)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(store_error("read", &path, error)),
        }
    }

    /// Deletes an object, and the folders that become empty.
    pub(super) fn delete_blocking(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key);
        let removed = self.check_in_place().and_then(|()| check_within(&self.root, &path)).and_then(|()| {
            match fs::remove_file(&path) {
                Err(error) if !is_absent(&error) => Err(error),
                _ => Ok(()),
            }
        });
        removed.map_err(|error| store_error("delete", &path, error))?;
        // A folder that is not empty cannot be removed, which ends the loop.
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        let _ = folders.map(fs::remove_dir).take_while(Result::is_ok).count();
        Ok(())
    }

    pub(super) fn is_met(&self, key: &str, condition: &Condition) -> Result<bool, StoreError> {
        let found = self.etag_blocking(key)?;
        Ok(match condition {
            Condition::Absent => found.is_none(),
            Condition::Matches(etag) => found.as_ref() == Some(etag),
        })
    }

    /// Checks that neither the locked folder nor its lock file was renamed, removed or replaced. Otherwise another run may be
    /// writing there, and files written under the old name would not be found again.
    pub(super) fn check_in_place(&self) -> io::Result<()> {
        let held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let Some(held) = held else { return Ok(()) };
        if held.is_in_place(&self.root)? {
            return Ok(());
        }
        self.lost.cancel();
        Err(io::Error::other(format!(
            "expected the lake `{}` in place, found its folder or its `{LOCK}` renamed, removed or replaced since the run started",
            self.root.display()
        )))
    }
}

pub(super) fn store_error(action: &str, path: &Path, error: io::Error) -> StoreError {
    StoreError { message: format!("{action} `{}`", path.display()), source: error.into() }
}
