//! Facts read from a file: its etag, its size, its footer.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use rollcall_core::file::Footer;
use rollcall_core::file::Stamp;
use rollcall_core::ports::ObjectFacts;

use crate::folder::file::{self, open_regular};

/// Reads the facts of the object in a file.
pub(super) fn facts(path: &Path) -> io::Result<ObjectFacts> {
    let (file, metadata) = open_regular(path)?;
    let (etag, size_bytes) = (file::etag(&metadata)?, metadata.len());
    // A time outside the calendar's range was not set by rollcall, so the footer is not read either.
    let Ok(fetched_at) = Timestamp::try_from(metadata.modified()?) else { return Ok(unreadable(etag, size_bytes)) };
    let footer = read_footer(&file)?.and_then(|metadata| Footer::from_metadata(&metadata));
    let stamp = footer.map(|Footer { edition, partition, n_rows, .. }| Stamp {
        edition,
        partition,
        n_rows,
        fetched_at,
        run: None,
    });
    Ok(ObjectFacts { etag, size_bytes, stamp, is_readable: true })
}

/// Returns the facts of an object that exists but cannot be read.
pub(super) fn unreadable(etag: String, size_bytes: u64) -> ObjectFacts {
    ObjectFacts { etag, size_bytes, stamp: None, is_readable: false }
}

/// Reads the footer of a file. Returns `None` if the file is truncated or not Parquet. A disk failure is an error.
pub(super) fn read_footer(file: &fs::File) -> io::Result<Option<ParquetMetaData>> {
    match ParquetMetaDataReader::new().parse_and_finish(file) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(ParquetError::External(source)) => match source.downcast::<io::Error>() {
            Ok(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(*error),
            _ => Ok(None),
        },
        Err(_) => Ok(None),
    }
}
