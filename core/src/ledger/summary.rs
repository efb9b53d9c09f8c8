//! The summary of a run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::cost::Metered;
use crate::ledger::receipt::{ErrorFacts, Outcome, Receipt};
use crate::partition::PartitionKey;

/// The summary of a run. The outcomes add up to the number of planned partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Run name.
    pub run: String,
    /// Dataset name.
    pub dataset: String,
    /// When the run started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Planned partitions.
    pub n_planned: usize,
    /// Number of partitions by outcome. Contains every outcome.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// Rows received.
    pub n_rows: u64,
    /// Pages received.
    pub n_pages: u64,
    /// What the requests of its partitions cost. Runs of older versions do not say.
    #[serde(default)]
    pub cost: Metered,
    /// What changed in the partitions that had data before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Number of partitions with changed rows.
    #[serde(default)]
    pub n_changed: usize,
    /// Partitions added or changed in the catalog.
    pub n_published: usize,
    /// Partitions removed from the catalog.
    pub n_withdrawn: usize,
    /// Partitions without a readable object. If the object is torn or belongs to another partition, the partition is not in
    /// the catalog. If the object could not be inspected, the partition's entry in the catalog stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<PartitionKey>,
    /// Partitions whose object has a different schema or encoding from what a run would write today.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<PartitionKey>,
    /// The failed partitions with their errors.
    pub failed: Vec<FailedPartition>,
    /// The receipt of every planned partition, in the plan's order.
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
    /// Returns the number of partitions with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Returns the number of partitions that still have to be fetched.
    #[must_use]
    pub fn n_open(&self) -> usize {
        Outcome::ALL.iter().filter(|outcome| outcome.is_open()).map(|outcome| self.count(*outcome)).sum()
    }

    /// Lists the outcomes that occurred, with their counts: `2 written, 1 failed`. Empty if nothing was planned.
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
