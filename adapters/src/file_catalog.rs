//! The local replacement for Glue: one JSON file per table, in the lake itself.

mod table;

use std::collections::BTreeSet;

use bytes::Bytes;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{BoxError, Catalog, CatalogError, CatalogPartition, Store, TableSpec};

pub use crate::file_catalog::table::{CatalogColumn, CatalogTable, CatalogView, RegisteredPartition};

/// A catalog of tables in a store. The lake's lock prevents concurrent writes.
#[derive(Debug, Clone)]
pub struct FileCatalog<S> {
    store: S,
}

impl<S: Store> FileCatalog<S> {
    /// Returns the catalog of a lake.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// Returns all tables, sorted by database and name.
    ///
    /// # Errors
    /// Fails if a file cannot be read or does not hold a table.
    pub async fn tables(&self) -> Result<Vec<CatalogTable>, CatalogError> {
        let listed =
            self.store.list(keys::CATALOG_PREFIX).await.map_err(|error| failed("list", keys::CATALOG_PREFIX, error))?;
        let mut tables = Vec::new();
        for listed in listed {
            tables.extend(self.read(&listed.key).await?);
        }
        Ok(tables)
    }

    /// Returns the table of `dataset`, if it has one.
    ///
    /// # Errors
    /// Fails if the file cannot be read or does not hold a table.
    pub async fn table(&self, dataset: &Dataset) -> Result<Option<CatalogTable>, CatalogError> {
        self.read(&keys::catalog_table(&dataset.database, &dataset.table)).await
    }

    async fn read(&self, key: &str) -> Result<Option<CatalogTable>, CatalogError> {
        let bytes = self.bytes(key).await?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| failed("read", key, error))).transpose()
    }

    /// Reads a table. A file that does not hold a table counts as absent, because it can be rebuilt from the objects. A
    /// store that does not respond is an error.
    async fn read_or_anew(&self, key: &str) -> Result<Option<CatalogTable>, CatalogError> {
        match self.read(key).await {
            Err(error) if error.source.is::<serde_json::Error>() => {
                tracing::warn!(key, "table file is invalid, rebuilding it from the objects");
                Ok(None)
            }
            read => read,
        }
    }

    /// Returns whether the table of `dataset` has a file, valid or not.
    ///
    /// # Errors
    /// Fails if the store does not respond.
    pub async fn has_table(&self, dataset: &Dataset) -> Result<bool, CatalogError> {
        let key = keys::catalog_table(&dataset.database, &dataset.table);
        Ok(self.bytes(&key).await?.is_some())
    }

    async fn bytes(&self, key: &str) -> Result<Option<Bytes>, CatalogError> {
        let found = self.store.read(key).await.map_err(|error| failed("read", key, error))?;
        Ok(found.map(|found| found.bytes))
    }

    async fn write(&self, key: &str, table: &CatalogTable) -> Result<(), CatalogError> {
        let mut text = serde_json::to_vec_pretty(table).map_err(|error| failed("write", key, error))?;
        text.push(b'\n');
        self.store.write(key, Bytes::from(text)).await.map_err(|error| failed("write", key, error))
    }
}

impl<S: Store> Catalog for FileCatalog<S> {
    async fn ensure_table(&self, spec: &TableSpec) -> Result<(), CatalogError> {
        let key = keys::catalog_table(&spec.database, &spec.table);
        let before = self.read_or_anew(&key).await?;
        let columns = |columns: &[(String, String, String)]| {
            columns
                .iter()
                .map(|(name, kind, comment)| CatalogColumn {
                    name: name.clone(),
                    kind: kind.clone(),
                    comment: comment.clone(),
                })
                .collect()
        };
        let mut table = CatalogTable {
            database: spec.database.clone(),
            table: spec.table.clone(),
            comment: spec.comment.clone(),
            location: spec.location.clone(),
            columns: columns(&spec.columns),
            partition_keys: columns(&spec.partition_keys),
            view: spec.view.as_ref().map(|view| CatalogView { name: view.name.clone(), sql: view.sql(&spec.database) }),
            partitions: before.as_ref().map(|table| table.partitions.clone()).unwrap_or_default(),
        };
        let old_columns = before.as_ref().map(CatalogTable::typed_columns);
        if old_columns.as_ref().is_some_and(|old_columns| *old_columns != table.typed_columns()) {
            // The files of these partitions still have the old columns.
            for registered in table.partitions.iter_mut().filter(|registered| registered.columns.is_none()) {
                registered.columns.clone_from(&old_columns);
            }
        }
        if before.as_ref() == Some(&table) { Ok(()) } else { self.write(&key, &table).await }
    }

    async fn partitions(&self, spec: &TableSpec) -> Result<Vec<CatalogPartition>, CatalogError> {
        let key = keys::catalog_table(&spec.database, &spec.table);
        let Some(table) = self.read(&key).await? else { return Ok(Vec::new()) };
        let table_columns = table.typed_columns();
        let registered = table.partitions.into_iter().filter_map(|registered| {
            Some(CatalogPartition {
                partition: spec.arrange(&registered.partition)?,
                location: registered.location,
                n_rows: registered.n_rows,
                columns: registered.columns.unwrap_or_else(|| table_columns.clone()),
            })
        });
        Ok(registered.collect())
    }

    async fn change_partitions(
        &self,
        spec: &TableSpec,
        put: &[CatalogPartition],
        remove: &[PartitionKey],
    ) -> Result<(), CatalogError> {
        let key = keys::catalog_table(&spec.database, &spec.table);
        let Some(mut table) = self.read(&key).await? else {
            return Err(failed("read", &key, "expected the table, found none"));
        };
        let changed: BTreeSet<&PartitionKey> = put.iter().map(|put| &put.partition).chain(remove).collect();
        // This also removes entries with other axes, which remain after the descriptor has changed.
        table.partitions.retain_mut(|registered| match spec.arrange(&registered.partition) {
            Some(partition) => {
                registered.partition = partition;
                !changed.contains(&registered.partition)
            }
            None => false,
        });
        let table_columns = table.typed_columns();
        table.partitions.extend(put.iter().map(|partition| RegisteredPartition {
            partition: partition.partition.clone(),
            location: partition.location.clone(),
            n_rows: partition.n_rows,
            columns: Some(&partition.columns).filter(|columns| **columns != table_columns).cloned(),
        }));
        table.partitions.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
        self.write(&key, &table).await
    }
}

fn failed(action: &str, key: &str, error: impl Into<BoxError>) -> CatalogError {
    CatalogError { message: format!("{action} `{key}`"), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::FolderStore;

    #[tokio::test]
    async fn a_table_file_that_cannot_be_read_is_an_error_and_does_not_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let spec = Dataset::built_in("ccd_enrollment").unwrap().table_spec();
        let key = keys::catalog_table(&spec.database, &spec.table);
        // A folder at the file's path cannot be read, but is not absent either.
        std::fs::create_dir_all(folder.path().join(&key)).unwrap();
        let error = FileCatalog::new(FolderStore::new(folder.path())).ensure_table(&spec).await.unwrap_err();
        assert_eq!(error.message, format!("read `{key}`"));
    }
}
