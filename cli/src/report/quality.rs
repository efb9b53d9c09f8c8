//! What may be wrong with the data: codes in place of numbers, grades that do not add up, and jumps from year to year.

use std::collections::BTreeMap;

use rollcall_core::dataset::Dataset;
use rollcall_core::figures::Tally;
use rollcall_core::ledger::Records;
use rollcall_core::partition::{AxisValue, PartitionKey};
use serde::Serialize;

use crate::escape::visible;
use crate::report::enrollment::percent;
use crate::report::heat_map::short_name;
use crate::report::read::DatasetFound;
use crate::report::series::{Series, year};
use crate::report::state_map;
use crate::words::thousands;

/// A partition is an outlier if its rows differ from those of the year before by more than this share.
const OUTLIER: f64 = 20.0;
/// Smaller partitions vary more.
const MIN_ROWS: u64 = 100;
/// Outliers and rescued fields that are shown.
const MAX_SHOWN: usize = 20;

/// What may be wrong with the data.
#[derive(Serialize)]
pub(super) struct Quality {
    /// Names of the columns that were looked at, in words.
    measures: String,
    years: Vec<i32>,
    /// The first row is that of all states.
    states: Vec<StateRow>,
    /// The value of the axis for totals, such as `grade-99`, if there are any.
    total: Option<String>,
    /// Its partitions against the sum of the others.
    totals: Vec<TotalRow>,
    outliers: Vec<Outlier>,
    n_outliers: usize,
    rescued: Vec<(String, String)>,
}

/// Shares of a state, by year.
#[derive(Serialize)]
struct StateRow {
    name: String,
    /// `None` without values.
    cells: Vec<Option<Shares>>,
}

/// Percentages of the values.
#[derive(Serialize)]
struct Shares {
    all: f64,
    missing: f64,
    not_applicable: f64,
    suppressed: f64,
    null: f64,
    /// Of all: from 0 for none to 5.
    shade: usize,
}

#[derive(Serialize)]
struct TotalRow {
    year: i32,
    sum: String,
    total: String,
    difference: String,
    is_equal: bool,
}

#[derive(Serialize)]
struct Outlier {
    partition: String,
    n_rows: String,
    before: String,
    change: String,
}

/// Returns what may be wrong.
///
/// - `is_by_state`: whether each state has a row, rather than all of them together.
pub(super) fn quality(found: &DatasetFound<'_>, series: &Series, is_by_state: bool) -> Quality {
    let mut outliers = outliers(&found.records);
    let n_outliers = outliers.len();
    outliers.truncate(MAX_SHOWN);
    let measures = found.columns.measures.as_slice();
    Quality {
        measures: match measures {
            [] => String::new(),
            [only] => only.clone(),
            several => format!("{} measures", several.len()),
        },
        years: series.years.clone(),
        states: if measures.is_empty() { Vec::new() } else { states(series, is_by_state) },
        total: found.dataset.axes.iter().find_map(|axis| axis.total.clone()).filter(|_| !series.totals.is_empty()),
        totals: totals(found.dataset, series),
        outliers: outliers.into_iter().map(|(_, outlier)| outlier).collect(),
        n_outliers,
        rescued: rescued(found),
    }
}

fn states(series: &Series, is_by_state: bool) -> Vec<StateRow> {
    let mut all: BTreeMap<i32, Tally> = BTreeMap::new();
    for ((_, year), tally) in &series.by_state {
        *all.entry(*year).or_default() += *tally;
    }
    let row = |name: String, tally: &dyn Fn(i32) -> Option<Tally>| StateRow {
        name,
        cells: series.years.iter().map(|year| tally(*year).and_then(|tally| shares(&tally))).collect(),
    };
    let mut rows = vec![row("all".to_owned(), &|year| all.get(&year).copied())];
    let states = series.states();
    if is_by_state && states.len() > 1 {
        let of_state =
            |state: Option<i64>| row(state_map::name(state), &|year| series.by_state.get(&(state, year)).copied());
        let mut by_state: Vec<StateRow> = states.into_iter().map(of_state).collect();
        by_state.sort_by(|one, other| one.name.cmp(&other.name));
        rows.extend(by_state);
    }
    rows
}

fn shares(tally: &Tally) -> Option<Shares> {
    let n_cells = tally.n_cells();
    if n_cells == 0 {
        return None;
    }
    let share = |n: u64| (1000.0 * n as f64 / n_cells as f64).round() / 10.0;
    let n_all = n_cells - tally.n_values;
    let limits = [1, 5, 20, 50].map(|limit| n_cells * limit / 100);
    Some(Shares {
        all: share(n_all),
        missing: share(tally.n_missing),
        not_applicable: share(tally.n_not_applicable),
        suppressed: share(tally.n_suppressed),
        null: share(tally.n_null),
        shade: if n_all == 0 { 0 } else { 1 + limits.iter().filter(|limit| n_all > **limit).count() },
    })
}

/// Returns the years that have a total, against the sum of the others, the latest first.
fn totals(dataset: &Dataset, series: &Series) -> Vec<TotalRow> {
    let axis = dataset.axes.iter().find(|axis| axis.total.is_some());
    let n_values =
        axis.map_or(0, |axis| axis.values.iter().filter(|coded| Some(&coded.value) != axis.total.as_ref()).count());
    let rows = series.totals.iter().rev().filter_map(|(year, total)| {
        let of_year: Vec<&Tally> =
            series.by_value.iter().filter(|((_, of), _)| of == year).map(|(_, tally)| tally).collect();
        // A grade that the lake lacks would look like a difference.
        let is_whole = series.is_enrollment && of_year.len() == n_values;
        let (sum, total) = (of_year.iter().map(|tally| tally.sum).sum::<i64>(), total.sum);
        let shown = |number: i64| thousands(number.unsigned_abs());
        let sign = if total > sum { "+" } else { "-" };
        is_whole.then(|| TotalRow {
            year: *year,
            sum: shown(sum),
            total: shown(total),
            difference: if sum == total { "0".to_owned() } else { format!("{sign}{}", shown(total - sum)) },
            is_equal: sum == total,
        })
    });
    rows.collect()
}

/// Returns the partitions whose rows differ much from those of the year before, the largest difference first.
fn outliers(records: &Records) -> Vec<(f64, Outlier)> {
    let n_rows = |partition: &PartitionKey| Some(records.get(partition)?.committed.as_ref()?.n_rows);
    let mut outliers: Vec<(f64, Outlier)> = records
        .keys()
        .filter_map(|partition| {
            let before = n_rows(&year_before(partition)?)?;
            let n_rows = n_rows(partition)?;
            if before.max(n_rows) < MIN_ROWS {
                return None;
            }
            let change =
                percent(i64::try_from(n_rows).ok()? - i64::try_from(before).ok()?, i64::try_from(before).ok()?);
            let partition = short_name(partition);
            let outlier = || Outlier {
                partition,
                n_rows: thousands(n_rows),
                before: thousands(before),
                change: format!("{change:+.0} %"),
            };
            (change.abs() > OUTLIER).then(|| (change, outlier()))
        })
        .collect();
    outliers.sort_by(|(one, _), (other, _)| other.abs().total_cmp(&one.abs()));
    outliers
}

fn year_before(partition: &PartitionKey) -> Option<PartitionKey> {
    let before = year(partition)? - 1;
    let axes = partition.axes().iter().map(|(axis, value)| match axis.as_str() {
        "year" => (axis.clone(), AxisValue::Int(before)),
        _ => (axis.clone(), value.clone()),
    });
    Some(PartitionKey::new(axes.collect()))
}

/// Returns the fields in `_rescued` with their numbers of rows, the most frequent first.
fn rescued(found: &DatasetFound<'_>) -> Vec<(String, String)> {
    let mut fields: BTreeMap<&str, u64> = BTreeMap::new();
    for (field, n) in found.figures.iter().flatten().flat_map(|(_, figures)| &figures.rescued_fields) {
        *fields.entry(field).or_default() += n;
    }
    let mut fields: Vec<(&str, u64)> = fields.into_iter().collect();
    fields.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    fields.truncate(MAX_SHOWN);
    fields.into_iter().map(|(field, n)| (visible(field).into_owned(), thousands(n))).collect()
}
