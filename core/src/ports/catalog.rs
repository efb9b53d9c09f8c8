//! Tables and partitions as a query engine sees them: Glue, or its local stand-in.

use std::future::Future;
use std::sync::Arc;

use crate::file::columns::TypedColumn;
use crate::partition::PartitionKey;
use crate::ports::cause::BoxError;

/// Tables and partitions as a query engine sees them: Glue, or its local stand-in.
pub trait Catalog: Send + Sync {
    /// Makes sure that the table of `dataset` is there with the columns declared.
    fn ensure_table(&self, table: &TableSpec) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// The same of several tables, in fewer calls where the catalog can. The error names the table.
    fn ensure_tables(&self, tables: &[TableSpec]) -> impl Future<Output = Result<(), CatalogError>> + Send {
        async move {
            for table in tables {
                self.ensure_table(table).await.map_err(|error| error.of_table(table))?;
            }
            Ok(())
        }
    }

    /// Returns every registered partition of `table`.
    fn partitions(&self, table: &TableSpec)
    -> impl Future<Output = Result<Vec<CatalogPartition>, CatalogError>> + Send;

    /// Adds or replaces `put` and takes out `remove`.
    fn change_partitions(
        &self,
        table: &TableSpec,
        put: &[CatalogPartition],
        remove: &[PartitionKey],
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;
}

/// A table as the catalog should hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// What the table holds, with its attribution.
    pub comment: String,
    /// Prefix of the table's objects, ending in `/`.
    pub location: String,
    /// Columns of the files: name, type in Glue's words, comment.
    pub columns: Vec<(String, String, String)>,
    /// Partition columns, likewise; none for a look-up table.
    pub partition_keys: Vec<(String, String, String)>,
}

impl TableSpec {
    /// Reads a Hive path of this table's partition columns; `None` when it is not one.
    #[must_use]
    pub fn parse_partition(&self, path: &str) -> Option<PartitionKey> {
        let axes: Vec<(&str, bool)> =
            self.partition_keys.iter().map(|(name, kind, _)| (name.as_str(), kind == "int")).collect();
        PartitionKey::parse_hive_path(path, &axes)
    }

    /// Returns the same partition with its axes in the order of the partition columns; `None` when it has other axes.
    #[must_use]
    pub fn arrange(&self, partition: &PartitionKey) -> Option<PartitionKey> {
        partition.in_order(self.partition_keys.iter().map(|(name, _, _)| name.as_str()))
    }
}

/// A partition as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogPartition {
    /// Axis values.
    pub partition: PartitionKey,
    /// Prefix of its object, ending in `/`.
    pub location: String,
    /// Rows of its object.
    pub n_rows: u64,
    /// Columns of its object's file, which may be of another schema than the table's.
    pub columns: Arc<Vec<TypedColumn>>,
}

/// Why a catalog refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CatalogError {
    /// What was done to which table, without the cause.
    pub message: String,
    /// The cause.
    #[source]
    pub source: BoxError,
}

impl CatalogError {
    /// The error of one table among several.
    #[must_use]
    pub fn of_table(self, table: &TableSpec) -> Self {
        let message = format!("{} `{}.{}`", self.message, table.database, table.table);
        Self { message, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::Lookup;
    use futures::executor::block_on;

    /// A catalog without the table of this name.
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
    fn of_several_tables_the_one_that_is_wrong_is_named() {
        let specs: Vec<TableSpec> = Lookup::built_in().unwrap().iter().map(Lookup::table_spec).collect();
        let ensured = |missing| block_on(Without(missing).ensure_tables(&specs)).map_err(|error| error.message);
        assert_eq!(ensured("another"), Ok(()));
        assert_eq!(ensured("lookup_races"), Err("read table `ccd_school.lookup_races`".to_owned()));
    }
}
