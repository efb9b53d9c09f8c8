//! The planner step: request × what the portal lists × what the lake holds → the exact list of partitions to fetch.

mod candidates;
mod expand;
mod portal_list;
mod release;
#[cfg(test)]
mod tests;
pub mod years;

use crate::dataset::{AxisKind, Dataset};
use crate::error::{Error, chain};
use crate::ledger::plan::{PlanItem, Reason};
use crate::partition::PartitionKey;
use crate::plan::candidates::{failed, failed_of, missing, stale};
use crate::plan::expand::{check_unlisted, expand, named_and_unlisted};
use crate::plan::release::newest_release;
use crate::plan::years::{ENDPOINTS_PATH, listed_years};
use crate::ports::portal::Portal;
use crate::ports::store::Store;
use crate::request::{AxisSelection, Mode, Request, Selection};

/// What a run will fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Partitions, newest year first, then in the descriptor's order.
    pub items: Vec<PlanItem>,
    /// What could not be checked, a sentence each.
    pub warnings: Vec<String>,
    /// The portal's newest release, where it says.
    pub portal_release: Option<String>,
}

/// Plans a run. Changes nothing.
///
/// # Errors
/// [`Error::InvalidRequest`] naming every year or grade that the portal does not list; [`Error::YearsUnknown`] when all
/// years are asked for and the list cannot be read; [`Error::StoreFailed`] when the lake does not answer.
pub async fn plan_partitions(
    portal: &impl Portal,
    store: &impl Store,
    dataset: &Dataset,
    request: &Request,
) -> Result<Plan, Error> {
    if let Some(run) = &request.failed_of {
        // Its years were checked when that run was planned.
        let named = request.selection.narrow(dataset, failed_of(store, dataset, run).await?);
        let portal_release = newest_release(portal).await;
        return Ok(Plan { items: with_reason(named, Reason::Failed), warnings: Vec::new(), portal_release });
    }
    let mut warnings = Vec::new();
    let listed = match listed_years(portal, dataset).await {
        Ok(years) => Some(years),
        Err(error) if asks_for_all_years(dataset, request) => {
            tracing::warn!(dataset = dataset.name, error = chain(&error), "years unknown");
            return Err(Error::YearsUnknown {
                dataset: dataset.name.clone(),
                path: ENDPOINTS_PATH.to_owned(),
                source: error,
            });
        }
        Err(error) => {
            warnings.push(format!(
                "years of `{}` are not checked against the portal's list: {}",
                dataset.name,
                chain(&error)
            ));
            None
        }
    };
    // A portal that could not list its endpoints is not asked for more than the data.
    let portal_release = match listed {
        Some(_) => newest_release(portal).await,
        None => None,
    };
    let items = match request.mode {
        Mode::Stale if is_open_ended(&request.selection) => {
            check_unlisted(dataset, named_and_unlisted(&request.selection, listed.as_ref()), listed.as_ref())?;
            stale(store, dataset, &request.selection, listed.as_ref(), &mut warnings).await?
        }
        mode => {
            let named = expand(dataset, request, listed.as_ref())?;
            match mode {
                Mode::All => with_reason(named, Reason::Requested),
                Mode::Missing => {
                    with_reason(missing(store, dataset, named, portal_release.as_deref()).await?, Reason::Missing)
                }
                Mode::Failed => with_reason(failed(store, dataset, named).await?, Reason::Failed),
                Mode::Stale => {
                    let named = Selection::Partitions(named);
                    stale(store, dataset, &named, None, &mut warnings).await?
                }
            }
        }
    };
    Ok(Plan { items, warnings, portal_release })
}

/// Whether a selection leaves it to the lake which partitions there are.
fn is_open_ended(selection: &Selection) -> bool {
    matches!(selection, Selection::Axes(axes) if axes.contains(&AxisSelection::Any))
}

fn with_reason(partitions: Vec<PartitionKey>, reason: Reason) -> Vec<PlanItem> {
    partitions.into_iter().map(|partition| PlanItem { partition, reason }).collect()
}

fn asks_for_all_years(dataset: &Dataset, request: &Request) -> bool {
    match &request.selection {
        Selection::Axes(axes) => dataset
            .axes
            .iter()
            .zip(axes)
            .any(|(axis, selection)| axis.kind == AxisKind::Int && *selection == AxisSelection::All),
        Selection::Partitions(_) => false,
    }
}
