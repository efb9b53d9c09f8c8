//! Commits a partition: replaces the object last seen with one conditional write, or skips the write if the rows are
//! unchanged. Keeps the object that is replaced or removed.

mod replaced;
mod shrink;
mod target;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use jiff::Timestamp;

use crate::change::{Change, RowChanges};
use crate::commit::replaced::{Kept, change_from_history, keep_removed, keep_replaced};
use crate::commit::shrink::{check_rows, check_unreadable, check_values};
pub(crate) use crate::commit::target::Target;
use crate::error::Error;
use crate::file::edition::Edition;
use crate::file::stamp::Stamp;
use crate::file::writer::Encoded;
use crate::keys;
use crate::ledger::receipt::Outcome;
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, ObjectFacts, Put, Store};

/// Maximum number of conditional writes per commit.
const WRITE_TRIES: u32 = 4;

/// A committed partition.
pub(crate) struct Committed {
    pub(crate) outcome: Outcome,
    /// Size of the object in bytes.
    pub(crate) size_bytes: u64,
    /// What changed. `None` if nothing did, or if there was no readable object before.
    pub(crate) change: Option<Box<Change>>,
}

/// Replaces the object last seen, unless it already has the same edition.
pub(crate) async fn commit(
    target: &Target<'_, impl Store>,
    before: Option<ObjectFacts>,
    encoded: &Encoded,
    stamp: &Stamp,
) -> Result<Committed, Error> {
    let Target { store, dataset, partition, force, .. } = *target;
    let key = keys::partition_object(dataset, partition);
    let mut seen = before;
    // Whether a write was sent, and what it would have changed.
    let (mut is_sent, mut change) = (false, None);
    for tries in 0..WRITE_TRIES {
        if tries > 0 {
            seen = head(store, partition, &key).await?;
        }
        let seen_stamp = seen.as_ref().and_then(|facts| facts.stamp.as_ref().map(|stamp| (stamp, facts)));
        change = match seen_stamp {
            None => None,
            Some((seen, ObjectFacts { size_bytes, .. })) if seen.edition == stamp.edition => {
                // After a lost write, an equal edition means that our write succeeded but its response was lost, or
                // that another run wrote the same rows. Before any write, an equal edition is ours if an earlier
                // attempt of this run committed it without leaving a receipt.
                if !is_sent && seen.run != stamp.run {
                    return Ok(Committed { outcome: Outcome::Unchanged, size_bytes: *size_bytes, change: None });
                }
                let change = if is_sent { change } else { change_from_history(target, seen, encoded).await? };
                return Ok(Committed { outcome: written(change.as_deref()), size_bytes: *size_bytes, change });
            }
            Some((seen, ObjectFacts { size_bytes, .. })) if tries > 0 && seen.fetched_at > stamp.fetched_at => {
                return Ok(Committed { outcome: Outcome::Superseded, size_bytes: *size_bytes, change: None });
            }
            Some((seen, facts)) => {
                check_rows(partition, seen.n_rows, stamp.n_rows, force)?;
                check_values(store, partition, &key, encoded, force).await?;
                match keep_replaced(target, &key, facts, seen, encoded).await? {
                    Kept::Object(change) => Some(change),
                    Kept::Replaced => continue,
                }
            }
        };
        let condition = match &seen {
            Some(facts) => Condition::Matches(facts.etag.clone()),
            None => Condition::Absent,
        };
        is_sent = true;
        let put = store
            .put(&key, encoded.bytes.clone(), &condition, stamp)
            .await
            .map_err(|source| Error::store_failed("write", &key, source))?;
        if put != Put::Lost {
            let size_bytes = encoded.bytes.len() as u64;
            return Ok(Committed { outcome: written(change.as_deref()), size_bytes, change });
        }
    }
    Err(Error::WriteConflict { key, tries: WRITE_TRIES })
}

/// Returns the outcome of a write with this change.
fn written(change: Option<&Change>) -> Outcome {
    match change {
        Some(change) if change.is_empty() => Outcome::Rewritten,
        _ => Outcome::Written,
    }
}

/// Removes the object of a partition for which the portal has no rows. Without `force`, only an empty object is
/// removed. Returns what changed, if there was a readable object.
///
/// - `now`: when the portal had no rows.
///
/// # Errors
/// [`Error::ShrankTooMuch`] if the object has rows and `force` is not set; [`Error::WriteConflict`] if the object was
/// replaced in the meantime; [`Error::StoreFailed`].
pub(crate) async fn commit_empty(
    target: &Target<'_, impl Store>,
    before: Option<ObjectFacts>,
    now: Timestamp,
) -> Result<Option<Box<Change>>, Error> {
    let Target { store, dataset, partition, force, .. } = *target;
    let Some(before) = before else { return Ok(None) };
    let key = keys::partition_object(dataset, partition);
    let conflict = || Err(Error::WriteConflict { key: key.clone(), tries: 1 });
    match &before.stamp {
        Some(stamp) => {
            check_rows(partition, stamp.n_rows, 0, force)?;
            if !keep_removed(target, &key, &before, stamp, now).await? {
                return conflict();
            }
        }
        // An unreadable object may still hold rows, so it does not count as empty.
        None => check_unreadable(partition, force)?,
    }
    let removed =
        store.remove(&key, &before.etag).await.map_err(|source| Error::store_failed("remove", &key, source))?;
    // If the object is missing, another run removed it, or this run did and the response to its request was lost.
    if removed == Put::Lost && head(store, partition, &key).await?.is_some() {
        return conflict();
    }
    Ok(before.stamp.map(|stamp| {
        let rows = RowChanges { removed: stamp.n_rows, ..RowChanges::default() };
        Box::new(Change { replaced: Some(stamp.edition), rows, ..Change::default() })
    }))
}

/// Returns the facts about a partition's object, without its stamp if the stamp names another partition.
pub(crate) async fn head(
    store: &impl Store,
    partition: &PartitionKey,
    key: &str,
) -> Result<Option<ObjectFacts>, Error> {
    let found = store.head(key).await.map_err(|source| Error::store_failed("read", key, source))?;
    Ok(found.map(|facts| ObjectFacts { stamp: facts.stamp.filter(|stamp| stamp.is_of(partition)), ..facts }))
}

/// Writes a table without partitions (a lookup table), unless the lake already has this edition. Returns whether it
/// wrote the table.
pub(crate) async fn commit_plain(
    store: &impl Store,
    key: &str,
    bytes: Bytes,
    edition: Edition,
    n_rows: u64,
    now: Timestamp,
    run: &str,
) -> Result<bool, Error> {
    let seen = store.head(key).await.map_err(|source| Error::store_failed("read", key, source))?;
    if seen.as_ref().and_then(|facts| facts.stamp.as_ref()).is_some_and(|stamp| stamp.edition == edition) {
        return Ok(false);
    }
    let condition = match seen {
        Some(facts) => Condition::Matches(facts.etag),
        None => Condition::Absent,
    };
    let stamp = Stamp { edition, partition: None, n_rows, fetched_at: now, run: Some(run.to_owned()) };
    let put =
        store.put(key, bytes, &condition, &stamp).await.map_err(|source| Error::store_failed("write", key, source))?;
    // The run that won this race uses the same program, so it wrote the same table.
    Ok(put != Put::Lost)
}
