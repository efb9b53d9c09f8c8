//! The lake's folder: paths, temporary files, renames, and the calls to its disk.

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
use crate::folder::file::{self, is_absent, is_of_the_machine, sync_folder};
use crate::folder::held::{Held, LOCK};
use crate::folder::paths::{check_within, make_parents};

/// Folder of files that are being written; readers of `data/` never see them.
pub(super) const TEMPORARY: &str = ".tmp";

/// What the name of such a file begins with; it ends in no `.parquet`.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp";

/// The time in which the disk must answer a call.
const CALL_WITHIN: Duration = Duration::from_secs(30);

/// A lake in a folder. Clones are the same lake. Its calls are timed: they need a runtime with time enabled.
#[derive(Debug, Clone)]
pub struct FolderStore {
    pub(super) root: PathBuf,
    /// Held from comparing an object to replacing it, by its key: one that hangs holds up no other.
    commits: Arc<Mutex<BTreeMap<String, Arc<Mutex<()>>>>>,
    pub(super) calls: Calls,
    /// By key, the etag and the run of what this process wrote: a file cannot say which run that was.
    pub(super) written: Arc<Mutex<BTreeMap<String, (String, String)>>>,
    /// The folder as this run locked it.
    pub(super) held: Arc<Mutex<Option<Arc<Held>>>>,
    /// Cancelled once it is not in its place any more.
    pub(super) lost: CancellationToken,
}

impl FolderStore {
    /// The lake in `root`, which need not be there yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            commits: Arc::default(),
            calls: Calls::new(CALL_WITHIN),
            written: Arc::default(),
            held: Arc::default(),
            lost: CancellationToken::new(),
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until no work is under way, such as a write whose caller was stopped; no longer than the disk may take.
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

    pub(super) fn commit_of(&self, key: &str) -> Arc<Mutex<()>> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.entry(key.to_owned()).or_default().clone()
    }

    /// Writes bytes to a temporary file, flushed to disk. `modified` becomes its modification time.
    pub(super) fn write_temporary(
        &self,
        bytes: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<NamedTempFile, StoreError> {
        let folder = self.root.join(TEMPORARY);
        let write = || {
            self.check_held()?;
            make_parents(&self.root, &folder.join(TEMPORARY_PREFIX))?;
            file::write_temporary(&folder, TEMPORARY_PREFIX, bytes, modified)
        };
        write().map_err(|error| refused("write temporary file in", &folder, error))
    }

    /// Moves a temporary file into place and flushes the folder, so that it stays there when power fails.
    ///
    /// - `bytes`, `modified`: what the file holds, for a folder on a disk of its own, where it cannot be moved to.
    pub(super) fn rename(
        &self,
        temporary: NamedTempFile,
        path: &Path,
        bytes: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<(), StoreError> {
        let rename = || {
            self.check_held()?;
            make_parents(&self.root, path)?;
            match (temporary.persist(path), path.parent()) {
                (Err(refused), Some(folder)) if refused.error.kind() == io::ErrorKind::CrossesDevices => {
                    file::clear_temporary(folder, TEMPORARY_PREFIX)?;
                    file::write_temporary(folder, TEMPORARY_PREFIX, bytes, modified)?.persist(path)?;
                }
                (persisted, _) => {
                    persisted?;
                }
            }
            sync_folder(path)
        };
        rename().map_err(|error| refused("write", path, error))
    }

    /// What is known of an object. One that is there and cannot be read has no stamp: it is no reason to give up others.
    pub(super) fn head_now(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
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
            Err(error) if is_of_the_machine(&error) => Err(refused("read", &path, error)),
            Err(error) => {
                tracing::warn!(key, %error, "object unreadable");
                // A link's own time and size, where it leads nowhere.
                let found = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path));
                let etag = found.as_ref().map_err(|_| ()).and_then(|found| file::etag(found).map_err(|_| ()));
                Ok(Some(unreadable(
                    etag.unwrap_or_else(|()| "unknown".to_owned()),
                    found.map_or(0, |found| found.len()),
                )))
            }
        }
    }

    /// The etag of a file, whatever it holds; `None` when there is none.
    pub(super) fn etag_now(&self, key: &str) -> Result<Option<String>, StoreError> {
        let path = self.path(key);
        // A link's own, where it leads nowhere.
        let found = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path));
        match found.and_then(|found| file::etag(&found)) {
            Ok(etag) => Ok(Some(etag)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("read", &path, error)),
        }
    }

    /// Deletes an object, and the folders that nothing is left in.
    pub(super) fn delete_now(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key);
        let removed = self.check_held().and_then(|()| check_within(&self.root, &path)).and_then(|()| {
            match fs::remove_file(&path) {
                Err(error) if !is_absent(&error) => Err(error),
                _ => Ok(()),
            }
        });
        removed.map_err(|error| refused("delete", &path, error))?;
        // One that is not empty refuses.
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        let _ = folders.map(fs::remove_dir).take_while(Result::is_ok).count();
        Ok(())
    }

    pub(super) fn holds(&self, key: &str, condition: &Condition) -> Result<bool, StoreError> {
        let found = self.etag_now(key)?;
        Ok(match condition {
            Condition::Absent => found.is_none(),
            Condition::Matches(etag) => found.as_ref() == Some(etag),
        })
    }

    /// Refuses to write once the folder that was locked was renamed, removed or replaced, or its lock was: another run may
    /// be at work there, and what is written under the old name would not be found again.
    pub(super) fn check_held(&self) -> io::Result<()> {
        let held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let Some(held) = held else { return Ok(()) };
        if held.is_in_place(&self.root)? {
            return Ok(());
        }
        self.lost.cancel();
        Err(io::Error::other(format!(
            "expected the lake `{}` as this run locked it, found its folder or its `{LOCK}` renamed, removed or replaced",
            self.root.display()
        )))
    }
}

pub(super) fn refused(action: &str, path: &Path, error: io::Error) -> StoreError {
    StoreError { message: format!("{action} `{}`", path.display()), source: error.into() }
}
