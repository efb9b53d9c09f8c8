//! Reads the records of a dataset, and the receipts that are not in them yet.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::{READS_AT_ONCE, read_json};
use crate::ledger::receipt::Receipt;
use crate::ledger::records::{LastAttempt, PartitionRecord, Records};
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Content, Store};

/// The records of a dataset as the lake holds them.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) records: Records,
    /// What must hold when they are replaced.
    pub(super) condition: Option<Condition>,
    /// Objects of the layout before this one, one a partition, which were read instead.
    pub(super) older: Vec<String>,
}

/// Reads the records as they were last written.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub(crate) async fn read_stored(store: &impl Store, dataset: &Dataset) -> Result<Stored, Error> {
    let key = keys::records(dataset);
    let found = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    let condition = found.as_ref().map(|Content { etag, .. }| Condition::Matches(etag.clone()));
    let parsed = found.and_then(|Content { bytes, .. }| match serde_json::from_slice::<Vec<&RawValue>>(&bytes) {
        // A record that cannot be read takes no other along.
        Ok(records) => {
            Some(records.into_iter().filter_map(|record| parse_record(&key, record.get())).collect::<Vec<_>>())
        }
        Err(error) => {
            tracing::error!(key, %error, "ledger object unreadable, taken as absent");
            None
        }
    });
    if let Some(parsed) = parsed {
        let records = parsed.into_iter().filter_map(|record| arranged(dataset, record)).collect();
        return Ok(Stored { records, condition, older: Vec::new() });
    }
    let prefix = keys::older_records_prefix(dataset);
    let listed = store.list(&prefix).await.map_err(|source| Error::store_failed("list", &prefix, source))?;
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
            tracing::error!(key, %error, "record unreadable, taken as absent");
            None
        }
    }
}

fn arranged(dataset: &Dataset, record: PartitionRecord) -> Option<(PartitionKey, PartitionRecord)> {
    let partition = dataset.arrange(&record.partition)?;
    Some((partition.clone(), PartitionRecord { partition, ..record }))
}

/// Everything the ledger knows of a dataset's partitions: the records, and the receipts of runs that were not published.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn read_records(store: &impl Store, dataset: &Dataset) -> Result<Records, Error> {
    let mut records = read_stored(store, dataset).await?.records;
    let prefix = keys::runs_prefix(dataset);
    let listed = store.list(&prefix).await.map_err(|source| Error::store_failed("list", &prefix, source))?;
    // What a run with a summary left is in the records, and its receipts are there only where they were not deleted: by a
    // publisher that was killed, or by a program before this layout.
    let of_runs = listed.iter().filter_map(|listed| Some((keys::run_of(dataset, &listed.key)?, listed)));
    let published: BTreeSet<String> =
        of_runs.filter(|(run, listed)| listed.key == keys::summary(dataset, run)).map(|(run, _)| run).collect();
    let left = listed.iter().filter_map(|listed| {
        let (run, _) = keys::run_and_partition_of_receipt(dataset, &listed.key)?;
        (!published.contains(&run)).then(|| (listed.key.clone(), run))
    });
    let receipts: Vec<(String, Receipt)> = stream::iter(left)
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
            note_attempt(&mut records, partition, &run, &receipt, Timestamp::MAX);
        }
    }
    Ok(records)
}

/// Notes what a run's attempt came to, unless a later one is known, which is one of a time up to `until`.
pub(super) fn note_attempt(
    records: &mut Records,
    partition: PartitionKey,
    run: &str,
    receipt: &Receipt,
    until: Timestamp,
) {
    let record =
        records.entry(partition.clone()).or_insert(PartitionRecord { partition, committed: None, last_attempt: None });
    // Pages and release are those of the rows received: another writer's object may be there by now.
    if let (Some(committed), Some(edition)) = (&mut record.committed, receipt.edition)
        && committed.edition == edition
    {
        committed.n_pages = Some(receipt.n_pages);
        committed.portal_release.clone_from(&receipt.portal_release);
    }
    // What is said for want of a try says nothing against one since the run began, whichever is noted first.
    let at = if receipt.is_of_a_try() { receipt.finished_at } else { receipt.started_at };
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
