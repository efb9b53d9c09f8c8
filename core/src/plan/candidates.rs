//! Selects partitions by mode: missing, failed, or stale.

use std::collections::{BTreeMap, BTreeSet};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::ledger::plan::{PlanItem, Reason, read_plan};
use crate::ledger::read_records::read_records;
use crate::ledger::receipt::Outcome;
use crate::ledger::records::{Records, staleness};
use crate::ledger::run::read_run;
use crate::ledger::survey::{Seen, survey};
use crate::partition::PartitionKey;
use crate::ports::store::Store;
use crate::request::Selection;

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

/// Returns the selected partitions whose object has a different schema or encoding, newest year first.
pub(super) async fn stale(
    store: &impl Store,
    dataset: &Dataset,
    selection: &Selection,
    listed: Option<&BTreeSet<i32>>,
    warnings: &mut Vec<String>,
) -> Result<Vec<PlanItem>, Error> {
    let records = read_records(store, dataset).await?;
    let survey = survey(store, dataset, &records).await?;
    let mut unlisted = BTreeSet::new();
    let is_listed = |partition: &PartitionKey| match (dataset.year(partition), listed) {
        (Some(year), Some(listed)) => listed.contains(&year),
        _ => true,
    };
    let stale: BTreeMap<PartitionKey, Reason> = survey
        .objects
        .into_iter()
        .filter_map(|(partition, object)| match object.seen {
            Seen::Readable(stamp) => Some((partition, staleness(&stamp.edition, dataset)?)),
            Seen::NotOurs | Seen::Unknown(_) => None,
        })
        .collect();
    let mut items = Vec::new();
    for partition in selection.narrow(dataset, stale.keys().cloned().collect()) {
        match stale.get(&partition) {
            Some(reason) if is_listed(&partition) => items.push(PlanItem { partition, reason: *reason }),
            _ => {
                unlisted.insert(partition.to_string());
            }
        }
    }
    items.sort_by_cached_key(|item| std::cmp::Reverse(item.partition.axes().first().map(|(_, value)| value.clone())));
    if !unlisted.is_empty() {
        let named: Vec<String> = unlisted.into_iter().collect();
        warnings.push(format!(
            "stale, but not fetched again because the portal does not list their years: {}",
            named.join(", ")
        ));
    }
    Ok(items)
}

/// Returns the partitions of a run's plan that failed, were not tried or left no receipt, in the plan's order.
pub(super) async fn failed_in_run(
    store: &impl Store,
    dataset: &Dataset,
    run: &str,
) -> Result<Vec<PartitionKey>, Error> {
    let plan = read_plan(store, dataset, run).await?;
    let Some(plan) = plan else {
        return Err(Error::InvalidRequest {
            mistakes: vec![format!("`failed_of`: expected a run of `{}`, found none named `{run}`", dataset.name)],
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
