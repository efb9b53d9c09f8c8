//! A table as its file holds it.

use std::sync::Arc;

use rollcall_core::file::TypedColumn;
use rollcall_core::partition::PartitionKey;
use serde::{Deserialize, Serialize};

/// A table as its file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogTable {
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// What it holds, with its attribution.
    pub comment: String,
    /// Prefix of its objects.
    pub location: String,
    /// Columns of the files.
    pub columns: Vec<CatalogColumn>,
    /// Partition columns; none for a look-up table.
    pub partition_keys: Vec<CatalogColumn>,
    /// Partitions registered.
    pub partitions: Vec<RegisteredPartition>,
}

/// A column as a table's file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogColumn {
    /// Name.
    pub name: String,
    /// Type in Glue's words.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the values mean.
    pub comment: String,
}

/// A partition as a table's file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredPartition {
    /// Axis values.
    pub partition: PartitionKey,
    /// Prefix of its object.
    pub location: String,
    /// Rows of its object.
    pub n_rows: u64,
    /// Columns of its object, where they are not the table's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Arc<Vec<TypedColumn>>>,
}

impl CatalogTable {
    /// The table's columns by name and type.
    pub(super) fn typed_columns(&self) -> Arc<Vec<TypedColumn>> {
        let typed = |column: &CatalogColumn| TypedColumn { name: column.name.clone(), kind: column.kind.clone() };
        Arc::new(self.columns.iter().map(typed).collect())
    }
}
