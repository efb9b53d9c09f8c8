//! The figures of a dataset, added up by year, by the value of its last axis, and by state.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::dataset::{Axis, Dataset};
use rollcall_core::figures::{FigureColumns, Figures, Tally};
use rollcall_core::partition::{AxisValue, PartitionKey};

use crate::status::grid::position;

/// The figures of a dataset. Partitions that are totals over others are in `totals` alone.
pub(super) struct Series {
    pub(super) years: Vec<i32>,
    /// Values of the last axis in the descriptor's order; a single empty one if the year is the only axis.
    pub(super) values: Vec<String>,
    pub(super) by_value: BTreeMap<(String, i32), Tally>,
    pub(super) by_state: BTreeMap<(Option<i64>, i32), Tally>,
    pub(super) totals: BTreeMap<i32, Tally>,
    /// Whether the numbers are students rather than rows.
    pub(super) is_enrollment: bool,
}

impl Series {
    pub(super) fn new(dataset: &Dataset, columns: &FigureColumns, figures: &BTreeMap<PartitionKey, Figures>) -> Self {
        let last = dataset.axes.last().filter(|axis| !axis.is_year());
        let mut series = Self {
            years: Vec::new(),
            values: Vec::new(),
            by_value: BTreeMap::new(),
            by_state: BTreeMap::new(),
            totals: BTreeMap::new(),
            is_enrollment: columns.is_enrollment,
        };
        let (mut years, mut values) = (BTreeSet::new(), BTreeSet::new());
        for (partition, figures) in figures {
            let Some(year) = year(partition) else { continue };
            years.insert(year);
            if is_total(dataset, partition) {
                figures.by_state.values().for_each(|tally| *series.totals.entry(year).or_default() += *tally);
                continue;
            }
            let value = last.and_then(|axis| partition.value(&axis.name));
            let value = value.map(ToString::to_string).unwrap_or_default();
            for (state, tally) in &figures.by_state {
                *series.by_value.entry((value.clone(), year)).or_default() += *tally;
                *series.by_state.entry((*state, year)).or_default() += *tally;
            }
            values.insert(value);
        }
        series.years = years.into_iter().collect();
        series.values = values.into_iter().collect();
        series.values.sort_by_key(|value| last.map(|axis| position(axis, &AxisValue::Text(value.clone()))));
        series
    }

    /// Returns what the charts show of a tally: students, or rows. `None` if there are none.
    pub(super) fn number(&self, tally: &Tally) -> Option<i64> {
        if self.is_enrollment {
            (tally.n_values > 0).then_some(tally.sum)
        } else {
            i64::try_from(tally.n_rows).ok().filter(|n_rows| *n_rows > 0)
        }
    }

    /// Returns what the numbers count.
    pub(super) fn unit(&self) -> &'static str {
        if self.is_enrollment { "students" } else { "rows" }
    }

    /// Returns the numbers of some values of the last axis together, by year.
    pub(super) fn of_values<'v>(&self, values: impl Iterator<Item = &'v String> + Clone) -> Vec<Option<i64>> {
        let of_year = |year: &i32| {
            let tallies = values.clone().filter_map(|value| self.by_value.get(&(value.clone(), *year)));
            tallies.filter_map(|tally| self.number(tally)).reduce(|sum, number| sum + number)
        };
        self.years.iter().map(of_year).collect()
    }

    /// Returns the numbers of a state by year.
    pub(super) fn of_state(&self, state: Option<i64>) -> Vec<Option<i64>> {
        let of_year = |year: &i32| self.by_state.get(&(state, *year)).and_then(|tally| self.number(tally));
        self.years.iter().map(of_year).collect()
    }

    /// Returns the states that have rows.
    pub(super) fn states(&self) -> BTreeSet<Option<i64>> {
        self.by_state.keys().map(|(state, _)| *state).collect()
    }
}

/// Returns the year of a partition.
pub(super) fn year(partition: &PartitionKey) -> Option<i32> {
    match partition.value("year") {
        Some(AxisValue::Int(year)) => Some(*year),
        _ => None,
    }
}

/// Checks whether the rows of a partition are totals over other partitions.
pub(super) fn is_total(dataset: &Dataset, partition: &PartitionKey) -> bool {
    let value = |axis: &Axis| partition.value(&axis.name).map(ToString::to_string);
    dataset.axes.iter().any(|axis| axis.total.is_some() && value(axis) == axis.total)
}
