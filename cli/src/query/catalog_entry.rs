//! Converts a catalog entry to columns and partitions for the SQL engine.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use rollcall_adapters::file_catalog::{CatalogColumn, CatalogTable};
use rollcall_core::keys;
use rollcall_core::partition::{AxisValue, PartitionKey};

/// A partition that the catalog registers. A lookup table is one partition without axes.
#[derive(Debug)]
pub(super) struct TablePartition {
    /// Without axes for a lookup table.
    pub(super) partition: PartitionKey,
    pub(super) object: String,
    /// Axis values in the order of the table's axes.
    pub(super) values: Vec<ScalarValue>,
}

/// Returns the partitions of a catalog entry.
pub(super) fn partitions(table: &CatalogTable) -> Result<Vec<TablePartition>, String> {
    if table.partition_keys.is_empty() {
        let (partition, object) = (PartitionKey::new(Vec::new()), keys::lookup_object(&table.table));
        return Ok(vec![TablePartition { partition, object, values: Vec::new() }]);
    }
    let axes: Vec<Field> = table.partition_keys.iter().map(field).collect();
    let mut partitions = Vec::with_capacity(table.partitions.len());
    for registered in &table.partitions {
        let mut values = Vec::with_capacity(axes.len());
        for axis in &axes {
            let value = match registered.partition.value(axis.name()) {
                Some(AxisValue::Int(value)) => Some(ScalarValue::from(*value)),
                Some(AxisValue::Text(value)) => Some(ScalarValue::from(value.as_str())),
                None => None,
            };
            let value = value.filter(|value| value.data_type() == *axis.data_type()).ok_or_else(|| {
                format!(
                    "read catalog of `{}.{}`: expected a value for `{}`, of the declared type, in every partition, found none in `{}`",
                    table.database,
                    table.table,
                    axis.name(),
                    registered.partition
                )
            })?;
            values.push(value);
        }
        let (partition, object) = (registered.partition.clone(), format!("{}{}", registered.location, keys::OBJECT));
        partitions.push(TablePartition { partition, object, values });
    }
    Ok(partitions)
}

/// Returns a column of the catalog as an Arrow field.
pub(super) fn field(column: &CatalogColumn) -> Field {
    let kind = match column.kind.as_str() {
        "int" => DataType::Int32,
        "bigint" => DataType::Int64,
        "double" => DataType::Float64,
        _ => DataType::Utf8,
    };
    Field::new(&column.name, kind, true)
}
