//! A file of rows: CSV, JSON or Parquet, as its name says.

use std::path::{Path, PathBuf};

use anyhow::Context;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use crate::rows::RowSink;
use crate::rows::csv::CsvText;
use crate::rows::writer::RowWriter;
use crate::whole_file::WholeFile;

/// A path that ends in .csv, .json or .parquet.
#[derive(Debug, Clone)]
pub(crate) struct RowsPath {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Csv,
    Json,
    Parquet,
}

impl RowsPath {
    /// Parses the value of a flag.
    ///
    /// # Errors
    /// Says which endings there are.
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Kind::Csv,
            Some("json") => Kind::Json,
            Some("parquet") => Kind::Parquet,
            _ => return Err("expected a file that ends in .csv, .json or .parquet".to_owned()),
        };
        Ok(Self { path, kind })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A file of rows that appears under its name once it is complete.
pub(crate) struct RowsFile {
    path: PathBuf,
    writer: RowWriter<WholeFile>,
    n_rows: u64,
}

impl RowsFile {
    /// Creates the file beside its final place.
    ///
    /// # Errors
    /// [`BadInput`](crate::exit::BadInput) if the folder cannot be written.
    pub(crate) fn create(path: &RowsPath, schema: &SchemaRef) -> anyhow::Result<Self> {
        let RowsPath { path, kind } = path;
        let file = WholeFile::create(path)?;
        let writer = match kind {
            Kind::Csv => RowWriter::csv(CsvText { is_visible: false }, schema, file)?,
            Kind::Json => RowWriter::json(file),
            Kind::Parquet => RowWriter::parquet(schema, file)?,
        };
        Ok(Self { path: path.clone(), writer, n_rows: 0 })
    }

    /// Completes the file and gives it its name, replacing a file of that name. Returns its number of rows, and its size in
    /// bytes.
    pub(crate) fn finish(self) -> anyhow::Result<(u64, u64)> {
        let Self { path, writer, n_rows } = self;
        let file = writer.finish().with_context(|| format!("write `{}`", path.display()))?;
        let size_bytes = file.finish()?;
        Ok((n_rows, size_bytes))
    }
}

impl RowSink for RowsFile {
    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.n_rows += batch.num_rows() as u64;
        self.writer.write(batch).with_context(|| format!("write `{}`", self.path.display()))
    }
}
