//! Writes rows in a format.

use std::io::{self, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{JsonArray, Writer, WriterBuilder};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use crate::escape::json_text;
use crate::rows::RowFormat;
use crate::rows::csv::CsvText;
use crate::rows::screen::Screen;
use crate::rows::table::TableWriter;
use crate::rows::vertical::VerticalWriter;

/// Writes the batches of one schema to a destination.
pub(crate) enum RowWriter<W: Write + Send> {
    Table(TableWriter<W>),
    Vertical(VerticalWriter<W>),
    Csv(CsvText, W),
    Json(Box<Writer<JsonOutput<W>, JsonArray>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> RowWriter<W> {
    /// Starts the output in a format.
    ///
    /// - `screen`: the terminal that the output is for; `None` for a file or a pipe.
    pub(super) fn new(format: RowFormat, screen: Option<Screen>, schema: &SchemaRef, to: W) -> anyhow::Result<Self> {
        Ok(match format {
            RowFormat::Table => Self::Table(TableWriter::new(schema, screen, to)),
            RowFormat::Vertical => Self::Vertical(VerticalWriter::new(schema, screen, to)),
            RowFormat::Csv => Self::csv(CsvText { is_visible: screen.is_some() }, schema, to)?,
            RowFormat::Json => Self::json(to),
        })
    }

    /// Starts CSV: writes the header line.
    ///
    /// - `text`: how values are written.
    pub(crate) fn csv(text: CsvText, schema: &SchemaRef, mut to: W) -> anyhow::Result<Self> {
        to.write_all(text.header(schema).as_bytes())?;
        Ok(Self::Csv(text, to))
    }

    /// Starts an array of objects. Nulls are written, so that every row has the same keys.
    pub(crate) fn json(to: W) -> Self {
        Self::Json(Box::new(WriterBuilder::new().with_explicit_nulls(true).build(JsonOutput(to))))
    }

    /// Starts a Parquet file.
    pub(crate) fn parquet(schema: &SchemaRef, to: W) -> anyhow::Result<Self> {
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        Ok(Self::Parquet(Box::new(ArrowWriter::try_new(to, schema.clone(), Some(properties))?)))
    }

    /// Writes rows.
    ///
    /// # Errors
    /// Fails with the [`io::Error`] of the destination, if that caused the failure.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        match self {
            Self::Table(table) => table.write(batch)?,
            Self::Vertical(rows) => rows.write(batch)?,
            Self::Csv(text, to) => to.write_all(text.rows(batch)?.as_bytes())?,
            Self::Json(writer) => writer.write(batch).map_err(cause)?,
            Self::Parquet(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// Writes what remains, and returns the destination.
    pub(crate) fn finish(self) -> anyhow::Result<W> {
        match self {
            Self::Table(table) => table.finish(),
            Self::Vertical(rows) => rows.finish(),
            Self::Csv(_, to) => Ok(to),
            Self::Json(mut writer) => {
                writer.finish().map_err(cause)?;
                let mut to = writer.into_inner().0;
                to.write_all(b"\n")?;
                Ok(to)
            }
            Self::Parquet(writer) => Ok(writer.into_inner()?),
        }
    }
}

/// Returns the error of the destination that made the writer fail, if one did, and not its message twice.
fn cause(error: ArrowError) -> anyhow::Error {
    match error {
        ArrowError::IoError(_, error) => error.into(),
        other => other.into(),
    }
}

/// A destination of JSON that receives no terminal control characters. The writer passes whole batches of text.
pub(crate) struct JsonOutput<W>(W);

impl<W: Write> Write for JsonOutput<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(json) {
            Ok(text) => self.0.write_all(json_text(text.into()).as_bytes())?,
            Err(_) => self.0.write_all(json)?,
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
