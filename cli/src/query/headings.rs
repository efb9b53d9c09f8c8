//! The names of a query's columns, as their author would write them.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

use crate::query::plain_sql::plain_sql;

/// Returns the schema with names such as `1` and `sum(n)` for what the engine calls `Int64(1)` and `sum(t.n)`.
///
/// A name that the SQL contains stays as it is, and so do names that would then be the same.
pub(super) fn with_plain_headings(schema: &SchemaRef, sql: &str) -> SchemaRef {
    let written = compact(sql);
    let is_written = |text: &str| written.contains(&compact(text));
    let plain = |field: &Arc<Field>| {
        let name = field.name();
        let (with_tables, without) = (plain_sql(name, |_| true), plain_sql(name, |_| false));
        match () {
            () if sql.contains(name) => name.clone(),
            () if is_written(&with_tables) => with_tables,
            () if is_written(&without) => without,
            // The engine has changed it, such as its parentheses.
            () => plain_sql(name, is_written),
        }
    };
    let names: Vec<String> = schema.fields().iter().map(plain).collect();
    let fields = schema.fields().iter().zip(&names).map(|(field, name)| {
        let is_unique = names.iter().filter(|other| *other == name).count() == 1;
        if is_unique { field.as_ref().clone().with_name(name) } else { field.as_ref().clone() }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// Returns SQL in lower case and without spaces, in which the engine's differs from its author's.
fn compact(sql: &str) -> String {
    sql.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// Returns rows with the names of a schema.
pub(super) fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    #[tokio::test]
    async fn headings_are_plain_sql_and_differ() {
        let context = SessionContext::new();
        context.sql("create view t as select * from (values (1, 'a')) t(n, v)").await.unwrap();
        for (sql, expected) in [
            ("select 1, 'it''s', true, null, 1.5, -1", &["1", "'it''s'", "true", "NULL", "1.5", "-1"][..]),
            ("select count(*), SUM( n ), min(t.n), max(n+1) from t", &["count(*)", "sum(n)", "min(t.n)", "max(n + 1)"]),
            ("select sum((n + 1)) from t where t.n > 0", &["sum(t.n + 1)"]),
            ("select sum(x.n), min(X.n), max(n) from t x", &["sum(x.n)", "min(x.n)", "max(n)"]),
            ("select max(n) from public.t", &["max(n)"]),
            ("select n + 1, v || '!' from t", &["n + 1", "v || '!'"]),
            // What the author wrote stays.
            ("select 2 as \"Int64(1)\", 1 as \"t.n\" from t", &["Int64(1)", "t.n"]),
            ("select sum(a.n), sum(b.n) from t a join t b using (n)", &["sum(a.n)", "sum(b.n)"]),
            // These would be the same.
            ("select 1, 2 as \"1\"", &["Int64(1)", "1"]),
        ] {
            let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
            let schema = with_plain_headings(&batches[0].schema(), sql);
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(names, expected, "{sql}");
            assert_eq!(with_schema(&batches[0], &schema).unwrap().num_rows(), 1);
        }
    }
}
