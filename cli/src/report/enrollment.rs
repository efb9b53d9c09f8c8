//! What the data adds up to: by year, by value of the last axis, and the ten largest states.

use rollcall_core::dataset::{Axis, AxisKind, Dataset};
use serde::Serialize;

use crate::report::charts::{LineChart, Size};
use crate::report::series::Series;
use crate::report::state_map::{self, StateMap};
use crate::words::thousands;

/// Maximum number of lines in one chart.
const MAX_LINES: usize = 6;
/// Rows of the table of the largest states.
const MAX_STATES: usize = 10;

/// Bands of grades: name, and the endings of the grades in them.
const BANDS: &[(&str, &[&str])] = &[
    ("pre-K and K", &["pk", "k"]),
    ("grades 1-5", &["1", "2", "3", "4", "5"]),
    ("grades 6-8", &["6", "7", "8"]),
    ("grades 9-12", &["9", "10", "11", "12"]),
];

/// Charts of what the data adds up to.
#[derive(Serialize)]
pub(super) struct Enrollment {
    unit: &'static str,
    /// What was counted, and what was not.
    caption: String,
    /// The query that gives the numbers.
    sql: String,
    by_band: LineChart,
    /// One chart for each value of the last axis.
    by_value: Vec<LineChart>,
    /// The numbers of `by_value`: a row for each year.
    numbers: Vec<(i32, Vec<String>)>,
    map: Option<StateMap>,
    /// The year of `top`.
    top_year: i32,
    top: Vec<Top>,
}

/// A row of the table of the largest states.
#[derive(Serialize)]
struct Top {
    state: String,
    number: String,
    /// Share of all states, in percent.
    share: String,
    /// Change against the year before, in percent; empty if it is not known.
    change: String,
    /// Length of its bar, in percent of the longest.
    bar: u32,
}

/// Returns the charts; `None` if there are no numbers.
pub(super) fn enrollment(dataset: &Dataset, totals: &[(String, i64)], series: &Series, id: &str) -> Option<Enrollment> {
    let (years, unit) = (&series.years, series.unit());
    let top_year = *years.last()?;
    if series.by_value.is_empty() {
        return None;
    }
    let by_band =
        LineChart::new(format!("{id}-bands"), format!("All {unit} by year"), unit, years, bands(series), Size::LARGE);
    let values = if series.values.len() > 1 { series.values.as_slice() } else { &[] };
    let by_value: Vec<LineChart> = values
        .iter()
        .map(|value| {
            let line = vec![(value.clone(), series.of_values([value].into_iter()))];
            LineChart::new(format!("{id}-{value}"), value.clone(), unit, years, line, Size::SMALL)
        })
        .collect();
    let shown = |value: Option<i64>| value.map_or_else(String::new, |value| thousands(value.unsigned_abs()));
    let numbers = years.iter().enumerate().rev().map(|(index, year)| {
        let charts = if by_value.is_empty() { std::slice::from_ref(&by_band) } else { &by_value };
        let lines = charts.iter().flat_map(|chart| &chart.lines);
        (*year, lines.map(|line| shown(line.values.get(index).copied().flatten())).collect())
    });
    let numbers = numbers.collect();
    let (top, map) = (top(series), state_map::state_map(series));
    let (caption, sql) = (caption(dataset, totals, series), sql(dataset, totals, series));
    Some(Enrollment { unit, caption, sql, by_band, by_value, numbers, map, top_year, top })
}

fn sql(dataset: &Dataset, totals: &[(String, i64)], series: &Series) -> String {
    let (number, mut conditions) = if series.is_enrollment {
        let of_totals = totals.iter().map(|(column, code)| format!("{column} = {code}"));
        ("sum(enrollment) as students", std::iter::once("enrollment >= 0".to_owned()).chain(of_totals).collect())
    } else {
        ("count(*) as n_rows", Vec::new())
    };
    let of_total = |axis: &Axis| Some((axis.name.clone(), axis.kind, axis.total.clone()?));
    conditions.extend(dataset.axes.iter().filter_map(of_total).map(|(name, kind, total)| match kind {
        AxisKind::Int => format!("{name} <> {total}"),
        AxisKind::String => format!("{name} <> '{total}'"),
    }));
    let conditions =
        if conditions.is_empty() { String::new() } else { format!("where {}\n", conditions.join(" and ")) };
    let by = if series.values.len() > 1 { dataset.axes.last().map_or("year", |axis| axis.name.as_str()) } else { "" };
    let by = if by.is_empty() || by == "year" { "year".to_owned() } else { format!("year, {by}") };
    let table = dataset.qualified_table();
    format!("select {by}, {number}\nfrom {table}\n{conditions}group by {by}\norder by {by};")
}

/// Returns the lines of the first chart: bands of grades; or all values, if they are few; or their sum.
fn bands(series: &Series) -> Vec<(String, Vec<Option<i64>>)> {
    let ending = |value: &str| value.rsplit_once('-').map(|(_, ending)| ending.to_owned()).unwrap_or_default();
    let is_grade = |value: &String| value.starts_with("grade-");
    if !series.values.iter().all(is_grade) || series.values.is_empty() {
        return match series.values.len() {
            2..=MAX_LINES => {
                let line = |value: &String| (value.clone(), series.of_values([value].into_iter()));
                series.values.iter().map(line).collect()
            }
            _ => vec![(format!("all {}", series.unit()), series.of_values(series.values.iter()))],
        };
    }
    let band_of = |value: &str| BANDS.iter().position(|(_, endings)| endings.contains(&ending(value).as_str()));
    let names = BANDS.iter().map(|(name, _)| *name).chain(["other"]).enumerate();
    let lines = names.filter_map(|(index, name)| {
        let band = Some(index).filter(|index| *index < BANDS.len());
        let values = || series.values.iter().filter(|value| band_of(value) == band);
        values().next().is_some().then(|| (name.to_owned(), series.of_values(values())))
    });
    lines.collect()
}

fn caption(dataset: &Dataset, totals: &[(String, i64)], series: &Series) -> String {
    let mut left_out: Vec<String> = dataset.axes.iter().filter_map(|axis| axis.total.clone()).collect();
    if !series.is_enrollment {
        let totals = if left_out.is_empty() { String::new() } else { format!(" without {}", left_out.join(", ")) };
        return format!("Rows of the table{totals}.");
    }
    left_out.push("the codes -1 (missing or not reported), -2 (not applicable) and -3 (suppressed)".to_owned());
    let mut text = format!("The sum of enrollment, without {}.", left_out.join(" and without "));
    if !totals.is_empty() {
        let totals: Vec<String> = totals.iter().map(|(column, code)| format!("{column} {code}")).collect();
        text.push_str(&format!(" Only rows with {}, the totals.", totals.join(" and ")));
    }
    text
}

/// Returns the states with the largest numbers in the last year.
fn top(series: &Series) -> Vec<Top> {
    let mut states: Vec<(i64, Vec<Option<i64>>)> =
        series.states().into_iter().flatten().map(|state| (state, series.of_state(Some(state)))).collect();
    let last = |values: &[Option<i64>]| values.last().copied().flatten();
    states.sort_by_key(|(_, values)| std::cmp::Reverse(last(values)));
    let all: i64 = states.iter().filter_map(|(_, values)| last(values)).sum();
    let largest = states.first().and_then(|(_, values)| last(values)).unwrap_or(0);
    let is_next = matches!(series.years.as_slice(), [.., before, year] if year - before == 1);
    let rows = states.iter().filter_map(|(state, values)| {
        let number = last(values)?;
        let before = values.iter().rev().nth(1).copied().flatten().filter(|before| is_next && *before > 0);
        Some(Top {
            state: state_map::name(Some(*state)),
            number: thousands(number.unsigned_abs()),
            share: format!("{:.1}", percent(number, all)),
            change: before.map_or_else(String::new, |before| format!("{:+.1}", percent(number - before, before))),
            bar: percent(number, largest).round() as u32,
        })
    });
    rows.take(MAX_STATES).collect()
}

/// Returns a share in percent; 0 of nothing.
pub(super) fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}
