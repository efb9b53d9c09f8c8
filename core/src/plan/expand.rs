//! Expands a request into partitions: every combination of its axis values.

use std::collections::BTreeSet;

use crate::dataset::partitions::plural;
use crate::dataset::years::describe_years;
use crate::dataset::{Axis, Dataset};
use crate::error::Error;
use crate::partition::{AxisValue, PartitionKey};
use crate::request::size::check_size;
use crate::request::{AxisSelection, Selection};

/// Returns the years that a selection names one by one but the portal does not list.
pub(super) fn named_and_unlisted(
    dataset: &Dataset,
    selection: &Selection,
    listed: Option<&BTreeSet<i32>>,
) -> BTreeSet<i32> {
    let (Selection::Axes(axes), Some(listed)) = (selection, listed) else { return BTreeSet::new() };
    let named = dataset.axes.iter().zip(axes).flat_map(|(axis, selection)| match selection {
        AxisSelection::Values(values) if axis.is_year() => values.as_slice(),
        _ => &[],
    });
    let years = named.filter_map(|value| match value {
        AxisValue::Int(year) => Some(*year),
        AxisValue::Text(_) => None,
    });
    years.filter(|year| !listed.contains(year)).collect()
}

/// Replaces the latest years of a selection with the newest that the portal lists.
pub(super) fn resolve_latest(selection: &Selection, listed: Option<&BTreeSet<i32>>) -> Selection {
    let mut selection = selection.clone();
    if let Selection::Axes(axes) = &mut selection {
        for axis in axes {
            if let AxisSelection::Latest(n) = axis {
                let newest = listed.into_iter().flatten().rev().take(*n);
                *axis = AxisSelection::Values(newest.map(|year| AxisValue::Int(*year)).collect());
            }
        }
    }
    selection
}

/// Returns every partition that the selection names, each once, newest year first.
pub(super) fn expand(
    dataset: &Dataset,
    selection: &Selection,
    listed: Option<&BTreeSet<i32>>,
) -> Result<Vec<PartitionKey>, Error> {
    let partitions = match selection {
        Selection::Partitions(partitions) => {
            let years: BTreeSet<i32> = partitions.iter().filter_map(|partition| dataset.year(partition)).collect();
            let unlisted = years.into_iter().filter(|year| listed.is_some_and(|listed| !listed.contains(year)));
            check_unlisted(dataset, unlisted.collect(), listed)?;
            partitions.clone()
        }
        Selection::Axes(axes) => {
            let values: Vec<Vec<AxisValue>> =
                dataset.axes.iter().zip(axes).map(|(axis, selection)| axis_values(axis, selection, listed)).collect();
            check_unlisted(dataset, named_and_unlisted(dataset, selection, listed), listed)?;
            check_size(dataset, &values.iter().map(Vec::len).collect::<Vec<_>>())?;
            let mut combinations = vec![Vec::new()];
            for (axis, values) in dataset.axes.iter().zip(&values) {
                combinations = combinations
                    .iter()
                    .flat_map(|earlier: &Vec<(String, AxisValue)>| {
                        values.iter().map(|value| {
                            let mut combination = earlier.clone();
                            combination.push((axis.name.clone(), value.clone()));
                            combination
                        })
                    })
                    .collect();
            }
            combinations.into_iter().map(PartitionKey::new).collect()
        }
    };
    Ok(partitions)
}

/// Returns an error if any year is unlisted.
pub(super) fn check_unlisted(
    dataset: &Dataset,
    unlisted: BTreeSet<i32>,
    listed: Option<&BTreeSet<i32>>,
) -> Result<(), Error> {
    if unlisted.is_empty() {
        return Ok(());
    }
    let field = dataset.axes.iter().find(|axis| axis.is_year()).map_or_else(String::new, plural);
    let listed = describe_years(listed.into_iter().flatten().copied());
    let mistakes = vec![format!(
        "`{field}`: expected years that the portal lists for `{}` ({listed}), found {}",
        dataset.name,
        describe_years(unlisted.into_iter())
    )];
    Err(Error::InvalidRequest { mistakes })
}

/// Returns the selected values of an axis. `listed` contains the years that the portal lists.
fn axis_values(axis: &Axis, selection: &AxisSelection, listed: Option<&BTreeSet<i32>>) -> Vec<AxisValue> {
    let mut values: Vec<AxisValue> = match selection {
        AxisSelection::Values(values) => values.clone(),
        // A run's failed partitions come from that run's plan. The latest years are values by now.
        AxisSelection::Any | AxisSelection::Latest(_) => Vec::new(),
        AxisSelection::All if axis.is_year() => {
            listed.into_iter().flatten().map(|year| AxisValue::Int(*year)).collect()
        }
        AxisSelection::All => axis
            .values
            .iter()
            .filter(|coded| axis.total.as_ref() != Some(&coded.value))
            .filter_map(|coded| axis.parse_value(&coded.value))
            .collect(),
    };
    if axis.is_year() {
        // Newest first: those are the years that users wait for.
        values.sort_unstable_by(|a, b| b.cmp(a));
    }
    values
}
