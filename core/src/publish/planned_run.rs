//! A planned run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::ledger::plan::PlanItem;
use crate::partition::PartitionKey;
use crate::publish::converge::CatalogChanges;

/// A planned run, and what is known about its partitions without a receipt.
#[derive(Debug, Clone, Copy)]
pub struct PlannedRun<'r> {
    /// Run name.
    pub name: &'r str,
    /// When it started.
    pub started_at: Timestamp,
    /// The plan.
    pub items: &'r [PlanItem],
    /// Planned partitions that left no receipt.
    pub without_receipt: &'r WithoutReceipt,
    /// What was registered while the run went on.
    pub registered: CatalogChanges,
}

/// What is known about planned partitions without a receipt. One that is mentioned nowhere was started and killed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WithoutReceipt {
    /// Those that had not been started when the run ended.
    pub not_tried: BTreeSet<PartitionKey>,
    /// How those that were started ended, as far as it is known: the error's name, with its message if it has one.
    pub causes: BTreeMap<PartitionKey, String>,
}

impl From<BTreeSet<PartitionKey>> for WithoutReceipt {
    /// Those that were not tried; nothing is known about the others.
    fn from(not_tried: BTreeSet<PartitionKey>) -> Self {
        Self { not_tried, causes: BTreeMap::new() }
    }
}
