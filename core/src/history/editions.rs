//! The editions of a partition, and from when to when each of them was valid.
//!
//! Before an object is replaced or removed, its edition is added to the partition's list, which is one object. The list
//! has only starts: an edition was valid until the next one started. The current edition is not in the list if it is the
//! first one, or as long as nobody tries to replace it. A writer may add it and then fail to replace it, and several
//! writers may add it, so the list is read together with the current object:
//!
//! - If the last entry has the same digest as the current object, it is about this object, which is still valid.
//! - Otherwise the current object started after the last entry.
//!
//! A rewrite with the same digest continues the edition that it replaces.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::file::edition::Edition;
use crate::file::stamp::Stamp;
use crate::keys;
use crate::ledger::json::{parse_exactly, to_json};
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Content, ObjectFacts, Put, Store};

/// Maximum number of conditional writes of a list.
const MAX_TRIES: u32 = 8;

/// The start of an edition, or of a time without an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    since: Timestamp,
    #[serde(flatten)]
    what: What,
}

/// What started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum What {
    Edition(Facts),
    Removal {
        /// Always true.
        removed: bool,
    },
}

impl Start {
    /// Returns the edition that started; `None` for a removal.
    fn facts(&self) -> Option<&Facts> {
        match &self.what {
            What::Edition(facts) => Some(facts),
            What::Removal { .. } => None,
        }
    }
}

/// The list, as stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// Increases with every write, so that the etag changes even where it is a hash of the content.
    revision: u64,
    starts: Vec<Start>,
}

/// An edition that is or was valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The edition.
    pub edition: Edition,
    /// Number of rows.
    pub n_rows: u64,
}

/// An edition of a partition, and from when to when it was valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The edition.
    pub facts: Facts,
    /// When the oldest page of its rows was received.
    pub since: Timestamp,
    /// When the next edition started, or the object was removed. `None` if it is still valid.
    pub until: Option<Timestamp>,
}

impl Validity {
    /// Returns the edition of a current object that never replaced another.
    pub(crate) fn of_current(stamp: &Stamp) -> Self {
        let facts = Facts { edition: stamp.edition, n_rows: stamp.n_rows };
        Self { facts, since: stamp.fetched_at, until: None }
    }

    /// Returns whether the edition was valid at this time.
    #[must_use]
    pub fn was_valid_at(&self, at: Timestamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// Returns the editions of a partition, oldest first.
///
/// - `current`: the stamp of its object, if there is a readable one.
///
/// # Errors
/// [`Error::StoreFailed`] if the list cannot be read or parsed.
pub async fn read_editions(
    store: &impl Store,
    table: &str,
    partition: &PartitionKey,
    current: Option<&Stamp>,
) -> Result<Vec<Validity>, Error> {
    let (stored, _) = read_stored(store, &keys::editions(table, partition)).await?;
    Ok(validities(with_current(stored.starts, current), current.is_some()))
}

/// The list of a partition's editions, with its etag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EditionList {
    /// Its etag.
    pub(crate) etag: String,
    starts: Vec<Start>,
}

impl EditionList {
    /// Reads a list; `None` if there is none.
    pub(crate) async fn read(store: &impl Store, key: &str) -> Result<Option<Self>, Error> {
        let (Stored { starts, .. }, condition) = read_stored(store, key).await?;
        Ok(match condition {
            Condition::Absent => None,
            Condition::Matches(etag) => Some(Self { etag, starts }),
        })
    }

    /// Returns when each edition was valid, oldest first.
    ///
    /// - `current`: the stamp of the partition's object, if there is a readable one.
    pub(crate) fn validities(&self, current: Option<&Stamp>) -> Vec<Validity> {
        validities(with_current(self.starts.clone(), current), current.is_some())
    }

    /// Returns the editions that did not end before a time, as far as is known. Without a current object, the end of
    /// the last one is unknown.
    ///
    /// - `current`: the stamp of the partition's object, if there is a readable one.
    pub(crate) fn kept_since(&self, before: Timestamp, current: Option<&Stamp>) -> Vec<Facts> {
        let starts = with_current(self.starts.clone(), current);
        let kept = starts.iter().skip(n_ended(&starts, before));
        kept.filter_map(|start| start.facts().cloned()).collect()
    }

    /// Returns the editions in the list, except the last one if it is that of the current object.
    pub(crate) fn replaced(&self, current: Option<&Stamp>) -> impl Iterator<Item = &Facts> {
        let is_current = |facts: &Facts| current.is_some_and(|stamp| stamp.edition.digest == facts.edition.digest);
        let last = self.starts.last().and_then(Start::facts).filter(|facts| is_current(facts));
        let n_replaced = self.starts.len() - usize::from(last.is_some());
        self.starts.iter().take(n_replaced).filter_map(Start::facts)
    }
}

/// Adds an object that is about to be replaced or removed. Returns `false`, and adds nothing, if it no longer has this
/// etag.
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
    change_list(store, &dataset.table, partition, |starts, object| {
        let stamp = object.filter(|object| object.etag == etag)?.stamp.as_ref()?;
        // Written even if nothing is new, so that a writer that read the list before fails.
        let mut starts = with_current(starts, Some(stamp));
        if let Some(at) = removed_at {
            let since = starts.last().map_or(at, |last| last.since.max(at));
            starts.push(Start { since, what: What::Removal { removed: true } });
        }
        Some(starts)
    })
    .await
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
    let dropped = change_list(store, table, partition, |starts, object| {
        let mut starts = with_current(starts, object.and_then(|object| object.stamp_of(partition)));
        let n_ended = n_ended(&starts, before);
        (n_ended > 0).then(|| starts.split_off(n_ended))
    });
    dropped.await.map(|_| ())
}

/// Changes a list. Returns `false`, and writes nothing, if `change` returns `None`.
///
/// The object is looked at between reading and writing the list. If another writer replaces it after that, that writer has
/// written the list first, so that this write fails and is tried again.
///
/// - `change`: returns the new list, given the old one and the facts about the partition's object, if there is one.
async fn change_list(
    store: &impl Store,
    table: &str,
    partition: &PartitionKey,
    change: impl Fn(Vec<Start>, Option<&ObjectFacts>) -> Option<Vec<Start>>,
) -> Result<bool, Error> {
    let (key, object_key) = (keys::editions(table, partition), keys::table_object(table, partition));
    for _ in 0..MAX_TRIES {
        let (Stored { revision, starts }, condition) = read_stored(store, &key).await?;
        let found = store.head(&object_key).await;
        let found = found.map_err(|source| Error::store_failed("read", &object_key, source))?;
        let Some(starts) = change(starts, found.as_ref()) else { return Ok(false) };
        let put = store.replace(&key, render(revision + 1, &starts)?, &condition).await;
        if put.map_err(|source| Error::store_failed("write", &key, source))? != Put::Lost {
            return Ok(true);
        }
    }
    Err(Error::WriteConflict { key, tries: MAX_TRIES })
}

/// Returns the edition which an object replaced: the one before it in the list, or the last one if it is not in the list.
/// Others may have replaced the object since.
///
/// - `own`: the stamp of the object.
pub(crate) async fn replaced_by(
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    own: &Stamp,
) -> Result<Option<Edition>, Error> {
    let (stored, _) = read_stored(store, &keys::editions(&dataset.table, partition)).await?;
    // An older entry with the same edition is about an earlier time.
    let is_own = |start: &Start| {
        start.since >= own.fetched_at && start.facts().is_some_and(|facts| facts.edition == own.edition)
    };
    let n_before = stored.starts.iter().rposition(is_own).unwrap_or(stored.starts.len());
    let before = stored.starts.get(..n_before).and_then(<[Start]>::last).and_then(Start::facts);
    Ok(before.map(|facts| facts.edition).filter(|before| *before != own.edition))
}

/// Reads a list. One that cannot be parsed is an error: nothing else knows what was.
async fn read_stored(store: &impl Store, key: &str) -> Result<(Stored, Condition), Error> {
    let found = store.read(key).await.map_err(|source| Error::store_failed("read", key, source))?;
    let Some(Content { bytes, etag }) = found else { return Ok((Stored::default(), Condition::Absent)) };
    Ok((parse_exactly(key, &bytes)?, Condition::Matches(etag)))
}

/// Adds the current object, unless the last entry is about it.
fn with_current(mut starts: Vec<Start>, current: Option<&Stamp>) -> Vec<Start> {
    let Some(stamp) = current else { return starts };
    let facts = Facts { edition: stamp.edition, n_rows: stamp.n_rows };
    match starts.last_mut() {
        Some(Start { what: What::Edition(last), .. }) if last.edition.digest == stamp.edition.digest => *last = facts,
        last => {
            // Clocks differ, but editions do not overlap.
            let since = last.map_or(stamp.fetched_at, |last| last.since.max(stamp.fetched_at));
            starts.push(Start { since, what: What::Edition(facts) });
        }
    }
    starts
}

/// Returns how many of the first starts were followed by another before a time.
fn n_ended(starts: &[Start], before: Timestamp) -> usize {
    starts.iter().skip(1).take_while(|next| next.since <= before).count()
}

fn validities(starts: Vec<Start>, is_there: bool) -> Vec<Validity> {
    let untils: Vec<Option<Timestamp>> = starts.iter().skip(1).map(|next| Some(next.since)).chain([None]).collect();
    let validities = starts
        .into_iter()
        .zip(untils)
        .filter_map(|(start, until)| Some(Validity { facts: start.facts()?.clone(), since: start.since, until }));
    // Without an object, an edition that nobody removed is gone since a time that nobody recorded.
    validities
        .filter(|validity| validity.until != Some(validity.since) && (is_there || validity.until.is_some()))
        .collect()
}

/// Renders one entry per line.
fn render(revision: u64, starts: &[Start]) -> Result<Bytes, Error> {
    let lines: Vec<String> = starts.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(format!("{{\"revision\": {revision}, \"starts\": [\n{}\n]}}\n", lines.join(",\n")).into())
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
        let tell = |validity: Validity| {
            let Edition { digest, encoding_version, .. } = validity.facts.edition;
            (digest.0, encoding_version, day_of(validity.since), validity.until.map(day_of))
        };
        editions.into_iter().map(tell).collect()
    }

    #[test]
    fn an_edition_that_returns_is_valid_twice() {
        let store = MemoryStore::default();
        let [a, b, again] = [stamp(1, 2, 1), stamp(2, 2, 3), stamp(1, 2, 5)];
        assert_eq!(editions(&store, Some(&a)), [(1, 2, 1, None)]);
        replace(&store, &a);
        replace(&store, &b);
        assert_eq!(editions(&store, Some(&again)), [(1, 2, 1, Some(3)), (2, 2, 3, Some(5)), (1, 2, 5, None)]);
        let found = block_on(read_editions(&store, &enrollment().table, &partition(), Some(&again))).unwrap();
        for (at, expected) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, Some(2)), (5, Some(1)), (9, Some(1))] {
            let validity = found.iter().find(|validity| validity.was_valid_at(day(at)));
            assert_eq!(validity.map(|validity| validity.facts.edition.digest.0), expected, "day {at}");
        }
        assert!(!found.iter().any(|validity| validity.was_valid_at("2026-10-31T00:00:00Z".parse().unwrap())));
    }

    #[test]
    fn the_replaced_edition_is_the_one_before_whatever_came_later() {
        let store = MemoryStore::default();
        let [a, b, again, c] = [stamp(1, 2, 1), stamp(2, 2, 3), stamp(1, 2, 5), stamp(3, 2, 7)];
        let before = |own: &Stamp| {
            block_on(replaced_by(&store, &enrollment(), &partition(), own)).unwrap().map(|edition| edition.digest.0)
        };
        assert_eq!(before(&a), None);
        replace(&store, &a);
        // It was not in the list yet, and then it was.
        assert_eq!(before(&b), Some(1));
        replace(&store, &b);
        assert_eq!((before(&b), before(&again)), (Some(1), Some(2)));
        replace(&store, &again);
        assert_eq!((before(&b), before(&again), before(&c)), (Some(1), Some(2), Some(1)));
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
        let found = editions(&store, Some(&a));
        assert_eq!(found, [(1, 2, 1, Some(3)), (1, 2, 3, None)]);
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
    fn every_writer_writes_the_list_so_that_one_that_read_it_before_fails() {
        let store = MemoryStore::default();
        replace(&store, &stamp(1, 2, 1));
        let key = keys::editions(&enrollment().table, &partition());
        let first = store.bytes(&key).unwrap();
        replace(&store, &stamp(1, 2, 1));
        assert_ne!(store.bytes(&key).unwrap(), first);
        assert_eq!(editions(&store, Some(&stamp(1, 2, 1))), [(1, 2, 1, None)]);
    }

    #[test]
    fn a_list_that_cannot_be_parsed_is_an_error_and_stays_as_it_is() {
        let store = MemoryStore::default();
        replace(&store, &stamp(1, 2, 1));
        let key = keys::editions(&enrollment().table, &partition());
        let text = String::from_utf8(store.bytes(&key).unwrap().to_vec()).unwrap();
        for broken in [text.replace("\"n_rows\":5", "\"n_rows\":\"five\""), text.replace("-2\"", "\""), "[]".to_owned()]
        {
            assert_ne!(broken, text);
            store.set(&key, broken.as_bytes(), None);
            let read = block_on(read_editions(&store, &enrollment().table, &partition(), None));
            assert_eq!(read.unwrap_err().name(), "StoreFailed", "{broken}");
            let object = keys::partition_object(&enrollment(), &partition());
            let etag = block_on(store.head(&object)).unwrap().unwrap().etag;
            block_on(record_edition(&store, &enrollment(), &partition(), &etag, None)).unwrap_err();
            assert_eq!(store.bytes(&key).unwrap(), broken.as_bytes());
        }
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
