//! A run as it was planned.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::ledger::plan::PlanItem;
use crate::partition::PartitionKey;

/// A run as it was planned, and how far it came.
#[derive(Debug, Clone, Copy)]
pub struct PlannedRun<'r> {
    /// Its name.
    pub name: &'r str,
    /// When it began.
    pub started_at: Timestamp,
    /// Its plan.
    pub items: &'r [PlanItem],
    /// Planned partitions that were not begun before the run ended.
    pub not_tried: &'r BTreeSet<PartitionKey>,
}
