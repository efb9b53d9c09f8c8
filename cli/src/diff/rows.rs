//! The file to which `rollcall diff --rows` writes each difference.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::json::writer::{JsonArray, Writer, WriterBuilder};
use datafusion::parquet::arrow::ArrowWriter;
use rollcall_core::change::CellDetail;
use rollcall_core::dataset::Dataset;
use rollcall_core::partition::PartitionKey;

use crate::exit::BadInput;
use crate::query::csv::{csv_header, csv_rows};

/// Columns after the axes.
const COLUMNS: [&str; 6] = ["key", "row", "column", "class", "before", "after"];

/// A file of differences, written a partition at a time. Values are text, since columns differ in type.
pub(super) struct RowsFile {
    schema: Arc<Schema>,
    axes: Vec<String>,
    writer: RowWriter,
}

enum RowWriter {
    Csv(BufWriter<File>),
    Json(Box<Writer<BufWriter<File>, JsonArray>>),
    Parquet(Box<ArrowWriter<File>>),
}

impl RowsFile {
    /// Creates the file.
    pub(super) fn create(path: &Path, dataset: &Dataset) -> anyhow::Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !["csv", "json", "parquet"].contains(&extension) {
            return Err(BadInput(format!(
                "`--rows`: expected a file that ends in .csv, .json or .parquet, found `{}`",
                path.display()
            ))
            .into());
        }
        let axes: Vec<String> = dataset.axes.iter().map(|axis| axis.name.clone()).collect();
        let names = axes.iter().map(String::as_str).chain(COLUMNS);
        let schema =
            Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()));
        let file = File::create(path).map_err(|error| BadInput(format!("write `{}`: {error}", path.display())))?;
        let writer = match extension {
            "csv" => {
                let mut file = BufWriter::new(file);
                file.write_all(csv_header(&schema).as_bytes())?;
                RowWriter::Csv(file)
            }
            "json" => {
                RowWriter::Json(Box::new(WriterBuilder::new().with_explicit_nulls(true).build(BufWriter::new(file))))
            }
            _ => RowWriter::Parquet(Box::new(ArrowWriter::try_new(file, schema.clone(), None)?)),
        };
        Ok(Self { schema, axes, writer })
    }

    /// Writes the differences of a partition.
    pub(super) fn add(&mut self, partition: &PartitionKey, details: &[CellDetail]) -> anyhow::Result<()> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for axis in &self.axes {
            let value = partition.value(axis).map(ToString::to_string);
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
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        match &mut self.writer {
            RowWriter::Csv(file) => file.write_all(csv_rows(&batch)?.as_bytes())?,
            RowWriter::Json(writer) => writer.write(&batch)?,
            RowWriter::Parquet(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    /// Completes the file.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self.writer {
            RowWriter::Csv(mut file) => file.flush()?,
            RowWriter::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner().flush()?;
            }
            RowWriter::Parquet(writer) => {
                writer.close()?;
            }
        }
        Ok(())
    }
}
