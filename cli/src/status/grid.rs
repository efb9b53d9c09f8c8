//! Formats the partitions of a lake as grids, such as year by grade.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rollcall_core::dataset::{Axis, Dataset};
use rollcall_core::ledger::{Outcome, PartitionRecord, Records};
use rollcall_core::partition::{AxisValue, PartitionKey};

use crate::table;
use crate::words::{age, rounded};

/// Maximum width of a grid. Columns that do not fit go into another grid below.
const WIDTH: usize = 80;

/// Something of each partition of one grid, by the values of the first and of the last axis. A dataset of one axis has no
/// last one.
pub(crate) type Cells<T> = BTreeMap<(AxisValue, Option<AxisValue>), T>;

/// The partitions that differ only in the first and the last axis.
pub(crate) struct Group<'r> {
    /// The axes in between, with their values.
    pub(crate) middle: Vec<String>,
    pub(crate) cells: Cells<&'r PartitionRecord>,
}

/// What the letters of a grid mean.
pub(super) const LEGEND: &str = "W written  R rewritten  U unchanged  E empty  S superseded  N not tried\n\
                                 F failed, without data  f failed, older data kept  - unknown  . not fetched\n";
/// What the cells of a long grid mean.
pub(super) const LONG_LEGEND: &str = "cell: last outcome, committed rows, age of the commit\n\
                                      W written  R rewritten  U unchanged  E empty  S superseded\n\
                                      F failed  N not tried  - unknown  . not fetched\n";

/// How a grid is drawn.
struct Drawing<'d> {
    cell: &'d dyn Fn(&PartitionRecord) -> String,
    /// Whether the names of columns lack what they have in common: `pk` instead of `grade-pk`.
    is_short: bool,
}

/// Returns the partitions as grids with one letter for each, the last outcome.
pub(super) fn grids(dataset: &Dataset, records: &Records) -> String {
    draw(dataset, records, &Drawing { cell: &letter, is_short: true })
}

/// Returns the partitions as grids, with the last outcome, the rows and the age of each.
pub(super) fn long_grids(dataset: &Dataset, records: &Records, now: Timestamp) -> String {
    draw(dataset, records, &Drawing { cell: &|record| cell(record, now), is_short: false })
}

/// Returns what sorts partitions as grids show them: by grid, then newest year first, then in the descriptor's order.
pub(super) fn order(dataset: &Dataset, partition: &PartitionKey) -> impl Ord + use<> {
    let axes = partition.axes();
    let positions: Vec<usize> =
        axes.iter().zip(&dataset.axes).skip(1).map(|((_, value), axis)| position(axis, value)).collect();
    let (last, middle) = positions.split_last().map_or((0, Vec::new()), |(last, middle)| (*last, middle.to_vec()));
    (middle, Reverse(axes.first().map(|(_, value)| value.clone())), last)
}

/// Returns the partitions as grids, with the first axis down and the last one across. If there are axes in between, each
/// combination of their values has a grid of its own, below its name.
fn draw(dataset: &Dataset, records: &Records, drawing: &Drawing<'_>) -> String {
    let mut text = String::new();
    for Group { middle, cells } in groups(dataset, records) {
        if !text.is_empty() {
            text.push('\n');
        }
        if !middle.is_empty() {
            text.push_str(&format!("{}\n", middle.join("/")));
        }
        let cells = cells.into_iter().map(|(place, record)| (place, (drawing.cell)(record))).collect();
        text.push_str(&grid(dataset, &cells, drawing.is_short));
    }
    text
}

/// Returns the partitions by the values of the axes between the first and the last, in the descriptor's order.
pub(crate) fn groups<'r>(dataset: &Dataset, records: &'r Records) -> Vec<Group<'r>> {
    let mut groups: BTreeMap<Vec<usize>, Group<'r>> = BTreeMap::new();
    for (key, record) in records {
        let (Some((first, rest)), n_axes) = (key.axes().split_first(), key.axes().len()) else { continue };
        let middle = rest.get(..n_axes.saturating_sub(2)).unwrap_or_default();
        let order = middle.iter().zip(dataset.axes.iter().skip(1)).map(|((_, value), axis)| position(axis, value));
        let names = || middle.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        let group = groups.entry(order.collect()).or_insert_with(|| Group { middle: names(), cells: Cells::new() });
        group.cells.insert((first.1.clone(), rest.last().map(|(_, value)| value.clone())), record);
    }
    groups.into_values().collect()
}

/// Returns one grid, in blocks that fit the width.
fn grid(dataset: &Dataset, cells: &Cells<String>, is_short: bool) -> String {
    let rows: BTreeSet<&AxisValue> = cells.keys().map(|(row, _)| row).collect();
    let mut columns: Vec<&Option<AxisValue>> =
        cells.keys().map(|(_, column)| column).collect::<BTreeSet<_>>().into_iter().collect();
    columns.sort_by_key(|column| Some(position(dataset.axes.last()?, column.as_ref()?)));
    let names: Vec<String> = columns.iter().filter_map(|column| Some(column.as_ref()?.to_string())).collect();
    let in_common = if is_short { common_prefix(&names) } else { 0 };
    let name = |column: &Option<AxisValue>| match column {
        None => "rows".to_owned(),
        Some(column) => column.to_string().get(in_common..).unwrap_or_default().to_owned(),
    };
    let width_of = |column: &Option<AxisValue>| {
        let widest = cells.iter().filter(|((_, found), _)| found == column).map(|(_, cell)| cell.len()).max();
        widest.unwrap_or(0).max(name(column).len()) + 2
    };
    let mut blocks: Vec<Vec<&Option<AxisValue>>> = Vec::new();
    let mut used = WIDTH;
    for column in columns {
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
    let row_name = dataset.axes.first().map_or("", |axis| axis.name.as_str());
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
            line.extend(block.iter().map(|column| {
                cells.get(&((*row).clone(), (*column).clone())).cloned().unwrap_or_else(|| ".".to_owned())
            }));
            table.add_row(line);
        }
        text.push_str(&table::render(&table));
    }
    text
}

/// Returns the position of a value in the descriptor, which sorts grade-10 after grade-9.
pub(crate) fn position(axis: &Axis, value: &AxisValue) -> usize {
    let value = value.to_string();
    axis.values.iter().position(|coded| coded.value == value).unwrap_or(usize::MAX)
}

/// Returns the length of what all names start with, up to a hyphen or an underscore: 6 for `grade-pk` and `grade-1`.
pub(crate) fn common_prefix(names: &[String]) -> usize {
    let Some((first, others)) = names.split_first() else { return 0 };
    let ends = first.char_indices().filter(|(_, c)| matches!(c, '-' | '_')).map(|(i, _)| i + 1);
    let is_common = |end: &usize| others.iter().all(|other| other.get(..*end) == first.get(..*end));
    if others.is_empty() { 0 } else { ends.take_while(is_common).last().unwrap_or(0) }
}

/// Returns the last outcome as a letter. A failure is a small one if there is older data.
pub(crate) fn letter(record: &PartitionRecord) -> String {
    match outcome(record) {
        "F" if record.committed.is_some() => "f".to_owned(),
        other => other.to_owned(),
    }
}

/// Formats a grid cell: the last outcome, and the number of rows and age of the committed object.
fn cell(record: &PartitionRecord, now: Timestamp) -> String {
    let outcome = outcome(record);
    match &record.committed {
        Some(committed) => format!("{outcome} {} {}", rounded(committed.n_rows), age(committed.fetched_at, now)),
        None => outcome.to_owned(),
    }
}

fn outcome(record: &PartitionRecord) -> &'static str {
    match record.last_attempt.as_ref().map(|attempt| attempt.outcome) {
        Some(Outcome::Written) => "W",
        Some(Outcome::Rewritten) => "R",
        Some(Outcome::Unchanged) => "U",
        Some(Outcome::Empty) => "E",
        Some(Outcome::Superseded) => "S",
        Some(Outcome::Failed) => "F",
        Some(Outcome::NotTried) => "N",
        None => "-",
    }
}

#[cfg(test)]
mod tests {
    use rollcall_core::ledger::{LastAttempt, PartitionRecord};

    use super::*;

    /// A dataset with these axes besides the year, and records of two years with every combination of their values.
    fn lake(axes: &[(&str, &[&str])]) -> (Dataset, Records) {
        let paths: String = axes.iter().map(|(name, _)| format!("{{{name}}}/")).collect();
        let mut text = format!(
            "name='n'\ntitle='N'\nattribution='A'\npath='n/{{year}}/{paths}'\ndatabase='d'\ntable='n'\nkey=['id']\n\
             [[column]]\nname='id'\ntype='int'\n[[axis]]\nname='year'\ntype='int'\n"
        );
        let mut hive = vec!["year=2020".to_owned(), "year=2021".to_owned()];
        for (name, values) in axes {
            let coded: Vec<String> =
                values.iter().enumerate().map(|(i, value)| format!("{{value='{value}', code={i}}}")).collect();
            text.push_str(&format!("[[axis]]\nname='{name}'\ntype='string'\nvalues=[{}]\n", coded.join(",")));
            hive = hive.iter().flat_map(|path| values.iter().map(move |it| format!("{path}/{name}={it}"))).collect();
        }
        let dataset = Dataset::parse("n.toml", &text).unwrap();
        let at = Timestamp::UNIX_EPOCH;
        let records = hive.iter().map(|path| {
            let attempt =
                LastAttempt { run: "r".into(), outcome: Outcome::Empty, error: None, portal_release: None, at };
            let partition = dataset.parse_partition(path).unwrap();
            (partition.clone(), PartitionRecord { partition, committed: None, last_attempt: Some(attempt) })
        });
        (dataset.clone(), records.collect())
    }

    fn drawn(axes: &[(&str, &[&str])]) -> String {
        let (dataset, records) = lake(axes);
        long_grids(&dataset, &records, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn one_two_and_three_axes_have_grids() {
        assert_eq!(drawn(&[]), "year  rows\n2021  E\n2020  E\n");
        let grades: (&str, &[&str]) = ("grade", &["grade-9", "grade-10"]);
        let grid = "year  grade-9  grade-10\n2021  E        E\n2020  E        E\n";
        assert_eq!(drawn(&[grades]), grid);
        assert_eq!(drawn(&[("level", &["b", "a"]), grades]), format!("level=b\n{grid}\nlevel=a\n{grid}"));
    }
    #[test]
    fn a_letter_stands_for_each_of_39_years_of_18_grades() {
        let grades: Vec<String> = ["pk", "k"]
            .into_iter()
            .map(str::to_owned)
            .chain((1..=15).map(|i| i.to_string()))
            .chain(["99".to_owned()])
            .map(|grade| format!("grade-{grade}"))
            .collect();
        let grades: Vec<&str> = grades.iter().map(String::as_str).collect();
        let (dataset, records) = lake(&[("grade", &grades)]);
        let grid = grids(&dataset, &records);
        let mut lines = grid.lines();
        assert_eq!(lines.next(), Some("year  pk  k  1  2  3  4  5  6  7  8  9  10  11  12  13  14  15  99"));
        assert_eq!(lines.next(), Some("2021  E   E  E  E  E  E  E  E  E  E  E  E   E   E   E   E   E   E"));
        assert!(grid.lines().all(|line| line.len() <= WIDTH));
    }

    #[test]
    fn records_are_ordered_as_the_grids_are() {
        let (dataset, records) = lake(&[("level", &["b", "a"]), ("grade", &["grade-9", "grade-10"])]);
        let mut partitions: Vec<&PartitionKey> = records.keys().collect();
        partitions.sort_by_cached_key(|partition| order(&dataset, partition));
        let paths: Vec<String> = partitions.iter().take(5).map(ToString::to_string).collect();
        assert_eq!(
            paths,
            [
                "year=2021/level=b/grade=grade-9",
                "year=2021/level=b/grade=grade-10",
                "year=2020/level=b/grade=grade-9",
                "year=2020/level=b/grade=grade-10",
                "year=2021/level=a/grade=grade-9",
            ]
        );
    }
}
