//! The names of a query's columns, as their author would write them.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, SetExpr};

use crate::query::plain_sql::plain_name;

/// Returns the schema with names such as `1` and `sum(n)` for what the engine calls `Int64(1)` and `sum(t.n)`.
///
/// An expression is named as it is written; if a star stands for it, by what the engine calls it. A name that the SQL
/// contains stays as it is, and so do names that would then be the same.
pub(super) fn with_plain_headings(schema: &SchemaRef, sql: &str) -> SchemaRef {
    let n_columns = schema.fields().len();
    let selected = selected(sql);
    let plain = |(i, field): (usize, &Arc<Field>)| {
        let name = field.name();
        match item(&selected, i, n_columns) {
            Some(SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_))) => name.clone(),
            Some(SelectItem::UnnamedExpr(written)) => written.to_string(),
            Some(_) => name.clone(),
            None if sql.contains(name) => name.clone(),
            None => plain_name(name).unwrap_or_else(|| name.clone()),
        }
    };
    let names: Vec<String> = schema.fields().iter().enumerate().map(plain).collect();
    let fields = schema.fields().iter().zip(&names).map(|(field, name)| {
        let is_unique = names.iter().filter(|other| *other == name).count() == 1;
        if is_unique { field.as_ref().clone().with_name(name) } else { field.as_ref().clone() }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// Returns what a query selects; nothing for other statements.
fn selected(sql: &str) -> Vec<SelectItem> {
    let statement = DFParser::parse_sql(sql).ok().and_then(|mut statements| statements.pop_front());
    let Some(Statement::Statement(statement)) = statement else { return Vec::new() };
    let ast::Statement::Query(query) = *statement else { return Vec::new() };
    let mut body = *query.body;
    loop {
        body = match body {
            SetExpr::Select(select) => return select.projection,
            SetExpr::Query(query) => *query.body,
            // The first part of a union names the columns.
            SetExpr::SetOperation { left, .. } => *left,
            _ => return Vec::new(),
        };
    }
}

/// Returns the item of a list that gives a column; `None` for a star, which may stand for any number of them.
fn item(selected: &[SelectItem], i: usize, n_columns: usize) -> Option<&SelectItem> {
    let is_one = |item: &&SelectItem| !matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let mut before = selected.iter().take_while(is_one);
    let mut after = selected.iter().rev().take_while(is_one);
    before.nth(i).or_else(|| after.nth(n_columns.checked_sub(i + 1)?))
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
            ("select count(*), SUM( n ), min(t.n), max(n+1) from t", &["count(*)", "SUM(n)", "min(t.n)", "max(n + 1)"]),
            ("select sum((n + 1)) from t where t.n > 0", &["sum((n + 1))"]),
            ("select sum(x.n), min(X.n), max(n) from t x", &["sum(x.n)", "min(X.n)", "max(n)"]),
            ("select max(n) from public.t", &["max(n)"]),
            ("select t.n, v || '!' from t", &["n", "v || '!'"]),
            ("select n in (1,2,3), n not in (1) from t", &["n IN (1, 2, 3)", "n NOT IN (1)"]),
            ("select interval '1 day'", &["INTERVAL '1 day'"]),
            ("select 'it''s \")x', '\")' || '(\"'", &["'it''s \")x'", "'\")' || '(\"'"]),
            ("select n + 1, *, n + 2, v || 'x' from t", &["n + 1", "n", "v", "n + 2", "v || 'x'"]),
            ("select * from (select sum(n), max(t.n + 1) from t)", &["sum(n)", "max(n + 1)"]),
            ("with w as (select v || 'x' from t) select * from w", &["t.v || Utf8(\"x\")"]),
            ("select n + 1 from t union all select n from t limit 1", &["n + 1"]),
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
