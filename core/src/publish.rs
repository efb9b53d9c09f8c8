//! The catalog step: plan + receipts + objects → records and catalog partitions, read back → summary.
//!
//! It converges from the objects: every partition of the dataset that has a readable one gets its catalog partition,
//! whether this run planned it or not, so a run that died between commit and publish is completed by the next.

pub mod converge;
pub mod lookups;
pub mod planned_run;
pub mod repair;
mod summarize;
#[cfg(test)]
mod tests;

pub use converge::{CatalogChanges, converge};
pub use lookups::publish_lookups;
pub use planned_run::PlannedRun;
pub use repair::{Repaired, repair};

use crate::dataset::Dataset;
use crate::error::{Error, chain};
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
use crate::publish::summarize::{complete, summarize};

/// Conditional writes of one summary.
const SUMMARY_TRIES: u32 = 8;

/// Who adds partitions to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registrar {
    /// This step.
    Publisher,
    /// A crawler did, before this step: what it left out is an error.
    Crawler,
}

/// Publishes a run's partitions and writes its summary.
///
/// The records come first, then the summary, which holds all receipts; then the receipts' own objects are deleted. Whatever
/// is killed in between is found by whoever publishes the run again. Where two publish it at once, the slower one takes over
/// what the other summed up.
///
/// # Errors
/// [`Error::CatalogFailed`], also when the catalog does not read back as written; [`Error::StoreFailed`], also when an object
/// that the run committed cannot be looked at, which keeps nothing else from being published; [`Error::WriteConflict`] when others are faster every time.
pub async fn publish_partitions(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    registrar: Registrar,
) -> Result<Summary, Error> {
    let left = read_run(store, dataset, planned.name).await?;
    publish_receipts(store, catalog, clock, dataset, planned, left, registrar).await
}

/// The same of a run whose receipts were read.
///
/// - `left`: what [`read_run`] gave.
///
/// # Errors
/// Those of [`publish_partitions`].
pub async fn publish_receipts(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    mut left: RunReceipts,
    registrar: Registrar,
) -> Result<Summary, Error> {
    let run = planned.name;
    let key = keys::summary(dataset, run);
    let mut published = CatalogChanges::default();
    for tries in 0..SUMMARY_TRIES {
        tracing::debug!(run, "publishing begun");
        let (survey, records) = take_stock(store, clock, dataset, planned, &mut left).await?;
        let changed = match registrar {
            Registrar::Publisher => converge(store, catalog, dataset, &survey).await?,
            Registrar::Crawler => read_back(catalog, dataset, &survey).await?,
        };
        published.n_put += changed.n_put;
        published.n_removed += changed.n_removed;
        tracing::debug!(run, n_put = changed.n_put, n_removed = changed.n_removed, "partitions published");
        if tries == 0 {
            publish_lookups(store, catalog, clock.now(), run).await?;
        }
        let mut summary = summarize(dataset, planned, left.receipts, clock.now());
        summary.n_published = published.n_put;
        summary.n_withdrawn = published.n_removed;
        summary.unreadable = survey.unreadable();
        summary.stale = stale_partitions(&records, dataset);
        let condition = left.condition.unwrap_or(Condition::Absent);
        if replace_json(store, &key, &summary, &condition).await? != Put::Lost {
            tracing::debug!(run, "summary written");
            // A receipt that stays is no harm: it is in the summary too.
            if let Err(error) = store.delete(left.keys).await {
                tracing::warn!(run, error = chain(&error), "receipts not deleted");
            }
            return check_seen(dataset, &summary, &survey).map(|()| summary);
        }
        left = read_run(store, dataset, run).await?;
    }
    Err(Error::WriteConflict { key, tries: SUMMARY_TRIES })
}

/// An object that the run may have committed and that could not be looked at is not published as it is: whoever publishes
/// the run again looks once more. Everything else is published by then.
fn check_seen(dataset: &Dataset, summary: &Summary, survey: &Survey) -> Result<(), Error> {
    let committed = summary.receipts.iter().filter(|receipt| receipt.may_be_committed());
    let unseen = committed.filter_map(|Receipt { partition, .. }| match &survey.objects.get(partition)?.seen {
        Seen::Unknown(why) => Some((partition, why)),
        Seen::Readable(_) | Seen::NotOurs => None,
    });
    match unseen.into_iter().next() {
        None => Ok(()),
        Some((partition, why)) => {
            let message = "expected what the run committed, to publish it".to_owned();
            let source = StoreError { message, source: why.clone().into() };
            Err(Error::store_failed("read", &keys::partition_object(dataset, partition), source))
        }
    }
}

/// What objects there are, and the records once they say that and what the run left.
async fn take_stock(
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    left: &mut RunReceipts,
) -> Result<(Survey, Records), Error> {
    let run = planned.name;
    let n_left = left.receipts.len();
    complete(&mut left.receipts, dataset, planned, clock.now());
    tracing::debug!(run, n_left, "receipts read");
    let stored = read_stored(store, dataset).await?;
    let survey = survey(store, dataset, &stored.records).await?;
    let (records, n_records) =
        update_records(store, dataset, stored, &survey, run, &left.receipts, clock.now()).await?;
    tracing::debug!(run, n_records, "records written");
    Ok((survey, records))
}
