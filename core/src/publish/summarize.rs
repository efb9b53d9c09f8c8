//! Summarizes a run's receipts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::change::Change;
use crate::dataset::Dataset;
use crate::ledger::receipt::{Outcome, Receipt, no_receipt};
use crate::ledger::summary::{FailedPartition, Summary};
use crate::partition::PartitionKey;
use crate::publish::planned_run::{PlannedRun, WithoutReceipt};

/// Adds a receipt for every planned partition that left none: failed with `NoReceipt`, or not tried.
pub(super) fn complete(
    receipts: &mut BTreeMap<PartitionKey, Receipt>,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    now: Timestamp,
) {
    for item in planned.items {
        let Some(partition) = dataset.arrange(&item.partition) else { continue };
        receipts.entry(partition.clone()).or_insert_with(|| {
            let WithoutReceipt { not_tried, causes } = planned.without_receipt;
            let error = (!not_tried.contains(&partition)).then(|| no_receipt(causes.get(&partition)));
            Receipt::without_rows(partition, error, planned.started_at, now)
        });
    }
}

/// Adds up the receipts of the planned partitions.
pub(super) fn summarize(
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    mut receipts: BTreeMap<PartitionKey, Receipt>,
    finished_at: Timestamp,
) -> Summary {
    let in_order = planned.items.iter().filter_map(|item| receipts.remove(&dataset.arrange(&item.partition)?));
    let receipts: Vec<Receipt> = in_order.collect();
    let mut outcomes: BTreeMap<Outcome, usize> = Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect();
    for receipt in &receipts {
        *outcomes.entry(receipt.outcome).or_default() += 1;
    }
    let failed = receipts.iter().filter_map(|receipt| {
        let error = receipt.error.clone().filter(|_| receipt.outcome == Outcome::Failed)?;
        Some(FailedPartition { partition: receipt.partition.clone(), error })
    });
    let changes: Vec<&Change> =
        receipts.iter().filter_map(|receipt| receipt.change.as_deref()).filter(|change| !change.is_empty()).collect();
    Summary {
        change: changes.iter().map(|change| Change::default().plus(change)).reduce(|sum, change| sum.plus(&change)),
        n_changed: changes.len(),
        run: planned.name.to_owned(),
        dataset: dataset.name.clone(),
        started_at: planned.started_at,
        finished_at,
        n_planned: planned.items.len(),
        outcomes,
        n_rows: receipts.iter().map(|receipt| receipt.n_rows).sum(),
        n_pages: receipts.iter().map(|receipt| u64::from(receipt.n_pages)).sum(),
        cost: receipts.iter().map(|receipt| receipt.cost).sum(),
        n_published: 0,
        n_withdrawn: 0,
        unreadable: Vec::new(),
        stale: Vec::new(),
        failed: failed.collect(),
        receipts,
    }
}
