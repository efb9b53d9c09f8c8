//! Rows as CSV.

use std::borrow::Cow;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::escape::visible;

/// CSV, quoted as RFC 4180 requires.
///
/// A null is an empty field, and empty text is `""`. Arrow's CSV writer writes both the same way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CsvText {
    /// Whether values are [`visible`], for a terminal, or unchanged, for a file or a pipe.
    pub(crate) is_visible: bool,
}

impl CsvText {
    /// Returns the header line.
    pub(super) fn header(self, schema: &Schema) -> String {
        let mut csv = String::new();
        for (i, field) in schema.fields().iter().enumerate() {
            push_csv(&mut csv, i, Some(&self.value(field.name())));
        }
        csv.push('\n');
        csv
    }

    /// Returns the lines of rows.
    pub(super) fn rows(self, batch: &RecordBatch) -> anyhow::Result<String> {
        let mut csv = String::new();
        let options = FormatOptions::default().with_display_error(false);
        let mut value = String::new();
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
                push_csv(&mut csv, i, (!is_null).then_some(&self.value(&value)));
            }
            csv.push('\n');
        }
        Ok(csv)
    }

    fn value(self, text: &str) -> Cow<'_, str> {
        if self.is_visible { visible(text) } else { Cow::Borrowed(text) }
    }
}

/// Appends value `i` (0-based) of a line.
fn push_csv(csv: &mut String, i: usize, value: Option<&str>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    /// Returns the rows of a query that reads no tables.
    async fn csv_of(sql: &str) -> String {
        let batches = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
        let text = CsvText { is_visible: false };
        let rows = batches.iter().map(|batch| text.rows(batch).unwrap());
        text.header(&batches[0].schema()) + &rows.collect::<String>()
    }

    /// Found by use: W8.
    #[tokio::test]
    async fn in_csv_a_null_is_an_empty_field_and_empty_text_is_quoted() {
        let sql = "select * from (values (1, 'a', 1.5), (2, '', 2e300), (3, null, null), (null, 'null', -0.0)) t(n, \"a,b\", x)";
        assert_eq!(csv_of(sql).await, "n,\"a,b\",x\n1,a,1.5\n2,\"\",2e300\n3,,\n,null,-0.0\n");
        let one_column = "select * from (values ('a'), (''), (null), ('b')) t(v)";
        assert_eq!(csv_of(one_column).await, "v\na\n\"\"\n\nb\n");
        assert_eq!(csv_of("select null as v, 'x' as w").await, "v,w\n,x\n");
    }

    #[tokio::test]
    async fn in_csv_text_is_quoted_only_if_necessary() {
        let sql = "select 'a,b' as a, 'say \"x\"' as b, E'one\\ntwo' as c, E'\\r' as d, ' 1 ' as e, true as f, \
                   date '2021-02-03' as g";
        assert_eq!(
            csv_of(sql).await,
            "a,b,c,d,e,f,g\n\"a,b\",\"say \"\"x\"\"\",\"one\ntwo\",\"\r\", 1 ,true,2021-02-03\n"
        );
    }
}
