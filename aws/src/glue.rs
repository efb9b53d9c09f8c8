//! Glue as the catalog. Tables are the template's; here only partitions are added, changed and taken out.
//!
//! A batch call answers HTTP 200 with an error for each entry that it did not take, so every entry's error is looked at:
//! a partition that is there already is updated, one that is gone is created, and what may pass is tried again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_glue::Client;
use aws_sdk_glue::config::interceptors::InterceptorContext;
use aws_sdk_glue::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_glue::types::{
    BatchUpdatePartitionRequestEntry, Column, ErrorDetail, Partition, PartitionInput, StorageDescriptor, Table,
};
use futures::{StreamExt, TryStreamExt, stream};
use rollcall_core::file::TypedColumn;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{BoxError, Catalog, CatalogError, CatalogPartition, TableSpec};

use crate::cause::cause;

/// Entries of one call, at most.
const ENTRIES_A_CALL: usize = 100;
/// Times that an entry is tried, whatever it is tried as.
const ROUNDS: u32 = 5;
/// Wait before the second round; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Removals under way at once.
const REMOVALS_AT_ONCE: usize = 8;
/// Partition parameter that engines read the number of rows from.
const N_ROWS: &str = "numRows";
/// Errors of an entry that may pass.
const PASSING: [&str; 5] = [
    "ConcurrentModificationException",
    "InternalServiceException",
    "OperationTimeoutException",
    "ResourceNotReadyException",
    "ThrottlingException",
];

/// The Glue data catalog of one lake. Clones share the client.
#[derive(Debug, Clone)]
pub struct GlueCatalog {
    client: Client,
    /// `s3://<bucket>/`, before every location.
    lake: String,
    /// What partitions have of their table, by database and table, as it was last found to be as declared.
    checked: Arc<Mutex<HashMap<(String, String), StorageDescriptor>>>,
}

/// What is done with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    Update,
}

/// What a call said of an entry that it did not take.
struct Refusal {
    values: Vec<String>,
    code: String,
    message: String,
}

/// Has the SDK make a call again that failed as a whole by what may pass: by its own rules it does so for throttling and
/// for HTTP 5xx alone.
#[derive(Debug)]
struct Passing;

impl ClassifyRetry for Passing {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match code_of(context) {
            Some(code) if PASSING.contains(&code.as_str()) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "what may pass in Glue"
    }
}

/// The code of an error that a call was answered with, which may have a namespace before it.
fn code_of(context: &InterceptorContext) -> Option<String> {
    let response = context.response().filter(|response| !response.status().is_success())?;
    let body: serde_json::Value = serde_json::from_slice(response.body().bytes()?).ok()?;
    body.get("__type")?.as_str()?.rsplit('#').next().map(str::to_owned)
}

impl GlueCatalog {
    /// The catalog of the lake in `bucket`.
    #[must_use]
    pub fn new(config: &SdkConfig, bucket: &str) -> Self {
        let glue = aws_sdk_glue::config::Builder::from(config).retry_classifier(Passing).build();
        Self { client: Client::from_conf(glue), lake: format!("s3://{bucket}/"), checked: Arc::default() }
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

    /// The partition as Glue is told of it: everything of the table but the location, and the columns where its file is of
    /// another schema.
    fn input(&self, table: &StorageDescriptor, registered: &CatalogPartition) -> PartitionInput {
        let mut storage = table.clone();
        storage.location = Some(format!("{}{}", self.lake, registered.location));
        // The table's own where they are the same, with their comments.
        if typed(storage.columns()) != *registered.columns {
            storage.columns = Some(registered.columns.iter().filter_map(column_of).collect());
        }
        PartitionInput::builder()
            .set_values(Some(values_of(&registered.partition)))
            .storage_descriptor(storage)
            .parameters(N_ROWS, registered.n_rows.to_string())
            .build()
    }

    async fn create(&self, spec: &TableSpec, inputs: Vec<PartitionInput>) -> Result<Vec<Refusal>, CatalogError> {
        let call = self.client.batch_create_partition().database_name(&spec.database).table_name(&spec.table);
        let answer =
            call.set_partition_input_list(Some(inputs)).send().await.map_err(|e| failed("add partitions", cause(e)))?;
        let errors = answer.errors.unwrap_or_default();
        Ok(errors.into_iter().map(|error| Refusal::of(error.partition_values, error.error_detail)).collect())
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
        let answer = call.set_entries(Some(entries)).send().await.map_err(|e| failed("change partitions", cause(e)))?;
        let errors = answer.errors.unwrap_or_default();
        Ok(errors.into_iter().map(|error| Refusal::of(error.partition_value_list, error.error_detail)).collect())
    }

    /// Adds or changes every one of `put`, in rounds: what a call did not take goes into the next one.
    async fn put(&self, spec: &TableSpec, put: &[CatalogPartition]) -> Result<(), CatalogError> {
        let checked = self.checked().get(&name_of(&spec.database, &spec.table)).cloned();
        let storage = match checked {
            Some(storage) => storage,
            None => storage_of(&self.table(&spec.database, &spec.table).await?.ok_or_else(no_table)?),
        };
        let by_values: HashMap<Vec<String>, &CatalogPartition> =
            put.iter().map(|registered| (values_of(&registered.partition), registered)).collect();
        let mut due: Vec<(Action, &CatalogPartition)> =
            put.iter().map(|registered| (Action::Create, registered)).collect();
        let mut wait = FIRST_WAIT;
        for round in 1..=ROUNDS {
            let mut again = Vec::new();
            let mut must_wait = false;
            for action in [Action::Create, Action::Update] {
                let inputs: Vec<PartitionInput> = due
                    .iter()
                    .filter(|(due, _)| *due == action)
                    .map(|(_, registered)| self.input(&storage, registered))
                    .collect();
                for inputs in inputs.chunks(ENTRIES_A_CALL) {
                    let refusals = match action {
                        Action::Create => self.create(spec, inputs.to_vec()).await?,
                        Action::Update => self.update(spec, inputs.to_vec()).await?,
                    };
                    for refusal in refusals {
                        let next = refusal.next(action).filter(|_| round < ROUNDS);
                        match (next, by_values.get(&refusal.values)) {
                            (Some(next), Some(registered)) => {
                                must_wait |= next == action;
                                again.push((next, *registered));
                            }
                            _ => return Err(refusal.into_error()),
                        }
                    }
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            if must_wait {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            due = again;
        }
        Ok(())
    }

    async fn remove(&self, spec: &TableSpec, partition: &PartitionKey) -> Result<(), CatalogError> {
        let call = self.client.delete_partition().database_name(&spec.database).table_name(&spec.table);
        match call.set_partition_values(Some(values_of(partition))).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => Ok(()),
            Err(error) => Err(failed("take out partition", cause(error))),
        }
    }

    /// Every table of a database; none where there is no such database.
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

    /// Checks that a table is as declared.
    fn check(&self, table: &Table, spec: &TableSpec) -> Result<(), CatalogError> {
        let storage = table.storage_descriptor.as_ref();
        let location = format!("{}{}", self.lake, spec.location);
        let found = [
            ("columns", described(storage.map(StorageDescriptor::columns).unwrap_or_default())),
            ("partition keys", described(table.partition_keys())),
            ("location", storage.and_then(StorageDescriptor::location).unwrap_or_default().to_owned()),
        ];
        let expected = [declared(&spec.columns), declared(&spec.partition_keys), location];
        for ((what, found), expected) in found.into_iter().zip(expected) {
            if found != expected {
                return Err(failed(
                    "check table",
                    format!(
                        "expected {what} `{expected}` as the descriptor declares, found `{found}`\nhint: deploy the \
                         template again"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Catalog for GlueCatalog {
    /// Checks the template's table; it is not changed.
    async fn ensure_table(&self, spec: &TableSpec) -> Result<(), CatalogError> {
        let name = name_of(&spec.database, &spec.table);
        self.checked().remove(&name);
        let table = self.table(&spec.database, &spec.table).await?.ok_or_else(no_table)?;
        self.check(&table, spec)?;
        self.checked().insert(name, storage_of(&table));
        Ok(())
    }

    /// One call for each database.
    async fn ensure_tables(&self, specs: &[TableSpec]) -> Result<(), CatalogError> {
        let databases: BTreeSet<&str> = specs.iter().map(|spec| spec.database.as_str()).collect();
        for database in databases {
            let tables = self.tables(database).await?;
            for spec in specs.iter().filter(|spec| spec.database == database) {
                let found = tables.iter().find(|table| table.name == spec.table).ok_or_else(no_table);
                found.and_then(|table| self.check(table, spec)).map_err(|error| error.of_table(spec))?;
            }
        }
        Ok(())
    }

    async fn partitions(&self, spec: &TableSpec) -> Result<Vec<CatalogPartition>, CatalogError> {
        let call = self.client.get_partitions().database_name(&spec.database).table_name(&spec.table);
        let mut pages = call.into_paginator().send();
        let mut partitions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("list partitions", cause(error)))?;
            partitions.extend(page.partitions.into_iter().flatten().filter_map(|partition| {
                let storage = partition.storage_descriptor.as_ref()?;
                let location = storage.location().unwrap_or_default();
                Some(CatalogPartition {
                    partition: spec.parse_partition(&hive_path(spec, &partition)?)?,
                    // One that lies elsewhere keeps its whole location, and so equals none that is due.
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
        if !put.is_empty() {
            self.put(spec, put).await?;
        }
        stream::iter(remove.iter().cloned())
            .map(|partition| async move { self.remove(spec, &partition).await })
            .buffer_unordered(REMOVALS_AT_ONCE)
            .try_collect()
            .await
    }
}

impl Refusal {
    fn of(values: Option<Vec<String>>, detail: Option<ErrorDetail>) -> Self {
        let (code, message) = detail.map(|detail| (detail.error_code, detail.error_message)).unwrap_or_default();
        Self {
            values: values.unwrap_or_default(),
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
        }
    }

    /// What to try next for an entry that was refused `action`; `None` when nothing will help.
    fn next(&self, action: Action) -> Option<Action> {
        match (action, self.code.as_str()) {
            (Action::Create, "AlreadyExistsException") => Some(Action::Update),
            (Action::Update, "EntityNotFoundException") => Some(Action::Create),
            (_, code) if PASSING.contains(&code) => Some(action),
            _ => None,
        }
    }

    fn into_error(self) -> CatalogError {
        let what = format!("put partition `{}`", self.values.join("/"));
        failed(&what, format!("{}: {}", self.code, self.message))
    }
}

fn values_of(partition: &PartitionKey) -> Vec<String> {
    partition.axes().iter().map(|(_, value)| value.to_string()).collect()
}

/// The Hive path of a partition; `None` when it has another number of values than the table has partition columns.
fn hive_path(spec: &TableSpec, partition: &Partition) -> Option<String> {
    let values = partition.values();
    let segments: Vec<String> =
        spec.partition_keys.iter().zip(values).map(|((name, _, _), value)| format!("{name}={value}")).collect();
    (values.len() == spec.partition_keys.len()).then(|| segments.join("/"))
}

/// Rows as the partition says; a number that no object has when it does not say.
fn n_rows(partition: &Partition) -> u64 {
    let said = partition.parameters().and_then(|parameters| parameters.get(N_ROWS)?.parse().ok());
    said.unwrap_or(u64::MAX)
}

fn typed(columns: &[Column]) -> Vec<TypedColumn> {
    let typed = |column: &Column| TypedColumn {
        name: column.name().to_owned(),
        kind: column.r#type().unwrap_or_default().to_owned(),
    };
    columns.iter().map(typed).collect()
}

/// A column as Glue is told of it, which always has a name.
fn column_of(column: &TypedColumn) -> Option<Column> {
    Column::builder().name(&column.name).r#type(&column.kind).build().ok()
}

/// Names and types, as they are compared.
fn described(columns: &[Column]) -> String {
    let words: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.name(), column.r#type().unwrap_or_default())).collect();
    words.join(", ")
}

fn declared(columns: &[(String, String, String)]) -> String {
    let words: Vec<String> = columns.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
    words.join(", ")
}

fn name_of(database: &str, table: &str) -> (String, String) {
    (database.to_owned(), table.to_owned())
}

fn storage_of(table: &Table) -> StorageDescriptor {
    table.storage_descriptor.clone().unwrap_or_else(|| StorageDescriptor::builder().build())
}

fn no_table() -> CatalogError {
    failed("read table", "expected the template's table, found none\nhint: deploy the template again")
}

fn failed(message: &str, source: impl Into<BoxError>) -> CatalogError {
    CatalogError { message: message.to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_g2_g3_an_entry_that_was_refused_is_tried_as_what_may_help() {
        let refusal = |code: &str| Refusal { values: Vec::new(), code: code.to_owned(), message: String::new() };
        for (action, code, next) in [
            (Action::Create, "AlreadyExistsException", Some(Action::Update)),
            (Action::Update, "EntityNotFoundException", Some(Action::Create)),
            (Action::Create, "ConcurrentModificationException", Some(Action::Create)),
            (Action::Update, "ThrottlingException", Some(Action::Update)),
            (Action::Create, "EntityNotFoundException", None),
            (Action::Update, "InvalidInputException", None),
            (Action::Create, "", None),
        ] {
            assert_eq!(refusal(code).next(action), next, "{action:?} {code}");
        }
    }
}
