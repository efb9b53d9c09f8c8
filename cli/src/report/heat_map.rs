//! The partitions as a table of cells, years down and the values of the last axis across.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{Outcome, PartitionRecord};
use rollcall_core::partition::AxisValue;
use serde::Serialize;

use crate::escape::visible;
use crate::report::read::DatasetFound;
use crate::status::grid::{Group, common_prefix, groups, letter, position};
use crate::words::{age, counted, in_one_line, size};

/// Shades of ages: a cell that is older than so many days has the next one.
const AGE_LIMITS: [i64; 5] = [1, 7, 30, 90, 365];
/// Number of shades of rows. The lowest is 1.
const N_ROW_SHADES: u64 = 6;

/// The cells that differ only in the first and the last axis.
#[derive(Serialize)]
pub(super) struct HeatMap {
    /// The values of the axes in between, such as `level=1`; empty if there are none.
    name: String,
    /// Names of the columns.
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// `None` for a combination that was never fetched.
    cells: Vec<Option<Cell>>,
}

#[derive(Serialize)]
struct Cell {
    partition: String,
    /// Whether it is the first of its table, which the Tab key reaches.
    is_first: bool,
    /// The last outcome, or what is wrong with the file; a class of the style sheet.
    state: &'static str,
    letter: String,
    row_shade: u64,
    age_shade: usize,
    rescued_shade: u32,
    /// What is known about it, in words.
    details: String,
}

/// Returns the heat maps of a dataset: one for each combination of the axes between the first and the last.
pub(super) fn heat_maps(found: &DatasetFound<'_>, now: Timestamp) -> Vec<HeatMap> {
    let most_rows = found.records.values().filter_map(|record| Some(record.committed.as_ref()?.n_rows)).max();
    let most_rows = most_rows.unwrap_or(0).max(1);
    let cell = |record: &PartitionRecord| cell(found, record, most_rows, now);
    let groups = groups(found.dataset, &found.records).into_iter();
    groups.map(|group| heat_map(found.dataset, &group, &cell)).collect()
}

fn heat_map(dataset: &Dataset, group: &Group<'_>, cell: &dyn Fn(&PartitionRecord) -> Cell) -> HeatMap {
    let cells = &group.cells;
    let rows: BTreeSet<&AxisValue> = cells.keys().map(|(row, _)| row).collect();
    let columns: BTreeSet<&Option<AxisValue>> = cells.keys().map(|(_, column)| column).collect();
    let mut columns: Vec<&Option<AxisValue>> = columns.into_iter().collect();
    columns.sort_by_key(|column| Some(position(dataset.axes.last()?, column.as_ref()?)));
    let rows = rows.into_iter().rev().map(|row| Row {
        name: row.to_string(),
        cells: columns.iter().map(|column| cells.get(&(row.clone(), (*column).clone())).map(|it| cell(it))).collect(),
    });
    let mut rows: Vec<Row> = rows.collect();
    if let Some(first) = rows.iter_mut().flat_map(|row| row.cells.iter_mut().flatten()).next() {
        first.is_first = true;
    }
    let names: Vec<String> =
        columns.iter().map(|column| column.as_ref().map_or("all".to_owned(), ToString::to_string)).collect();
    // `pk` instead of `grade-pk`.
    let in_common = common_prefix(&names);
    let columns = names.iter().map(|name| name.get(in_common..).unwrap_or_default().to_owned()).collect();
    HeatMap { name: group.middle.join(", "), columns, rows }
}

fn cell(found: &DatasetFound<'_>, record: &PartitionRecord, most_rows: u64, now: Timestamp) -> Cell {
    let committed = record.committed.as_ref();
    let outcome = record.last_attempt.as_ref().map(|attempt| attempt.outcome);
    let n_rescued = found.figures.as_ref().and_then(|all| all.get(&record.partition)).map_or(0, |it| it.n_rescued);
    let n_rows = committed.map_or(0, |committed| committed.n_rows);
    let days = committed.map(|committed| now.duration_since(committed.fetched_at).as_hours() / 24);
    let unread = found.unread.iter().find(|(partition, _)| *partition == record.partition);
    let state = match (outcome, unread) {
        (_, Some(_)) => "unreadable",
        (Some(Outcome::NotTried), None) => "untried",
        (Some(outcome), None) => outcome.as_str(),
        (None, None) => "unknown",
    };
    let partition = record.partition.to_string();
    Cell {
        details: format!("{partition}: {}", details(record, n_rescued, unread.map(|(_, error)| error.as_str()), now)),
        partition,
        is_first: false,
        state,
        letter: if unread.is_some() { "!".to_owned() } else { letter(record) },
        row_shade: if n_rows == 0 { 0 } else { (n_rows * N_ROW_SHADES).div_ceil(most_rows) },
        age_shade: days.map_or(0, |days| 1 + AGE_LIMITS.iter().filter(|limit| days >= **limit).count()),
        rescued_shade: if n_rescued == 0 { 0 } else { 1 + n_rescued.ilog10().min(4) },
    }
}

fn details(record: &PartitionRecord, n_rescued: u64, unread: Option<&str>, now: Timestamp) -> String {
    let mut parts = Vec::new();
    let attempt = record.last_attempt.as_ref();
    parts.push(attempt.map_or("last outcome not known", |attempt| attempt.outcome.as_str()).to_owned());
    if let Some(committed) = &record.committed {
        let (n_rows, size) = (counted(committed.n_rows, "row"), size(committed.size_bytes));
        parts.push(format!("{n_rows}, {size}, fetched {} ago", age(committed.fetched_at, now)));
    }
    if n_rescued > 0 {
        parts.push(format!("{} with rescued values", counted(n_rescued, "row")));
    }
    if let Some(error) = attempt.and_then(|attempt| attempt.error.as_ref()) {
        parts.push(format!("{}: {}", error.name, visible(&in_one_line(&error.message))));
    }
    if let Some(error) = unread {
        parts.push(format!("the file cannot be read: {}", visible(&in_one_line(error))));
    }
    parts.join("; ")
}
