//! Reads a dataset's records, and the receipts not yet merged into them.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::{READS_AT_ONCE, read_json};
use crate::ledger::listing::list;
use crate::ledger::receipt::Receipt;
use crate::ledger::records::{LastAttempt, PartitionRecord, Records};
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Content, Store};

/// A dataset's stored records.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) records: Records,
    /// Condition for replacing them.
    pub(super) condition: Option<Condition>,
    /// Keys of the records in an earlier layout, with one object per partition, if those were read instead.
    pub(super) older: Vec<String>,
}

/// Reads the stored records.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub(crate) async fn read_stored(store: &impl Store, dataset: &Dataset) -> Result<Stored, Error> {
    let key = keys::records(dataset);
    let found = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    let condition = found.as_ref().map(|Content { etag, .. }| Condition::Matches(etag.clone()));
    let parsed = found.and_then(|Content { bytes, .. }| match serde_json::from_slice::<Vec<&RawValue>>(&bytes) {
        // Each record is parsed separately, so that an unreadable one does not affect the others.
        Ok(records) => {
            Some(records.into_iter().filter_map(|record| parse_record(&key, record.get())).collect::<Vec<_>>())
        }
        Err(error) => {
            tracing::error!(key, %error, "ledger object unreadable, treated as absent");
            None
        }
    });
    if let Some(parsed) = parsed {
        let records = parsed.into_iter().filter_map(|record| arranged(dataset, record)).collect();
        return Ok(Stored { records, condition, older: Vec::new() });
    }
    let prefix = keys::older_records_prefix(dataset);
    let listed = list(store, &prefix).await?;
    let older: Vec<String> = listed.into_iter().map(|listed| listed.key).collect();
    let records = stream::iter(older.iter())
        .map(|key| async move { read_json::<PartitionRecord>(store, key).await })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|record| async move { Ok(record.and_then(|record| arranged(dataset, record))) })
        .try_collect()
        .await?;
    Ok(Stored { records, condition, older })
}

fn parse_record(key: &str, text: &str) -> Option<PartitionRecord> {
    match serde_json::from_str(text) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(key, %error, "record unreadable, treated as absent");
            None
        }
    }
}

fn arranged(dataset: &Dataset, record: PartitionRecord) -> Option<(PartitionKey, PartitionRecord)> {
    let partition = dataset.arrange(&record.partition)?;
    Some((partition.clone(), PartitionRecord { partition, ..record }))
}

/// Reads everything that the ledger knows about a dataset's partitions: the records, updated with the receipts of
/// unpublished runs.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub async fn read_records(store: &impl Store, dataset: &Dataset) -> Result<Records, Error> {
    let mut records = read_stored(store, dataset).await?.records;
    let prefix = keys::runs_prefix(dataset);
    let listed = list(store, &prefix).await?;
    // The records already include the receipts of a run with a summary. Such a run has receipt objects only if a publisher
    // was killed before deleting them, or if an older version of rollcall wrote them.
    let of_runs = listed.iter().filter_map(|listed| Some((keys::parse_run(dataset, &listed.key)?, listed)));
    let published: BTreeSet<String> =
        of_runs.filter(|(run, listed)| listed.key == keys::summary(dataset, run)).map(|(run, _)| run).collect();
    let unpublished = listed.iter().filter_map(|listed| {
        let (run, _) = keys::parse_receipt(dataset, &listed.key)?;
        (!published.contains(&run)).then(|| (listed.key.clone(), run))
    });
    let receipts: Vec<(String, Receipt)> = stream::iter(unpublished)
        .map(|(key, run)| async move {
            let receipt: Option<Receipt> = read_json(store, &key).await?;
            Ok::<_, Error>(receipt.map(|receipt| (run, receipt)))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|receipt| async move { Ok(receipt) })
        .try_collect()
        .await?;
    for (run, receipt) in receipts {
        if let Some(partition) = dataset.arrange(&receipt.partition) {
            record_attempt(&mut records, partition, &run, &receipt, Timestamp::MAX);
        }
    }
    Ok(records)
}

/// Records the outcome of a run's attempt, unless a later attempt is known. A known attempt with a time after `until` does
/// not count as later.
pub(super) fn record_attempt(
    records: &mut Records,
    partition: PartitionKey,
    run: &str,
    receipt: &Receipt,
    until: Timestamp,
) {
    let record =
        records.entry(partition.clone()).or_insert(PartitionRecord { partition, committed: None, last_attempt: None });
    // Update these only if the committed rows are those that this attempt received. By now, the object may be another
    // writer's.
    if let (Some(committed), Some(edition)) = (&mut record.committed, receipt.edition)
        && committed.edition == edition
    {
        committed.n_pages = Some(receipt.n_pages);
        committed.portal_release.clone_from(&receipt.portal_release);
    }
    // A receipt that publishing added is dated to the start of its run, so that it never hides a real attempt made since.
    let at = if receipt.is_from_attempt() { receipt.finished_at } else { receipt.started_at };
    if record.last_attempt.as_ref().is_some_and(|known| known.at > at && known.at <= until) {
        return;
    }
    record.last_attempt = Some(LastAttempt {
        run: run.to_owned(),
        outcome: receipt.outcome,
        error: receipt.error.clone(),
        at,
        portal_release: receipt.portal_release.clone(),
    });
}
