//! Reads the rows of a partition for comparison.

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::change::Cell;
use crate::error::Error;
use crate::keys;
use crate::partition::PartitionKey;
use crate::ports::store::Store;

/// A row of an enrollment table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Enrolled {
    /// School or district.
    pub(super) id: String,
    /// District of a school.
    pub(super) leaid: String,
    pub(super) fips: i64,
    pub(super) race: i64,
    pub(super) sex: i64,
    /// `None` for null and codes.
    pub(super) enrollment: Option<i64>,
}

/// Returns the rows of a partition of a table; `None` if the lake has none.
///
/// - `id`: the column with the school or the district.
///
/// # Errors
/// [`Error::StoreFailed`] if the object cannot be read or decoded.
pub(super) async fn read_rows(
    store: &impl Store,
    table: &str,
    partition: &PartitionKey,
    id: &str,
) -> Result<Option<Vec<Enrolled>>, Error> {
    let key = keys::table_object(table, partition);
    let found = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    let Some(found) = found else { return Ok(None) };
    let damaged = |source| Error::damaged(&key, source);
    let reader = ParquetRecordBatchReaderBuilder::try_new(found.bytes).and_then(|builder| builder.build());
    let mut rows = Vec::new();
    for batch in reader.map_err(damaged)? {
        let batch = batch.map_err(|error| damaged(error.into()))?;
        rows.extend((0..batch.num_rows()).map(|row| enrolled(&batch, row, id)));
    }
    Ok(Some(rows))
}

fn enrolled(batch: &RecordBatch, row: usize, id: &str) -> Enrolled {
    let cell = |name: &str| batch.column_by_name(name).map_or(Cell::Null, |column| Cell::read(column, row));
    let text = |name: &str| match cell(name) {
        Cell::Null => String::new(),
        other => other.to_string(),
    };
    let number = |name: &str| match cell(name) {
        Cell::Int(number) => Some(number),
        Cell::Double(number) => Some(number as i64),
        Cell::Text(text) => text.parse().ok(),
        Cell::Null => None,
    };
    Enrolled {
        id: text(id),
        leaid: text("leaid"),
        fips: number("fips").unwrap_or(-1),
        race: number("race").unwrap_or(99),
        sex: number("sex").unwrap_or(99),
        enrollment: number("enrollment").filter(|number| *number >= 0),
    }
}
