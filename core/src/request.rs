//! What a run is asked for: one JSON schema for the scheduler, the console and the command line.

mod axis;
mod check;
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
use crate::request::fields::{fields_of, given};
use crate::request::words::describe;

/// Dataset of a request that names none.
pub const DEFAULT_DATASET: &str = "ccd_enrollment";

/// A checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which partitions.
    pub selection: Selection,
    /// Which of them to fetch.
    pub mode: Mode,
    /// The run whose failed partitions `failed` means; any run's last attempt where there is none.
    pub failed_of: Option<String>,
    /// Whether a partition may replace a fuller one.
    pub force: bool,
    /// How partitions become visible to queries.
    pub catalog: CatalogMode,
}

/// Which partitions a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every combination of these, in the descriptor's axis order.
    Axes(Vec<AxisSelection>),
    /// Exactly these.
    Partitions(Vec<PartitionKey>),
}

/// Values of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AxisSelection {
    /// Whatever the run of `failed_of` planned, or whatever the lake holds that is stale, totals included.
    Any,
    /// Every value there is, but totals.
    All,
    /// These, each once.
    Values(Vec<AxisValue>),
}

impl Selection {
    /// Those of `planned` that this names, in their order: the plan of some run narrowed to what is asked for.
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
                        AxisSelection::Any => true,
                        AxisSelection::All => axis.total.as_ref().is_none_or(|total| value.to_string() != *total),
                        AxisSelection::Values(values) => values.contains(value),
                    }
                };
                let of_axes = |partition: &PartitionKey| {
                    dataset.axes.iter().zip(axes).all(|(axis, selection)| is_named(axis, selection, partition))
                };
                planned.into_iter().filter(of_axes).collect()
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
    /// Those without a readable object, unless the portal had no rows for them under its present release.
    Missing,
    /// Those whose last attempt failed, or whose last run ended before it tried them.
    Failed,
    /// Those whose object is of another schema or encoding than a run would write today.
    Stale,
}

/// How partitions become visible to queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogMode {
    /// The catalog step adds them.
    #[default]
    Partitions,
    /// A crawler finds them (on AWS).
    Crawler,
}

/// The name of the dataset that a request's JSON asks for.
///
/// # Errors
/// [`Error::InvalidRequest`] when the JSON is no request or the name is no text.
pub fn dataset_name(input: &Value) -> Result<String, Error> {
    let refuse = |mistake| Err(Error::InvalidRequest { mistakes: vec![mistake] });
    match given(fields_of(input)?, "dataset") {
        None => Ok(DEFAULT_DATASET.to_owned()),
        Some(Value::String(name)) => Ok(name.clone()),
        Some(other) => refuse(format!("`dataset`: expected a name, found {}", describe(other))),
    }
}

/// Whether a text can be a run's name: it becomes part of object keys.
#[must_use]
pub fn is_run_name(text: &str) -> bool {
    (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
