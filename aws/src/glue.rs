//! Glue as the catalog. Tables that the template defines are only checked; others, and all views, are made and kept up to
//! date here.
//!
//! A batch call responds with HTTP 200 and an error for each entry that it rejected. Each of these errors is handled: a
//! partition that already exists is updated, one that does not exist is created, and transient errors are retried.

mod check_table;
mod columns;
mod definition;
mod failed;
mod refusal;
mod transient;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_glue::Client;
use aws_sdk_glue::types::{BatchUpdatePartitionRequestEntry, PartitionInput, StorageDescriptor, Table, TableInput};
use futures::{StreamExt, TryStreamExt, stream};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Catalog, CatalogError, CatalogPartition, TableSpec};
use rollcall_core::view::ViewSpec;

use crate::glue::check_table::{check_location, check_partition_keys, check_table, check_view};
use crate::glue::columns::{N_ROWS, glue_column, hive_path, n_rows, partition_values, typed};
use crate::glue::definition::{is_of_template, is_same, table_input, view_input};
use crate::glue::failed::{failed, no_table};
use crate::glue::refusal::{Action, Refusal};
use crate::glue::transient::RetryTransient;
use crate::sdk_error::cause;

/// Maximum number of entries in one call.
const MAX_ENTRIES_PER_CALL: usize = 100;

/// Maximum number of times that an entry is sent, whether to create or to update it.
const MAX_ROUNDS: u32 = 5;

/// Wait before the second round. It doubles with each further round.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Maximum number of concurrent removals.
const MAX_CONCURRENT_REMOVALS: usize = 8;

/// The Glue data catalog of one lake. Clones share the client.
#[derive(Debug, Clone)]
pub struct GlueCatalog {
    client: Client,
    /// `s3://<bucket>/`, the prefix of every location.
    lake: String,
    /// Prefix of the databases' names.
    database_prefix: String,
    /// Storage descriptors of the tables that match their declaration, by database and table. The storage descriptors
    /// of partitions are derived from them.
    checked: Arc<Mutex<HashMap<(String, String), StorageDescriptor>>>,
}

impl GlueCatalog {
    /// Returns the catalog of the lake in `bucket`.
    #[must_use]
    pub fn new(config: &SdkConfig, bucket: &str) -> Self {
        let glue = aws_sdk_glue::config::Builder::from(config).retry_classifier(RetryTransient).build();
        Self {
            client: Client::from_conf(glue),
            lake: format!("s3://{bucket}/"),
            database_prefix: String::new(),
            checked: Arc::default(),
        }
    }

    /// Returns the same catalog, but in databases whose names begin with `prefix`.
    #[must_use]
    pub fn with_database_prefix(self, prefix: String) -> Self {
        Self { database_prefix: prefix, ..self }
    }

    /// Returns a table with the name that its database has in Glue.
    fn in_glue(&self, spec: &TableSpec) -> TableSpec {
        TableSpec { database: format!("{}{}", self.database_prefix, spec.database), ..spec.clone() }
    }

    fn checked(&self) -> MutexGuard<'_, HashMap<(String, String), StorageDescriptor>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn table(&self, database: &str, table: &str) -> Result<Option<Table>, CatalogError> {
        match self.client.get_table().database_name(database).name(table).send().await {
            Ok(found) => Ok(found.table),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(failed("read table", cause(error))),
        }
    }

    /// Returns the storage descriptor of a table, which must be a table of this lake: with another database prefix, or in
    /// another account, there may be one of the same name for another lake.
    async fn own_table(&self, spec: &TableSpec) -> Result<StorageDescriptor, CatalogError> {
        if let Some(checked) = self.checked().get(&qualified_name(&spec.database, &spec.table)) {
            return Ok(checked.clone());
        }
        let table = self.table(&spec.database, &spec.table).await?.ok_or_else(no_table)?;
        check_location(&self.lake, &table, spec)?;
        Ok(storage_descriptor(&table))
    }

    /// Returns a partition as Glue's input. Everything comes from its table except the location, and the columns
    /// if its file has a different schema.
    fn input(&self, table: &StorageDescriptor, registered: &CatalogPartition) -> PartitionInput {
        let mut storage = table.clone();
        storage.location = Some(format!("{}{}", self.lake, registered.location));
        // If the columns are the same, the table's columns are kept, because they have comments.
        if typed(storage.columns()) != *registered.columns {
            storage.columns = Some(registered.columns.iter().filter_map(glue_column).collect());
        }
        PartitionInput::builder()
            .set_values(Some(partition_values(&registered.partition)))
            .storage_descriptor(storage)
            .parameters(N_ROWS, registered.n_rows.to_string())
            .build()
    }

    async fn create(&self, spec: &TableSpec, inputs: Vec<PartitionInput>) -> Result<Vec<Refusal>, CatalogError> {
        let call = self.client.batch_create_partition().database_name(&spec.database).table_name(&spec.table);
        let response =
            call.set_partition_input_list(Some(inputs)).send().await.map_err(|e| failed("add partitions", cause(e)))?;
        let errors = response.errors.unwrap_or_default();
        Ok(errors.into_iter().map(|error| Refusal::new(error.partition_values, error.error_detail)).collect())
    }

    async fn update(&self, spec: &TableSpec, inputs: Vec<PartitionInput>) -> Result<Vec<Refusal>, CatalogError> {
        let entries = inputs
            .into_iter()
            .map(|input| {
                let entry = BatchUpdatePartitionRequestEntry::builder().set_partition_value_list(input.values.clone());
                entry.partition_input(input).build().map_err(|error| failed("change partitions", error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let call = self.client.batch_update_partition().database_name(&spec.database).table_name(&spec.table);
        let response =
            call.set_entries(Some(entries)).send().await.map_err(|e| failed("change partitions", cause(e)))?;
        let errors = response.errors.unwrap_or_default();
        Ok(errors.into_iter().map(|error| Refusal::new(error.partition_value_list, error.error_detail)).collect())
    }

    /// Adds or changes all partitions of `put`, in rounds. Entries rejected in one round are sent again in the next.
    async fn put(
        &self,
        spec: &TableSpec,
        storage: &StorageDescriptor,
        put: &[CatalogPartition],
    ) -> Result<(), CatalogError> {
        let by_values: HashMap<Vec<String>, &CatalogPartition> =
            put.iter().map(|registered| (partition_values(&registered.partition), registered)).collect();
        let mut pending: Vec<(Action, &CatalogPartition)> =
            put.iter().map(|registered| (Action::Create, registered)).collect();
        let mut wait = FIRST_WAIT;
        for round in 1..=MAX_ROUNDS {
            let mut retries = Vec::new();
            let mut must_wait = false;
            for action in [Action::Create, Action::Update] {
                let inputs: Vec<PartitionInput> = pending
                    .iter()
                    .filter(|(pending, _)| *pending == action)
                    .map(|(_, registered)| self.input(storage, registered))
                    .collect();
                for inputs in inputs.chunks(MAX_ENTRIES_PER_CALL) {
                    let refusals = match action {
                        Action::Create => self.create(spec, inputs.to_vec()).await?,
                        Action::Update => self.update(spec, inputs.to_vec()).await?,
                    };
                    for refusal in refusals {
                        let next = refusal.next(action).filter(|_| round < MAX_ROUNDS);
                        match (next, by_values.get(&refusal.values)) {
                            (Some(next), Some(registered)) => {
                                must_wait |= next == action;
                                retries.push((next, *registered));
                            }
                            _ => return Err(refusal.into_error()),
                        }
                    }
                }
            }
            if retries.is_empty() {
                return Ok(());
            }
            if must_wait {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            pending = retries;
        }
        Ok(())
    }

    async fn remove(&self, spec: &TableSpec, partition: &PartitionKey) -> Result<(), CatalogError> {
        let call = self.client.delete_partition().database_name(&spec.database).table_name(&spec.table);
        match call.set_partition_values(Some(partition_values(partition))).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => Ok(()),
            Err(error) => Err(failed("delete partition", cause(error))),
        }
    }

    /// Checks a table of the template; makes or updates any other. Returns its storage descriptor.
    async fn ensure_definition(
        &self,
        spec: &TableSpec,
        mut found: Option<Table>,
    ) -> Result<StorageDescriptor, CatalogError> {
        for _ in 1..=MAX_ROUNDS {
            if let Some(table) = &found {
                if is_of_template(table) {
                    check_table(&self.lake, table, spec)?;
                    return Ok(storage_descriptor(table));
                }
                check_location(&self.lake, table, spec)?;
                check_partition_keys(table, spec)?;
            }
            let input = table_input(&self.lake, spec, found.as_ref())?;
            let storage = input.storage_descriptor.clone().unwrap_or_else(|| StorageDescriptor::builder().build());
            if self.define(&spec.database, found.as_ref(), input).await? {
                return Ok(storage);
            }
            // Another run made or deleted it in the meantime.
            found = self.table(&spec.database, &spec.table).await?;
        }
        Err(failed("define table", "expected a table that no other process changes, found one that keeps changing"))
    }

    /// Makes or updates a view.
    async fn ensure_view(&self, database: &str, view: &ViewSpec) -> Result<(), CatalogError> {
        for _ in 1..=MAX_ROUNDS {
            let found = self.table(database, &view.name).await?;
            if let Some(found) = &found {
                check_view(found)?;
            }
            let input = view_input(database, view)?;
            if self.define(database, found.as_ref(), input).await? {
                return Ok(());
            }
        }
        Err(failed("define view", "expected a view that no other process changes, found one that keeps changing"))
    }

    /// Makes a table or view, or updates it if its definition differs. Returns whether it has the definition now: it may
    /// have been made or deleted since it was read.
    async fn define(&self, database: &str, found: Option<&Table>, input: TableInput) -> Result<bool, CatalogError> {
        match found {
            Some(found) if is_same(found, &input) => Ok(true),
            Some(_) => {
                let call = self.client.update_table().database_name(database).table_input(input).skip_archive(true);
                match call.send().await {
                    Ok(_) => Ok(true),
                    Err(error)
                        if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) =>
                    {
                        Ok(false)
                    }
                    Err(error) => Err(failed("update table", cause(error))),
                }
            }
            None => match self.client.create_table().database_name(database).table_input(input).send().await {
                Ok(_) => Ok(true),
                Err(error) if error.as_service_error().is_some_and(|error| error.is_already_exists_exception()) => {
                    Ok(false)
                }
                // The database is the template's.
                Err(error) if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => {
                    Err(failed("make table", format!("{}\nhint: deploy the template again", cause(error))))
                }
                Err(error) => Err(failed("make table", cause(error))),
            },
        }
    }

    /// Returns all tables in a database. If the database does not exist, the result is empty.
    async fn tables(&self, database: &str) -> Result<Vec<Table>, CatalogError> {
        let mut pages = self.client.get_tables().database_name(database).into_paginator().send();
        let mut tables = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => tables.extend(page.table_list.into_iter().flatten()),
                Err(error) if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => {
                    return Ok(tables);
                }
                Err(error) => return Err(failed("list tables", cause(error))),
            }
        }
        Ok(tables)
    }
}

impl Catalog for GlueCatalog {
    /// Checks a table of the template; makes or updates any other, and its view.
    async fn ensure_table(&self, spec: &TableSpec) -> Result<(), CatalogError> {
        let spec = &self.in_glue(spec);
        let name = qualified_name(&spec.database, &spec.table);
        self.checked().remove(&name);
        let found = self.table(&spec.database, &spec.table).await?;
        let storage = self.ensure_definition(spec, found).await?;
        self.checked().insert(name, storage);
        match &spec.view {
            Some(view) => self.ensure_view(&spec.database, view).await,
            None => Ok(()),
        }
    }

    /// Lists the tables of each database once.
    async fn ensure_tables(&self, specs: &[TableSpec]) -> Result<(), CatalogError> {
        let specs: Vec<TableSpec> = specs.iter().map(|spec| self.in_glue(spec)).collect();
        let databases: BTreeSet<&str> = specs.iter().map(|spec| spec.database.as_str()).collect();
        for database in databases {
            let tables = self.tables(database).await?;
            for spec in specs.iter().filter(|spec| spec.database == database) {
                let found = tables.iter().find(|table| table.name == spec.table).cloned();
                self.ensure_definition(spec, found).await.map_err(|error| error.for_table(spec))?;
            }
        }
        Ok(())
    }

    async fn partitions(&self, spec: &TableSpec) -> Result<Vec<CatalogPartition>, CatalogError> {
        let spec = &self.in_glue(spec);
        let call = self.client.get_partitions().database_name(&spec.database).table_name(&spec.table);
        let mut pages = call.into_paginator().send();
        let mut partitions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                // A table that no run has made yet.
                Err(error) if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(failed("list partitions", cause(error))),
            };
            partitions.extend(page.partitions.into_iter().flatten().filter_map(|partition| {
                let storage = partition.storage_descriptor.as_ref()?;
                let location = storage.location().unwrap_or_default();
                Some(CatalogPartition {
                    partition: spec.parse_partition(&hive_path(spec, &partition)?)?,
                    // A location outside the lake is kept in full, so that it differs from the expected one.
                    location: location.strip_prefix(&self.lake).unwrap_or(location).to_owned(),
                    n_rows: n_rows(&partition),
                    columns: Arc::new(typed(storage.columns())),
                })
            }));
        }
        partitions.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
        Ok(partitions)
    }

    async fn change_partitions(
        &self,
        spec: &TableSpec,
        put: &[CatalogPartition],
        remove: &[PartitionKey],
    ) -> Result<(), CatalogError> {
        let spec = &self.in_glue(spec);
        let storage = self.own_table(spec).await?;
        if !put.is_empty() {
            self.put(spec, &storage, put).await?;
        }
        stream::iter(remove.iter().cloned())
            .map(|partition| async move { self.remove(spec, &partition).await })
            .buffer_unordered(MAX_CONCURRENT_REMOVALS)
            .try_collect()
            .await
    }
}

fn qualified_name(database: &str, table: &str) -> (String, String) {
    (database.to_owned(), table.to_owned())
}

fn storage_descriptor(table: &Table) -> StorageDescriptor {
    table.storage_descriptor.clone().unwrap_or_else(|| StorageDescriptor::builder().build())
}
