//! What the data adds up to: by year, by value of the last axis, and the ten largest states.

use std::collections::BTreeSet;

use rollcall_core::dataset::{Axis, AxisKind, Dataset};
use serde::Serialize;

use crate::escape::visible;
use crate::report::charts::{LineChart, Size};
use crate::report::read::DatasetFound;
use crate::report::series::Series;
use crate::report::state_map::{self, StateMap, state_map};
use crate::words::{counted, thousands};

/// Maximum number of lines in one chart.
const MAX_LINES: usize = 6;
/// Years that are named for what they lack.
const MAX_LACKING: usize = 5;
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
    id: String,
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
    /// Years that lack some value of the last axis, in words; empty if none does.
    lacking: String,
    /// By state, in the years that lack nothing: a row for each state.
    states: Vec<(String, Vec<String>)>,
    state_years: Vec<i32>,
    /// The last of these years, which `top` is of.
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
///
/// - `is_alone`: whether each state has a row of its own.
pub(super) fn enrollment(found: &DatasetFound<'_>, series: &Series, id: &str, is_alone: bool) -> Option<Enrollment> {
    let (dataset, totals) = (found.dataset, found.columns.totals.as_slice());
    let (years, unit) = (&series.years, series.unit());
    if years.is_empty() {
        return None;
    }
    let title = match unit {
        "students" => "Students by year",
        _ => "Rows by year",
    };
    let by_band = LineChart::new(title.to_owned(), unit, years, bands(series), Size::LARGE);
    let values = if series.values.len() > 1 { series.values.as_slice() } else { &[] };
    let by_value: Vec<LineChart> = values
        .iter()
        .map(|value| {
            let line = vec![(value.clone(), series.of_values([value].into_iter()))];
            LineChart::new(value.clone(), unit, years, line, Size::SMALL)
        })
        .collect();
    let numbers = years.iter().enumerate().rev().map(|(index, year)| {
        let charts = if by_value.is_empty() { std::slice::from_ref(&by_band) } else { &by_value };
        let lines = charts.iter().flat_map(|chart| &chart.lines);
        (*year, lines.map(|line| shown(line.values.get(index).copied().flatten())).collect())
    });
    let numbers = numbers.collect();
    let state_years = series.whole_years();
    let states = if is_alone { states(series, &state_years) } else { Vec::new() };
    Some(Enrollment {
        id: id.to_owned(),
        unit,
        caption: caption(dataset, totals, series),
        sql: sql(dataset, totals, series),
        by_band,
        by_value,
        numbers,
        map: state_map(series, &state_years),
        lacking: lacking(series),
        states,
        top_year: state_years.last().copied().unwrap_or_default(),
        top: top(series, &state_years),
        state_years,
    })
}

/// Returns the years that lack something, the latest first: `2022 (grade-k and 2 more)`.
fn lacking(series: &Series) -> String {
    let of_year = |(year, values): (&i32, &BTreeSet<String>)| {
        let first = values.first().map_or("", String::as_str);
        let more = if values.len() > 1 { format!(" and {} more", values.len() - 1) } else { String::new() };
        if first.is_empty() { year.to_string() } else { format!("{year} ({first}{more})") }
    };
    let n_more = series.missing.len().saturating_sub(MAX_LACKING);
    let mut years: Vec<String> = series.missing.iter().rev().take(MAX_LACKING).map(of_year).collect();
    if n_more > 0 {
        years.push(format!("and {}", counted(n_more as u64, "more year")));
    }
    years.join(", ")
}

fn states(series: &Series, years: &[i32]) -> Vec<(String, Vec<String>)> {
    let row =
        |state: Option<i64>| (state_map::name(state), series.of_state(state, years).into_iter().map(shown).collect());
    let mut rows: Vec<(String, Vec<String>)> = series.states().into_iter().map(row).collect();
    rows.sort();
    if rows.len() > 1 { rows } else { Vec::new() }
}

fn shown(value: Option<i64>) -> String {
    value.map_or_else(String::new, |value| thousands(value.unsigned_abs()))
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
    if let Some(column) = dataset.columns.iter().find(|column| column.name == "enrollment") {
        // The codes after the semicolon are named above.
        let meaning = column.comment.split(';').next().unwrap_or_default();
        text.push_str(&format!(" The column: {}.", visible(meaning)));
    }
    text
}

/// Returns the states with the largest numbers in the last of these years.
fn top(series: &Series, years: &[i32]) -> Vec<Top> {
    let mut states: Vec<(i64, Vec<Option<i64>>)> = series.of_states(years).into_iter().collect();
    let last = |values: &[Option<i64>]| values.last().copied().flatten();
    states.sort_by_key(|(_, values)| std::cmp::Reverse(last(values)));
    let all: i64 = states.iter().filter_map(|(_, values)| last(values)).sum();
    let largest = states.first().and_then(|(_, values)| last(values)).unwrap_or(0);
    let is_next = matches!(years, [.., before, year] if year - before == 1);
    let rows = states.iter().filter_map(|(state, values)| {
        let number = last(values)?;
        let before = values.iter().rev().nth(1).copied().flatten().filter(|before| is_next && *before > 0);
        Some(Top {
            state: state_map::name(Some(*state)),
            number: shown(Some(number)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::series::tests::series;

    #[test]
    fn the_largest_states_are_those_of_the_last_year_that_lacks_nothing() {
        let students = [
            ("year=2018/grade=grade-pk", 48, 100),
            ("year=2018/grade=grade-k", 48, 100),
            ("year=2019/grade=grade-pk", 6, 30),
            ("year=2019/grade=grade-pk", 48, 50),
            ("year=2019/grade=grade-k", 48, 20),
            // This year lacks grade-k.
            ("year=2020/grade=grade-pk", 6, 1000),
        ];
        let series = series(&students, &[]);
        let top = top(&series, &series.whole_years());
        let rows: Vec<[&str; 4]> =
            top.iter().map(|row| [row.state.as_str(), &row.number, &row.share, &row.change]).collect();
        assert_eq!(rows, [["Texas", "70", "70.0", "-65.0"], ["California", "30", "30.0", ""]]);
        assert_eq!(top[1].bar, 43);
        assert_eq!(lacking(&series), "2020 (grade-k)");
        let expected = vec![("pre-K and K".to_owned(), vec![Some(200), Some(100), None])];
        assert_eq!(bands(&series), expected);
    }
}
