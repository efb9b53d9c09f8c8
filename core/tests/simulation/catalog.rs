//! The simulated catalog: changes to individual partitions, and errors before, during and after them.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Catalog, CatalogError, CatalogPartition, TableSpec};

use crate::schedule::{TaskId, call};
use crate::world::{Shared, World};

/// Tables, and the simulated dataset's partitions.
#[derive(Default)]
pub(crate) struct CatalogState {
    tables: BTreeSet<String>,
    partitions: BTreeMap<PartitionKey, CatalogPartition>,
    /// The kept editions that are registered.
    kept: BTreeMap<PartitionKey, CatalogPartition>,
}

impl CatalogState {
    pub(crate) fn partition(&self, partition: &PartitionKey) -> Option<&CatalogPartition> {
        self.partitions.get(partition)
    }

    /// Returns the locations of the registered editions.
    pub(crate) fn kept(&self) -> Vec<&str> {
        self.kept.values().map(|kept| kept.location.as_str()).collect()
    }

    pub(crate) fn n_registered(&self) -> usize {
        self.partitions.len()
    }
}

/// The catalog as one task sees it.
pub(crate) struct SimCatalog {
    shared: Shared,
    task: TaskId,
}

impl SimCatalog {
    pub(crate) fn new(shared: &Shared, task: TaskId) -> Self {
        Self { shared: shared.clone(), task }
    }

    async fn ask<T: Send + 'static>(
        &self,
        verb: &'static str,
        table: String,
        is_write: bool,
        act: impl FnOnce(&mut World) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let task = self.task;
        call(&self.shared, task, is_write, move |world| {
            // A tenth of the rate, since publishing makes a dozen calls.
            let is_refused = world.chance(world.rates.catalog / 10);
            let done = if is_refused {
                world.count("catalog: error before the effect");
                Err(failed(verb, "rejected before its effect"))
            } else {
                act(world)
            };
            let result = done.as_ref().map_or_else(|error| error.source.to_string(), |_| "done".to_owned());
            world.note(Some(task), verb, table, result);
            done
        })
        .await
    }
}

fn failed(verb: &str, cause: &str) -> CatalogError {
    CatalogError { message: verb.to_owned(), source: cause.into() }
}

/// A change to a single partition.
enum Change {
    Put(CatalogPartition),
    Remove(PartitionKey),
}

impl Catalog for SimCatalog {
    async fn ensure_table(&self, table: &TableSpec) -> Result<(), CatalogError> {
        let name = table.table.clone();
        self.ask("ensure table", table.table.clone(), true, move |world| {
            world.catalog.tables.insert(name);
            Ok(())
        })
        .await
    }

    async fn partitions(&self, table: &TableSpec) -> Result<Vec<CatalogPartition>, CatalogError> {
        let table = table.table.clone();
        self.ask("list partitions", table.clone(), false, move |world| {
            if !world.catalog.tables.contains(&table) {
                return Err(failed("list partitions", "no such table"));
            }
            let is_history = table.ends_with("_history");
            let partitions = if is_history { &world.catalog.kept } else { &world.catalog.partitions };
            Ok(partitions.values().cloned().collect())
        })
        .await
    }

    async fn change_partitions(
        &self,
        table: &TableSpec,
        put: &[CatalogPartition],
        remove: &[PartitionKey],
    ) -> Result<(), CatalogError> {
        let (put, remove, task) = (put.to_vec(), remove.to_vec(), self.task);
        let is_history = table.table.ends_with("_history");
        let subject = format!("{} put, {} removed in {}", put.len(), remove.len(), table.table);
        self.ask("change partitions", subject, true, move |world| {
            let mut changes: Vec<Change> =
                put.into_iter().map(Change::Put).chain(remove.into_iter().map(Change::Remove)).collect();
            let is_faulty = world.chance(world.rates.catalog);
            let n_done = if is_faulty { world.rng.usize(0..=changes.len()) } else { changes.len() };
            let is_whole = n_done == changes.len();
            changes.truncate(n_done);
            for change in changes {
                match change {
                    Change::Put(partition) if is_history => {
                        world.audit.n_catalog_changes += 1;
                        world.catalog.kept.insert(partition.partition.clone(), partition);
                    }
                    Change::Remove(partition) if is_history => {
                        world.audit.n_catalog_changes += 1;
                        world.catalog.kept.remove(&partition);
                    }
                    Change::Put(partition) => {
                        let dataset = world.dataset.clone();
                        world.audit.catalog_changed(&dataset, task, std::slice::from_ref(&partition));
                        world.catalog.partitions.insert(partition.partition.clone(), partition);
                    }
                    Change::Remove(partition) => {
                        world.audit.n_catalog_changes += 1;
                        world.catalog.partitions.remove(&partition);
                    }
                }
            }
            if is_faulty {
                world.count(if is_whole { "catalog: error after the effect" } else { "catalog: partial change" });
                return Err(failed("change partitions", if is_whole { "done, response lost" } else { "partly done" }));
            }
            Ok(())
        })
        .await
    }
}
