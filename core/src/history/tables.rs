//! The tables of the past: all kept editions as partitions, and when each of them was valid as rows; with a view of both.
//!
//! A partition of the first table has the axes of the dataset and its edition, so once registered, it never changes.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use jiff::Timestamp;

use crate::dataset::{AxisKind, Column, ColumnKind, Dataset};
use crate::error::Error;
use crate::file::columns::RESCUED;
use crate::file::writer::{Encoded, TableWriter};
use crate::history::as_of::PartitionHistory;
use crate::history::editions::Validity;
use crate::history::refreshes::Refreshes;
use crate::keys;
use crate::partition::AxisValue;
use crate::ports::catalog::TableSpec;
use crate::view::{ViewSpec, ViewType, quoted};

/// Partition column of the kept editions.
pub const EDITION: &str = "edition";

/// Columns of the table of editions, after the axes.
const COLUMNS: [(&str, ColumnKind, &str); 5] = [
    (EDITION, ColumnKind::String, "Edition of the rows: a hash, as in the partition column of the kept editions"),
    ("valid_from", ColumnKind::String, "When the edition was fetched, in UTC, such as 2026-05-01T12:00:00.000000Z"),
    (
        "valid_until",
        ColumnKind::String,
        "When the next one was fetched, or the rows were removed; null if it is current",
    ),
    ("n_rows", ColumnKind::Bigint, "Number of rows"),
    ("releases", ColumnKind::String, "Releases of the portal under which it was valid, between commas: ,0.26.1,"),
];

/// Suffix of the table of kept editions.
pub const HISTORY_SUFFIX: &str = "_history";
/// Suffix of the view of all editions, after the name of the dataset.
pub const AS_OF_SUFFIX: &str = "_as_of";
/// Suffixes of the tables and the view that a dataset has besides its own table.
pub(crate) const SUFFIXES: [&str; 3] = [HISTORY_SUFFIX, keys::EDITIONS_SUFFIX, AS_OF_SUFFIX];

/// Returns whether a column or an axis of this name would be taken for one of the past.
pub(crate) fn is_reserved_column(name: &str, is_axis: bool) -> bool {
    COLUMNS.iter().any(|(column, ..)| *column == name && (is_axis || *column != "n_rows"))
}

impl Dataset {
    /// Returns the desired catalog table of the editions that were replaced or removed, with the view of all editions.
    #[must_use]
    pub fn history_spec(&self) -> TableSpec {
        let mut spec = self.table_spec();
        spec.comment = format!("Editions of {} that were replaced or removed. {}", self.table, spec.comment);
        spec.location = keys::history_prefix(&self.table);
        spec.partition_keys.push((EDITION.to_owned(), "string".to_owned(), "Edition of the rows: a hash".to_owned()));
        spec.view = Some(self.as_of_view());
        spec.table = history_table(&self.table);
        spec
    }

    /// Returns the desired catalog table of when each edition was valid.
    #[must_use]
    pub fn editions_spec(&self) -> TableSpec {
        let table = keys::editions_table(&self.table);
        let axes =
            self.axes.iter().map(|axis| (axis.name.clone(), axis.kind.glue_type().to_owned(), axis.comment.clone()));
        let others = COLUMNS
            .iter()
            .map(|(name, kind, comment)| ((*name).to_owned(), kind.glue_type().to_owned(), (*comment).to_owned()));
        TableSpec {
            database: self.database.clone(),
            comment: format!("When each edition of {} was valid. Source: {}", self.table, self.attribution),
            location: keys::table_prefix(&table),
            columns: axes.chain(others).collect(),
            partition_keys: Vec::new(),
            view: None,
            table,
        }
    }

    /// Returns the view of all editions, each row with the time for which it was in the table.
    fn as_of_view(&self) -> ViewSpec {
        let axes: Vec<String> = self.axes.iter().map(|axis| axis.name.clone()).collect();
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).chain([RESCUED]).collect();
        let select = |edition: &str| {
            let columns = names.iter().copied().chain(axes.iter().map(String::as_str));
            let mut columns: Vec<String> = columns.map(|name| format!("t.{}", quoted(name))).collect();
            columns.extend(["e.edition", "e.valid_from", "e.valid_until", "e.releases"].map(str::to_owned));
            let same = axes.iter().map(|axis| format!("e.{0} = t.{0}", quoted(axis)));
            let on: Vec<String> = same.chain([edition.to_owned()]).collect();
            (format!("select\n  {}\nfrom ", columns.join(",\n  ")), on.join(" and "))
        };
        let (kept, on_kept) = select("e.edition = t.edition and e.valid_until is not null");
        let (current, on_current) = select("e.valid_until is null");
        let editions = quoted(&keys::editions_table(&self.table));
        let kinds = self.columns.iter().map(|column| (column.name.clone(), column.kind));
        let axis_kinds = self.axes.iter().map(|axis| {
            let kind = if axis.kind == AxisKind::Int { ColumnKind::Int } else { ColumnKind::String };
            (axis.name.clone(), kind)
        });
        let kinds = kinds.chain([(RESCUED.to_owned(), ColumnKind::String)]).chain(axis_kinds);
        let more = [EDITION, "valid_from", "valid_until", "releases"].map(|name| (name.to_owned(), ColumnKind::String));
        ViewSpec {
            name: format!("{}{AS_OF_SUFFIX}", self.name),
            parts: vec![
                kept,
                format!(".{} t\njoin ", quoted(&history_table(&self.table))),
                format!(".{editions} e on {on_kept}\nunion all\n{current}"),
                format!(".{} t\njoin ", quoted(&self.table)),
                format!(".{editions} e on {on_current}"),
            ],
            columns: kinds.chain(more).map(|(name, kind)| (name, ViewType::Column(kind))).collect(),
        }
    }
}

/// Returns the name of the table of the editions that were replaced or removed.
fn history_table(table: &str) -> String {
    format!("{table}{HISTORY_SUFFIX}")
}

/// Encodes the table of when each edition was valid.
///
/// # Errors
/// [`Error::EncodeFailed`].
pub(crate) fn encode_editions(
    dataset: &Dataset,
    histories: &[PartitionHistory],
    refreshes: &Refreshes,
) -> Result<Encoded, Error> {
    let failed = |source| Error::EncodeFailed { object: keys::editions_table(&dataset.table), source };
    let rows: Vec<_> =
        histories.iter().flat_map(|history| history.editions.iter().map(move |validity| (history, validity))).collect();
    let mut columns: Vec<Column> = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for axis in &dataset.axes {
        let values = rows.iter().map(|(history, _)| history.partition.value(&axis.name));
        let is_int = axis.kind == AxisKind::Int;
        columns.push(Column::new(&axis.name, if is_int { ColumnKind::Int } else { ColumnKind::String }));
        arrays.push(if is_int {
            Arc::new(
                values
                    .map(|value| if let Some(AxisValue::Int(value)) = value { Some(*value) } else { None })
                    .collect::<Int32Array>(),
            )
        } else {
            Arc::new(values.map(|value| value.map(ToString::to_string)).collect::<StringArray>())
        });
    }
    columns.extend(COLUMNS.iter().map(|(name, kind, _)| Column::new(name, *kind)));
    let texts = |text: &dyn Fn(&(&PartitionHistory, &Validity)) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(text).collect::<StringArray>())
    };
    arrays.push(texts(&|(_, validity)| Some(validity.facts.edition.to_string())));
    arrays.push(texts(&|(_, validity)| Some(in_microseconds(validity.since))));
    arrays.push(texts(&|(_, validity)| validity.until.map(in_microseconds)));
    let n_rows = rows.iter().map(|(_, validity)| i64::try_from(validity.facts.n_rows).unwrap_or(i64::MAX));
    arrays.push(Arc::new(n_rows.collect::<Int64Array>()));
    arrays.push(texts(&|(history, validity)| {
        let at_end =
            refreshes.releases.iter().filter(|release| validity.was_valid_at(release.moment(&history.partition)));
        let names: String = at_end.map(|release| format!("{},", release.release)).collect();
        (!names.is_empty()).then(|| format!(",{names}"))
    }));
    let table = Dataset { columns, ..dataset.clone() };
    let schema = table.plain_schema();
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| failed(error.into()))?;
    let mut writer = TableWriter::with_schema(&table, schema, None, rows.len() as u64).map_err(failed)?;
    writer.append(batch, true).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// Formats a time so that texts sort like times.
fn in_microseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
