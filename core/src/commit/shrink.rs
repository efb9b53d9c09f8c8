//! Prevents a partition that lost most of its rows, or most values of a column, from replacing a fuller one.

use crate::error::Error;
use crate::error::found::Shrunk;
use crate::file::writer::Encoded;
use crate::partition::PartitionKey;
use crate::ports::store::Store;

/// Rejects a partition that lost more than half of its rows, unless `force` is set.
pub(super) fn check_rows(partition: &PartitionKey, before: u64, after: u64, force: bool) -> Result<(), Error> {
    if !force && after < before.div_ceil(2) {
        return Err(shrank(partition, Shrunk::Rows { before: Some(before), after }));
    }
    Ok(())
}

/// Rejects a partition in which a column lost more than half of its values, unless `force` is set. The footer of the
/// file to be replaced has the counts; an older file without counts may be replaced.
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

/// Refuses to remove an unreadable object, which may have rows, unless `force` is set.
pub(super) fn check_unreadable(partition: &PartitionKey, force: bool) -> Result<(), Error> {
    if force { Ok(()) } else { Err(shrank(partition, Shrunk::Rows { before: None, after: 0 })) }
}

fn shrank(partition: &PartitionKey, shrunk: Shrunk) -> Error {
    Error::ShrankTooMuch { partition: partition.clone(), shrunk }
}
