//! Reads a run's receipts, from its summary and from separate objects.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::{READS_AT_ONCE, parse_json, read_json};
use crate::ledger::listing::list;
use crate::ledger::plan::PlanItem;
use crate::ledger::receipt::Receipt;
use crate::ledger::summary::Summary;
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Content, Listed, Store};
use crate::text::nearest;

/// The receipts of a run.
#[derive(Debug, Default)]
pub struct RunReceipts {
    /// Receipts by partition. A partition without a receipt is absent.
    pub receipts: BTreeMap<PartitionKey, Receipt>,
    /// Condition for writing the summary: that it is still the one that was read.
    pub(crate) condition: Option<Condition>,
    /// Keys of the receipts that are still separate objects. A receipt that disappeared between listing and reading is not
    /// included, because an object written to its key later has not been read.
    pub(crate) keys: Vec<String>,
}

impl RunReceipts {
    /// Returns the partitions of a plan that left no receipt.
    #[must_use]
    pub fn missing(&self, dataset: &Dataset, plan: &[PlanItem]) -> BTreeSet<PartitionKey> {
        let planned = plan.iter().filter_map(|item| dataset.arrange(&item.partition));
        planned.filter(|partition| !self.receipts.contains_key(partition)).collect()
    }
}

/// Returns the names of all runs of a dataset.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed.
pub async fn run_names(store: &impl Store, dataset: &Dataset) -> Result<BTreeSet<String>, Error> {
    let listed = list(store, &keys::runs_prefix(dataset)).await?;
    Ok(listed.iter().filter_map(|listed| keys::parse_run(dataset, &listed.key)).collect())
}

/// Reads all runs of a dataset: the name of each, and its summary, if it has written one.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub async fn read_runs(store: &impl Store, dataset: &Dataset) -> Result<Vec<(String, Option<Summary>)>, Error> {
    let names = run_names(store, dataset).await?;
    let runs = stream::iter(names).map(|run| async move {
        let summary = read_json(store, &keys::summary(dataset, &run)).await?;
        Ok((run, summary))
    });
    runs.buffered(READS_AT_ONCE).try_collect().await
}

/// Returns which runs may have been meant by a name that none has: the nearest one and the latest ones. Returns `None` if
/// there are no runs.
#[must_use]
pub fn runs_meant(names: &BTreeSet<String>, found: &str) -> Option<String> {
    /// Maximum number of runs that are named.
    const MAX_NAMED: usize = 5;
    let latest: Vec<&str> = names.iter().rev().take(MAX_NAMED).map(String::as_str).collect();
    let nearest = nearest(found, names.iter().map(String::as_str));
    let nearest = nearest.map_or_else(String::new, |nearest| format!("did you mean `{nearest}`? "));
    (!latest.is_empty()).then(|| format!("{nearest}the latest: {}", latest.join(", ")))
}

/// Reads a run's receipts: those in its summary, and those that are separate objects.
///
/// The summary is read last, because it contains the receipts deleted in the meantime.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub async fn read_run(store: &impl Store, dataset: &Dataset, run: &str) -> Result<RunReceipts, Error> {
    let prefix = keys::run_prefix(dataset, run);
    let listed = list(store, &prefix).await?;
    let of_receipts = listed.into_iter().filter(|listed| keys::parse_receipt(dataset, &listed.key).is_some());
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
    let mut run_receipts = RunReceipts::default();
    let summary_key = keys::summary(dataset, run);
    let summary = store.read(&summary_key).await.map_err(|source| Error::store_failed("read", &summary_key, source))?;
    if let Some(Content { bytes, etag }) = summary {
        run_receipts.condition = Some(Condition::Matches(etag));
        let summary: Option<Summary> = parse_json(&summary_key, &bytes);
        for receipt in summary.into_iter().flat_map(|summary| summary.receipts) {
            if let Some(partition) = dataset.arrange(&receipt.partition) {
                run_receipts.receipts.insert(partition, receipt);
            }
        }
    }
    for (key, receipt) in found {
        run_receipts.keys.push(key);
        let Some(receipt) = receipt else { continue };
        let Some(partition) = dataset.arrange(&receipt.partition) else { continue };
        // A receipt from an attempt replaces one that publishing added in its absence.
        let is_later = run_receipts
            .receipts
            .get(&partition)
            .is_none_or(|known| !known.is_from_attempt() || known.finished_at <= receipt.finished_at);
        if is_later {
            run_receipts.receipts.insert(partition, receipt);
        }
    }
    Ok(run_receipts)
}
