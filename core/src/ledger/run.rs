//! What a run left: the receipts of its partitions, in its summary or still objects of their own.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::{READS_AT_ONCE, parse_json};
use crate::ledger::plan::PlanItem;
use crate::ledger::receipt::Receipt;
use crate::ledger::summary::Summary;
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Content, Listed, Store};

/// What a run left of its partitions.
#[derive(Debug, Default)]
pub struct RunReceipts {
    /// Receipts, by partition; one that left none is not in the map.
    pub receipts: BTreeMap<PartitionKey, Receipt>,
    /// What must hold when the summary is written: it is as it was read.
    pub(crate) condition: Option<Condition>,
    /// Keys of the receipts that are still objects of their own. One that was listed and gone when it was to be read is not
    /// among them: what comes there later was not read.
    pub(crate) keys: Vec<String>,
}

impl RunReceipts {
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
pub async fn read_run(store: &impl Store, dataset: &Dataset, run: &str) -> Result<RunReceipts, Error> {
    let prefix = keys::run_prefix(dataset, run);
    let listed = store.list(&prefix).await.map_err(|source| Error::store_failed("list", &prefix, source))?;
    let of_receipts =
        listed.into_iter().filter(|listed| keys::run_and_partition_of_receipt(dataset, &listed.key).is_some());
    let found: Vec<(String, Option<Receipt>)> = stream::iter(of_receipts)
        .map(|Listed { key, .. }| async move {
            let found = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
            Ok(found.map(|Content { bytes, .. }| {
                let receipt = parse_json(&key, &bytes);
                (key, receipt)
            }))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    let mut left = RunReceipts::default();
    let summary_key = keys::summary(dataset, run);
    let summary = store.read(&summary_key).await.map_err(|source| Error::store_failed("read", &summary_key, source))?;
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
