//! The page-fetch step: fetches one partition from the portal, commits it as one object and writes a receipt.

mod attempt;
mod from_pages;
mod kept_pages;
pub(crate) mod key_set;
pub(crate) mod links;
pub(crate) mod page_error;
mod page_rules;
mod pages;
mod rows;
mod run_facts;
#[cfg(test)]
mod tests;
mod validator;

use jiff::Timestamp;

use crate::cost::Metered;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::attempt::{AttemptEnd, attempt};
use crate::keys;
use crate::ledger::json::write_json;
use crate::ledger::receipt::{ErrorFacts, Receipt};
use crate::partition::PartitionKey;
use crate::ports::clock::Clock;
use crate::ports::portal::Portal;
use crate::ports::store::Store;

pub use crate::fetch::from_pages::{FromPages, Reencoded, Skipped, encode_kept_pages};
pub use crate::fetch::kept_pages::Progress;
pub use crate::fetch::run_facts::{Keep, RunFacts};

/// Target of the log's line about a failed fetch, for programs that say so in another way.
pub const FAILED_TARGET: &str = "rollcall_core::fetch::failed";

/// How a fetch ended without an error.
#[derive(Debug)]
pub enum Fetched {
    /// The partition was committed, or found unchanged or empty, and has a receipt.
    Finished(Receipt),
    /// There was no time left, but further pages were kept. The next fetch continues with them.
    Unfinished {
        /// How far it got.
        progress: Progress,
        /// [`Error::DeadlineExceeded`], for a caller that does not continue.
        error: Error,
        /// What the requests of the partition in this run have cost so far.
        cost: Metered,
    },
}

impl Fetched {
    /// Returns the receipt of a finished fetch.
    #[must_use]
    pub fn receipt(self) -> Option<Receipt> {
        match self {
            Self::Finished(receipt) => Some(receipt),
            Self::Unfinished { .. } => None,
        }
    }
}

/// Fetches one partition, commits it and writes its receipt.
///
/// A failure is recorded in a receipt too, and then returned. A fetch that runs out of time while it makes progress has no
/// receipt: call this again, with more time. Nothing is written under `data/` unless every check
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
) -> Result<Fetched, Error> {
    let started_at = clock.now();
    let (end, cost) = attempt(portal, store, dataset, partition, run, started_at).await;
    match end {
        Ok(AttemptEnd::Unfinished(progress, error)) => {
            tracing::info!(
                dataset = dataset.name, %partition, n_kept = progress.n_kept, n_pages = progress.n_pages,
                "no time left, partition to be continued"
            );
            Ok(Fetched::Unfinished { progress, error, cost })
        }
        Ok(AttemptEnd::Done(done)) => {
            let facts = done.facts;
            tracing::info!(
                dataset = dataset.name,
                %partition,
                outcome = done.outcome.as_str(),
                n_rows = facts.n_rows,
                n_pages = facts.n_pages,
                n_unknown = facts.n_unknown,
                n_misfits = facts.n_misfits,
                n_repeated_keys = facts.n_repeated_keys,
                n_empty_keys = facts.n_empty_keys,
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
                change: done.change,
                n_unknown: facts.n_unknown,
                unknown_fields: facts.unknown_fields.into_names(),
                n_misfits: facts.n_misfits,
                n_repeated_keys: facts.n_repeated_keys,
                n_empty_keys: facts.n_empty_keys,
                cost,
                started_at,
                finished_at: clock.now(),
            };
            write_receipt(store, dataset, run, &receipt).await?;
            Ok(Fetched::Finished(receipt))
        }
        // An interrupted fetch writes no receipt: the partition is reported as not tried when the run ends.
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => {
            let spent = Spent { started_at, cost };
            Err(record_failure(store, clock, dataset, partition, run, spent, error).await)
        }
    }
}

/// What a fetch has spent.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// When it started.
    pub started_at: Timestamp,
    /// What its requests cost.
    pub cost: Metered,
}

/// Writes the receipt of a failed partition and returns `error`. A failure to write the receipt is only logged.
pub async fn record_failure(
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
    spent: Spent,
    error: Error,
) -> Error {
    tracing::warn!(
        target: FAILED_TARGET, dataset = dataset.name, %partition, error = error.name(), "partition failed"
    );
    let receipt = Receipt {
        portal_release: run.portal_release.clone(),
        cost: spent.cost,
        ..Receipt::without_rows(partition.clone(), Some(ErrorFacts::from(&error)), spent.started_at, clock.now())
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
