//! The page-fetch step: fetches one partition from the portal, commits it as one object and writes a receipt.

pub(crate) mod key_set;
pub(crate) mod links;
mod page_error;
mod pages;
mod rows;
#[cfg(test)]
mod tests;
mod validator;

use jiff::Timestamp;

use crate::commit::{commit, commit_empty, head};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::rows::fetch_rows;
use crate::fetch::validator::FetchFacts;
use crate::file::edition::Edition;
use crate::file::stamp::Stamp;
use crate::keys;
use crate::ledger::json::write_json;
use crate::ledger::receipt::{ErrorFacts, Outcome, Receipt};
use crate::partition::PartitionKey;
use crate::ports::clock::Clock;
use crate::ports::portal::Portal;
use crate::ports::store::Store;

/// Facts about the run that apply to all its partitions.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Run name.
    pub run: String,
    /// Portal release that the run reads, if known.
    pub portal_release: Option<String>,
    /// Whether a partition may replace a fuller one.
    pub force: bool,
    /// Maximum number of pages of one partition that are fetched at once, if there is memory for them. With more pages
    /// than concurrent requests, requests stay in flight while received pages are decoded.
    pub pages_at_once: usize,
}

/// Fetches one partition, commits it and writes its receipt.
///
/// A failure is recorded in a receipt too, and then returned. Nothing is written under `data/` unless every check
/// passes.
///
/// # Errors
/// Any [`Error`] that concerns a partition; the receipt records its name.
pub async fn fetch_partition(
    portal: &impl Portal,
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
) -> Result<Receipt, Error> {
    let started_at = clock.now();
    match commit_partition(portal, store, dataset, partition, run).await {
        Ok(done) => {
            let facts = done.facts;
            tracing::info!(
                dataset = dataset.name,
                %partition,
                outcome = done.outcome.as_str(),
                n_rows = facts.n_rows,
                n_pages = facts.n_pages,
                n_unknown = facts.n_unknown,
                n_misfits = facts.n_misfits,
                "partition fetched"
            );
            let receipt = Receipt {
                partition: partition.clone(),
                outcome: done.outcome,
                error: None,
                n_rows: facts.n_rows,
                n_pages: facts.n_pages,
                edition: done.edition,
                portal_release: run.portal_release.clone(),
                size_bytes: done.size_bytes,
                n_unknown: facts.n_unknown,
                unknown_fields: facts.unknown_fields.into_names(),
                n_misfits: facts.n_misfits,
                started_at,
                finished_at: clock.now(),
            };
            write_receipt(store, dataset, run, &receipt).await?;
            Ok(receipt)
        }
        // An interrupted fetch writes no receipt: the partition is reported as not tried when the run ends.
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => Err(record_failure(store, clock, dataset, partition, run, started_at, error).await),
    }
}

/// Writes the receipt of a failed partition and returns `error`. A failure to write the receipt is only logged.
pub async fn record_failure(
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
    started_at: Timestamp,
    error: Error,
) -> Error {
    tracing::warn!(dataset = dataset.name, %partition, error = error.name(), "partition failed");
    let receipt = Receipt {
        portal_release: run.portal_release.clone(),
        ..Receipt::without_rows(partition.clone(), Some(ErrorFacts::from(&error)), started_at, clock.now())
    };
    if let Err(unrecorded) = write_receipt(store, dataset, run, &receipt).await {
        tracing::error!(%partition, error = unrecorded.chain(), "failure not recorded");
    }
    error
}

async fn write_receipt(store: &impl Store, dataset: &Dataset, run: &RunFacts, receipt: &Receipt) -> Result<(), Error> {
    write_json(store, &keys::receipt(dataset, &run.run, &receipt.partition), receipt).await?;
    tracing::debug!(partition = %receipt.partition, "receipt written");
    Ok(())
}

/// A committed partition.
struct Done {
    outcome: Outcome,
    facts: FetchFacts,
    edition: Option<Edition>,
    size_bytes: Option<u64>,
}

async fn commit_partition(
    portal: &impl Portal,
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
) -> Result<Done, Error> {
    let key = keys::partition_object(dataset, partition);
    let before = head(store, partition, &key).await?;
    // The room is held until the file is committed.
    let mut room = portal.partition_memory().room();
    let (facts, fetched) = fetch_rows(portal, dataset, partition, run.pages_at_once, &mut room).await?;
    let Some((encoded, fetched_at)) = fetched else {
        commit_empty(store, partition, &key, before, run.force).await?;
        return Ok(Done { outcome: Outcome::Empty, facts, edition: None, size_bytes: None });
    };
    let stamp = Stamp {
        edition: encoded.edition,
        partition: Some(partition.to_string()),
        n_rows: encoded.n_rows,
        fetched_at,
        run: Some(run.run.clone()),
    };
    let (outcome, size_bytes) = commit(store, partition, &key, before, &encoded, &stamp, run.force).await?;
    Ok(Done { outcome, facts, edition: Some(encoded.edition), size_bytes: Some(size_bytes) })
}
