//! Rows as people and programs read them: tables, CSV, JSON and Parquet. Rows are written batch by batch, so that memory
//! does not grow with their number.

mod csv;
pub(crate) mod file;
mod layout;
pub(crate) mod printed;
mod screen;
mod table;
mod vertical;
mod writer;

use clap::ValueEnum;
use datafusion::arrow::array::RecordBatch;

use crate::output::Format;

/// Format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// For people
    Table,
    /// For people: a line for each value, however many columns there are
    Vertical,
    /// With a header line
    Csv,
    /// An array of objects
    Json,
}

impl From<Format> for RowFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Json => Self::Json,
        }
    }
}

/// What receives the rows of a query.
pub(crate) trait RowSink {
    /// Receives rows.
    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()>;

    /// Checks whether somebody has seen rows, so that the query cannot start over.
    fn has_printed(&self) -> bool {
        false
    }

    /// Checks whether nobody reads the rows any more.
    fn is_closed(&self) -> bool {
        false
    }
}
