//! Formats the partitions of a lake as grids of year by grade.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{Outcome, PartitionRecord, Records};
use rollcall_core::partition::{AxisValue, PartitionKey};

use crate::table;
use crate::words::{age, rounded};

/// Maximum width of a grid. Columns that do not fit go into another grid below.
const WIDTH: usize = 80;

/// Returns the partitions as grids, with the first axis down and the others across.
pub(crate) fn grids(dataset: &Dataset, records: &Records, now: Timestamp) -> String {
    let first = |key: &PartitionKey| key.axes().first().map(|(_, value)| value.clone());
    let rest =
        |key: &PartitionKey| -> Vec<AxisValue> { key.axes().iter().skip(1).map(|(_, value)| value.clone()).collect() };
    let rows: BTreeSet<AxisValue> = records.keys().filter_map(first).collect();
    let mut columns: Vec<Vec<AxisValue>> = records.keys().map(rest).collect::<BTreeSet<_>>().into_iter().collect();
    columns.sort_by_key(|column| order_of(dataset, column));
    let cells: BTreeMap<(AxisValue, Vec<AxisValue>), String> =
        records.iter().filter_map(|(key, record)| Some(((first(key)?, rest(key)), cell(record, now)))).collect();
    let row_name = dataset.axes.first().map_or("", |axis| axis.name.as_str());
    let name = |column: &[AxisValue]| {
        let words: Vec<String> = column.iter().map(ToString::to_string).collect();
        if words.is_empty() { "rows".to_owned() } else { words.join("/") }
    };
    let width_of = |column: &Vec<AxisValue>| {
        let widest = cells.iter().filter(|((_, found), _)| found == column).map(|(_, cell)| cell.len()).max();
        widest.unwrap_or(0).max(name(column).len()) + 2
    };
    let mut blocks: Vec<Vec<&Vec<AxisValue>>> = Vec::new();
    let mut used = WIDTH;
    for column in &columns {
        let width = width_of(column);
        if used + width > WIDTH {
            blocks.push(Vec::new());
            used = 6;
        }
        used += width;
        if let Some(block) = blocks.last_mut() {
            block.push(column);
        }
    }
    let mut text = String::new();
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        let names: Vec<String> = block.iter().map(|column| name(column)).collect();
        let header: Vec<&str> = std::iter::once(row_name).chain(names.iter().map(String::as_str)).collect();
        let mut table = table::table(&header);
        // Newest first, in the order in which runs fetch them.
        for row in rows.iter().rev() {
            let mut line = vec![row.to_string()];
            line.extend(
                block.iter().map(|column| {
                    cells.get(&(row.clone(), (*column).clone())).cloned().unwrap_or_else(|| ".".to_owned())
                }),
            );
            table.add_row(line);
        }
        text.push_str(&table::render(&table));
    }
    text
}

/// Returns the positions of axis values in the descriptor, which sort grade-10 after grade-9.
fn order_of(dataset: &Dataset, values: &[AxisValue]) -> Vec<usize> {
    dataset
        .axes
        .iter()
        .skip(1)
        .zip(values)
        .map(|(axis, value)| {
            axis.values.iter().position(|coded| coded.value == value.to_string()).unwrap_or(usize::MAX)
        })
        .collect()
}

/// Formats a grid cell: the last outcome, and the number of rows and age of the committed object.
fn cell(record: &PartitionRecord, now: Timestamp) -> String {
    let outcome = match record.last_attempt.as_ref().map(|attempt| attempt.outcome) {
        Some(Outcome::Written) => "W",
        Some(Outcome::Unchanged) => "U",
        Some(Outcome::Empty) => "E",
        Some(Outcome::Superseded) => "S",
        Some(Outcome::Failed) => "F",
        Some(Outcome::NotTried) => "N",
        None => "-",
    };
    match &record.committed {
        Some(committed) => format!("{outcome} {} {}", rounded(committed.n_rows), age(committed.fetched_at, now)),
        None => outcome.to_owned(),
    }
}
