//! Rows on stdout, or in memory, in the format that was asked for.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use crate::output::{self, DataOut};
use crate::rows::screen::Screen;
use crate::rows::writer::RowWriter;
use crate::rows::{RowFormat, RowSink};

/// Rows that go to stdout as they come.
pub(crate) struct Printed {
    stdout: DataOut,
    rows: RowWriter<DataOut>,
    n_rows: u64,
}

impl Printed {
    /// Starts the output.
    ///
    /// - `max_rows`: rows to show on a terminal, 0 for all; `None` for as many as fit.
    /// - `is_in_shell`: whether the query was entered in the shell.
    pub(crate) fn new(
        format: RowFormat,
        max_rows: Option<usize>,
        is_in_shell: bool,
        schema: &SchemaRef,
    ) -> anyhow::Result<Self> {
        let stdout = DataOut::default();
        let screen = output::screen_size();
        let screen = screen.map(|(width, n_lines)| Screen { width, n_lines, max_rows, is_in_shell });
        let rows = RowWriter::new(format, screen, schema, stdout.clone())?;
        Ok(Self { stdout, rows, n_rows: 0 })
    }

    /// Returns the number of rows so far.
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Prints what remains.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.rows.finish()?;
        Ok(())
    }
}

impl RowSink for Printed {
    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.n_rows += batch.num_rows() as u64;
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
pub(crate) struct Collected {
    rows: RowWriter<Vec<u8>>,
    n_rows: u64,
}

impl Collected {
    /// Starts the text.
    pub(crate) fn new(format: RowFormat, schema: &SchemaRef) -> anyhow::Result<Self> {
        Ok(Self { rows: RowWriter::new(format, None, schema, Vec::new())?, n_rows: 0 })
    }

    /// Returns the number of rows so far.
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Returns the text.
    pub(crate) fn finish(self) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.rows.finish()?)?)
    }
}

impl RowSink for Collected {
    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.n_rows += batch.num_rows() as u64;
        self.rows.write(batch)
    }
}
