//! What the user wants a run to fetch. The scheduler, the console and the command line share one JSON format.

mod axis;
mod check;
mod every_axis;
mod fields;
mod hints;
mod partitions;
pub mod size;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::{Axis, Dataset};
use crate::error::Error;
use crate::partition::{AxisValue, PartitionKey};
pub use crate::request::every_axis::with_every_axis;
pub use crate::request::fields::is_added_by_tool;
use crate::request::fields::{non_null, request_fields};
use crate::request::words::describe;

/// Default dataset for a request that does not name one.
pub const DEFAULT_DATASET: &str = "ccd_enrollment";

/// A valid request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The partitions that it names.
    pub selection: Selection,
    /// Which of them to fetch.
    pub mode: Mode,
    /// The run whose failed partitions to fetch. If `None`, mode `failed` goes by the last attempt in any run.
    pub failed_of: Option<String>,
    /// Whether a partition may replace one with more than twice as many rows or values.
    pub force: bool,
    /// Whether the pages of every partition stay in the lake after the commit.
    pub keep_pages: bool,
    /// In mode `stale`, the number of days after which a partition is refreshed even under the same release.
    pub refresh_after_days: u32,
    /// What adds partitions to the catalog.
    pub catalog: CatalogMode,
}

/// Default of [`Request::refresh_after_days`].
pub(crate) const REFRESH_AFTER_DAYS: u32 = 7;

/// Maximum of [`Request::refresh_after_days`]: ten years.
pub(crate) const MAX_REFRESH_AFTER_DAYS: u32 = 3_660;

impl Request {
    /// Checks what a run on a lake in a bucket cannot do.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if pages are to stay after the commit: only `repair --from-pages` reads them, and it
    /// needs a folder. Also if a crawler is to add partitions to a table that the template does not define.
    pub fn check_for_bucket(&self, dataset: &Dataset) -> Result<(), Error> {
        let mut mistakes = Vec::new();
        if self.keep_pages {
            mistakes.push(
                "`keep_pages`: expected a lake in a folder, found one in a bucket, where nothing can read the pages: \
                 `rollcall repair --from-pages` works on folders only"
                    .to_owned(),
            );
        }
        if self.catalog == CatalogMode::Crawler && dataset.name != DEFAULT_DATASET {
            mistakes.push(format!(
                "`catalog`: expected `partitions` for dataset `{}`, found `crawler`, which adds partitions only to the \
                 table of `{DEFAULT_DATASET}`",
                dataset.name
            ));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(Error::InvalidRequest { mistakes }) }
    }
}

/// The partitions that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every combination of these values, one entry per axis in the descriptor's order.
    Axes(Vec<AxisSelection>),
    /// Exactly these partitions.
    Partitions(Vec<PartitionKey>),
}

/// The selected values of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AxisSelection {
    /// Everything that the run in `failed_of` planned, or everything stale in the lake, including totals.
    Any,
    /// Every value except the total.
    All,
    /// The newest years that the portal lists: this many, at least one. Planning turns them into values.
    Latest(usize),
    /// These values, each once.
    Values(Vec<AxisValue>),
}

impl Selection {
    /// Returns the partitions of `planned` that this selection includes, in the order of `planned`.
    #[must_use]
    pub fn narrow(&self, dataset: &Dataset, planned: Vec<PartitionKey>) -> Vec<PartitionKey> {
        match self {
            Self::Partitions(partitions) => {
                let named: BTreeSet<&PartitionKey> = partitions.iter().collect();
                planned.into_iter().filter(|partition| named.contains(partition)).collect()
            }
            Self::Axes(axes) => {
                let is_named = |axis: &Axis, selection: &AxisSelection, partition: &PartitionKey| {
                    let Some(value) = partition.value(&axis.name) else { return false };
                    match selection {
                        // A request that names the latest years does not name a run.
                        AxisSelection::Any | AxisSelection::Latest(_) => true,
                        AxisSelection::All => axis.total.as_ref().is_none_or(|total| value.to_string() != *total),
                        AxisSelection::Values(values) => values.contains(value),
                    }
                };
                let is_named_by_all = |partition: &PartitionKey| {
                    dataset.axes.iter().zip(axes).all(|(axis, selection)| is_named(axis, selection, partition))
                };
                planned.into_iter().filter(is_named_by_all).collect()
            }
        }
    }
}

/// Which of the named partitions to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// All of them.
    #[default]
    All,
    /// Those without a readable object, unless the portal had no rows for them in its current release.
    Missing,
    /// Those whose last attempt failed, or whose last run ended before trying them.
    Failed,
    /// Those that a run would have reason to refresh: they are missing, failed or were not tried, have a different schema
    /// or encoding from what a run would write today, or were not refreshed under the portal's latest release, or not for
    /// [`Request::refresh_after_days`].
    Stale,
}

/// What adds partitions to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogMode {
    /// The catalog step.
    #[default]
    Partitions,
    /// A crawler (on AWS).
    Crawler,
}

/// Returns the name of the dataset that a request's JSON asks for.
///
/// # Errors
/// [`Error::InvalidRequest`] if the JSON is not a request, or the name is not a string.
pub fn dataset_name(input: &Value) -> Result<String, Error> {
    let refuse = |mistake| Err(Error::InvalidRequest { mistakes: vec![mistake] });
    match non_null(request_fields(input)?, "dataset") {
        None => Ok(DEFAULT_DATASET.to_owned()),
        Some(Value::String(name)) => Ok(name.clone()),
        Some(other) => refuse(format!("`dataset`: expected a name, found {}", describe(other))),
    }
}

/// Returns whether a string can be a run name, which becomes part of object keys.
#[must_use]
pub fn is_run_name(text: &str) -> bool {
    (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
