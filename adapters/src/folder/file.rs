//! Single files of a folder: opened only when they are files, made known by what they are and not by their name.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Opens a regular file to read. Anything else is an error and is not opened: a pipe would wait for its writer without end,
/// and a device may do anything.
///
/// # Errors
/// Those of the disk; [`io::ErrorKind::InvalidInput`] when it is no regular file.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    check_regular(&fs::metadata(path)?)?;
    let mut options = File::options();
    options.read(true);
    // Another may have been put in its place since.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    Ok((file, metadata))
}

/// Looks at a regular file that may be read, without opening it: one that may not be read any more can have the time and size
/// that it had.
///
/// # Errors
/// Those of [`open_regular`].
pub(super) fn look(path: &Path) -> io::Result<Metadata> {
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

/// Whether a file could not be looked at for want of something of this machine's, or is one that cannot be: then nothing is
/// known of what is there. Any other error is the file's own.
pub(super) fn is_of_the_machine(error: &io::Error) -> bool {
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

/// Names the content of a file by its time and size: every write of ours changes one of them.
pub(super) fn etag(metadata: &Metadata) -> io::Result<String> {
    let modified = metadata.modified()?;
    let nanoseconds = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    };
    Ok(format!("{nanoseconds:x}-{:x}", metadata.len()))
}

/// What tells a file or folder from every other on this machine, whatever its name. Without such a thing all are alike.
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

/// Whether the file has another name too, under which it is somebody else's.
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

/// Makes a file that is being written, held by a lock of its own as long as its writer lives.
///
/// - `prefix`: what its name begins with; [`is_temporary`] knows it by this.
/// - `modified`: becomes its modification time.
///
/// It is flushed to disk.
pub(super) fn write_temporary(
    folder: &Path,
    prefix: &str,
    bytes: &[u8],
    modified: Option<SystemTime>,
) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).rand_bytes(RANDOM_LENGTH);
    // Readable by whom the folder is readable by, as any other file; the library's default is the owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    // A file system without locks clears nothing of a live run either: the lake's own lock is one.
    let _ = file.as_file().try_lock();
    io::Write::write_all(&mut file, bytes)?;
    if let Some(modified) = modified {
        file.as_file().set_modified(modified)?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

const RANDOM_LENGTH: usize = 6;

/// Whether [`write_temporary`] gives such names.
pub(super) fn is_temporary(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|random| random.len() == RANDOM_LENGTH && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Removes the files of [`write_temporary`] in a folder whose writers are dead. Everything else is left alone.
pub(super) fn clear_temporary(folder: &Path, prefix: &str) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(|name| is_temporary(name, prefix));
        if !is_ours || !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        // One that is gone meanwhile was renamed or removed by its writer.
        let Ok((file, _)) = open_regular(&path) else { continue };
        if !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
            match fs::remove_file(&path) {
                Err(error) if !is_absent(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Flushes the folder that holds `path`. Elsewhere than on Unix folders cannot be opened, and need not be flushed.
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
    fn a_temporary_file_is_known_by_its_whole_name() {
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
    fn a_file_of_a_time_before_1970_has_an_etag_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let etags = [true, false].map(|is_before| {
            let offset = std::time::Duration::from_millis(1_500);
            let at = if is_before { UNIX_EPOCH - offset } else { UNIX_EPOCH + offset };
            let file = write_temporary(folder.path(), ".tmp", b"text", Some(at)).unwrap();
            etag(&file.as_file().metadata().unwrap()).unwrap()
        });
        assert_ne!(etags[0], etags[1]);
    }

    #[cfg(unix)]
    #[test]
    fn an_error_of_this_machine_is_told_from_one_of_the_file() {
        use rustix::io::Errno;
        for (errno, expected) in
            [(Errno::MFILE, true), (Errno::NOMEM, true), (Errno::ACCESS, false), (Errno::LOOP, false)]
        {
            assert_eq!(is_of_the_machine(&errno.into()), expected, "{errno}");
        }
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

    #[cfg(unix)]
    #[test]
    fn what_the_machine_lacks_is_told_from_what_a_file_is() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NAMETOOLONG, true),
            (Errno::ACCESS, false),
            (Errno::LOOP, false),
            (Errno::ISDIR, false),
            (Errno::IO, false),
        ] {
            assert_eq!(is_of_the_machine(&errno.into()), expected, "{errno}");
        }
    }
}
