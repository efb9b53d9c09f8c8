//! The planner step. From the request, the portal's lists and the contents of the lake, it builds the exact list of
//! partitions to fetch.

mod candidates;
mod drift;
mod expand;
pub mod release;
mod stale;
#[cfg(test)]
mod tests;
pub mod years;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::dataset::{Axis, Dataset};
use crate::error::{Error, chain};
use crate::ledger::plan::{PlanItem, Reason};
use crate::metadata::ENDPOINTS_PATH;
use crate::partition::PartitionKey;
use crate::plan::candidates::{failed, failed_in_run, missing};
use crate::plan::drift::drift_warning;
use crate::plan::expand::{check_unlisted, expand, named_and_unlisted, resolve_latest};
use crate::plan::release::newest_release;
use crate::plan::stale::{Known, UpToDate};
use crate::plan::years::listed_endpoint;
use crate::ports::portal::Portal;
use crate::ports::store::Store;
use crate::request::{AxisSelection, Mode, Request, Selection};

/// What a run will fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Partitions, newest year first, then in the descriptor's order.
    pub items: Vec<PlanItem>,
    /// One message per check that could not be performed.
    pub warnings: Vec<String>,
    /// The portal's latest release, if known.
    pub portal_release: Option<String>,
}

/// Plans a run. Writes nothing.
///
/// - `now`: the current time.
///
/// # Errors
/// [`Error::InvalidRequest`] with every requested year that the portal does not list, or for a `failed_of` run that does
/// not exist; [`Error::YearsUnknown`] if all years are requested and the list cannot be read; [`Error::StoreFailed`].
pub async fn plan_partitions(
    portal: &impl Portal,
    store: &impl Store,
    dataset: &Dataset,
    request: &Request,
    now: Timestamp,
) -> Result<Plan, Error> {
    if let Some(run) = &request.failed_of {
        // The years were checked when that run was planned.
        let named = request.selection.narrow(dataset, failed_in_run(store, dataset, run).await?);
        let portal_release = newest_release(portal).await;
        return Ok(Plan { items: with_reason(named, Reason::Failed), warnings: Vec::new(), portal_release });
    }
    let mut warnings = Vec::new();
    let has_years = dataset.axes.iter().any(Axis::is_year);
    let listed = match listed_endpoint(portal, dataset).await {
        Ok(listed) => {
            if let Some(endpoint) = &listed.endpoint {
                warnings.extend(drift_warning(portal, dataset, endpoint).await);
            }
            Some(listed.years)
        }
        Err(error) if !has_years => {
            tracing::debug!(dataset = dataset.name, error = chain(&error), "endpoint not listed");
            None
        }
        Err(error) if needs_the_list_of_years(dataset, &request.selection) => {
            tracing::warn!(dataset = dataset.name, error = chain(&error), "years not listed");
            return Err(Error::YearsUnknown {
                dataset: dataset.name.clone(),
                path: ENDPOINTS_PATH.to_owned(),
                source: error,
            });
        }
        Err(error) => {
            warnings.push(format!(
                "years of `{}` were not checked against the portal's list: {}",
                dataset.name,
                chain(&error)
            ));
            None
        }
    };
    // If the portal could not list its endpoints, do not request another list.
    let portal_release = match listed {
        Some(_) => newest_release(portal).await,
        None => None,
    };
    let selection = resolve_latest(&request.selection, listed.as_ref());
    let items = match request.mode {
        Mode::All => with_reason(expand(dataset, &selection, listed.as_ref())?, Reason::Requested),
        Mode::Missing => {
            let named = expand(dataset, &selection, listed.as_ref())?;
            with_reason(missing(store, dataset, named, portal_release.as_deref()).await?, Reason::Missing)
        }
        Mode::Failed => {
            let named = expand(dataset, &selection, listed.as_ref())?;
            with_reason(failed(store, dataset, named).await?, Reason::Failed)
        }
        Mode::Stale => {
            let release = portal_release.as_deref();
            if release.is_none() {
                warnings.push(format!(
                    "the portal's latest release could not be read, so every partition of `{}` counts as stale",
                    dataset.name
                ));
            }
            let since = now - SignedDuration::from_hours(24 * i64::from(request.refresh_after_days));
            let up_to_date = UpToDate { release, since };
            if is_open_ended(&selection) {
                check_unlisted(dataset, named_and_unlisted(dataset, &selection, listed.as_ref()), listed.as_ref())?;
                let known = Known::read(store, dataset).await?;
                let mut items = known.stale(dataset, known.select(dataset, &selection), up_to_date);
                warnings.extend(remove_unlisted(dataset, &mut items, listed.as_ref()));
                items
            } else {
                let named = expand(dataset, &selection, listed.as_ref())?;
                Known::read(store, dataset).await?.stale(dataset, named, up_to_date)
            }
        }
    };
    Ok(Plan { items, warnings, portal_release })
}

/// Returns whether the partitions of a selection depend on the contents of the lake.
fn is_open_ended(selection: &Selection) -> bool {
    matches!(selection, Selection::Axes(axes) if axes.contains(&AxisSelection::Any))
}

/// Removes the partitions whose year the portal does not list. Returns a warning that names them.
fn remove_unlisted(dataset: &Dataset, items: &mut Vec<PlanItem>, listed: Option<&BTreeSet<i32>>) -> Option<String> {
    let is_listed = |item: &PlanItem| match (dataset.year(&item.partition), listed) {
        (Some(year), Some(listed)) => listed.contains(&year),
        _ => true,
    };
    let unlisted: Vec<String> =
        items.iter().filter(|item| !is_listed(item)).map(|item| item.partition.to_string()).collect();
    items.retain(is_listed);
    (!unlisted.is_empty()).then(|| {
        format!("stale, but not fetched again because the portal does not list their years: {}", unlisted.join(", "))
    })
}

fn with_reason(partitions: Vec<PartitionKey>, reason: Reason) -> Vec<PlanItem> {
    partitions.into_iter().map(|partition| PlanItem { partition, reason }).collect()
}

/// Returns whether only the portal's list says which years a selection means: all of them, or the latest.
fn needs_the_list_of_years(dataset: &Dataset, selection: &Selection) -> bool {
    let Selection::Axes(axes) = selection else { return false };
    dataset.axes.iter().zip(axes).any(|(axis, selection)| match selection {
        AxisSelection::All => axis.is_year(),
        AxisSelection::Latest(_) => true,
        AxisSelection::Any | AxisSelection::Values(_) => false,
    })
}
