//! Columns and partitions in the types of Glue.

use aws_sdk_glue::types::{Column, Partition};
use rollcall_core::file::TypedColumn;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::TableSpec;

/// Partition parameter that engines read the number of rows from.
pub(super) const N_ROWS: &str = "numRows";

pub(super) fn values_of(partition: &PartitionKey) -> Vec<String> {
    partition.axes().iter().map(|(_, value)| value.to_string()).collect()
}

/// The Hive path of a partition; `None` when it has another number of values than the table has partition columns.
pub(super) fn hive_path(spec: &TableSpec, partition: &Partition) -> Option<String> {
    let values = partition.values();
    let segments: Vec<String> =
        spec.partition_keys.iter().zip(values).map(|((name, _, _), value)| format!("{name}={value}")).collect();
    (values.len() == spec.partition_keys.len()).then(|| segments.join("/"))
}

/// Rows as the partition says; a number that no object has when it does not say.
pub(super) fn n_rows(partition: &Partition) -> u64 {
    let said = partition.parameters().and_then(|parameters| parameters.get(N_ROWS)?.parse().ok());
    said.unwrap_or(u64::MAX)
}

pub(super) fn typed(columns: &[Column]) -> Vec<TypedColumn> {
    let typed = |column: &Column| TypedColumn {
        name: column.name().to_owned(),
        kind: column.r#type().unwrap_or_default().to_owned(),
    };
    columns.iter().map(typed).collect()
}

/// A column as Glue is told of it, which always has a name.
pub(super) fn column_of(column: &TypedColumn) -> Option<Column> {
    Column::builder().name(&column.name).r#type(&column.kind).build().ok()
}

/// Names and types, as they are compared.
pub(super) fn described(columns: &[Column]) -> String {
    let words: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.name(), column.r#type().unwrap_or_default())).collect();
    words.join(", ")
}

pub(super) fn declared(columns: &[(String, String, String)]) -> String {
    let words: Vec<String> = columns.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
    words.join(", ")
}
