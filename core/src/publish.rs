//! The catalog step. From the plan, the receipts and the objects, it updates the records and the catalog, reads the catalog
//! back, and writes the summary.
//!
//! Publishing converges from the objects: every partition with a readable object gets a catalog partition, whether or not
//! this run planned it. If a run dies between commit and publishing, the next one completes it.

pub mod converge;
mod history;
pub mod lookups;
pub mod planned_run;
pub mod prune_history;
pub mod repair;
mod summarize;
#[cfg(test)]
mod tests;

pub use converge::{CatalogChanges, converge};
pub use lookups::publish_lookups;
pub use planned_run::{PlannedRun, WithoutReceipt};
pub use prune_history::prune_history;
pub use repair::{Repaired, repair};

use futures::future::join;

use crate::dataset::Dataset;
use crate::error::{Error, chain};
use crate::history::refreshes::record_refreshes;
use crate::keys;
use crate::ledger::json::replace_json;
use crate::ledger::read_records::read_stored;
use crate::ledger::receipt::Receipt;
use crate::ledger::records::{Records, stale_partitions};
use crate::ledger::run::{RunReceipts, read_run};
use crate::ledger::summary::Summary;
use crate::ledger::survey::{Seen, Survey, survey};
use crate::ledger::update_records::update_records;
use crate::ports::catalog::Catalog;
use crate::ports::clock::Clock;
use crate::ports::store::{Condition, Put, Store, StoreError};
use crate::publish::converge::read_back;
use crate::publish::history::publish_history;
use crate::publish::summarize::{complete, summarize};

/// Maximum number of conditional writes of a summary.
const MAX_SUMMARY_TRIES: u32 = 8;

/// What adds partitions to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registrar {
    /// The catalog step.
    Publisher,
    /// A crawler, which ran before the catalog step. A partition that it missed is an error.
    Crawler,
}

/// Publishes a run's partitions and writes its summary.
///
/// Writes the records first, then the summary, which contains all receipts, and then deletes the receipts' own objects. If
/// it is killed in between, publishing the run again completes it. If two processes publish the same run at once, the
/// slower one includes the other's summary.
///
/// # Errors
/// - [`Error::CatalogFailed`], including the case in which the catalog does not read back as written.
/// - [`Error::StoreFailed`], including the case in which an object that the run committed cannot be inspected.
///   Everything else is published first.
/// - [`Error::WriteConflict`] if other writers change the records or the summary on every try.
pub async fn publish_partitions(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    registrar: Registrar,
) -> Result<Summary, Error> {
    let run_receipts = read_run(store, dataset, planned.name).await?;
    publish_receipts(store, catalog, clock, dataset, planned, run_receipts, registrar).await
}

/// Registers the objects that a run has committed so far, so that they can be queried while it goes on. Neither the ledger
/// nor the history is changed: [`publish_partitions`] does that at the end.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`].
pub async fn register_committed(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    run: &str,
) -> Result<CatalogChanges, Error> {
    let stored = read_stored(store, dataset).await?;
    let survey = survey(store, dataset, &stored.records).await?;
    let lookups = publish_lookups(store, catalog, clock.now(), run);
    both(converge(store, catalog, dataset, &survey), lookups).await
}

/// Awaits both even if one fails, because a write to a folder ends whether it is awaited or not.
async fn both<T>(
    table: impl Future<Output = Result<T, Error>>,
    lookups: impl Future<Output = Result<(), Error>>,
) -> Result<T, Error> {
    let (table, lookups) = join(table, lookups).await;
    let result = table?;
    lookups?;
    Ok(result)
}

/// Does the same as [`publish_partitions`] for a run whose receipts are already read.
///
/// - `run_receipts`: from [`read_run`].
///
/// # Errors
/// Same as [`publish_partitions`].
pub async fn publish_receipts(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    mut run_receipts: RunReceipts,
    registrar: Registrar,
) -> Result<Summary, Error> {
    let run = planned.name;
    let key = keys::summary(dataset, run);
    let mut published = planned.registered;
    for tries in 0..MAX_SUMMARY_TRIES {
        tracing::debug!(run, "publishing started");
        let (survey, records) = survey_and_record(store, clock, dataset, planned, &mut run_receipts).await?;
        let tables = async {
            let CatalogChanges { n_put, n_removed } = match registrar {
                Registrar::Publisher => converge(store, catalog, dataset, &survey).await?,
                Registrar::Crawler => read_back(catalog, dataset, &survey).await?,
            };
            published.n_put += n_put;
            published.n_removed += n_removed;
            tracing::debug!(run, n_put, n_removed, "partitions published");
            publish_history(store, catalog, dataset, &survey, clock.now(), run).await
        };
        let lookups = async {
            match tries {
                0 => publish_lookups(store, catalog, clock.now(), run).await,
                _ => Ok(()),
            }
        };
        both(tables, lookups).await?;
        let mut summary = summarize(dataset, planned, run_receipts.receipts, clock.now());
        summary.n_published = published.n_put;
        summary.n_withdrawn = published.n_removed;
        summary.unreadable = survey.unreadable();
        summary.stale = stale_partitions(&records, dataset);
        let condition = run_receipts.condition.unwrap_or(Condition::Absent);
        if replace_json(store, &key, &summary, &condition).await? != Put::Lost {
            tracing::debug!(run, "summary written");
            // A receipt that is not deleted does no harm: the summary contains it too.
            if let Err(error) = store.delete(run_receipts.keys).await {
                tracing::warn!(run, error = chain(&error), "receipts not deleted");
            }
            return check_inspected(dataset, &summary, &survey).map(|()| summary);
        }
        run_receipts = read_run(store, dataset, run).await?;
    }
    Err(Error::WriteConflict { key, tries: MAX_SUMMARY_TRIES })
}

/// Returns an error if an object that the run may have committed could not be inspected. Everything else is published by
/// then, and publishing the run again inspects the object again.
fn check_inspected(dataset: &Dataset, summary: &Summary, survey: &Survey) -> Result<(), Error> {
    let committed = summary.receipts.iter().filter(|receipt| receipt.may_be_committed());
    let mut unknown = committed.filter_map(|Receipt { partition, .. }| match &survey.objects.get(partition)?.seen {
        Seen::Unknown(why) => Some((partition, why)),
        Seen::Readable(_) | Seen::NotOurs => None,
    });
    match unknown.next() {
        None => Ok(()),
        Some((partition, why)) => {
            let message = "inspect the object that the run committed".to_owned();
            let source = StoreError { message, source: why.clone().into() };
            Err(Error::store_failed("read", &keys::partition_object(dataset, partition), source))
        }
    }
}

/// Surveys the objects, and updates the records from them and from the run's receipts.
async fn survey_and_record(
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    run_receipts: &mut RunReceipts,
) -> Result<(Survey, Records), Error> {
    let run = planned.name;
    let n_receipts = run_receipts.receipts.len();
    complete(&mut run_receipts.receipts, dataset, planned, clock.now());
    tracing::debug!(run, n_receipts, "receipts read");
    let stored = read_stored(store, dataset).await?;
    let survey = survey(store, dataset, &stored.records).await?;
    record_refreshes(store, dataset, run_receipts.receipts.values(), planned.started_at).await?;
    let (records, n_records) =
        update_records(store, dataset, stored, &survey, run, &run_receipts.receipts, clock.now()).await?;
    tracing::debug!(run, n_records, "records written");
    Ok((survey, records))
}
