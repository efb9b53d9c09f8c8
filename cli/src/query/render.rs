//! The result of a query as a table, CSV or JSON.

use clap::ValueEnum;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::escape;
use crate::output::Format;
use crate::table;

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

pub(crate) fn render(batches: &[RecordBatch], format: QueryFormat) -> anyhow::Result<String> {
    match format {
        QueryFormat::Table => render_table(batches),
        QueryFormat::Csv => render_csv(batches),
        QueryFormat::Json => {
            let mut bytes = Vec::new();
            // A null is written as one, so that every row has the same keys.
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
            Ok(escape::json_text(String::from_utf8(bytes)?))
        }
    }
}

/// Rows after a header line, quoted as RFC 4180 asks for. A null is nothing and an empty text is `""`, which the engine's
/// own writer would write alike.
pub(crate) fn render_csv(batches: &[RecordBatch]) -> anyhow::Result<String> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let mut csv = String::new();
    for (i, field) in first.schema().fields().iter().enumerate() {
        push_csv(&mut csv, i, Some(&escape::visible_on_terminal(field.name())));
    }
    csv.push('\n');
    let options = FormatOptions::default().with_display_error(false);
    let mut value = String::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok((column.logical_nulls(), ArrayFormatter::try_new(column, &options)?)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            for (i, (nulls, column)) in columns.iter().enumerate() {
                let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                value.clear();
                column.value(row).write(&mut value)?;
                push_csv(&mut csv, i, (!is_null).then_some(&escape::visible_on_terminal(&value)));
            }
            csv.push('\n');
        }
    }
    Ok(csv)
}

/// Appends the `i`th value of a line, from 0.
pub(crate) fn push_csv(csv: &mut String, i: usize, value: Option<&str>) {
    if i > 0 {
        csv.push(',');
    }
    match value {
        None => {}
        Some(plain) if !plain.is_empty() && !plain.contains(['"', ',', '\n', '\r']) => csv.push_str(plain),
        Some(value) => {
            csv.push('"');
            csv.push_str(&value.replace('"', "\"\""));
            csv.push('"');
        }
    }
}

/// Columns aligned by type; an empty cell is null.
pub(crate) fn render_table(batches: &[RecordBatch]) -> anyhow::Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    /// Rows of SQL over no tables.
    async fn values(sql: &str, format: QueryFormat) -> String {
        let batches = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
        render(&batches, format).unwrap()
    }

    /// Found by use: W8.
    #[tokio::test]
    async fn as_csv_a_null_is_nothing_and_an_empty_text_is_quoted() {
        let sql = "select * from (values (1, 'a', 1.5), (2, '', 2e300), (3, null, null), (null, 'null', -0.0)) t(n, \"a,b\", x)";
        assert_eq!(values(sql, QueryFormat::Csv).await, "n,\"a,b\",x\n1,a,1.5\n2,\"\",2e300\n3,,\n,null,-0.0\n");
        let one_column = "select * from (values ('a'), (''), (null), ('b')) t(v)";
        assert_eq!(values(one_column, QueryFormat::Csv).await, "v\na\n\"\"\n\nb\n");
        assert_eq!(values("select null as v, 'x' as w", QueryFormat::Csv).await, "v,w\n,x\n");
    }

    #[tokio::test]
    async fn as_csv_text_is_quoted_where_it_must_be_and_else_as_it_is() {
        let sql = "select 'a,b' as a, 'say \"x\"' as b, E'one\\ntwo' as c, E'\\r' as d, ' 1 ' as e, true as f, \
                   date '2021-02-03' as g";
        assert_eq!(
            values(sql, QueryFormat::Csv).await,
            "a,b,c,d,e,f,g\n\"a,b\",\"say \"\"x\"\"\",\"one\ntwo\",\"\r\", 1 ,true,2021-02-03\n"
        );
    }
}
