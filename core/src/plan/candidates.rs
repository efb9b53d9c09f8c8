//! Selects partitions by mode: missing or failed.

use crate::dataset::Dataset;
use crate::error::Error;
use crate::ledger::plan::read_plan;
use crate::ledger::read_records::read_records;
use crate::ledger::receipt::Outcome;
use crate::ledger::records::Records;
use crate::ledger::run::{read_run, run_names, runs_meant};
use crate::ledger::survey::{Seen, survey};
use crate::partition::PartitionKey;
use crate::ports::store::Store;

/// Returns the partitions without a readable object.
///
/// A partition for which the portal had no rows is included only if the portal's release has changed since, or if one of
/// the two releases is unknown.
pub(super) async fn missing(
    store: &impl Store,
    dataset: &Dataset,
    named: Vec<PartitionKey>,
    portal_release: Option<&str>,
) -> Result<Vec<PartitionKey>, Error> {
    let records = read_records(store, dataset).await?;
    let survey = survey(store, dataset, &records).await?;
    let is_known_empty = |partition: &PartitionKey| {
        let attempt = records.get(partition).and_then(|record| record.last_attempt.as_ref());
        attempt.is_some_and(|attempt| {
            attempt.outcome == Outcome::Empty
                && portal_release.is_some()
                && attempt.portal_release.as_deref() == portal_release
        })
    };
    let is_missing = |partition: &PartitionKey| match survey.objects.get(partition) {
        Some(object) => !matches!(object.seen, Seen::Readable(_)),
        None => !is_known_empty(partition),
    };
    Ok(named.into_iter().filter(is_missing).collect())
}

/// Returns the partitions whose last attempt failed, or whose last run ended before trying them.
pub(super) async fn failed(
    store: &impl Store,
    dataset: &Dataset,
    named: Vec<PartitionKey>,
) -> Result<Vec<PartitionKey>, Error> {
    let records = read_records(store, dataset).await?;
    let is_failed = |partition: &PartitionKey| last_outcome(&records, partition).is_some_and(Outcome::is_open);
    Ok(named.into_iter().filter(is_failed).collect())
}

/// Returns the partitions of a run's plan that failed, were not tried or left no receipt, in the plan's order.
pub(super) async fn failed_in_run(
    store: &impl Store,
    dataset: &Dataset,
    run: &str,
) -> Result<Vec<PartitionKey>, Error> {
    let plan = read_plan(store, dataset, run).await?;
    let Some(plan) = plan else {
        let meant = runs_meant(&run_names(store, dataset).await?, run);
        let hint = meant.map_or_else(String::new, |meant| format!("\n    hint: {meant}"));
        return Err(Error::InvalidRequest {
            mistakes: vec![format!(
                "`failed_of`: expected a run of `{}`, found none named `{run}`{hint}",
                dataset.name
            )],
        });
    };
    let planned = plan.iter().filter_map(|item| dataset.arrange(&item.partition));
    let run = read_run(store, dataset, run).await?;
    let is_failed =
        |partition: &PartitionKey| run.receipts.get(partition).is_none_or(|receipt| receipt.outcome.is_open());
    Ok(planned.filter(is_failed).collect())
}

fn last_outcome(records: &Records, partition: &PartitionKey) -> Option<Outcome> {
    Some(records.get(partition)?.last_attempt.as_ref()?.outcome)
}
