//! A lake in a folder: the same tree as in a bucket, readable as it is.
//!
//! A data object is written beside the tree, flushed, and renamed into place, so that a reader sees the old file or the
//! new one and an open reader keeps the old. Its modification time is when its last page was received, since the file's
//! own bytes may not hold a time.

mod calls;
mod file;
mod lock;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use rollcall_core::file::Footer;
use rollcall_core::file::Stamp;
use rollcall_core::ports::{Condition, Content, Listed, ObjectFacts, Put, Store, StoreError};
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use self::calls::{Calls, NoAnswer};
use self::file::{is_absent, is_of_the_machine, open_regular, sync_folder};
use self::lock::Held;
pub use self::lock::{Found, LakeLock};

/// Folder of files that are being written; readers of `data/` never see them.
const TEMPORARY: &str = ".tmp";
/// What the name of such a file begins with; it ends in no `.parquet`.
const TEMPORARY_PREFIX: &str = ".tmp";
/// The time in which the disk must answer a call.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// Files of a listing looked at at once.
const LOOKS_AT_ONCE: usize = 32;

/// Objects deleted in one call.
const DELETED_AT_ONCE: usize = 100;

/// A lake in a folder. Clones are the same lake. Its calls are timed: they need a runtime with time enabled.
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: PathBuf,
    /// Held from comparing an object to replacing it, by its key: one that hangs holds up no other.
    commits: Arc<Mutex<BTreeMap<String, Arc<Mutex<()>>>>>,
    calls: Calls,
    /// By key, the etag and the run of what this process wrote: a file cannot say which run that was.
    written: Arc<Mutex<BTreeMap<String, (String, String)>>>,
    /// The folder as this run locked it.
    held: Arc<Mutex<Option<Arc<Held>>>>,
    /// Cancelled once it is not in its place any more.
    lost: CancellationToken,
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

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        self.calls.run(&self.path(key).display().to_string(), move || work(&store)).await
    }

    fn commit_of(&self, key: &str) -> Arc<Mutex<()>> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.entry(key.to_owned()).or_default().clone()
    }

    /// Writes bytes to a temporary file, flushed to disk. `modified` becomes its modification time.
    fn write_temporary(&self, bytes: &[u8], modified: Option<SystemTime>) -> Result<NamedTempFile, StoreError> {
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
    fn rename(
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
    fn head_now(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
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
    fn etag_now(&self, key: &str) -> Result<Option<String>, StoreError> {
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
    fn delete_now(&self, key: &str) -> Result<(), StoreError> {
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

    fn holds(&self, key: &str, condition: &Condition) -> Result<bool, StoreError> {
        let found = self.etag_now(key)?;
        Ok(match condition {
            Condition::Absent => found.is_none(),
            Condition::Matches(etag) => found.as_ref() == Some(etag),
        })
    }
}

impl Store for FolderStore {
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let of_work = key.to_owned();
        match self.blocking(key, move |store| store.head_now(&of_work)).await {
            Err(error) if error.source.is::<NoAnswer>() => {
                tracing::warn!(key, %error, "object unreadable");
                Ok(Some(unreadable("unknown".to_owned(), 0)))
            }
            answer => answer,
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: &Condition, stamp: &Stamp) -> Result<Put, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        let (condition, fetched_at, run) = (condition.clone(), stamp.fetched_at, stamp.run.clone());
        self.blocking(of_call, move |store| {
            let modified = SystemTime::try_from(fetched_at)
                .map_err(|error| refused("write", &store.path(&key), io::Error::other(error)))?;
            let temporary = store.write_temporary(&bytes, Some(modified))?;
            tracing::debug!(key, size_bytes = bytes.len(), "object written beside the tree");
            let commit = store.commit_of(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            store.rename(temporary, &store.path(&key), &bytes, Some(modified))?;
            tracing::debug!(key, "object committed");
            let etag = store.etag_now(&key)?.unwrap_or_default();
            if let Some(run) = run {
                let mut written = store.written.lock().unwrap_or_else(PoisonError::into_inner);
                written.insert(key, (etag.clone(), run));
            }
            Ok(Put::Done(etag))
        })
        .await
    }

    async fn remove(&self, key: &str, etag: &str) -> Result<Put, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        let condition = Condition::Matches(etag.to_owned());
        self.blocking(of_call, move |store| {
            let commit = store.commit_of(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            let path = store.path(&key);
            store
                .check_held()
                .and_then(|()| check_within(&store.root, &path))
                .and_then(|()| fs::remove_file(&path))
                .and_then(|()| sync_folder(&path))
                .map_err(|error| refused("remove", &path, error))?;
            Ok(Put::Done(String::new()))
        })
        .await
    }

    async fn footer(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        self.blocking(of_call, move |store| {
            let path = store.path(&key);
            match open_regular(&path).and_then(|(file, _)| read_footer(&file)) {
                Ok(metadata) => Ok(metadata.and_then(|metadata| Footer::of(&metadata))),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(refused("read", &path, error)),
            }
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        self.blocking(of_call, move |store| {
            let path = store.path(&key);
            let read = || {
                let (mut file, metadata) = open_regular(&path)?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(Content { bytes: bytes.into(), etag: file::etag(&metadata)? })
            };
            match read() {
                Ok(content) => Ok(Some(content)),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(refused("read", &path, error)),
            }
        })
        .await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (of_call, key) = (key, key.to_owned());
        self.blocking(of_call, move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            store.rename(temporary, &store.path(&key), &bytes, None)
        })
        .await
    }

    async fn replace(&self, key: &str, bytes: Bytes, condition: &Condition) -> Result<Put, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        let condition = condition.clone();
        self.blocking(of_call, move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            let commit = store.commit_of(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            store.rename(temporary, &store.path(&key), &bytes, None)?;
            Ok(Put::Done(store.etag_now(&key)?.unwrap_or_default()))
        })
        .await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        // A call has a time in which it must answer, however many keys there are.
        for keys in keys.chunks(DELETED_AT_ONCE) {
            let of_call = keys.first().cloned().unwrap_or_default();
            let keys = keys.to_vec();
            self.blocking(&of_call, move |store| keys.iter().try_for_each(|key| store.delete_now(key))).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let (of_call, prefix) = (prefix, prefix.to_owned());
        let keys = self.blocking(of_call, move |store| {
            let mut keys = Vec::new();
            let folder = store.path(&prefix);
            list_below(&folder, prefix.trim_end_matches('/'), &mut keys)
                .map_err(|error| refused("list", &folder, error))?;
            keys.sort_unstable();
            Ok(keys)
        });
        // Each is looked at by itself: one that does not answer is listed all the same.
        let looks = keys.await?.into_iter().map(|key| async move {
            let path = self.path(&key);
            let look = self.blocking(&key, move |_| {
                let found = file::look(&path).and_then(|found| Ok((file::etag(&found)?, found.modified()?)));
                found.map_err(|error| refused("look at", &path, error))
            });
            let (etag, modified) = look.await.map_or((String::new(), None), |(etag, at)| (etag, Some(at)));
            // What has no time that can be told is not old.
            let modified_at =
                modified.and_then(|modified| Timestamp::try_from(modified).ok()).unwrap_or(Timestamp::MAX);
            Listed { key, etag, modified_at }
        });
        Ok(stream::iter(looks).buffered(LOOKS_AT_ONCE).collect().await)
    }
}

/// What a file says of itself, as an object.
fn facts(path: &Path) -> io::Result<ObjectFacts> {
    let (file, metadata) = open_regular(path)?;
    let (etag, size_bytes) = (file::etag(&metadata)?, metadata.len());
    // A time that no calendar has is not one of ours, and the rest is not asked for.
    let Ok(fetched_at) = Timestamp::try_from(metadata.modified()?) else { return Ok(unreadable(etag, size_bytes)) };
    let footer = read_footer(&file)?.and_then(|metadata| Footer::of(&metadata));
    let stamp = footer.map(|Footer { edition, partition, n_rows, .. }| Stamp {
        edition,
        partition,
        n_rows,
        fetched_at,
        run: None,
    });
    Ok(ObjectFacts { etag, size_bytes, stamp, is_readable: true })
}

/// What is known of an object that is there and cannot be read.
fn unreadable(etag: String, size_bytes: u64) -> ObjectFacts {
    ObjectFacts { etag, size_bytes, stamp: None, is_readable: false }
}

/// The footer of a file; `None` when the file is torn or no Parquet. A disk that fails is an error.
fn read_footer(file: &fs::File) -> io::Result<Option<ParquetMetaData>> {
    match ParquetMetaDataReader::new().parse_and_finish(file) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(ParquetError::External(source)) => match source.downcast::<io::Error>() {
            Ok(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(*error),
            _ => Ok(None),
        },
        Err(_) => Ok(None),
    }
}

/// Makes the folders above `path` and below `root` that are not there, each flushed into the one above it. The lake's own
/// folder is not made: where it is gone, it stays gone.
fn make_parents(root: &Path, path: &Path) -> io::Result<()> {
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
fn below<'p>(root: &Path, path: &'p Path) -> &'p Path {
    path.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(Path::new(""))
}

/// Refuses to change a file of the lake `root` whose folder is a link to elsewhere: nothing outside is ever changed, and
/// what is there would not be found again. The lake itself may be a link.
fn check_within(root: &Path, path: &Path) -> io::Result<()> {
    let mut folder = root.to_owned();
    for name in below(root, path) {
        folder.push(name);
        if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_symlink()) {
            return Err(leads_out(&folder));
        }
    }
    Ok(())
}

fn leads_out(link: &Path) -> io::Error {
    io::Error::other(format!("expected no links in a lake, found `{}`", link.display()))
}

/// Adds the keys of all files below `folder`, whose own key is `prefix`.
fn list_below(folder: &Path, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
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

fn refused(action: &str, path: &Path, error: io::Error) -> StoreError {
    StoreError { message: format!("{action} `{}`", path.display()), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_core::file::{Digest, Edition};
    use rollcall_core::lookup::Lookup;

    const KEY: &str = "data/t/year=2021/part-00000.parquet";

    fn lake() -> (tempfile::TempDir, FolderStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        (folder, store)
    }

    fn stamp(run: &str) -> Stamp {
        Stamp {
            edition: Edition { digest: Digest(1), schema_id: 1, encoding_version: 2 },
            partition: None,
            n_rows: 1,
            fetched_at: "2026-11-23T12:00:00Z".parse().unwrap(),
            run: Some(run.to_owned()),
        }
    }

    #[tokio::test]
    async fn what_this_process_wrote_is_of_its_run_until_it_is_replaced() {
        let (folder, store) = lake();
        let lookups = Lookup::built_in().unwrap();
        let [bytes, other] = [&lookups[0], &lookups[1]].map(|lookup| lookup.encode().unwrap().bytes);
        let Put::Done(etag) = store.put(KEY, bytes, &Condition::Absent, &stamp("r1")).await.unwrap() else { panic!() };
        let run = async |store: &FolderStore| store.head(KEY).await.unwrap().unwrap().stamp.unwrap().run;
        assert_eq!(run(&store).await.as_deref(), Some("r1"));
        let another = FolderStore::new(folder.path());
        assert_eq!(run(&another).await, None);
        let _ = another.put(KEY, other, &Condition::Matches(etag), &stamp("r2")).await.unwrap();
        assert_eq!((run(&store).await, run(&another).await.as_deref()), (None, Some("r2")));
    }

    #[tokio::test]
    async fn what_cannot_be_looked_at_is_an_error_and_not_taken_for_absent() {
        let (folder, store) = lake();
        fs::create_dir(folder.path().join("data")).unwrap();
        // No file can have such a name.
        let key = format!("data/{}/part-00000.parquet", "x".repeat(300));
        assert!(store.head(&key).await.is_err());
        assert!(store.footer(&key).await.is_err());
        assert!(store.read(&key).await.is_err());
        assert!(store.remove(&key, "etag").await.is_err());
        assert!(store.delete(vec![key]).await.is_err());
        let absent = KEY.to_owned();
        assert!(store.head(&absent).await.unwrap().is_none() && store.footer(&absent).await.unwrap().is_none());
        assert_eq!(store.remove(&absent, "etag").await.unwrap(), Put::Lost);
        store.delete(vec![absent]).await.unwrap();
    }

    #[tokio::test]
    async fn a_deletion_takes_the_folders_that_nothing_is_left_in_and_leaves_the_lake() {
        let (folder, store) = lake();
        let keys: Vec<String> = (0..250).map(|i| format!("ledger/d/runs/r1/receipts/{i}.json")).collect();
        for key in &keys {
            store.write(key, Bytes::from_static(b"{}")).await.unwrap();
        }
        store.write("ledger/d/records.json", Bytes::from_static(b"[]")).await.unwrap();
        store.delete(keys).await.unwrap();
        assert!(!folder.path().join("ledger/d/runs").exists());
        assert_eq!(store.list("").await.unwrap().len(), 1);
        store.delete(vec!["ledger/d/records.json".to_owned()]).await.unwrap();
        assert!(folder.path().exists() && !folder.path().join("ledger").exists());
        // What is in the place of an object is no object, and is not gone.
        fs::create_dir_all(folder.path().join("data/t")).unwrap();
        assert!(store.delete(vec!["data/t".to_owned()]).await.is_err());
    }
}
