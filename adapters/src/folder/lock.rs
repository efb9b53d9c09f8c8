//! The lock of a lake, which lets one run write at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rollcall_core::error::found::LockHolder;
use rollcall_core::{Error, keys};

use crate::folder::file::{self, is_absent};
use crate::folder::held::{Held, LOCK};
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
                return Err(Refusal::Held { by: holder.trim().to_owned() });
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

    /// Returns the process that holds the lock, if one does and the system tells.
    ///
    /// Reads the table of locks that Linux has: trying to lock would disturb a run that starts at that moment.
    pub async fn lock_holder(&self) -> Option<LockingProcess> {
        let found = self.blocking(LOCK, |store| Ok(holder(&store.root.join(LOCK)))).await;
        found.ok().flatten()
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

/// A process that holds the lock of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockingProcess {
    /// Its id.
    pub id: u32,
    /// When it started.
    pub since: Timestamp,
}

#[cfg(target_os = "linux")]
fn holder(path: &Path) -> Option<LockingProcess> {
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::symlink_metadata(path).ok()?);
    let mut written = String::new();
    File::open(path).ok()?.take(20).read_to_string(&mut written).ok()?;
    let id = written.trim().parse().ok()?;
    if !is_locked(&fs::read_to_string("/proc/locks").ok()?, id, inode) {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let since = started_at(&stat, &fs::read_to_string("/proc/stat").ok()?)?;
    Some(LockingProcess { id, since })
}

/// Reads when a process started, from `/proc/ID/stat` and the time of the machine's start in `/proc/stat`.
#[cfg(target_os = "linux")]
fn started_at(process: &str, system: &str) -> Option<Timestamp> {
    /// The kernel shows times to programs in this unit.
    const TICKS_PER_SECOND: i64 = 100;
    // The name of the program, in parentheses, may contain spaces.
    let after_name = process.rsplit_once(") ")?.1;
    let ticks: i64 = after_name.split(' ').nth(19)?.parse().ok()?;
    let booted_at: i64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_second(booted_at + ticks / TICKS_PER_SECOND).ok()
}

#[cfg(not(target_os = "linux"))]
fn holder(_: &Path) -> Option<LockingProcess> {
    None
}

/// Reads from `/proc/locks` whether a process holds a lock of a file:
/// `1: FLOCK  ADVISORY  WRITE 4242 fe:00:131073 0 EOF`.
#[cfg(target_os = "linux")]
fn is_locked(locks: &str, process: u32, inode: u64) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_whitespace().skip(4);
        let is_of_process = words.next().is_some_and(|found| found == process.to_string());
        let file = words.next().unwrap_or_default();
        is_of_process && file.rsplit(':').next() == Some(&*inode.to_string())
    })
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

/// Writes the id of this process into the lock file, for the message that a refused run prints. Does nothing if the
/// file contains anything but an id.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_holder_is_read_from_the_table_of_locks() {
        let table = "1: FLOCK  ADVISORY  WRITE 4242 fe:00:131073 0 EOF\n2: POSIX  ADVISORY  READ 17 00:1b:9 0 EOF\n";
        for (process, inode, expected) in [(4242, 131_073, true), (4242, 9, false), (17, 9, true), (17, 131_073, false)]
        {
            assert_eq!(is_locked(table, process, inode), expected, "{process} {inode}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_start_of_a_process_is_read() {
        let process =
            format!("4242 (a ) b) S {} 123456 9 9", (4..22).map(|i| i.to_string()).collect::<Vec<_>>().join(" "));
        let at = started_at(&process, "cpu 1 2\nbtime 1000000\n").unwrap();
        assert_eq!(at.as_second(), 1_001_234);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        let age =
            Timestamp::now().duration_since(started_at(&own, &fs::read_to_string("/proc/stat").unwrap()).unwrap());
        assert!((-2..600).contains(&age.as_secs()), "{age}");
    }

    #[test]
    fn the_lock_file_holds_the_id_of_its_process_and_other_text_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK);
        let process = format!("{}\n", std::process::id());
        for (before, after) in [("", &*process), ("4000000\n", &*process), ("my notes", "my notes")] {
            fs::write(&path, before).unwrap();
            write_holder(&mut open_lock(&path).unwrap()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before:?}");
        }
    }
}
