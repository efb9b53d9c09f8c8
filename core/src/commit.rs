//! Commits a partition: replaces the object last seen with one conditional write, or skips the write if the rows are
//! unchanged.

mod shrink;

use bytes::Bytes;
use jiff::Timestamp;

use crate::commit::shrink::{check_rows, check_unreadable, check_values};
use crate::error::Error;
use crate::file::edition::Edition;
use crate::file::stamp::Stamp;
use crate::file::writer::Encoded;
use crate::ledger::receipt::Outcome;
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, ObjectFacts, Put, Store};

/// Maximum number of conditional writes per commit.
const WRITE_TRIES: u32 = 4;

/// Replaces the object last seen, unless it already has the same edition. Returns the outcome and the object's size in
/// bytes.
pub(crate) async fn commit(
    store: &impl Store,
    partition: &PartitionKey,
    key: &str,
    before: Option<ObjectFacts>,
    encoded: &Encoded,
    stamp: &Stamp,
    force: bool,
) -> Result<(Outcome, u64), Error> {
    let mut seen = before;
    for tries in 0..WRITE_TRIES {
        let seen_stamp = seen.as_ref().and_then(|facts| facts.stamp.as_ref().map(|stamp| (stamp, facts.size_bytes)));
        if let Some((seen, size_bytes)) = seen_stamp {
            if seen.edition == stamp.edition {
                // After a lost write, an equal edition means that our write succeeded but its response was lost, or
                // that another run wrote the same rows. Before any write, an equal edition is ours if an earlier
                // attempt of this run committed it without leaving a receipt.
                let is_own = tries > 0 || seen.run == stamp.run;
                return Ok((if is_own { Outcome::Written } else { Outcome::Unchanged }, size_bytes));
            }
            if tries > 0 && seen.fetched_at > stamp.fetched_at {
                return Ok((Outcome::Superseded, size_bytes));
            }
            check_rows(partition, seen.n_rows, stamp.n_rows, force)?;
            check_values(store, partition, key, encoded, force).await?;
        }
        let condition = match &seen {
            Some(facts) => Condition::Matches(facts.etag.clone()),
            None => Condition::Absent,
        };
        let put = store
            .put(key, encoded.bytes.clone(), &condition, stamp)
            .await
            .map_err(|source| Error::store_failed("write", key, source))?;
        match put {
            Put::Done(_) => return Ok((Outcome::Written, encoded.bytes.len() as u64)),
            Put::Lost => seen = head(store, partition, key).await?,
        }
    }
    Err(Error::WriteConflict { key: key.to_owned(), tries: WRITE_TRIES })
}

/// Removes the object of a partition for which the portal has no rows. Without `force`, only an empty object is
/// removed.
///
/// # Errors
/// [`Error::ShrankTooMuch`] if the object has rows and `force` is not set; [`Error::WriteConflict`] if the object was
/// replaced in the meantime; [`Error::StoreFailed`].
pub(crate) async fn commit_empty(
    store: &impl Store,
    partition: &PartitionKey,
    key: &str,
    before: Option<ObjectFacts>,
    force: bool,
) -> Result<(), Error> {
    let Some(before) = before else { return Ok(()) };
    match &before.stamp {
        Some(stamp) => check_rows(partition, stamp.n_rows, 0, force)?,
        // An unreadable object may still hold rows, so it does not count as empty.
        None => check_unreadable(partition, force)?,
    }
    let removed = store.remove(key, &before.etag).await.map_err(|source| Error::store_failed("remove", key, source))?;
    // If the object is missing, another run removed it, or this run did and the response to its request was lost.
    if removed == Put::Lost && head(store, partition, key).await?.is_some() {
        return Err(Error::WriteConflict { key: key.to_owned(), tries: 1 });
    }
    Ok(())
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
