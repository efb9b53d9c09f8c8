//! Updates the catalog from the objects.

use std::collections::BTreeMap;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::schemas::SchemaColumns;
use crate::ledger::survey::{Seen, Survey, inspect};
use crate::partition::PartitionKey;
use crate::ports::catalog::{Catalog, CatalogError, CatalogPartition};
use crate::ports::store::Store;

/// What [`converge`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CatalogChanges {
    /// Partitions added or changed.
    pub n_put: usize,
    /// Partitions removed, because their object is gone or cannot be read.
    pub n_removed: usize,
}

/// Updates the catalog so that every partition of `dataset` matches its object, and reads it back. A partition whose object
/// could not be inspected stays as registered.
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
    // If no object has the descriptor's schema, for example because every partition failed, the existing table stays as it is.
    let mut schema_ids =
        survey.objects.values().filter_map(|object| Some(object.stamp()?.edition.schema_id)).peekable();
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
            && inspect(store, dataset, partition).await.is_some_and(|object| object.seen != Seen::NotOurs);
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
            message: format!("read back `{partition}`: expected what was written, found something else"),
            source: "the catalog did not keep the change".into(),
        })),
    }
}

/// Returns what the catalog should contain: every partition with a readable object, with the columns of that object's
/// schema.
async fn due(
    store: &impl Store,
    dataset: &Dataset,
    survey: &Survey,
    registered: &BTreeMap<PartitionKey, CatalogPartition>,
) -> Result<BTreeMap<PartitionKey, CatalogPartition>, Error> {
    let readable: Vec<(&PartitionKey, u64, u64)> = survey
        .objects
        .iter()
        .filter_map(|(partition, object)| {
            let stamp = object.stamp()?;
            Some((partition, stamp.n_rows, stamp.edition.schema_id))
        })
        .collect();
    let objects =
        readable.iter().map(|(partition, _, schema_id)| (*schema_id, keys::partition_object(dataset, partition)));
    let columns = SchemaColumns::read(store, dataset, objects).await?;
    let due = readable.into_iter().map(|(partition, n_rows, schema_id)| {
        // If the columns of a schema are unknown, keep the registered ones.
        let registered = registered.get(partition).map(|registered| &registered.columns);
        let columns = columns.get(schema_id).or(registered).unwrap_or(columns.current()).clone();
        let location = keys::partition_prefix(dataset, partition);
        (partition.clone(), CatalogPartition { partition: partition.clone(), location, n_rows, columns })
    });
    Ok(due.collect())
}

/// Checks that the catalog has every partition of `dataset` with a readable object, with the location of that object. Row
/// counts are not compared, because a crawler does not set them.
///
/// # Errors
/// [`Error::CatalogFailed`], which names a missing partition.
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
            source: "the crawler missed it".into(),
        }));
    }
    Ok(CatalogChanges::default())
}

fn by_key(partitions: Vec<CatalogPartition>) -> BTreeMap<PartitionKey, CatalogPartition> {
    partitions.into_iter().map(|partition| (partition.partition.clone(), partition)).collect()
}
