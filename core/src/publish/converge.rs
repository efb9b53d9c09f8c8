//! Makes the catalog say what the objects say.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::file::columns::TypedColumn;
use crate::keys;
use crate::ledger::schemas::columns_of;
use crate::ledger::survey::{Seen, Survey, look};
use crate::partition::PartitionKey;
use crate::ports::catalog::{Catalog, CatalogError, CatalogPartition};
use crate::ports::store::Store;

/// What [`converge`] changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogChanges {
    /// Partitions added or changed.
    pub n_put: usize,
    /// Partitions taken out, since their object is gone or cannot be read.
    pub n_removed: usize,
}

/// Makes the catalog say of every partition of `dataset` what the objects say, and reads it back. What is registered of an
/// object that could not be looked at stays.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`].
pub async fn converge(
    store: &impl Store,
    catalog: &impl Catalog,
    dataset: &Dataset,
    survey: &Survey,
) -> Result<CatalogChanges, Error> {
    let failed = |source| Error::CatalogFailed { table: dataset.qualified_table(), source };
    let table = dataset.table_spec();
    // A descriptor that no object is of, such as one whose every partition was refused, does not change the table that there is.
    let mut schema_ids = survey
        .objects
        .values()
        .filter_map(|object| match &object.seen {
            Seen::Readable(stamp) => Some(stamp.edition.schema_id),
            Seen::NotOurs | Seen::Unknown(_) => None,
        })
        .peekable();
    let is_unused = schema_ids.peek().is_some() && schema_ids.all(|id| id != dataset.schema_id());
    let mut registered = match is_unused {
        true => by_key(catalog.partitions(&table).await.map_err(failed)?),
        false => BTreeMap::new(),
    };
    if registered.is_empty() {
        catalog.ensure_table(&table).await.map_err(failed)?;
        registered = by_key(catalog.partitions(&table).await.map_err(failed)?);
    }
    let due = due(store, dataset, survey, &registered).await?;
    let put: Vec<CatalogPartition> =
        due.values().filter(|partition| registered.get(&partition.partition) != Some(partition)).cloned().collect();
    let mut remove = Vec::new();
    for partition in registered.keys().filter(|partition| !due.contains_key(*partition)) {
        if survey.objects.get(partition).is_some_and(|object| matches!(object.seen, Seen::Unknown(_))) {
            continue;
        }
        // Another run may have written and registered it since the objects were listed.
        let is_there = dataset.has(partition)
            && look(store, dataset, partition).await.is_some_and(|object| object.seen != Seen::NotOurs);
        if !is_there {
            remove.push(partition.clone());
        }
    }
    let published = CatalogChanges { n_put: put.len(), n_removed: remove.len() };
    if put.is_empty() && remove.is_empty() {
        return Ok(published);
    }
    catalog.change_partitions(&table, &put, &remove).await.map_err(failed)?;
    let found = by_key(catalog.partitions(&table).await.map_err(failed)?);
    let wrong = put
        .iter()
        .filter(|partition| found.get(&partition.partition) != Some(partition))
        .map(|partition| &partition.partition)
        .chain(remove.iter().filter(|partition| found.contains_key(*partition)))
        .next();
    match wrong {
        None => Ok(published),
        Some(partition) => Err(failed(CatalogError {
            message: format!("read back `{partition}`: expected it as written, found it otherwise"),
            source: "the catalog did not keep a change".into(),
        })),
    }
}

/// What the catalog should hold: every partition with a readable object, with the columns of that object's schema.
async fn due(
    store: &impl Store,
    dataset: &Dataset,
    survey: &Survey,
    registered: &BTreeMap<PartitionKey, CatalogPartition>,
) -> Result<BTreeMap<PartitionKey, CatalogPartition>, Error> {
    let readable: Vec<(&PartitionKey, u64, u64)> = survey
        .objects
        .iter()
        .filter_map(|(partition, object)| match &object.seen {
            Seen::Readable(stamp) => Some((partition, stamp.n_rows, stamp.edition.schema_id)),
            Seen::NotOurs | Seen::Unknown(_) => None,
        })
        .collect();
    let current = (dataset.schema_id(), Arc::new(dataset.typed_columns()));
    let other: BTreeMap<u64, String> = readable
        .iter()
        .filter(|(_, _, schema_id)| *schema_id != current.0)
        .map(|(partition, _, schema_id)| (*schema_id, keys::partition_object(dataset, partition)))
        .collect();
    let columns = columns_of(store, dataset, &other).await?;
    let mut columns: BTreeMap<u64, Arc<Vec<TypedColumn>>> =
        columns.into_iter().map(|(schema_id, columns)| (schema_id, Arc::new(columns))).collect();
    columns.insert(current.0, current.1.clone());
    let due = readable.into_iter().map(|(partition, n_rows, schema_id)| {
        // Where nothing tells, what is registered is as good as any.
        let said = registered.get(partition).map(|registered| &registered.columns);
        let columns = columns.get(&schema_id).or(said).unwrap_or(&current.1).clone();
        let location = keys::partition_prefix(dataset, partition);
        (partition.clone(), CatalogPartition { partition: partition.clone(), location, n_rows, columns })
    });
    Ok(due.collect())
}

/// Checks that the catalog has every partition of `dataset` that has a readable object, where that object is. Rows are
/// not compared: a crawler does not say them.
///
/// # Errors
/// [`Error::CatalogFailed`] naming a partition that is not there.
pub(super) async fn read_back(
    catalog: &impl Catalog,
    dataset: &Dataset,
    survey: &Survey,
) -> Result<CatalogChanges, Error> {
    let failed = |source| Error::CatalogFailed { table: dataset.qualified_table(), source };
    let registered = by_key(catalog.partitions(&dataset.table_spec()).await.map_err(failed)?);
    let is_registered = |partition: &PartitionKey| {
        let location = registered.get(partition).map(|registered| registered.location.trim_end_matches('/'));
        location == Some(keys::partition_prefix(dataset, partition).trim_end_matches('/'))
    };
    let readable = survey.objects.iter().filter(|(_, object)| matches!(object.seen, Seen::Readable(_)));
    let missing: Vec<&PartitionKey> =
        readable.map(|(partition, _)| partition).filter(|partition| !is_registered(partition)).collect();
    if let Some(first) = missing.first() {
        return Err(failed(CatalogError {
            message: format!(
                "read back after the crawler: expected every partition, found {} of {} missing, such as `{first}`",
                missing.len(),
                survey.objects.len()
            ),
            source: "the crawler left it out".into(),
        }));
    }
    Ok(CatalogChanges::default())
}

fn by_key(partitions: Vec<CatalogPartition>) -> BTreeMap<PartitionKey, CatalogPartition> {
    partitions.into_iter().map(|partition| (partition.partition.clone(), partition)).collect()
}
