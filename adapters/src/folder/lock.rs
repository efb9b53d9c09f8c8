//! Which folder is a lake, and who may write to it.
//!
//! A lake is known by its mark, which is the first file in it. A folder that holds anything else and no mark is somebody's,
//! whatever the names in it; nothing there is changed.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rollcall_core::error::found::LockHolder;
use rollcall_core::ports::StoreError;
use rollcall_core::{Error, keys};

use super::file::{self, identity, is_absent, open_regular};
use super::{FolderStore, TEMPORARY, TEMPORARY_PREFIX, leads_out, refused};

const LOCK: &str = ".lock";
/// What the name of a mark begins with while it is written, in a folder that holds nothing yet.
const MARK_PREFIX: &str = ".lake.json-";

/// What a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such folder.
    Nothing,
    /// A folder without anything in it, which may become a lake.
    Empty,
    /// A folder with a file of the mark's name, whose bytes these are. Whether they are a mark is for the caller to say.
    Marked(Bytes),
    /// A folder of other things.
    Other,
}

/// Held while a run writes to a lake; dropping it, or the end of the process, lets the next one in.
#[derive(Debug)]
pub struct LakeLock {
    _file: File,
}

/// The lake's folder and its lock as they were locked. They are held open, so that nothing else gets their identity.
#[derive(Debug)]
pub(super) struct Held {
    /// `None` where folders cannot be opened.
    root: Option<File>,
    lock: File,
}

impl Held {
    /// Whether the folder and the lock are still found under their names.
    fn is_in_place(&self, root: &Path) -> io::Result<bool> {
        let is_same = |file: &File, found: io::Result<fs::Metadata>| match found {
            Ok(found) => Ok(identity(&file.metadata()?) == identity(&found)),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        };
        if let Some(held) = &self.root
            && !is_same(held, fs::metadata(root))?
        {
            return Ok(false);
        }
        is_same(&self.lock, fs::symlink_metadata(root.join(LOCK)))
    }
}

impl FolderStore {
    /// What is in the folder. Nothing is changed.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub async fn look(&self) -> Result<Found, StoreError> {
        self.blocking(keys::MARK, |store| store.look_now().map_err(|error| refused("look into", &store.root, error)))
            .await
    }

    fn look_now(&self) -> io::Result<Found> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let mut is_empty = true;
        for entry in entries {
            let entry = entry?;
            // What a run leaves that is killed while it makes a lake.
            let is_of_new_lake = entry.file_name().to_str().is_some_and(|name| file::is_temporary(name, MARK_PREFIX));
            // What file systems and desktops put into any folder.
            let is_of_system = matches!(entry.file_name().to_str(), Some("lost+found" | ".DS_Store"));
            is_empty &= is_of_system || is_of_new_lake && entry.file_type()?.is_file();
        }
        // Looked for after the others: another run that makes this lake just now makes its mark first.
        let mark = self.root.join(keys::MARK);
        match fs::symlink_metadata(&mark) {
            Ok(found) if found.is_file() => {
                let mut bytes = Vec::new();
                open_regular(&mark)?.0.read_to_end(&mut bytes)?;
                Ok(Found::Marked(bytes.into()))
            }
            Ok(_) => Ok(Found::Other),
            Err(error) if is_absent(&error) => Ok(if is_empty { Found::Empty } else { Found::Other }),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder of a new lake with its mark, unless a mark is there by now. The mark comes into place whole, and
    /// replaces nothing.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] when the folder cannot be written to.
    pub async fn found(&self, mark: Bytes) -> Result<(), Error> {
        let found = self.blocking(keys::MARK, move |store| {
            let path = store.root.join(keys::MARK);
            store.found_now(&path, &mark).map_err(|error| refused("write", &path, error))
        });
        found.await.map_err(|source| Error::StoreFailed { action: "write", key: keys::MARK.to_owned(), source })
    }

    fn found_now(&self, path: &Path, mark: &[u8]) -> io::Result<()> {
        let missing: Vec<&Path> =
            self.root.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
        fs::create_dir_all(&self.root)?;
        missing.into_iter().rev().try_for_each(file::sync_folder)?;
        let temporary = file::write_temporary(&self.root, MARK_PREFIX, mark, None)?;
        match temporary.persist_noclobber(path) {
            Ok(_) => file::sync_folder(path),
            // Another run was faster.
            Err(_) if fs::symlink_metadata(path).is_ok() => Ok(()),
            Err(error) => Err(error.error),
        }
    }

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
