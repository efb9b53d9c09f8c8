//! The file to which `rollcall diff --rows` writes each difference.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use rollcall_core::change::CellDetail;
use rollcall_core::dataset::Dataset;
use rollcall_core::partition::PartitionKey;

use crate::exit::BadInput;
use crate::query::render::{QueryFormat, render};

/// Columns after the axes.
const COLUMNS: [&str; 6] = ["key", "row", "column", "class", "before", "after"];

/// A file of differences. Values are text, since columns differ in type.
pub(super) struct RowsFile {
    path: PathBuf,
    kind: Kind,
    batches: Vec<RecordBatch>,
}

enum Kind {
    Csv,
    Json,
    Parquet,
}

impl RowsFile {
    /// Returns the file, which is written at the end.
    pub(super) fn new(path: &Path) -> Result<Self, BadInput> {
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Kind::Csv,
            Some("json") => Kind::Json,
            Some("parquet") => Kind::Parquet,
            _ => {
                return Err(BadInput(format!(
                    "`--rows`: expected a file that ends in .csv, .json or .parquet, found `{}`",
                    path.display()
                )));
            }
        };
        Ok(Self { path: path.to_owned(), kind, batches: Vec::new() })
    }

    /// Adds the differences of a partition.
    pub(super) fn add(
        &mut self,
        dataset: &Dataset,
        partition: &PartitionKey,
        details: &[CellDetail],
    ) -> anyhow::Result<()> {
        let names = dataset.axes.iter().map(|axis| axis.name.as_str()).chain(COLUMNS);
        let schema = Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>());
        let mut columns: Vec<ArrayRef> = Vec::new();
        for axis in &dataset.axes {
            let value = partition.value(&axis.name).map(ToString::to_string);
            columns.push(Arc::new(details.iter().map(|_| value.clone()).collect::<StringArray>()));
        }
        let text = |of: &dyn Fn(&CellDetail) -> Option<String>| -> ArrayRef {
            Arc::new(details.iter().map(of).collect::<StringArray>())
        };
        columns.push(text(&|detail| Some(detail.key.clone())));
        columns.push(text(&|detail| Some(detail.row.to_owned())));
        columns.push(text(&|detail| detail.column.clone()));
        columns.push(text(&|detail| detail.class.map(str::to_owned)));
        columns.push(text(&|detail| detail.before.clone()));
        columns.push(text(&|detail| detail.after.clone()));
        self.batches.push(RecordBatch::try_new(Arc::new(schema), columns)?);
        Ok(())
    }

    /// Writes the file.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let failed = |error: std::io::Error| BadInput(format!("write `{}`: {error}", self.path.display()));
        let mut file = File::create(&self.path).map_err(failed)?;
        match self.kind {
            Kind::Csv => file.write_all(render(&self.batches, QueryFormat::Csv)?.as_bytes()).map_err(failed)?,
            Kind::Json => file.write_all(render(&self.batches, QueryFormat::Json)?.as_bytes()).map_err(failed)?,
            Kind::Parquet => {
                let empty = Arc::new(Schema::empty());
                let schema = self.batches.first().map_or(empty, RecordBatch::schema);
                let mut writer = ArrowWriter::try_new(file, schema, None)?;
                self.batches.iter().try_for_each(|batch| writer.write(batch))?;
                writer.close()?;
            }
        }
        Ok(())
    }
}
