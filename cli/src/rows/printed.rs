//! Rows on stdout, or in memory, in the format that was asked for.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use crate::output::{self, DataOut};
use crate::rows::csv::CsvText;
use crate::rows::table::{Screen, TableWriter};
use crate::rows::{RowFormat, RowSink, RowWriter};

/// Rows as a table, CSV or JSON.
enum Formatted<W: Write + Send> {
    Table(TableWriter<W>),
    Data(RowWriter<W>),
}

impl<W: Write + Send> Formatted<W> {
    fn new(format: RowFormat, screen: Option<Screen>, schema: &SchemaRef, to: W) -> anyhow::Result<Self> {
        Ok(match format {
            RowFormat::Table => Self::Table(TableWriter::new(schema, screen, to)),
            RowFormat::Csv => Self::Data(RowWriter::csv(CsvText { is_visible: screen.is_some() }, schema, to)?),
            RowFormat::Json => Self::Data(RowWriter::json(to)),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        match self {
            Self::Table(table) => table.write(batch),
            Self::Data(rows) => rows.write(batch),
        }
    }

    fn finish(self) -> anyhow::Result<W> {
        match self {
            Self::Table(table) => table.finish(),
            Self::Data(rows) => rows.finish(),
        }
    }
}

/// Rows that go to stdout as they come.
pub(crate) struct Printed {
    stdout: DataOut,
    rows: Formatted<DataOut>,
}

impl Printed {
    /// Starts the output.
    ///
    /// - `max_rows`: rows of a table to show on a terminal; `None` for all.
    pub(crate) fn new(format: RowFormat, max_rows: Option<usize>, schema: &SchemaRef) -> anyhow::Result<Self> {
        let stdout = DataOut::default();
        let screen = output::screen_width().map(|width| Screen { width, max_rows });
        let rows = Formatted::new(format, screen, schema, stdout.clone())?;
        Ok(Self { stdout, rows })
    }

    /// Prints what remains.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.rows.finish()?;
        Ok(())
    }
}

impl RowSink for Printed {
    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.rows.write(batch)
    }

    fn has_printed(&self) -> bool {
        self.stdout.has_printed()
    }

    fn is_closed(&self) -> bool {
        self.stdout.is_closed()
    }
}

/// Rows in memory, all of them.
pub(crate) struct Collected(Formatted<Vec<u8>>);

impl Collected {
    /// Starts the text.
    pub(crate) fn new(format: RowFormat, schema: &SchemaRef) -> anyhow::Result<Self> {
        Ok(Self(Formatted::new(format, None, schema, Vec::new())?))
    }

    /// Returns the text.
    pub(crate) fn finish(self) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.0.finish()?)?)
    }
}

impl RowSink for Collected {
    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.0.write(batch)
    }
}
