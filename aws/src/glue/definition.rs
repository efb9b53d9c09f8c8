//! Definitions of tables and views, as Glue has them.

use std::collections::HashMap;

use aws_sdk_glue::types::{Column, SerDeInfo, StorageDescriptor, Table, TableInput};
use aws_smithy_types::base64;
use rollcall_core::dataset::ColumnKind;
use rollcall_core::ports::{CatalogError, TableSpec};
use rollcall_core::view::{ViewSpec, ViewType};
use serde_json::json;

use crate::glue::failed::failed;

/// Parameter that says who changes the definition of a table.
const MANAGED_BY: &str = "managed_by";
/// Its value for tables of the template.
const TEMPLATE: &str = "template";
/// Its value for tables and views of the catalog step.
const ROLLCALL: &str = "rollcall";

/// Maximum length of a column's comment, in bytes.
///
/// Source: AWS Glue API reference, `Column`: `Comment`, not more than 255 bytes.
const MAX_COMMENT_BYTES: usize = 255;

/// Returns whether the template defines a table, so that the catalog step only checks it.
pub(super) fn is_of_template(table: &Table) -> bool {
    is_managed_by(table, TEMPLATE)
}

/// Returns whether the catalog step has made a table or view, or has adopted a table.
pub(super) fn is_of_rollcall(table: &Table) -> bool {
    is_managed_by(table, ROLLCALL)
}

fn is_managed_by(table: &Table, who: &str) -> bool {
    table.parameters().and_then(|parameters| parameters.get(MANAGED_BY)).is_some_and(|value| value == who)
}

/// Returns the definition of a table.
///
/// - `lake`: `s3://<bucket>/`.
/// - `found`: the table as it is. Parameters that others have set, such as a crawler, are kept.
pub(super) fn table_input(lake: &str, spec: &TableSpec, found: Option<&Table>) -> Result<TableInput, CatalogError> {
    let serde = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
    let storage = StorageDescriptor::builder()
        .location(format!("{lake}{}", spec.location))
        .input_format("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat")
        .output_format("org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat")
        .serde_info(SerDeInfo::builder().serialization_library(serde).build())
        .set_columns(Some(columns(&spec.columns)?))
        .build();
    let mut parameters = found.and_then(Table::parameters).cloned().unwrap_or_default();
    for (name, value) in [("EXTERNAL", "TRUE"), ("classification", "parquet"), (MANAGED_BY, ROLLCALL)] {
        parameters.insert(name.to_owned(), value.to_owned());
    }
    let input = TableInput::builder()
        .name(&spec.table)
        .description(&spec.comment)
        .table_type("EXTERNAL_TABLE")
        .set_parameters(Some(parameters))
        .set_partition_keys(Some(columns(&spec.partition_keys)?))
        .storage_descriptor(storage);
    input.build().map_err(|error| failed("describe table", error))
}

/// Returns the definition of a view, in the format that Athena and Trino write and read.
///
/// Source: Trino, `ViewReaderUtil` (Presto views in the Hive metastore): `/* Presto View: <base64 of JSON> */`.
pub(super) fn view_input(database: &str, view: &ViewSpec) -> Result<TableInput, CatalogError> {
    let kinds = view.columns.iter().map(|(name, kind)| {
        let (presto, hive) = match kind {
            ViewType::Boolean => ("boolean", "boolean"),
            ViewType::Column(ColumnKind::String) => ("varchar", "string"),
            ViewType::Column(ColumnKind::Int) => ("integer", "int"),
            ViewType::Column(kind) => (kind.glue_type(), kind.glue_type()),
        };
        (name, presto, hive)
    });
    let typed: Vec<_> = kinds.clone().map(|(name, presto, _)| json!({"name": name, "type": presto})).collect();
    let definition = json!({
        "originalSql": view.sql(database), "catalog": "awsdatacatalog", "schema": database, "columns": typed,
    });
    let hive: Vec<(String, String, String)> =
        kinds.map(|(name, _, hive)| (name.clone(), hive.to_owned(), String::new())).collect();
    let storage = StorageDescriptor::builder()
        .location("")
        .serde_info(SerDeInfo::builder().build())
        .set_columns(Some(columns(&hive)?))
        .build();
    let parameters = [("presto_view", "true"), ("comment", "Presto View"), (MANAGED_BY, ROLLCALL)];
    let parameters: HashMap<String, String> =
        parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let input = TableInput::builder()
        .name(&view.name)
        .table_type("VIRTUAL_VIEW")
        .set_parameters(Some(parameters))
        .storage_descriptor(storage)
        .view_original_text(format!("/* Presto View: {} */", base64::encode(definition.to_string())))
        .view_expanded_text("/* Presto View */");
    input.build().map_err(|error| failed("describe view", error))
}

/// Returns whether a table or view already has a definition.
pub(super) fn is_same(found: &Table, wanted: &TableInput) -> bool {
    let storage = found.storage_descriptor();
    let wanted_storage = wanted.storage_descriptor();
    let found_columns = storage.map(StorageDescriptor::columns).unwrap_or_default();
    let wanted_columns = wanted_storage.map(StorageDescriptor::columns).unwrap_or_default();
    described(found_columns) == described(wanted_columns)
        && described(found.partition_keys()) == described(wanted.partition_keys())
        && found.description().unwrap_or_default() == wanted.description().unwrap_or_default()
        && found.view_original_text().unwrap_or_default() == wanted.view_original_text().unwrap_or_default()
        && has_parameters(found, wanted)
        && storage.and_then(StorageDescriptor::location).unwrap_or_default()
            == wanted_storage.and_then(StorageDescriptor::location).unwrap_or_default()
}

/// Returns whether a table has the wanted parameters. Query engines may add their own, which change nothing.
fn has_parameters(found: &Table, wanted: &TableInput) -> bool {
    let found = found.parameters();
    let has = |(name, value)| found.and_then(|found| found.get(name)) == Some(value);
    wanted.parameters().is_none_or(|wanted| wanted.iter().all(has))
}

/// Returns name, type and comment of columns.
fn described(columns: &[Column]) -> Vec<(&str, &str, &str)> {
    let described = |column| -> (&str, &str, &str) {
        let column: &Column = column;
        (column.name(), column.r#type().unwrap_or_default(), column.comment().unwrap_or_default())
    };
    columns.iter().map(described).collect()
}

fn columns(declared: &[(String, String, String)]) -> Result<Vec<Column>, CatalogError> {
    let column = |(name, kind, comment): &(String, String, String)| {
        let comment = comment.get(..comment.floor_char_boundary(MAX_COMMENT_BYTES)).filter(|text| !text.is_empty());
        let column = Column::builder().name(name).r#type(kind).set_comment(comment.map(str::to_owned));
        column.build().map_err(|error| failed("describe column", error))
    };
    declared.iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_core::dataset::Dataset;

    /// Source: AWS Glue API reference, `TableInput`: `ViewOriginalText`, not more than 409,600 bytes.
    #[test]
    fn the_views_of_all_built_in_datasets_fit_into_glue() {
        let text = |name| -> (usize, &str) {
            let view = Dataset::built_in(name).unwrap().labeled_view();
            (
                view_input("a_prefix_of_forty_characters_at_the_most_education", &view)
                    .unwrap()
                    .view_original_text()
                    .unwrap()
                    .len(),
                name,
            )
        };
        let longest = Dataset::built_in_names().into_iter().map(text).max().unwrap();
        assert!(longest.0 <= 409_600, "{longest:?}");
    }

    #[test]
    fn parameters_that_others_have_set_make_no_difference() {
        let spec = Dataset::built_in("ccd_directory").unwrap().table_spec();
        let input = table_input("s3://lake/", &spec, None).unwrap();
        let table = |parameters| {
            Table::builder()
                .name(&spec.table)
                .description(&spec.comment)
                .set_partition_keys(input.partition_keys.clone())
                .set_storage_descriptor(input.storage_descriptor.clone())
                .set_parameters(Some(parameters))
                .build()
                .unwrap()
        };
        let mut parameters = input.parameters.clone().unwrap();
        let _ = parameters.insert("transient_lastDdlTime".to_owned(), "1".to_owned());
        assert!(is_same(&table(parameters.clone()), &input));
        let _ = parameters.remove(MANAGED_BY);
        assert!(!is_same(&table(parameters), &input));
    }
}
