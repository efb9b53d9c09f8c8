//! A file that appears under its name once it is complete.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::{Builder, NamedTempFile};

use crate::exit::BadInput;

/// A file that is written beside its final place, and then renamed. Without [`WholeFile::finish`], nothing is left of it.
pub(crate) struct WholeFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl WholeFile {
    /// Creates the file beside its final place.
    ///
    /// # Errors
    /// [`BadInput`] if the folder cannot be written, or if the path is one.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = Builder::new();
        // A new file gets the usual permissions, not those of a private temporary file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        if path.is_dir() {
            return Err(BadInput(format!("write `{}`: expected a file, found a folder", path.display())).into());
        }
        if !folder.is_dir() {
            let (path, folder) = (path.display(), folder.display());
            return Err(BadInput(format!("write `{path}`: expected a folder `{folder}`, found none")).into());
        }
        let file = builder.prefix(".rollcall-").tempfile_in(folder);
        // Without the name of the temporary file.
        let file = file.map_err(|error| BadInput(format!("write `{}`: {}", path.display(), error.kind())))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Completes the file and gives it its name, replacing a file of that name. Returns its size in bytes.
    pub(crate) fn finish(self) -> anyhow::Result<u64> {
        let Self { path, file } = self;
        let finished = || -> std::io::Result<u64> {
            let file = file.into_inner().map_err(|error| error.into_error())?;
            file.persist(&path).map_err(|error| error.error)?.metadata().map(|metadata| metadata.len())
        };
        finished().with_context(|| format!("write `{}`", path.display()))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
