//! Who may write to a lake.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rollcall_core::error::found::LockHolder;
use rollcall_core::{Error, keys};

use crate::folder::file::{self, is_absent};
use crate::folder::held::{Held, LOCK};
use crate::folder::mark::MARK_PREFIX;
use crate::folder::paths::leads_out;
use crate::folder::store::{FolderStore, TEMPORARY, TEMPORARY_PREFIX, refused};

/// Held while a run writes to a lake; dropping it, or the end of the process, lets the next one in.
#[derive(Debug)]
pub struct LakeLock {
    _file: File,
}

impl FolderStore {
    /// Takes the lock of a lake, so that one run at a time writes to it, and removes temporary files that dead runs left.
    /// From then on every write is refused once the folder or its lock is not in its place any more.
    ///
    /// # Errors
    /// [`Error::LakeLocked`] when another run holds it; [`Error::StoreFailed`] when the folder cannot be written to, has no
    /// mark, or has something in the lock's place that is not ours.
    pub async fn lock(&self) -> Result<LakeLock, Error> {
        let taken = self.blocking(LOCK, |store| match store.lock_now() {
            Ok(lock) => Ok(Ok(lock)),
            Err(Refusal::Held { by }) => Ok(Err(by)),
            Err(Refusal::Failed { action, path, error }) => Err(refused(action, &path, error)),
        });
        let failed = |source| Error::StoreFailed { action: "write", key: LOCK.to_owned(), source };
        taken.await.map_err(failed)?.map_err(|process| {
            Error::LakeLocked(LockHolder(format!(
                "expected no other run on `{}`, found one (process {process})\nhint: wait for it to end; nothing was changed",
                self.root.display(),
            )))
        })
    }

    fn lock_now(&self) -> Result<LakeLock, Refusal> {
        let path = self.root.join(LOCK);
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |error| Refusal::Failed { action, path, error }
        };
        let mark = self.root.join(keys::MARK);
        // Whoever calls this has seen it. What is no lake is not locked, whoever calls.
        fs::symlink_metadata(&mark).map_err(failed("find", &mark))?;
        let root = cfg!(unix).then(|| File::open(&self.root)).transpose().map_err(failed("open", &self.root))?;
        let mut file = open_lock(&path).map_err(failed("open", &path))?;
        let mut holder = String::new();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let _ = file.take(20).read_to_string(&mut holder);
                return Err(Refusal::Held { by: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        write_holder(&mut file).map_err(failed("write", &path))?;
        let temporary = self.root.join(TEMPORARY);
        if fs::symlink_metadata(&temporary).is_ok_and(|found| found.is_symlink()) {
            return Err(failed("open", &temporary)(leads_out(&temporary)));
        }
        file::clear_temporary(&temporary, TEMPORARY_PREFIX).map_err(failed("clear", &temporary))?;
        file::clear_temporary(&self.root, MARK_PREFIX).map_err(failed("clear", &self.root))?;
        let held = Held { root, lock: file.try_clone().map_err(failed("open", &path))? };
        // Another may have removed the lock between its opening and its locking, and hold one of its own.
        if !held.is_in_place(&self.root).map_err(failed("open", &path))? {
            return Err(failed("open", &path)(io::Error::other("expected a lock that stays, found it replaced")));
        }
        *self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(held.into());
        Ok(LakeLock { _file: file })
    }

    /// Resolves when a write found the lake gone from its place, never if none does.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether the lake that was locked is still in its place.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] naming it when it is not.
    pub async fn check_lock(&self) -> Result<(), Error> {
        let checked = self
            .blocking(LOCK, |store| store.check_held().map_err(|error| refused("find", &store.root.join(LOCK), error)));
        checked.await.map_err(|source| Error::StoreFailed { action: "write", key: LOCK.to_owned(), source })
    }
}

/// Why a lock was not taken.
enum Refusal {
    Held { by: String },
    Failed { action: &'static str, path: PathBuf, error: io::Error },
}

/// Opens the lock of a lake, or makes it. A link would lead to a file of somebody's, and so does a second name of one.
fn open_lock(path: &Path) -> io::Result<File> {
    let check = |found: &fs::Metadata| {
        if found.is_symlink() || file::has_other_names(found) {
            return Err(leads_out(path));
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

/// Writes which process holds the lock, for whoever is turned away, into a lock that says nothing else.
fn write_holder(file: &mut File) -> io::Result<()> {
    let mut before = Vec::new();
    io::Read::by_ref(file).take(64).read_to_end(&mut before)?;
    if before.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\n') {
        file.set_len(0)?;
        io::Seek::rewind(file)?;
        writeln!(file, "{}", std::process::id())?;
    }
    Ok(())
}
