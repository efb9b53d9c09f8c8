//! The rows that `rollcall diff --rows` writes: each difference.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use rollcall_core::change::CellDetail;
use rollcall_core::dataset::Dataset;
use rollcall_core::partition::PartitionKey;

use crate::rows::RowSink;
use crate::rows::file::{RowsFile, RowsPath};

/// Columns after the axes.
const COLUMNS: [&str; 6] = ["key", "row", "column", "class", "before", "after"];

/// A file of differences, written a partition at a time. Values are text, since columns differ in type.
pub(super) struct Differences {
    schema: Arc<Schema>,
    axes: Vec<String>,
    file: RowsFile,
}

impl Differences {
    /// Creates the file.
    pub(super) fn create(path: &RowsPath, dataset: &Dataset) -> anyhow::Result<Self> {
        let axes: Vec<String> = dataset.axes.iter().map(|axis| axis.name.clone()).collect();
        let names = axes.iter().map(String::as_str).chain(COLUMNS);
        let schema =
            Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()));
        let file = RowsFile::create(path, &schema)?;
        Ok(Self { schema, axes, file })
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
        self.file.write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Completes the file.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.file.finish()?;
        Ok(())
    }
}
