//! Converts columns and partitions to and from Glue's types.

use aws_sdk_glue::types::{Column, Partition};
use rollcall_core::file::TypedColumn;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::TableSpec;

/// Partition parameter from which query engines read the number of rows.
pub(super) const N_ROWS: &str = "numRows";

pub(super) fn partition_values(partition: &PartitionKey) -> Vec<String> {
    partition.axes().iter().map(|(_, value)| value.to_string()).collect()
}

/// Returns the Hive path of a partition, or `None` if it does not have exactly one value for each partition column of
/// the table.
pub(super) fn hive_path(spec: &TableSpec, partition: &Partition) -> Option<String> {
    let values = partition.values();
    let segments: Vec<String> =
        spec.partition_keys.iter().zip(values).map(|((name, _, _), value)| format!("{name}={value}")).collect();
    (values.len() == spec.partition_keys.len()).then(|| segments.join("/"))
}

/// Returns the row count from the partition's parameters. If there is none, returns a number that no object has.
pub(super) fn n_rows(partition: &Partition) -> u64 {
    let n_rows = partition.parameters().and_then(|parameters| parameters.get(N_ROWS)?.parse().ok());
    n_rows.unwrap_or(u64::MAX)
}

pub(super) fn typed(columns: &[Column]) -> Vec<TypedColumn> {
    let typed = |column: &Column| TypedColumn {
        name: column.name().to_owned(),
        kind: column.r#type().unwrap_or_default().to_owned(),
    };
    columns.iter().map(typed).collect()
}

/// Returns a column as Glue's type. The result is never `None`, because every column has a name.
pub(super) fn glue_column(column: &TypedColumn) -> Option<Column> {
    Column::builder().name(&column.name).r#type(&column.kind).build().ok()
}

/// Returns the names and types of a table's columns, for comparison.
pub(super) fn described(columns: &[Column]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.name(), column.r#type().unwrap_or_default())).collect();
    columns.join(", ")
}

/// Returns the names and types of declared columns, for comparison.
pub(super) fn declared(columns: &[(String, String, String)]) -> String {
    let columns: Vec<String> = columns.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
    columns.join(", ")
}
