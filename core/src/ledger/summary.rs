//! What a run came to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::receipt::{ErrorFacts, Outcome, Receipt};
use crate::partition::PartitionKey;

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
