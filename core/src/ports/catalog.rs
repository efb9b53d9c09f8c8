//! The catalog: tables and partitions as a query engine sees them.

use std::future::Future;
use std::sync::Arc;

use futures::future::join_all;

use crate::file::columns::TypedColumn;
use crate::partition::PartitionKey;
use crate::ports::cause::BoxError;
use crate::view::ViewSpec;

/// The catalog: Glue, or its local replacement.
pub trait Catalog: Send + Sync {
    /// Ensures that `table` exists with the declared columns.
    fn ensure_table(&self, table: &TableSpec) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// Does the same as [`Self::ensure_table`] for several tables, with fewer calls if the catalog supports it, or else
    /// for all at once. The error names the first table that failed.
    fn ensure_tables(&self, tables: &[TableSpec]) -> impl Future<Output = Result<(), CatalogError>> + Send {
        async move {
            let ensure = async |table| self.ensure_table(table).await.map_err(|error| error.for_table(table));
            join_all(tables.iter().map(ensure)).await.into_iter().collect()
        }
    }

    /// Returns every registered partition of `table`.
    fn partitions(&self, table: &TableSpec)
    -> impl Future<Output = Result<Vec<CatalogPartition>, CatalogError>> + Send;

    /// Adds or replaces the partitions in `put` and removes those in `remove`.
    fn change_partitions(
        &self,
        table: &TableSpec,
        put: &[CatalogPartition],
        remove: &[PartitionKey],
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;
}

/// The desired definition of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// Description of the table, with its attribution.
    pub comment: String,
    /// Prefix of the table's objects, ending in `/`.
    pub location: String,
    /// Columns of the files: name, Glue type, comment.
    pub columns: Vec<(String, String, String)>,
    /// Partition columns: name, Glue type, comment. Empty for a lookup table.
    pub partition_keys: Vec<(String, String, String)>,
    /// View of the table with labels, in the same database. `None` for a lookup table.
    pub view: Option<ViewSpec>,
}

impl TableSpec {
    /// Parses a Hive path made of this table's partition columns. Returns `None` for any other path.
    #[must_use]
    pub fn parse_partition(&self, path: &str) -> Option<PartitionKey> {
        let axes: Vec<(&str, bool)> =
            self.partition_keys.iter().map(|(name, kind, _)| (name.as_str(), kind == "int")).collect();
        PartitionKey::parse_hive_path(path, &axes)
    }

    /// Returns the same partition with its axes in the order of the partition columns, or `None` if it has different axes.
    #[must_use]
    pub fn arrange(&self, partition: &PartitionKey) -> Option<PartitionKey> {
        partition.in_order(self.partition_keys.iter().map(|(name, _, _)| name.as_str()))
    }
}

/// A partition in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogPartition {
    /// Axis values.
    pub partition: PartitionKey,
    /// Prefix of its object, ending in `/`.
    pub location: String,
    /// Number of rows in its object.
    pub n_rows: u64,
    /// Columns of its object's file, whose schema may differ from the table's.
    pub columns: Arc<Vec<TypedColumn>>,
}

/// A catalog error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CatalogError {
    /// The operation and its table, without the cause.
    pub message: String,
    /// The cause.
    #[source]
    pub source: BoxError,
}

impl CatalogError {
    /// Adds the table's name to the message.
    #[must_use]
    pub fn for_table(self, table: &TableSpec) -> Self {
        let message = format!("{} `{}.{}`", self.message, table.database, table.table);
        Self { message, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::Lookup;
    use futures::executor::block_on;

    /// A catalog that lacks the table with this name.
    struct Without(&'static str);

    impl Catalog for Without {
        async fn ensure_table(&self, table: &TableSpec) -> Result<(), CatalogError> {
            if table.table == self.0 {
                return Err(CatalogError { message: "read table".to_owned(), source: "found none".into() });
            }
            Ok(())
        }

        async fn partitions(&self, _: &TableSpec) -> Result<Vec<CatalogPartition>, CatalogError> {
            Ok(Vec::new())
        }

        async fn change_partitions(
            &self,
            _: &TableSpec,
            _: &[CatalogPartition],
            _: &[PartitionKey],
        ) -> Result<(), CatalogError> {
            Ok(())
        }
    }

    #[test]
    fn an_error_of_one_among_several_tables_names_it() {
        let specs: Vec<TableSpec> = Lookup::built_in().unwrap().iter().map(Lookup::table_spec).collect();
        let ensured = |missing| block_on(Without(missing).ensure_tables(&specs)).map_err(|error| error.message);
        assert_eq!(ensured("another"), Ok(()));
        assert_eq!(ensured("lookup_races"), Err("read table `ccd_school.lookup_races`".to_owned()));
    }
}
