//! A partition that lost most of its rows, or of a column's values, replaces no fuller one without `force`.

use crate::error::Error;
use crate::error::found::Shrunk;
use crate::file::writer::Encoded;
use crate::partition::PartitionKey;
use crate::ports::store::Store;

/// A partition that shrank by more than half, or to nothing, does not replace the fuller one without `force`.
pub(super) fn check_rows(partition: &PartitionKey, before: u64, after: u64, force: bool) -> Result<(), Error> {
    if !force && after < before.div_ceil(2) {
        return Err(shrank(partition, Shrunk::Rows { before: Some(before), after }));
    }
    Ok(())
}

/// Nor does one of which a column lost most of its values. The file to be replaced says how many it has; one written before
/// files said so may be replaced.
pub(super) async fn check_values(
    store: &impl Store,
    partition: &PartitionKey,
    key: &str,
    encoded: &Encoded,
    force: bool,
) -> Result<(), Error> {
    if force {
        return Ok(());
    }
    let before = store.footer(key).await.map_err(|source| Error::store_failed("read", key, source))?;
    match before.and_then(|footer| encoded.values.lost_since(&footer.values?)) {
        Some(lost) => Err(shrank(partition, Shrunk::Values(lost))),
        None => Ok(()),
    }
}

/// Refuses to replace an object that cannot be read by nothing.
pub(super) fn check_unreadable(partition: &PartitionKey, force: bool) -> Result<(), Error> {
    if force { Ok(()) } else { Err(shrank(partition, Shrunk::Rows { before: None, after: 0 })) }
}

fn shrank(partition: &PartitionKey, shrunk: Shrunk) -> Error {
    Error::ShrankTooMuch { partition: partition.clone(), shrunk }
}
