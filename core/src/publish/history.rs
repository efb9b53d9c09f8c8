//! Publishes the past of a dataset: registers every edition that was replaced, and writes when each edition was valid.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::file::stamp::Stamp;
use crate::history::as_of::PartitionHistory;
use crate::history::editions::{EditionList, Facts, Validity};
use crate::history::refreshes::read_refreshes;
use crate::history::tables::{EDITION, encode_editions};
use crate::keys;
use crate::ledger::json::{READS_AT_ONCE, read_json, write_json};
use crate::ledger::listing::list;
use crate::ledger::schemas::SchemaColumns;
use crate::ledger::survey::Survey;
use crate::partition::{AxisValue, PartitionKey};
use crate::ports::catalog::{Catalog, CatalogPartition};
use crate::ports::store::{Condition, Listed, Put, Store};

/// Maximum number of conditional writes of the table of editions.
const MAX_TRIES: u32 = 8;

/// Lists of editions by partition.
pub(super) type Lists = BTreeMap<PartitionKey, EditionList>;

/// Publishes the past of a dataset. Does nothing as long as no object was ever replaced or removed.
///
/// Editions are registered before the table of editions mentions them. If another publisher writes this table in the
/// meantime, everything is read again, so that a slower publisher does not undo what a faster one knew.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`], [`Error::EncodeFailed`]; [`Error::WriteConflict`] if other
/// publishers write on every try.
pub(super) async fn publish_history(
    store: &impl Store,
    catalog: &impl Catalog,
    dataset: &Dataset,
    survey: &Survey,
    now: Timestamp,
    run: &str,
) -> Result<(), Error> {
    let key = keys::lookup_object(&keys::editions_table(&dataset.table));
    for _ in 0..MAX_TRIES {
        let found = store.head(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
        let lists = read_lists(store, dataset).await?;
        if lists.is_empty() {
            return Ok(());
        }
        register(store, catalog, dataset, &lists, survey).await?;
        let refreshes = read_refreshes(store, &dataset.table).await?;
        let encoded = encode_editions(dataset, &histories(&lists, survey), &refreshes)?;
        let edition = found.as_ref().and_then(|found| found.stamp.as_ref()).map(|stamp| stamp.edition);
        if edition == Some(encoded.edition) {
            return Ok(());
        }
        let condition = found.map_or(Condition::Absent, |found| Condition::Matches(found.etag));
        let n_rows = encoded.n_rows;
        let stamp =
            Stamp { edition: encoded.edition, partition: None, n_rows, fetched_at: now, run: Some(run.to_owned()) };
        let put = store.put(&key, encoded.bytes, &condition, &stamp).await;
        if put.map_err(|source| Error::store_failed("write", &key, source))? != Put::Lost {
            tracing::debug!(dataset = dataset.name, n_rows, "editions written");
            return Ok(());
        }
    }
    Err(Error::WriteConflict { key, tries: MAX_TRIES })
}

/// Returns the lists of editions. Reads only those that have changed since they were last published.
pub(super) async fn read_lists(store: &impl Store, dataset: &Dataset) -> Result<Lists, Error> {
    let listed = list(store, &keys::history_prefix(&dataset.table)).await?;
    let listed: Vec<(PartitionKey, Listed)> = listed
        .into_iter()
        .filter_map(|listed| {
            let partition = dataset.parse_partition(keys::parse_editions(&dataset.table, &listed.key)?)?;
            Some((partition, listed))
        })
        .collect();
    if listed.is_empty() {
        return Ok(Lists::new());
    }
    let key = keys::known_editions(dataset);
    let known: BTreeMap<String, EditionList> = read_json(store, &key).await?.unwrap_or_default();
    let lists: Lists = stream::iter(listed)
        .map(|(partition, Listed { key, etag, .. })| {
            let known = known.get(&partition.to_string()).filter(|known| known.etag == etag && !etag.is_empty());
            let known = known.cloned();
            async move {
                let list = if known.is_some() { known } else { EditionList::read(store, &key).await? };
                Ok::<_, Error>(list.map(|list| (partition, list)))
            }
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|list| async move { Ok(list) })
        .try_collect()
        .await?;
    let now_known: BTreeMap<String, &EditionList> =
        lists.iter().map(|(partition, list)| (partition.to_string(), list)).collect();
    if !now_known.iter().map(|(path, list)| (path, *list)).eq(known.iter()) {
        write_json(store, &key, &now_known).await?;
    }
    Ok(lists)
}

/// Returns the stamp of a partition's object, if there is a readable one.
fn current<'s>(survey: &'s Survey, partition: &PartitionKey) -> Option<&'s Stamp> {
    survey.objects.get(partition)?.stamp()
}

/// Returns the editions of every partition that has or had an object.
fn histories(lists: &Lists, survey: &Survey) -> Vec<PartitionHistory> {
    let partitions: BTreeSet<&PartitionKey> = lists.keys().chain(survey.objects.keys()).collect();
    let histories = partitions.into_iter().map(|partition| {
        let current = current(survey, partition);
        let editions = match lists.get(partition) {
            Some(list) => list.validities(current),
            None => current.map(Validity::of_current).into_iter().collect(),
        };
        PartitionHistory { partition: partition.clone(), editions }
    });
    histories.collect()
}

/// Makes the tables, and registers every edition that was replaced. Removes those that are in no list any more.
async fn register(
    store: &impl Store,
    catalog: &impl Catalog,
    dataset: &Dataset,
    lists: &Lists,
    survey: &Survey,
) -> Result<(), Error> {
    let spec = dataset.history_spec();
    let failed = |source| Error::CatalogFailed { table: format!("{}.{}", spec.database, spec.table), source };
    // Tables come before the view of both, which belongs to the second.
    for table in [&dataset.editions_spec(), &spec] {
        catalog.ensure_table(table).await.map_err(failed)?;
    }
    let replaced: BTreeMap<PartitionKey, (&PartitionKey, &Facts)> = lists
        .iter()
        .flat_map(|(partition, list)| {
            let replaced = list.replaced(current(survey, partition));
            replaced.map(move |facts| (with_edition(partition, facts), (partition, facts)))
        })
        .collect();
    let registered = catalog.partitions(&spec).await.map_err(failed)?;
    let registered: BTreeSet<PartitionKey> = registered.into_iter().map(|registered| registered.partition).collect();
    let due: Vec<_> = replaced.iter().filter(|(partition, _)| !registered.contains(*partition)).collect();
    let objects = due.iter().map(|(_, (partition, facts))| {
        (facts.edition.schema_id, keys::kept_edition(&dataset.table, partition, &facts.edition))
    });
    let columns = SchemaColumns::read(store, dataset, objects).await?;
    let put: Vec<CatalogPartition> = due
        .into_iter()
        .map(|(with_edition, (partition, facts))| CatalogPartition {
            partition: with_edition.clone(),
            location: keys::kept_edition_prefix(&dataset.table, partition, &facts.edition),
            n_rows: facts.n_rows,
            columns: columns.get(facts.edition.schema_id).unwrap_or(columns.current()).clone(),
        })
        .collect();
    let mut remove = Vec::new();
    for partition in registered.into_iter().filter(|partition| !replaced.contains_key(partition)) {
        // Another publisher may have read a newer list.
        if !is_listed(store, dataset, &partition).await? {
            remove.push(partition);
        }
    }
    if put.is_empty() && remove.is_empty() {
        return Ok(());
    }
    catalog.change_partitions(&spec, &put, &remove).await.map_err(failed)
}

/// Returns whether a partition of the table of kept editions is in the list of today.
async fn is_listed(store: &impl Store, dataset: &Dataset, with_edition: &PartitionKey) -> Result<bool, Error> {
    let partition = dataset
        .arrange(&PartitionKey::new(with_edition.axes().iter().filter(|(name, _)| name != EDITION).cloned().collect()));
    let Some(partition) = partition else { return Ok(false) };
    let list = EditionList::read(store, &keys::editions(&dataset.table, &partition)).await?;
    let mut listed = list.iter().flat_map(|list| list.replaced(None));
    Ok(listed.any(|facts| Some(facts.edition.to_string()) == with_edition.value(EDITION).map(ToString::to_string)))
}

/// Returns the key of an edition in the table of kept editions.
fn with_edition(partition: &PartitionKey, facts: &Facts) -> PartitionKey {
    let edition = (EDITION.to_owned(), AxisValue::Text(facts.edition.to_string()));
    PartitionKey::new(partition.axes().iter().cloned().chain([edition]).collect())
}
