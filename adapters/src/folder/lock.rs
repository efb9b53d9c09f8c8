//! The lock of a lake, which lets one run write at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rollcall_core::error::found::LockHolder;
use rollcall_core::{Error, keys};

use crate::folder::file::{self, is_absent};
use crate::folder::held::{Held, LOCK};
use crate::folder::lock_state;
use crate::folder::mark::MARK_PREFIX;
use crate::folder::paths::link_error;
use crate::folder::store::{FolderStore, TEMPORARY, TEMPORARY_PREFIX, store_error};

/// Held while a run writes to a lake. Dropping it, or the end of the process, releases the lock.
#[derive(Debug)]
pub struct LakeLock {
    _file: File,
}

impl FolderStore {
    /// Locks the lake, so that only one run writes to it, and removes temporary files of dead runs. From then on, writes are
    /// refused if the folder or its lock file is renamed, removed or replaced.
    ///
    /// # Errors
    /// [`Error::LakeLocked`] if another run holds the lock. [`Error::StoreFailed`] if the folder cannot be written to
    /// or has no mark, or if the lock file is not one that rollcall created.
    pub async fn lock(&self) -> Result<LakeLock, Error> {
        let taken = self.blocking(LOCK, |store| match store.lock_blocking() {
            Ok(lock) => Ok(Ok(lock)),
            Err(Refusal::Held { by }) => Ok(Err(by)),
            Err(Refusal::Failed { action, path, error }) => Err(store_error(action, &path, error)),
        });
        let failed = |source| Error::StoreFailed { action: "write", key: LOCK.to_owned(), source };
        taken.await.map_err(failed)?.map_err(|process| {
            Error::LakeLocked(LockHolder(format!(
                "expected no other run on `{}`, found one (process {process})\nhint: wait for it to end; nothing was changed",
                self.root.display(),
            )))
        })
    }

    fn lock_blocking(&self) -> Result<LakeLock, Refusal> {
        let path = self.root.join(LOCK);
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |error| Refusal::Failed { action, path, error }
        };
        let mark = self.root.join(keys::MARK);
        // The caller has seen the mark. It is checked again so that only a lake is ever locked.
        fs::symlink_metadata(&mark).map_err(failed("find", &mark))?;
        let root = cfg!(unix).then(|| File::open(&self.root)).transpose().map_err(failed("open", &self.root))?;
        let mut file = open_lock(&path).map_err(failed("open", &path))?;
        let mut holder = String::new();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let _ = file.take(20).read_to_string(&mut holder);
                return Err(Refusal::Held { by: holder.lines().next().unwrap_or_default().trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        write_holder(&mut file).map_err(failed("write", &path))?;
        let temporary = self.root.join(TEMPORARY);
        if fs::symlink_metadata(&temporary).is_ok_and(|found| found.is_symlink()) {
            return Err(failed("open", &temporary)(link_error(&temporary)));
        }
        file::clear_temporary(&temporary, TEMPORARY_PREFIX).map_err(failed("clear", &temporary))?;
        file::clear_temporary(&self.root, MARK_PREFIX).map_err(failed("clear", &self.root))?;
        let held = Held { root, lock: file.try_clone().map_err(failed("open", &path))? };
        // Between opening and locking, another process may have replaced the file and locked its own.
        if !held.is_in_place(&self.root).map_err(failed("open", &path))? {
            return Err(failed("lock", &path)(io::Error::other(
                "expected the file that was opened, found another one",
            )));
        }
        *self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(held.into());
        Ok(LakeLock { _file: file })
    }

    /// Resolves when a write finds the lake's folder or lock file moved or replaced. Otherwise never resolves.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Checks that the folder and the lock file of the locked lake are still in place.
    ///
    /// # Errors
    /// [`Error::StoreFailed`], with the lake's name, if they are not.
    pub async fn check_lock(&self) -> Result<(), Error> {
        let checked = self.blocking(LOCK, |store| {
            store.check_in_place().map_err(|error| store_error("find", &store.root.join(LOCK), error))
        });
        checked.await.map_err(|source| Error::StoreFailed { action: "write", key: LOCK.to_owned(), source })
    }
}

/// Why the lake could not be locked.
enum Refusal {
    Held { by: String },
    Failed { action: &'static str, path: PathBuf, error: io::Error },
}

/// Opens or creates the lock file. Refuses a symbolic link, and a file with several hard links, because it may belong
/// to somebody else.
fn open_lock(path: &Path) -> io::Result<File> {
    let check = |found: &fs::Metadata| {
        if found.is_symlink() || file::has_other_names(found) {
            return Err(link_error(path));
        }
        file::check_regular(found)
    };
    match fs::symlink_metadata(path) {
        Ok(found) => check(&found)?,
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(error),
    }
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Writes this process into the lock file, for the message that a refused run prints, and for [`FolderStore::lock_state`].
/// Does nothing if the file contains anything else.
fn write_holder(file: &mut File) -> io::Result<()> {
    let mut before = Vec::new();
    io::Read::by_ref(file).take(64).read_to_end(&mut before)?;
    if before.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\n') {
        file.set_len(0)?;
        io::Seek::rewind(file)?;
        file.write_all(lock_state::text_of_this_process().as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_holds_the_id_of_its_process_and_other_text_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK);
        let process = lock_state::text_of_this_process();
        assert!(process.starts_with(&format!("{}\n", std::process::id())) && process.len() <= 64, "{process}");
        for (before, after) in [("", &*process), ("4000000\n", &*process), ("my notes", "my notes")] {
            fs::write(&path, before).unwrap();
            write_holder(&mut open_lock(&path).unwrap()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before:?}");
        }
    }
}
