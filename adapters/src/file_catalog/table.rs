//! The JSON in a table's file.

use std::sync::Arc;

use rollcall_core::file::TypedColumn;
use rollcall_core::partition::PartitionKey;
use serde::{Deserialize, Serialize};

/// A table, as stored in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogTable {
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// Description of the data, with its attribution.
    pub comment: String,
    /// Prefix of its objects.
    pub location: String,
    /// Columns of the files.
    pub columns: Vec<CatalogColumn>,
    /// Partition columns; empty for a lookup table.
    pub partition_keys: Vec<CatalogColumn>,
    /// View of the table with labels. Lakes of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<CatalogView>,
    /// Registered partitions.
    pub partitions: Vec<RegisteredPartition>,
}

/// A view, as stored in its table's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogView {
    /// Name, in the database of its table.
    pub name: String,
    /// The query.
    pub sql: String,
}

/// A column, as stored in a table's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogColumn {
    /// Name.
    pub name: String,
    /// Glue type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Meaning of the values.
    pub comment: String,
}

/// A partition, as stored in a table's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredPartition {
    /// Axis values.
    pub partition: PartitionKey,
    /// Prefix of its object.
    pub location: String,
    /// Number of rows in its object.
    pub n_rows: u64,
    /// Columns of its object, if they differ from the table's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Arc<Vec<TypedColumn>>>,
}

impl CatalogTable {
    /// Returns the names of the table and its view.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [Some(self.table.as_str()), self.view.as_ref().map(|view| view.name.as_str())].into_iter().flatten()
    }

    /// Returns the names and types of the table's columns.
    pub(super) fn typed_columns(&self) -> Arc<Vec<TypedColumn>> {
        let typed = |column: &CatalogColumn| TypedColumn { name: column.name.clone(), kind: column.kind.clone() };
        Arc::new(self.columns.iter().map(typed).collect())
    }
}
