//! Queries the lake as it was.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rollcall_adapters::file_catalog::{CatalogTable, RegisteredPartition};
use rollcall_adapters::folder::FolderStore;
use rollcall_core::history::{Moment, table_as_of};
use rollcall_core::keys;
use rollcall_core::partition::PartitionKey;

use crate::query::words::words_of;
use crate::warnings;

/// A moment in the past of a lake in a folder.
pub(crate) struct AsOf {
    store: FolderStore,
    moment: Moment,
    /// Tables for which a warning has already been printed.
    warned: Mutex<BTreeSet<String>>,
}

impl AsOf {
    pub(crate) fn new(store: FolderStore, moment: Moment) -> Self {
        Self { store, moment, warned: Mutex::default() }
    }

    /// Replaces the partitions of the tables that the SQL names by those that were valid at the moment.
    pub(super) async fn apply(&self, tables: &mut [CatalogTable], sql: &str) -> anyhow::Result<()> {
        let words = words_of(sql);
        for table in tables {
            let is_named = table.names().any(|name| words.contains(name));
            let is_of_data = !table.partition_keys.is_empty() && !is_history(table);
            if is_named && is_of_data {
                self.apply_to(table).await?;
            }
        }
        Ok(())
    }

    async fn apply_to(&self, table: &mut CatalogTable) -> anyhow::Result<()> {
        let axes: Vec<(&str, bool)> =
            table.partition_keys.iter().map(|key| (key.name.as_str(), key.kind == "int")).collect();
        let parse = |path: &str| PartitionKey::parse_hive_path(path, &axes);
        let as_of = table_as_of(&self.store, &table.table, parse, &self.moment).await?;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(table.table.clone()) {
            warnings::warn_not_refreshed(&as_of.not_refreshed, &table.table, &self.moment);
            if let Some(first_at) = as_of.first_at.filter(|_| as_of.partitions.is_empty()) {
                warnings::note_empty(&table.table, as_of.at, first_at);
            }
        }
        let registered = as_of.partitions.into_iter().map(|as_of| RegisteredPartition {
            partition: as_of.partition,
            location: as_of.object.strip_suffix(keys::OBJECT).unwrap_or(&as_of.object).to_owned(),
            n_rows: as_of.validity.facts.n_rows,
            columns: None,
        });
        table.partitions = registered.collect();
        Ok(())
    }
}

/// Returns whether a table has the kept editions of another.
fn is_history(table: &CatalogTable) -> bool {
    table.location.starts_with(keys::HISTORY_PREFIX)
}
