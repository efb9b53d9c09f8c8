//! What is known of runs: receipts and summaries. What is known of each partition is in `records.rs`.
//!
//! The ledger is derived. A commit never asks it; it can be rebuilt from the objects. A receipt is an object of its own
//! until its run is published; then it is part of the run's summary.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::edition::Edition;
use crate::error::Error;
use crate::keys;
use crate::partition::PartitionKey;
use crate::plan::PlanItem;
use crate::ports::{Condition, Content, Listed, Put, Store};

/// Objects read at once by a step that looks at a whole plan.
pub(crate) const READS_AT_ONCE: usize = 16;

/// What fetching one partition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The run ended before it was begun.
    NotTried,
}

impl Outcome {
    /// Every outcome, in the order shown to people.
    pub const ALL: [Self; 6] =
        [Self::Written, Self::Unchanged, Self::Empty, Self::Superseded, Self::Failed, Self::NotTried];

    /// Whether the partition is still to be fetched: by mode `failed`, and by `failed_of` its run.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Failed | Self::NotTried)
    }

    /// The words used on the terminal. The ledger has `_` between them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Empty => "empty",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::NotTried => "not tried",
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
    /// Edition of the rows received; `None` when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<Edition>,
    /// The portal's newest release as the run read it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
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

impl Receipt {
    /// A receipt of a partition of which nothing was received. It failed, where there is an error; else it was not tried.
    #[must_use]
    pub fn of_nothing(
        partition: PartitionKey,
        error: Option<ErrorFacts>,
        started_at: Timestamp,
        finished_at: Timestamp,
    ) -> Self {
        Self {
            partition,
            outcome: if error.is_some() { Outcome::Failed } else { Outcome::NotTried },
            error,
            n_rows: 0,
            n_pages: 0,
            edition: None,
            portal_release: None,
            size_bytes: None,
            n_unknown: 0,
            unknown_fields: Vec::new(),
            n_misfits: 0,
            started_at,
            finished_at,
        }
    }

    /// Whether there may be an object that the run wrote or found as it was to be.
    #[must_use]
    pub(crate) fn may_be_committed(&self) -> bool {
        match self.outcome {
            Outcome::Written | Outcome::Unchanged | Outcome::Superseded => true,
            // What was killed may have committed before.
            Outcome::Failed => !self.is_of_a_try(),
            Outcome::Empty | Outcome::NotTried => false,
        }
    }

    /// Whether a try wrote it, rather than whoever published the run without one.
    #[must_use]
    pub(crate) fn is_of_a_try(&self) -> bool {
        self.outcome != Outcome::NotTried && self.error.as_ref().is_none_or(|error| error.name != NO_RECEIPT)
    }
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
    /// Partitions whose object cannot be read as one of ours. One that is torn or another partition's is not in the
    /// catalog; one that could not be looked at keeps its place there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<PartitionKey>,
    /// Partitions whose object is of another schema or encoding than a run would write today.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<PartitionKey>,
    /// The failed partitions with their errors.
    pub failed: Vec<FailedPartition>,
    /// What every planned partition came to, in the plan's order.
    #[serde(default, rename = "partitions")]
    pub receipts: Vec<Receipt>,
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

    /// Partitions that are still to be fetched.
    #[must_use]
    pub fn n_open(&self) -> usize {
        Outcome::ALL.iter().filter(|outcome| outcome.is_open()).map(|outcome| self.count(*outcome)).sum()
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
    let found = store.read(key).await.map_err(|source| store_failed("read", key, source))?;
    Ok(found.and_then(|found| parse_json(key, &found.bytes)))
}

fn parse_json<T: for<'de> Deserialize<'de>>(key: &str, bytes: &[u8]) -> Option<T> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(key, %error, "ledger object unreadable, taken as absent");
            None
        }
    }
}

/// Writes a JSON object of the ledger.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not take it.
pub async fn write_json<T: Serialize + Sync>(store: &impl Store, key: &str, value: &T) -> Result<(), Error> {
    store.write(key, render(key, value)?).await.map_err(|source| store_failed("write", key, source))
}

/// Writes a JSON object of the ledger, if `condition` still holds.
pub(crate) async fn replace_json<T: Serialize + Sync>(
    store: &impl Store,
    key: &str,
    value: &T,
    condition: &Condition,
) -> Result<Put, Error> {
    store.replace(key, render(key, value)?, condition).await.map_err(|source| store_failed("write", key, source))
}

fn render<T: Serialize>(key: &str, value: &T) -> Result<Bytes, Error> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| store_failed("write", key, other_cause("serialize", error)))?;
    text.push(b'\n');
    Ok(text.into())
}

pub(crate) fn store_failed(action: &'static str, key: &str, source: crate::ports::StoreError) -> Error {
    Error::StoreFailed { action, key: key.to_owned(), source }
}

fn other_cause(message: &str, error: serde_json::Error) -> crate::ports::StoreError {
    crate::ports::StoreError { message: message.to_owned(), source: error.into() }
}

/// A value as JSON on one line.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| store_failed("write", "", other_cause("serialize", error)))
}

/// The error of a planned partition that left no receipt.
const NO_RECEIPT: &str = "NoReceipt";

/// What is said of a planned partition that left no receipt.
pub(crate) fn no_receipt() -> ErrorFacts {
    ErrorFacts {
        name: NO_RECEIPT.to_owned(),
        message: "expected a receipt, found none: it was killed or timed out".to_owned(),
    }
}

/// What a run left of its partitions.
#[derive(Debug, Default)]
pub struct Left {
    /// Receipts, by partition; one that left none is not in the map.
    pub receipts: BTreeMap<PartitionKey, Receipt>,
    /// What must hold when the summary is written: it is as it was read.
    pub(crate) condition: Option<Condition>,
    /// Keys of the receipts that are still objects of their own. One that was listed and gone when it was to be read is not
    /// among them: what comes there later was not read.
    pub(crate) keys: Vec<String>,
}

impl Left {
    /// The partitions of a plan that left no receipt.
    #[must_use]
    pub fn missing(&self, dataset: &Dataset, plan: &[PlanItem]) -> BTreeSet<PartitionKey> {
        let planned = plan.iter().filter_map(|item| dataset.arrange(&item.partition));
        planned.filter(|partition| !self.receipts.contains_key(partition)).collect()
    }
}

/// Reads what a run left: the receipts of its summary, and those that are still objects of their own or came since.
///
/// The summary is read last: a receipt that is gone by then is in it.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn read_left(store: &impl Store, dataset: &Dataset, run: &str) -> Result<Left, Error> {
    let prefix = keys::run_prefix(dataset, run);
    let listed = store.list(&prefix).await.map_err(|source| store_failed("list", &prefix, source))?;
    let of_receipts =
        listed.into_iter().filter(|listed| keys::run_and_partition_of_receipt(dataset, &listed.key).is_some());
    let found: Vec<(String, Option<Receipt>)> = stream::iter(of_receipts)
        .map(|Listed { key, .. }| async move {
            let found = store.read(&key).await.map_err(|source| store_failed("read", &key, source))?;
            Ok(found.map(|Content { bytes, .. }| {
                let receipt = parse_json(&key, &bytes);
                (key, receipt)
            }))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    let mut left = Left::default();
    let summary_key = keys::summary(dataset, run);
    let summary = store.read(&summary_key).await.map_err(|source| store_failed("read", &summary_key, source))?;
    if let Some(Content { bytes, etag }) = summary {
        left.condition = Some(Condition::Matches(etag));
        let summary: Option<Summary> = parse_json(&summary_key, &bytes);
        for receipt in summary.into_iter().flat_map(|summary| summary.receipts) {
            if let Some(partition) = dataset.arrange(&receipt.partition) {
                left.receipts.insert(partition, receipt);
            }
        }
    }
    for (key, receipt) in found {
        left.keys.push(key);
        let Some(receipt) = receipt else { continue };
        let Some(partition) = dataset.arrange(&receipt.partition) else { continue };
        // A try's receipt says more than what was said for want of one.
        let is_later = left
            .receipts
            .get(&partition)
            .is_none_or(|known| !known.is_of_a_try() || known.finished_at <= receipt.finished_at);
        if is_later {
            left.receipts.insert(partition, receipt);
        }
    }
    Ok(left)
}
