//! A planned run.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::ledger::plan::PlanItem;
use crate::partition::PartitionKey;

/// A planned run, and which of its partitions were not tried.
#[derive(Debug, Clone, Copy)]
pub struct PlannedRun<'r> {
    /// Run name.
    pub name: &'r str,
    /// When it started.
    pub started_at: Timestamp,
    /// The plan.
    pub items: &'r [PlanItem],
    /// Planned partitions that had not been started when the run ended.
    pub not_tried: &'r BTreeSet<PartitionKey>,
}
