//! The differences between two files one by one.

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::errors::ParquetError;

use crate::change::cells::{Cell, Class, Shared};
use crate::change::rows::File;
use crate::dataset::Dataset;
use crate::file::writer::CHUNK;

/// One difference: a changed cell, or a row that was added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellDetail {
    /// What happened to the row: `added`, `removed`, `revised` or `recoded`.
    pub row: &'static str,
    /// Key of the row, such as `ncessch 010000500870`.
    pub key: String,
    /// The changed column; `None` if the whole row was added or removed.
    pub column: Option<String>,
    /// What happened to the cell: `recoded`, `revised`, `filled` or `blanked`.
    pub class: Option<&'static str>,
    /// The value before; `None` for null.
    pub before: Option<String>,
    /// The value after; `None` for null.
    pub after: Option<String>,
}

impl CellDetail {
    /// Describes a whole row.
    pub(super) fn of_row(row: &'static str, key: String) -> Self {
        Self { row, key, column: None, class: None, before: None, after: None }
    }

    /// Describes the changed cells of a row.
    pub(super) fn of_cells(
        row: &'static str,
        key: &str,
        shared: &[Shared],
        (old, old_row): (&RecordBatch, usize),
        (new, new_row): (&RecordBatch, usize),
    ) -> Vec<Self> {
        let changed = shared.iter().filter_map(|column| {
            let before = column.cell(old.column(column.old), old_row);
            let after = column.cell(new.column(column.new), new_row);
            let class = match before.change(&after)? {
                Class::Recoded => "recoded",
                Class::Revised => "revised",
                Class::Filled => "filled",
                Class::Blanked => "blanked",
            };
            let text = |cell: &Cell<'_>| (*cell != Cell::Null).then(|| cell.to_string());
            Some(Self {
                row,
                key: key.to_owned(),
                column: Some(column.name.clone()),
                class: Some(class),
                before: text(&before),
                after: text(&after),
            })
        });
        changed.collect()
    }
}

/// Formats the key of a row: `ncessch 010000500870, race 1, sex 2`.
pub(super) fn key_text(batch: &RecordBatch, key: &[String], row: usize) -> String {
    let words = key.iter().filter_map(|name| {
        let column = batch.column_by_name(name)?;
        Some(format!("{name} {}", Cell::read(column, row)))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Describes every row of a file as added or removed.
///
/// # Errors
/// Fails if the file cannot be decoded.
pub(crate) fn rows_as_details(
    dataset: &Dataset,
    file: Bytes,
    row: &'static str,
) -> Result<Vec<CellDetail>, ParquetError> {
    let mut details = Vec::new();
    for batch in File::open(file)?.chunks(CHUNK)? {
        let batch = batch?;
        details.extend((0..batch.num_rows()).map(|i| CellDetail::of_row(row, key_text(&batch, &dataset.key, i))));
    }
    Ok(details)
}
