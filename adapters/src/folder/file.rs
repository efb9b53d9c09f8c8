//! Operations on single files in a folder: opening only regular files, distinguishing files, writing temporary files.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Opens a regular file for reading. Anything else is an error and is not opened: opening a pipe could block forever, and
/// opening a device may have side effects.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if it is not a regular file; otherwise disk errors.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    check_regular(&fs::metadata(path)?)?;
    let mut options = File::options();
    options.read(true);
    // The file may have been replaced in the meantime.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    Ok((file, metadata))
}

/// Returns the metadata of a regular file, without opening it. Checks that it may be read, because losing the permission
/// changes neither its time nor its size.
///
/// # Errors
/// Same as [`open_regular`].
pub(super) fn readable_metadata(path: &Path) -> io::Result<Metadata> {
    let found = fs::metadata(path)?;
    check_regular(&found)?;
    #[cfg(unix)]
    rustix::fs::access(path, rustix::fs::Access::READ_OK)?;
    Ok(found)
}

pub(super) fn check_regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let found = if found.is_dir() { "a folder" } else { "a pipe, socket or device" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("expected a regular file, found {found}")))
}

/// Checks whether an error is caused by this machine's limits, such as its number of open files or the length of names.
/// Such an error says nothing about the file. Any other error is about the file itself.
pub(super) fn is_machine_error(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NAMETOOLONG | Errno::INTR)
        )
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns an etag derived from a file's time and size. Every write by rollcall changes one of them.
pub(super) fn etag(metadata: &Metadata) -> io::Result<String> {
    let modified = metadata.modified()?;
    let nanoseconds = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    };
    Ok(format!("{nanoseconds:x}-{:x}", metadata.len()))
}

/// Returns the identity of a file or folder on this machine, independent of its name. On systems without such an identity,
/// it is always the same.
pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        (0, 0)
    }
}

/// Checks whether the file also has another name (a hard link), and may therefore belong to somebody else.
pub(super) fn has_other_names(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::nlink(metadata) > 1
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// Writes a temporary file and flushes it to disk. It is locked while its writer is alive.
///
/// - `prefix`: start of its name, by which [`is_temporary`] recognizes it.
/// - `modified`: its modification time.
pub(super) fn write_temporary(
    folder: &Path,
    prefix: &str,
    bytes: &[u8],
    modified: Option<SystemTime>,
) -> io::Result<tempfile::NamedTempFile> {
    let file = write_unflushed(folder, prefix, bytes, modified)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Does the same as [`write_temporary`], but does not flush the file.
pub(super) fn write_unflushed(
    folder: &Path,
    prefix: &str,
    bytes: &[u8],
    modified: Option<SystemTime>,
) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = temporary_name(prefix);
    // Sets the same permissions as for any new file. By default, the library lets only the owner read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    // On a file system without locks, files of a live run are not cleared either, because clearing needs the lake's lock.
    let _ = file.as_file().try_lock();
    io::Write::write_all(&mut file, bytes)?;
    if let Some(modified) = modified {
        file.as_file().set_modified(modified)?;
    }
    Ok(file)
}

/// Returns a builder of names that [`is_temporary`] recognizes.
pub(super) fn temporary_name(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).rand_bytes(RANDOM_LENGTH);
    builder
}

const RANDOM_LENGTH: usize = 6;

/// Checks whether a name has the form of those created by [`write_temporary`].
pub(super) fn is_temporary(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|random| random.len() == RANDOM_LENGTH && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Lists a folder. Returns `None` if it does not exist.
pub(super) fn entries(folder: &Path) -> io::Result<Option<fs::ReadDir>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes from a folder the temporary files whose writers have died. Leaves everything else alone.
pub(super) fn clear_temporary(folder: &Path, prefix: &str) -> io::Result<()> {
    let Some(entries) = entries(folder)? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(|name| is_temporary(name, prefix));
        if !is_ours || !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        // If the file is gone by now, its writer has renamed or removed it.
        let Ok((file, _)) = open_regular(&path) else { continue };
        if !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
            match fs::remove_file(&path) {
                Err(gone) if is_absent(&gone) => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

/// Flushes the folder that contains `path`. On systems other than Unix, folders cannot be opened and need no flushing.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix)
        && let Some(folder) = path.parent()
    {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_is_recognised_by_its_whole_name() {
        for (name, expected) in [
            (".tmpAbC123", true),
            (".tmpAbC12", false),
            (".tmpAbC1234", false),
            (".tmp-bC123", false),
            (".tmpAbC12é", false),
            (".tmp", false),
            ("notes.txt", false),
        ] {
            assert_eq!(is_temporary(name, ".tmp"), expected, "{name}");
        }
    }

    #[test]
    fn files_from_before_and_after_1970_have_different_etags() {
        let folder = tempfile::tempdir().unwrap();
        let etags = [true, false].map(|is_before| {
            let offset = std::time::Duration::from_millis(1_500);
            let at = if is_before { UNIX_EPOCH - offset } else { UNIX_EPOCH + offset };
            let file = write_temporary(folder.path(), ".tmp", b"text", Some(at)).unwrap();
            etag(&file.as_file().metadata().unwrap()).unwrap()
        });
        assert_ne!(etags[0], etags[1]);
    }

    #[test]
    fn f3_the_temporary_file_of_a_live_writer_is_not_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let live = write_temporary(folder.path(), ".tmp", b"live", None).unwrap();
        for (name, text) in [(".tmpDead00", "dead"), ("mine.txt", "mine")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join(".tmpFolder")).unwrap();
        clear_temporary(folder.path(), ".tmp").unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        let mut expected =
            vec![live.path().to_owned(), folder.path().join(".tmpFolder"), folder.path().join("mine.txt")];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_folder_is_not_opened_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for found in [open_regular(folder.path()).map(drop), readable_metadata(folder.path()).map(drop)] {
            let error = found.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "expected a regular file, found a folder");
        }
    }

    #[cfg(unix)]
    #[test]
    fn clearing_a_folder_that_cannot_be_listed_is_an_error_and_a_missing_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loop");
        clear_temporary(&path, ".tmp").unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        clear_temporary(&path, ".tmp").unwrap_err();
    }

    #[cfg(unix)]
    #[test]
    fn errors_of_the_machine_are_told_apart_from_errors_of_a_file() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NAMETOOLONG, true),
            (Errno::NOMEM, true),
            (Errno::ACCESS, false),
            (Errno::LOOP, false),
            (Errno::ISDIR, false),
            (Errno::IO, false),
        ] {
            assert_eq!(is_machine_error(&errno.into()), expected, "{errno}");
        }
    }
}
