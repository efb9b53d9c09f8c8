//! What may be wrong with the data: codes in place of numbers, grades that do not add up, and jumps from year to year.

use std::collections::BTreeMap;

use rollcall_core::dataset::Dataset;
use rollcall_core::figures::Tally;
use rollcall_core::ledger::Records;
use rollcall_core::partition::{AxisValue, PartitionKey};
use serde::Serialize;

use crate::escape::visible;
use crate::report::enrollment::percent;
use crate::report::read::DatasetFound;
use crate::report::series::{Series, year};
use crate::report::state_map;
use crate::words::thousands;

/// A partition is an outlier if its rows differ from those of the year before by more than this share.
const OUTLIER: f64 = 20.0;
/// Smaller partitions vary more.
const MIN_ROWS: u64 = 100;
/// A share above each of these has the next shade.
const SHARE_LIMITS: [u64; 4] = [1, 5, 20, 50];
/// Columns that are named.
const MAX_NAMED: usize = 4;
/// Outliers and rescued fields that are shown.
const MAX_SHOWN: usize = 20;

/// What may be wrong with the data.
#[derive(Serialize)]
pub(super) struct Quality {
    /// The columns that were looked at, in words.
    measures: String,
    years: Vec<i32>,
    /// The first row is that of all states. Empty if there are no values.
    states: Vec<StateRow>,
    /// The axis for totals and its value, such as `grade` and `grade-99`; `None` if the lake has none of students.
    total: Option<(String, String)>,
    /// Its partitions against the sum of the others, the latest first.
    totals: Vec<TotalRow>,
    /// Partitions that were compared with the year before.
    n_compared: usize,
    outliers: Vec<Outlier>,
    n_outliers: usize,
    rescued: Vec<(String, String)>,
}

/// Shares of a state, by year.
#[derive(Serialize)]
struct StateRow {
    name: String,
    /// `None` without values.
    cells: Vec<Option<Vec<Share>>>,
}

/// A percentage of the values.
#[derive(Serialize)]
struct Share {
    percent: String,
    /// From 0 for none to 5.
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
/// - `is_alone`: whether each state has a row, rather than all of them together.
pub(super) fn quality(found: &DatasetFound<'_>, series: &Series, is_alone: bool) -> Quality {
    let (n_compared, mut outliers) = outliers(&found.records);
    let n_outliers = outliers.len();
    outliers.truncate(MAX_SHOWN);
    let measures: Vec<&str> = found.columns.measures.iter().map(|(name, _)| name.as_str()).collect();
    let total = found.dataset.axes.iter().find_map(|axis| Some((axis.name.clone(), axis.total.clone()?)));
    Quality {
        measures: match measures.len() {
            0..=MAX_NAMED => measures.join(", "),
            n => format!(
                "{} and {} more columns",
                measures.get(..MAX_NAMED).unwrap_or_default().join(", "),
                n - MAX_NAMED
            ),
        },
        years: series.years.clone(),
        states: states(series, is_alone),
        total: total.filter(|_| series.is_enrollment && !series.totals.is_empty()),
        totals: totals(found.dataset, series),
        n_compared,
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
    if all.values().all(|tally| tally.n_cells() == 0) {
        return Vec::new();
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

/// Returns the shares of all codes and nulls, of each of the three codes, and of nulls.
fn shares(tally: &Tally) -> Option<Vec<Share>> {
    let n_cells = tally.n_cells();
    let share = |n: u64| {
        let limits = SHARE_LIMITS.map(|limit| n_cells * limit / 100);
        Share {
            percent: format!("{:.1}", 100.0 * n as f64 / n_cells as f64),
            shade: if n == 0 { 0 } else { 1 + limits.iter().filter(|limit| n > **limit).count() },
        }
    };
    let all = n_cells - tally.n_values;
    let shares = [all, tally.n_missing, tally.n_not_applicable, tally.n_suppressed, tally.n_null].map(share);
    (n_cells > 0).then(|| shares.into())
}

/// Returns the years that have a total, against the sum of the others, the latest first. A year that lacks one of the others
/// would look like a difference, so it is left out.
fn totals(dataset: &Dataset, series: &Series) -> Vec<TotalRow> {
    let Some(axis) = dataset.axes.iter().find(|axis| axis.total.is_some()) else { return Vec::new() };
    let others = || axis.values.iter().map(|coded| &coded.value).filter(|value| Some(*value) != axis.total.as_ref());
    let rows = series.totals.iter().rev().filter_map(|(year, total)| {
        let is_present = |value: &String| {
            let key = (value.clone(), *year);
            series.by_value.contains_key(&key) || series.empty.contains(&key)
        };
        if !series.is_enrollment || !others().all(is_present) {
            return None;
        }
        let sum: i64 = series.by_value.iter().filter(|((_, of), _)| of == year).map(|(_, tally)| tally.sum).sum();
        let total = total.sum;
        let shown = |number: i64| thousands(number.unsigned_abs());
        let sign = if total > sum { "+" } else { "-" };
        Some(TotalRow {
            year: *year,
            sum: shown(sum),
            total: shown(total),
            difference: if sum == total { "0".to_owned() } else { format!("{sign}{}", shown(total - sum)) },
            is_equal: sum == total,
        })
    });
    rows.collect()
}

/// Returns how many partitions have one of the year before, and those whose rows differ much from it, the largest
/// difference first.
fn outliers(records: &Records) -> (usize, Vec<(f64, Outlier)>) {
    let n_rows = |partition: &PartitionKey| Some(records.get(partition)?.committed.as_ref()?.n_rows);
    let pair = |partition: &PartitionKey| Some((n_rows(&year_before(partition)?)?, n_rows(partition)?));
    let pairs = records.keys().filter_map(|partition| Some((partition, pair(partition)?)));
    let pairs: Vec<_> = pairs.filter(|(_, (before, n_rows))| *before.max(n_rows) >= MIN_ROWS).collect();
    let n_compared = pairs.len();
    let outlier = |(partition, (before, n_rows)): (&PartitionKey, (u64, u64))| {
        let change = percent(i64::try_from(n_rows).ok()? - i64::try_from(before).ok()?, i64::try_from(before).ok()?);
        let outlier = || Outlier {
            partition: partition.to_string(),
            n_rows: thousands(n_rows),
            before: thousands(before),
            change: format!("{change:+.0} %"),
        };
        (change.abs() > OUTLIER).then(|| (change, outlier()))
    };
    let mut outliers: Vec<(f64, Outlier)> = pairs.into_iter().filter_map(outlier).collect();
    outliers.sort_by(|(one, _), (other, _)| other.abs().total_cmp(&one.abs()));
    (n_compared, outliers)
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

#[cfg(test)]
mod tests {
    use rollcall_core::file::edition::Edition;
    use rollcall_core::ledger::{Committed, PartitionRecord};

    use super::*;
    use crate::report::series::tests::series;

    #[test]
    fn a_total_is_compared_with_the_sum_of_its_year_if_no_grade_is_missing() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let grades: Vec<&str> = dataset.axes[1].values.iter().map(|coded| coded.value.as_str()).collect();
        let paths: Vec<String> = [2018, 2019, 2020]
            .iter()
            .flat_map(|year| grades.iter().map(move |grade| format!("year={year}/grade={grade}")))
            // The portal has no rows of one, and the lake lacks another.
            .filter(|path| !["year=2019/grade=grade-14", "year=2020/grade=grade-1"].contains(&path.as_str()))
            .collect();
        let students: Vec<(&str, i64, i64)> =
            paths.iter().map(|path| (path.as_str(), 6, if path.ends_with("99") { 170 } else { 10 })).collect();
        let rows = totals(&dataset, &series(&students, &["year=2019/grade=grade-14"]));
        let rows: Vec<_> = rows.iter().map(|row| (row.year, row.sum.as_str(), row.difference.as_str())).collect();
        assert_eq!(rows, [(2019, "160", "+10"), (2018, "170", "0")]);
    }

    #[test]
    fn a_partition_is_an_outlier_by_the_rows_of_the_year_before() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let record = |(path, n_rows): (&str, u64)| {
            let partition = dataset.parse_partition(path).unwrap();
            let edition: Edition = "0-0-2".parse().unwrap();
            let committed = Committed {
                edition,
                n_rows,
                size_bytes: 1,
                etag: String::new(),
                fetched_at: jiff::Timestamp::UNIX_EPOCH,
                run: None,
                n_pages: None,
                portal_release: None,
            };
            (partition.clone(), PartitionRecord { partition, committed: Some(committed), last_attempt: None })
        };
        let rows = [
            ("year=2018/grade=grade-pk", 1000),
            ("year=2019/grade=grade-pk", 1200),
            ("year=2020/grade=grade-pk", 1441),
            // The year before is missing, and few rows vary more.
            ("year=2022/grade=grade-pk", 10),
            ("year=2018/grade=grade-k", 10),
            ("year=2019/grade=grade-k", 90),
        ];
        let (n_compared, outliers) = outliers(&rows.into_iter().map(record).collect());
        let found: Vec<_> = outliers.iter().map(|(_, it)| (it.partition.as_str(), it.change.as_str())).collect();
        assert_eq!((n_compared, found), (2, vec![("year=2020/grade=grade-pk", "+20 %")]));
    }
}
