//! A lake in a folder: the same tree as in a bucket, readable as it is.
//!
//! A data object is written beside the tree, flushed, and renamed into place, so that a reader sees the old file or the
//! new one and an open reader keeps the old. Its modification time is when its last page was received, since the file's
//! own bytes may not hold a time.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use rollcall_core::Error;
use rollcall_core::edition::Stamp;
use rollcall_core::error::LockHolder;
use rollcall_core::ports::{Condition, Content, Listed, ObjectFacts, Put, Store, StoreError};
use rollcall_core::table::Footer;
use tokio::sync::RwLock;

/// Folder of files that are being written; readers of `data/` never see them.
const TEMPORARY: &str = ".tmp";
const LOCK: &str = ".lock";

/// A lake in a folder. Clones are the same lake.
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: PathBuf,
    /// Held from comparing an object to replacing it.
    commit: Arc<Mutex<()>>,
    /// Shared by work under way, which goes on when nobody waits for it any more.
    under_way: Arc<RwLock<()>>,
    /// By key, the etag and the run of what this process wrote: a file cannot say which run that was.
    written: Arc<Mutex<HashMap<String, (String, String)>>>,
}

/// Held while a run writes to a lake; dropping it, or the end of the process, lets the next one in.
#[derive(Debug)]
pub struct LakeLock {
    _file: File,
}

impl FolderStore {
    /// The lake in `root`, which need not be there yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), commit: Arc::default(), under_way: Arc::default(), written: Arc::default() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder and takes its lock, so that one run at a time writes to it. Left-over temporary files are removed.
    ///
    /// # Errors
    /// [`Error::LakeLocked`] when another run holds it; [`Error::StoreFailed`] when the folder cannot be written to.
    pub fn lock(&self) -> Result<LakeLock, Error> {
        let path = self.root.join(LOCK);
        let failed = |message: &str, error: io::Error| Error::StoreFailed {
            action: "write",
            key: LOCK.to_owned(),
            source: refused(message, &path, error),
        };
        make_parents(&self.root, &path).map_err(|error| failed("make folder of", error))?;
        // Opened, it would be the file it leads to that is emptied.
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            return Err(failed("open", leads_out(&path)));
        }
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| failed("open", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                return Err(Error::LakeLocked(LockHolder(format!(
                    "expected no other run on `{}`, found one (process {})\nhint: wait for it to end; nothing was changed",
                    self.root.display(),
                    holder.trim()
                ))));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        file.set_len(0).map_err(|error| failed("write", error))?;
        writeln!(file, "{}", std::process::id()).map_err(|error| failed("write", error))?;
        let temporary = self.root.join(TEMPORARY);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(|error| failed("clear temporary files beside", error))?;
        }
        Ok(LakeLock { _file: file })
    }

    /// Waits until no work is under way, such as a write whose caller was stopped.
    pub async fn settle(&self) {
        let _ = self.under_way.write().await;
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let under_way = self.under_way.clone().read_owned().await;
        let work = move || {
            let result = work(&store);
            drop(under_way);
            result
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| StoreError { message: "work on folder".to_owned(), source: error.into() })?
    }

    /// Writes bytes to a temporary file, flushed to disk. `modified` becomes its modification time.
    fn write_temporary(&self, bytes: &[u8], modified: Option<SystemTime>) -> Result<tempfile::TempPath, StoreError> {
        let folder = self.root.join(TEMPORARY);
        let write = || {
            fs::create_dir_all(&folder)?;
            let mut builder = tempfile::Builder::new();
            // Readable by whom the folder is readable by, as any other file; the library's default is the owner alone.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let mut file = builder.tempfile_in(&folder)?;
            file.write_all(bytes)?;
            if let Some(modified) = modified {
                file.as_file().set_modified(modified)?;
            }
            file.as_file().sync_all()?;
            Ok(file.into_temp_path())
        };
        write().map_err(|error| refused("write temporary file in", &folder, error))
    }

    /// Moves a temporary file into place and flushes the folder, so that it stays there when power fails.
    fn rename(&self, temporary: tempfile::TempPath, path: &Path) -> Result<(), StoreError> {
        let failed = |error| refused("write", path, error);
        make_parents(&self.root, path).map_err(failed)?;
        temporary.persist(path).map_err(|error| failed(error.error))?;
        sync_folder(path).map_err(failed)
    }

    fn head_now(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let path = self.path(key);
        let failed = |error| refused("read", &path, error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        let fetched_at = modified_at(&metadata).map_err(failed)?;
        let etag = etag_of(&metadata).map_err(failed)?;
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let run = written.get(key).filter(|(written, _)| *written == etag).map(|(_, run)| run.clone());
        let footer = read_footer(&file).map_err(failed)?.and_then(|metadata| Footer::of(&metadata));
        let stamp = footer.map(|Footer { edition, partition, n_rows, .. }| Stamp {
            edition,
            partition,
            n_rows,
            fetched_at,
            run,
        });
        Ok(Some(ObjectFacts { etag, size_bytes: metadata.len(), stamp }))
    }

    fn footer_now(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        let path = self.path(key);
        let failed = |error| refused("read", &path, error);
        match File::open(&path) {
            Ok(file) => Ok(read_footer(&file).map_err(failed)?.and_then(|metadata| Footer::of(&metadata))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn read_now(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let path = self.path(key);
        let read = || {
            let mut file = File::open(&path)?;
            let etag = etag_of(&file.metadata()?)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Content { bytes: bytes.into(), etag })
        };
        match read() {
            Ok(content) => Ok(Some(content)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("read", &path, error)),
        }
    }

    fn holds(&self, key: &str, condition: &Condition) -> Result<bool, StoreError> {
        let path = self.path(key);
        let found = match fs::metadata(&path) {
            Ok(metadata) => Some(etag_of(&metadata).map_err(|error| refused("read", &path, error))?),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(refused("read", &path, error)),
        };
        Ok(match condition {
            Condition::Absent => found.is_none(),
            Condition::Matches(etag) => found.as_ref() == Some(etag),
        })
    }
}

impl Store for FolderStore {
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let key = key.to_owned();
        self.blocking(move |store| store.head_now(&key)).await
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: &Condition, stamp: &Stamp) -> Result<Put, StoreError> {
        let (key, condition, fetched_at, run) =
            (key.to_owned(), condition.clone(), stamp.fetched_at, stamp.run.clone());
        self.blocking(move |store| {
            let modified = SystemTime::try_from(fetched_at)
                .map_err(|error| refused("write", &store.path(&key), io::Error::other(error)))?;
            let temporary = store.write_temporary(&bytes, Some(modified))?;
            tracing::debug!(key, size_bytes = bytes.len(), "object written beside the tree");
            let _commit = store.commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            store.rename(temporary, &store.path(&key))?;
            tracing::debug!(key, "object committed");
            let path = store.path(&key);
            let etag = fs::metadata(&path).and_then(|metadata| etag_of(&metadata));
            let etag = etag.map_err(|error| refused("read", &path, error))?;
            if let Some(run) = run {
                let mut written = store.written.lock().unwrap_or_else(PoisonError::into_inner);
                written.insert(key, (etag.clone(), run));
            }
            Ok(Put::Done(etag))
        })
        .await
    }

    async fn remove(&self, key: &str, etag: &str) -> Result<Put, StoreError> {
        let (key, condition) = (key.to_owned(), Condition::Matches(etag.to_owned()));
        self.blocking(move |store| {
            let _commit = store.commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            let path = store.path(&key);
            check_within(&store.root, &path)
                .and_then(|()| fs::remove_file(&path))
                .and_then(|()| sync_folder(&path))
                .map_err(|error| refused("remove", &path, error))?;
            Ok(Put::Done(String::new()))
        })
        .await
    }

    async fn footer(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        let key = key.to_owned();
        self.blocking(move |store| store.footer_now(&key)).await
    }

    async fn read(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let key = key.to_owned();
        self.blocking(move |store| store.read_now(&key)).await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.blocking(move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            store.rename(temporary, &store.path(&key))
        })
        .await
    }

    async fn replace(&self, key: &str, bytes: Bytes, condition: &Condition) -> Result<Put, StoreError> {
        let (key, condition) = (key.to_owned(), condition.clone());
        self.blocking(move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            let _commit = store.commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            let path = store.path(&key);
            store.rename(temporary, &path)?;
            let etag = fs::metadata(&path).and_then(|metadata| etag_of(&metadata));
            Ok(Put::Done(etag.map_err(|error| refused("read", &path, error))?))
        })
        .await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.blocking(move |store| {
            for key in keys {
                let path = store.path(&key);
                let removed = check_within(&store.root, &path).and_then(|()| match fs::remove_file(&path) {
                    Err(error) if !is_absent(&error) => Err(error),
                    _ => Ok(()),
                });
                removed.map_err(|error| refused("delete", &path, error))?;
                // Folders that nothing is left in go too; one that is not empty refuses.
                let folders = path.ancestors().skip(1).take_while(|folder| *folder != store.root);
                let _ = folders.map(fs::remove_dir).take_while(Result::is_ok).count();
            }
            Ok(())
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let prefix = prefix.to_owned();
        self.blocking(move |store| {
            let mut listed = Vec::new();
            let folder = store.path(&prefix);
            list_below(&folder, prefix.trim_end_matches('/'), &mut listed)
                .map_err(|error| refused("list", &folder, error))?;
            listed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Ok(listed)
        })
        .await
    }
}

/// When a file was last written, or made to say so.
fn modified_at(metadata: &Metadata) -> io::Result<Timestamp> {
    Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)
}

/// What tells one version of a file from another.
fn etag_of(metadata: &Metadata) -> io::Result<String> {
    Ok(format!("{:x}-{:x}", modified_at(metadata)?.as_nanosecond(), metadata.len()))
}

/// The footer of a file; `None` when the file is torn or no Parquet. A disk that does not answer is an error: what the
/// file holds is not known then.
fn read_footer(file: &File) -> io::Result<Option<ParquetMetaData>> {
    match ParquetMetaDataReader::new().parse_and_finish(file) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(ParquetError::External(source)) => match source.downcast::<io::Error>() {
            Ok(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(*error),
            _ => Ok(None),
        },
        Err(_) => Ok(None),
    }
}

/// Makes the folders above `path`, which is in the lake `root`, that are not there, each flushed into the one above it.
fn make_parents(root: &Path, path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    check_within(root, path)?;
    // The empty path, above a relative one of a single name, stands for a folder that is there.
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    fs::create_dir_all(folder)?;
    missing.into_iter().rev().try_for_each(sync_folder)
}

/// Refuses to change a file of the lake `root` whose folder is a link to elsewhere: nothing outside is ever changed, and
/// what is there would not be found again. The lake itself may be a link.
fn check_within(root: &Path, path: &Path) -> io::Result<()> {
    let below = path.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(Path::new(""));
    let mut folder = root.to_owned();
    for name in below {
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

/// Adds all files below `folder`, whose own key is `prefix`.
fn list_below(folder: &Path, prefix: &str, listed: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 is not one of ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = format!("{prefix}/{name}");
        if entry.file_type()?.is_dir() {
            list_below(&entry.path(), &key, listed)?;
            continue;
        }
        // What cannot be looked at is listed all the same.
        let metadata = fs::metadata(entry.path()).and_then(|found| Ok((etag_of(&found)?, modified_at(&found)?)));
        let (etag, modified_at) = metadata.unwrap_or_default();
        listed.push(Listed { key, etag, modified_at });
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Flushes the folder that holds `path`. Elsewhere than on Unix folders cannot be opened, and need not be flushed.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix)
        && let Some(folder) = path.parent()
    {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn refused(action: &str, path: &Path, error: io::Error) -> StoreError {
    StoreError { message: format!("{action} `{}`", path.display()), source: error.into() }
}
