//! What is known of runs and of each partition: receipts, records, summaries.
//!
//! The ledger is derived. A commit never asks it; it can be rebuilt from the objects.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::edition::{Edition, Stamp};
use crate::error::Error;
use crate::keys;
use crate::partition::PartitionKey;
use crate::ports::{ObjectFacts, Store};

/// Objects read at once by a step that looks at a whole plan.
pub(crate) const READS_AT_ONCE: usize = 16;

/// What fetching one partition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A new edition was committed.
    Written,
    /// The object already is this edition.
    Unchanged,
    /// The portal has no rows for it.
    Empty,
    /// A newer write won.
    Superseded,
    /// An error, by name.
    Failed,
}

impl Outcome {
    /// Every outcome, in the order shown to people.
    pub const ALL: [Self; 5] = [Self::Written, Self::Unchanged, Self::Empty, Self::Superseded, Self::Failed];

    /// The word used in the ledger and on the terminal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Empty => "empty",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

/// An error as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFacts {
    /// [`Error::name`].
    pub name: String,
    /// [`Error::chain`].
    pub message: String,
}

impl From<&Error> for ErrorFacts {
    fn from(error: &Error) -> Self {
        Self { name: error.name().to_owned(), message: error.chain() }
    }
}

/// What fetching one partition came to in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The partition.
    pub partition: PartitionKey,
    /// What it came to.
    pub outcome: Outcome,
    /// The error of a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFacts>,
    /// Rows received (0 for a failed one).
    pub n_rows: u64,
    /// Pages received (0 for a failed one).
    pub n_pages: u32,
    /// Size of the object, in bytes; `None` when nothing is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Rows with fields that the descriptor does not know.
    #[serde(default)]
    pub n_unknown: u64,
    /// Names of such fields, the first twenty in the alphabet, each cut at 64 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_fields: Vec<String>,
    /// Values kept in `_rescued` since they do not fit their column.
    #[serde(default)]
    pub n_misfits: u64,
    /// When fetching began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// What is committed of a partition, as its object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Edition of the object.
    pub edition: Edition,
    /// Rows in it.
    pub n_rows: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its etag when it was last seen.
    pub etag: String,
    /// When its last page was received.
    pub fetched_at: Timestamp,
    /// Run that wrote it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Pages it came in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_pages: Option<u32>,
    /// The portal's newest release that gave these rows, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
}

impl Committed {
    /// What an object says of itself; `None` when it is not one of ours.
    #[must_use]
    pub fn of_object(facts: &ObjectFacts) -> Option<Self> {
        let Stamp { edition, n_rows, fetched_at, run } = facts.stamp.clone()?;
        Some(Self {
            edition,
            n_rows,
            size_bytes: facts.size_bytes,
            etag: facts.etag.clone(),
            fetched_at,
            run,
            n_pages: None,
            portal_release: None,
        })
    }
}

/// The last time a partition was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// Run.
    pub run: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The error of a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFacts>,
    /// When it ended.
    pub at: Timestamp,
}

/// What the ledger knows of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The partition.
    pub partition: PartitionKey,
    /// What is committed; `None` when nothing is.
    pub committed: Option<Committed>,
    /// The last attempt; `None` when the record was made from the object alone.
    pub last_attempt: Option<LastAttempt>,
}

/// What a run came to. Its outcomes add up to its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Run.
    pub run: String,
    /// Dataset.
    pub dataset: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Partitions planned.
    pub n_planned: usize,
    /// Partitions by outcome; every outcome is there.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// Rows received.
    pub n_rows: u64,
    /// Pages received.
    pub n_pages: u64,
    /// Partitions added to the catalog or changed there.
    pub n_published: usize,
    /// Partitions taken out of the catalog.
    pub n_withdrawn: usize,
    /// Partitions whose object cannot be read as one of ours; they are not in the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<PartitionKey>,
    /// The failed partitions with their errors.
    pub failed: Vec<FailedPartition>,
}

/// A failed partition in a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedPartition {
    /// The partition.
    pub partition: PartitionKey,
    /// Its error.
    pub error: ErrorFacts,
}

impl Summary {
    /// Partitions with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// The outcomes that occurred, with their counts: `2 written, 1 failed`; empty when nothing was planned.
    #[must_use]
    pub fn outcomes_in_words(&self) -> String {
        let words: Vec<String> = Outcome::ALL
            .iter()
            .filter(|outcome| self.count(**outcome) > 0)
            .map(|outcome| format!("{} {}", self.count(*outcome), outcome.as_str()))
            .collect();
        words.join(", ")
    }
}

/// Reads a JSON object of the ledger. One that cannot be read as such counts as absent, and is logged as an error: the
/// ledger is derived, so the next run writes it anew.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn read_json<T: for<'de> Deserialize<'de>>(store: &impl Store, key: &str) -> Result<Option<T>, Error> {
    let bytes = store.read(key).await.map_err(|source| store_failed("read", key, source))?;
    Ok(bytes.and_then(|bytes| match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(key, %error, "ledger object unreadable, taken as absent");
            None
        }
    }))
}

/// Writes a JSON object of the ledger.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not take it.
pub async fn write_json<T: Serialize + Sync>(store: &impl Store, key: &str, value: &T) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| store_failed("write", key, other_cause("serialize", error)))?;
    text.push(b'\n');
    store.write(key, Bytes::from(text)).await.map_err(|source| store_failed("write", key, source))
}

pub(crate) fn store_failed(action: &'static str, key: &str, source: crate::ports::StoreError) -> Error {
    Error::StoreFailed { action, key: key.to_owned(), source }
}

fn other_cause(message: &str, error: serde_json::Error) -> crate::ports::StoreError {
    crate::ports::StoreError { message: message.to_owned(), source: error.into() }
}

/// Everything the ledger knows of a dataset's partitions.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn read_records(
    store: &impl Store,
    dataset: &Dataset,
) -> Result<BTreeMap<PartitionKey, PartitionRecord>, Error> {
    let prefix = keys::records_prefix(dataset);
    let listed = store.list(&prefix).await.map_err(|source| store_failed("list", &prefix, source))?;
    stream::iter(listed)
        .map(|key| async move {
            let Some(partition) = keys::partition_of_record(dataset, &key) else { return Ok(None) };
            let record: Option<PartitionRecord> = read_json(store, &key).await?;
            Ok::<_, Error>(record.map(|record| (partition, record)))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|record| async move { Ok(record) })
        .try_collect()
        .await
}

/// The receipts that a run left for `partitions`; those without one are not in the map.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn read_receipts(
    store: &impl Store,
    dataset: &Dataset,
    run: &str,
    partitions: &[PartitionKey],
) -> Result<BTreeMap<PartitionKey, Receipt>, Error> {
    stream::iter(partitions.iter().cloned())
        .map(|partition| async move {
            let receipt: Option<Receipt> = read_json(store, &keys::receipt(dataset, run, &partition)).await?;
            Ok::<_, Error>(receipt.map(|receipt| (partition, receipt)))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|receipt| async move { Ok(receipt) })
        .try_collect()
        .await
}

/// Every partition of a dataset that has an object.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn committed_partitions(store: &impl Store, dataset: &Dataset) -> Result<Vec<PartitionKey>, Error> {
    let prefix = keys::table_prefix(&dataset.table);
    let listed = store.list(&prefix).await.map_err(|source| store_failed("list", &prefix, source))?;
    Ok(listed.iter().filter_map(|key| keys::partition_of_object(dataset, key)).collect())
}

/// What a partition's object says of itself; `None` when there is none.
pub(crate) async fn object_facts(
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
) -> Result<Option<ObjectFacts>, Error> {
    let key = keys::partition_object(dataset, partition);
    store.head(&key).await.map_err(|source| store_failed("read", &key, source))
}

/// Every partition that has an object, with what the object says of itself.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn committed_objects(
    store: &impl Store,
    dataset: &Dataset,
) -> Result<BTreeMap<PartitionKey, ObjectFacts>, Error> {
    stream::iter(committed_partitions(store, dataset).await?)
        .map(|partition| async move {
            let facts = object_facts(store, dataset, &partition).await?;
            Ok::<_, Error>(facts.map(|facts| (partition, facts)))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|object| async move { Ok(object) })
        .try_collect()
        .await
}

/// Writes anew the record of every partition that says other than its object, or has an object and no record: a run was
/// killed between the two. What is known of the last attempt is kept. Gives the number of records written.
///
/// - `objects`: every object, from [`committed_objects`].
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn reconcile(
    store: &impl Store,
    dataset: &Dataset,
    objects: &BTreeMap<PartitionKey, ObjectFacts>,
) -> Result<usize, Error> {
    let mut records = read_records(store, dataset).await?;
    let partitions: BTreeSet<PartitionKey> = objects.keys().chain(records.keys()).cloned().collect();
    let mut n_written = 0;
    for partition in partitions {
        let before = records.remove(&partition);
        let found = objects.get(&partition).and_then(Committed::of_object);
        let is_current = before.as_ref().is_some_and(|record| match (&record.committed, &found) {
            (Some(recorded), Some(found)) => (&recorded.etag, &recorded.edition) == (&found.etag, &found.edition),
            (recorded, found) => recorded.is_none() && found.is_none(),
        });
        if !is_current {
            update_record(store, dataset, &partition, before, None).await?;
            n_written += 1;
        }
    }
    Ok(n_written)
}

/// Records as failed the partitions of which a run left nothing: they were killed, timed out or never started, so nobody
/// else will. One that some run has tried since keeps what that run wrote.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub(crate) async fn record_lost(
    store: &impl Store,
    dataset: &Dataset,
    lost: &[FailedPartition],
    run: &str,
    started_at: Timestamp,
    finished_at: Timestamp,
) -> Result<(), Error> {
    stream::iter(lost.iter().map(Ok))
        .try_for_each_concurrent(READS_AT_ONCE, |failed| async move {
            let key = keys::record(dataset, &failed.partition);
            let before: Option<PartitionRecord> = read_json(store, &key).await?;
            let tried = before.as_ref().and_then(|record| record.last_attempt.as_ref());
            if tried.is_some_and(|attempt| attempt.at >= started_at) {
                return Ok(());
            }
            let error = Some(failed.error.clone());
            let attempt = LastAttempt { run: run.to_owned(), outcome: Outcome::Failed, error, at: finished_at };
            let fetched = Fetched { attempt, edition: None, n_pages: 0, portal_release: None };
            update_record(store, dataset, &failed.partition, before, Some(fetched)).await
        })
        .await
}

/// What a run adds to a partition's record.
pub(crate) struct Fetched {
    pub(crate) attempt: LastAttempt,
    /// Edition of the rows fetched: another writer's object may be there by now, which came in pages of its own.
    pub(crate) edition: Option<Edition>,
    pub(crate) n_pages: u32,
    pub(crate) portal_release: Option<String>,
}

/// Writes a partition's record from its object as it is now; `fetched` replaces the last attempt.
pub(crate) async fn update_record(
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    before: Option<PartitionRecord>,
    fetched: Option<Fetched>,
) -> Result<(), Error> {
    let facts = object_facts(store, dataset, partition).await?;
    let mut committed = facts.as_ref().and_then(Committed::of_object);
    let (before_committed, before_attempt) = match before {
        Some(record) => (record.committed, record.last_attempt),
        None => (None, None),
    };
    if let Some(committed) = &mut committed {
        // Pages and release are what an object does not know of itself.
        match &fetched {
            Some(fetched) if fetched.edition == Some(committed.edition) => {
                committed.n_pages = Some(fetched.n_pages);
                committed.portal_release.clone_from(&fetched.portal_release);
            }
            _ => {
                if let Some(before) = before_committed.filter(|before| before.edition == committed.edition) {
                    committed.n_pages = before.n_pages;
                    committed.portal_release = before.portal_release;
                }
            }
        }
    }
    let last_attempt = fetched.map(|fetched| fetched.attempt).or(before_attempt);
    let record = PartitionRecord { partition: partition.clone(), committed, last_attempt };
    write_json(store, &keys::record(dataset, partition), &record).await
}
