//! The editions of a partition, and from when to when each of them stood.
//!
//! Before an object is replaced or removed, its edition is added to the partition's list, which is one object. The list
//! has only starts: an edition stood until the next one started. The edition that stands now is not in the list if it is
//! the first one, or as long as nobody tries to replace it. A writer may add it and then fail to replace it, and several
//! writers may add it, so the list is read together with the current object:
//!
//! - If the last entry has the same digest as the current object, it is about this object, which still stands.
//! - Otherwise the current object started after the last entry.
//!
//! A rewrite for another schema or encoding has the same digest and continues the edition that it replaces.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::file::edition::Edition;
use crate::file::stamp::Stamp;
use crate::keys;
use crate::ledger::json::{parse_json, to_json};
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Content, Put, Store};

/// Maximum number of conditional writes of a list.
const MAX_TRIES: u32 = 8;

/// The start of an edition, or of a time without an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    since: Timestamp,
    /// `None` if the object was removed.
    #[serde(flatten, default)]
    edition: Option<Facts>,
}

/// An edition that has stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The edition.
    pub edition: Edition,
    /// Number of rows.
    pub n_rows: u64,
}

/// An edition of a partition, and from when to when it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The edition.
    pub facts: Facts,
    /// When the oldest page of its rows was received.
    pub since: Timestamp,
    /// When the next edition started, or the object was removed. `None` if it still stands.
    pub until: Option<Timestamp>,
}

impl Standing {
    /// Returns the edition of a current object that never replaced another.
    pub(crate) fn of_current(stamp: &Stamp) -> Self {
        let facts = Facts { edition: stamp.edition, n_rows: stamp.n_rows };
        Self { facts, since: stamp.fetched_at, until: None }
    }

    /// Returns whether the edition stood at this time.
    #[must_use]
    pub fn stood_at(&self, at: Timestamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// Returns the editions of a partition, oldest first.
///
/// - `current`: the stamp of its object, if there is a readable one.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub async fn read_editions(
    store: &impl Store,
    table: &str,
    partition: &PartitionKey,
    current: Option<&Stamp>,
) -> Result<Vec<Standing>, Error> {
    let (starts, _) = read_starts(store, &keys::editions(table, partition)).await?;
    Ok(standings(with_current(starts, current), current.is_some()))
}

/// The list of a partition's editions, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EditionList {
    /// Its etag.
    pub(crate) etag: String,
    starts: Vec<Start>,
}

impl EditionList {
    /// Reads a list.
    pub(crate) async fn read(store: &impl Store, key: &str) -> Result<Option<Self>, Error> {
        let (starts, condition) = read_starts(store, key).await?;
        Ok(match condition {
            Condition::Absent => None,
            Condition::Matches(etag) => Some(Self { etag, starts }),
        })
    }

    /// Returns the editions, oldest first.
    ///
    /// - `current`: the stamp of the partition's object, if there is a readable one.
    pub(crate) fn standings(&self, current: Option<&Stamp>) -> Vec<Standing> {
        standings(with_current(self.starts.clone(), current), current.is_some())
    }
}

/// Adds an object that is about to be replaced or removed. Returns `false`, and adds nothing, if it no longer has this
/// etag.
///
/// The object is looked at between reading and writing the list. If another writer replaces it after that, that writer has
/// written the list first, so that this write fails and is tried again.
///
/// - `removed_at`: when it is removed; `None` if it is replaced.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the list on every try.
pub(crate) async fn record_edition(
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    etag: &str,
    removed_at: Option<Timestamp>,
) -> Result<bool, Error> {
    let (key, object_key) = (keys::editions(&dataset.table, partition), keys::partition_object(dataset, partition));
    for _ in 0..MAX_TRIES {
        let (before, condition) = read_starts(store, &key).await?;
        let found = store.head(&object_key).await;
        let found = found.map_err(|source| Error::store_failed("read", &object_key, source))?;
        let Some(stamp) = found.filter(|found| found.etag == etag).and_then(|found| found.stamp) else {
            return Ok(false);
        };
        let mut starts = with_current(before.clone(), Some(&stamp));
        if let Some(at) = removed_at {
            let since = starts.last().map_or(at, |last| last.since.max(at));
            starts.push(Start { since, edition: None });
        }
        if starts == before {
            return Ok(true);
        }
        let put = store.replace(&key, render(&starts)?, &condition).await;
        if put.map_err(|source| Error::store_failed("write", &key, source))? != Put::Lost {
            return Ok(true);
        }
    }
    Err(Error::WriteConflict { key, tries: MAX_TRIES })
}

/// Drops the editions that ended before a time from a partition's list.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the list on every try.
pub(crate) async fn drop_editions(
    store: &impl Store,
    table: &str,
    partition: &PartitionKey,
    before: Timestamp,
) -> Result<(), Error> {
    let key = keys::editions(table, partition);
    for _ in 0..MAX_TRIES {
        let (starts, condition) = read_starts(store, &key).await?;
        let n_ended = starts.iter().skip(1).take_while(|next| next.since <= before).count();
        let Some(left) = starts.get(n_ended..).filter(|_| n_ended > 0) else { return Ok(()) };
        let put = store.replace(&key, render(left)?, &condition).await;
        if put.map_err(|source| Error::store_failed("write", &key, source))? != Put::Lost {
            return Ok(());
        }
    }
    Err(Error::WriteConflict { key, tries: MAX_TRIES })
}

/// Returns the last edition in the list that is not that of `own`: the one which it replaced.
pub(crate) async fn replaced_by(
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    own: &Stamp,
) -> Result<Option<Edition>, Error> {
    let (starts, _) = read_starts(store, &keys::editions(&dataset.table, partition)).await?;
    let last = starts.last().and_then(|last| last.edition.as_ref()).map(|facts| facts.edition);
    Ok(last.filter(|last| *last != own.edition))
}

async fn read_starts(store: &impl Store, key: &str) -> Result<(Vec<Start>, Condition), Error> {
    let found = store.read(key).await.map_err(|source| Error::store_failed("read", key, source))?;
    let Some(Content { bytes, etag }) = found else { return Ok((Vec::new(), Condition::Absent)) };
    Ok((parse_json(key, &bytes).unwrap_or_default(), Condition::Matches(etag)))
}

/// Adds the current object, unless the last entry is about it.
fn with_current(mut starts: Vec<Start>, current: Option<&Stamp>) -> Vec<Start> {
    let Some(stamp) = current else { return starts };
    let facts = Facts { edition: stamp.edition, n_rows: stamp.n_rows };
    match starts.last_mut() {
        Some(Start { edition: Some(last), .. }) if last.edition.digest == stamp.edition.digest => *last = facts,
        last => {
            // Clocks differ, but editions do not overlap.
            let since = last.map_or(stamp.fetched_at, |last| last.since.max(stamp.fetched_at));
            starts.push(Start { since, edition: Some(facts) });
        }
    }
    starts
}

fn standings(starts: Vec<Start>, is_there: bool) -> Vec<Standing> {
    let untils: Vec<Option<Timestamp>> = starts.iter().skip(1).map(|next| Some(next.since)).chain([None]).collect();
    let standings = starts
        .into_iter()
        .zip(untils)
        .filter_map(|(start, until)| Some(Standing { facts: start.edition?, since: start.since, until }));
    // Without an object, an edition that nobody removed is gone since a time that nobody recorded.
    standings
        .filter(|standing| standing.until != Some(standing.since) && (is_there || standing.until.is_some()))
        .collect()
}

/// Renders one entry per line.
fn render(starts: &[Start]) -> Result<Bytes, Error> {
    let lines: Vec<String> = starts.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::edition::Digest;
    use crate::testing::{MemoryStore, enrollment, partition};
    use futures::executor::block_on;

    /// Returns a time on this day.
    fn day(day: u32) -> Timestamp {
        format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
    }

    fn stamp(digest: u128, encoding_version: u32, at: u32) -> Stamp {
        let edition = Edition { digest: Digest(digest), schema_id: 1, encoding_version };
        Stamp { edition, partition: None, n_rows: 5, fetched_at: day(at), run: None }
    }

    /// Records an edition that is about to be replaced, or to be removed at this day.
    fn record(store: &MemoryStore, stamp: &Stamp, removed: Option<u32>) {
        let key = keys::partition_object(&enrollment(), &partition());
        store.set(&key, b"", Some(stamp.clone()));
        let etag = block_on(store.head(&key)).unwrap().unwrap().etag;
        let (dataset, partition) = (enrollment(), partition());
        assert!(block_on(record_edition(store, &dataset, &partition, &etag, removed.map(day))).unwrap());
    }

    fn replace(store: &MemoryStore, stamp: &Stamp) {
        record(store, stamp, None);
    }

    /// Returns the digest, the encoding version and the days of each edition.
    fn editions(store: &MemoryStore, current: Option<&Stamp>) -> Vec<(u128, u32, u32, Option<u32>)> {
        let day_of = |at: Timestamp| at.strftime("%d").to_string().parse().unwrap();
        let editions = block_on(read_editions(store, &enrollment().table, &partition(), current)).unwrap();
        let tell = |standing: Standing| {
            let Edition { digest, encoding_version, .. } = standing.facts.edition;
            (digest.0, encoding_version, day_of(standing.since), standing.until.map(day_of))
        };
        editions.into_iter().map(tell).collect()
    }

    #[test]
    fn an_edition_that_returns_stands_twice() {
        let store = MemoryStore::default();
        let [a, b, again] = [stamp(1, 2, 1), stamp(2, 2, 3), stamp(1, 2, 5)];
        assert_eq!(editions(&store, Some(&a)), [(1, 2, 1, None)]);
        replace(&store, &a);
        replace(&store, &b);
        assert_eq!(editions(&store, Some(&again)), [(1, 2, 1, Some(3)), (2, 2, 3, Some(5)), (1, 2, 5, None)]);
        let found = block_on(read_editions(&store, &enrollment().table, &partition(), Some(&again))).unwrap();
        for (at, expected) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, Some(2)), (5, Some(1)), (9, Some(1))] {
            let standing = found.iter().find(|standing| standing.stood_at(day(at)));
            assert_eq!(standing.map(|standing| standing.facts.edition.digest.0), expected, "day {at}");
        }
        assert!(!found.iter().any(|standing| standing.stood_at("2026-10-31T00:00:00Z".parse().unwrap())));
    }

    #[test]
    fn a_writer_that_dies_before_it_replaces_the_object_changes_nothing() {
        let store = MemoryStore::default();
        let a = stamp(1, 2, 1);
        for _ in 0..2 {
            replace(&store, &a);
            assert_eq!(editions(&store, Some(&a)), [(1, 2, 1, None)]);
        }
        record(&store, &a, Some(3));
        // The removal did not take place.
        let stood = editions(&store, Some(&a));
        assert_eq!(stood, [(1, 2, 1, Some(3)), (1, 2, 3, None)]);
    }

    #[test]
    fn a_rewrite_continues_the_edition_and_a_removal_ends_it() {
        let store = MemoryStore::default();
        let (old, new) = (stamp(1, 2, 1), stamp(1, 3, 4));
        replace(&store, &old);
        assert_eq!(editions(&store, Some(&new)), [(1, 3, 1, None)]);
        record(&store, &new, Some(6));
        assert_eq!(editions(&store, None), [(1, 3, 1, Some(6))]);
        assert_eq!(editions(&store, Some(&stamp(1, 3, 8))), [(1, 3, 1, Some(6)), (1, 3, 8, None)]);
    }

    #[test]
    fn editions_do_not_overlap_whatever_the_clocks_say() {
        let store = MemoryStore::default();
        replace(&store, &stamp(1, 2, 9));
        assert_eq!(editions(&store, Some(&stamp(2, 2, 5))), [(2, 2, 9, None)]);
        replace(&store, &stamp(2, 2, 5));
        assert_eq!(editions(&store, Some(&stamp(3, 2, 7))), [(3, 2, 9, None)]);
    }

    #[test]
    fn writers_keep_each_others_entries_and_write_nothing_twice() {
        let store = MemoryStore::default();
        replace(&store, &stamp(1, 2, 1));
        let n_writes = store.calls.lock().unwrap()["write"];
        replace(&store, &stamp(1, 2, 1));
        assert_eq!(store.calls.lock().unwrap()["write"], n_writes);
    }

    #[test]
    fn an_object_that_was_replaced_meanwhile_is_not_added_by_a_late_writer() {
        let store = MemoryStore::default();
        let late = |store: &MemoryStore| {
            block_on(record_edition(store, &enrollment(), &partition(), "the first etag", None)).unwrap()
        };
        replace(&store, &stamp(1, 2, 1));
        replace(&store, &stamp(2, 2, 3));
        let current = stamp(3, 2, 5);
        assert!(!late(&store));
        assert_eq!(editions(&store, Some(&current)), [(1, 2, 1, Some(3)), (2, 2, 3, Some(5)), (3, 2, 5, None)]);
        store.drop_object(&keys::partition_object(&enrollment(), &partition()));
        assert!(!late(&store));
    }
}
