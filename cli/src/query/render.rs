//! Formats the rows of a query as a table, CSV or JSON.

use clap::ValueEnum;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::escape;
use crate::output::Format;
use crate::query::csv::render_csv;
use crate::table;

/// Output format of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// For people
    Table,
    /// With a header line
    Csv,
    /// An array of objects
    Json,
}

impl From<Format> for QueryFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Json => Self::Json,
        }
    }
}

/// Formats the rows of a query.
pub(crate) fn render(batches: &[RecordBatch], format: QueryFormat) -> anyhow::Result<String> {
    match format {
        QueryFormat::Table => render_table(batches),
        QueryFormat::Csv => render_csv(batches),
        QueryFormat::Json => {
            let mut bytes = Vec::new();
            // Nulls are written, so that every row has the same keys.
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
            Ok(escape::json_text(String::from_utf8(bytes)?))
        }
    }
}

/// Returns rows as a table, with numbers right-aligned and nulls as empty cells.
fn render_table(batches: &[RecordBatch]) -> anyhow::Result<String> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let schema = first.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut table = table::whole_table(&names);
    let options = FormatOptions::default();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().map(|column| column.value(row).to_string()));
        }
    }
    let is_numeric = |i: &usize| schema.fields().get(*i).is_some_and(|field| field.data_type().is_numeric());
    table::align_right(&mut table, &(0..names.len()).filter(is_numeric).collect::<Vec<_>>());
    Ok(table::render(&table))
}
