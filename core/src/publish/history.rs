//! Publishes the past of a dataset: registers every kept edition, and writes when each edition stood.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::commit::commit_plain;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::file::columns::TypedColumn;
use crate::file::stamp::Stamp;
use crate::history::as_of::PartitionHistory;
use crate::history::editions::{EditionList, Facts, Standing};
use crate::history::refreshes::read_refreshes;
use crate::history::tables::{EDITION, encode_editions};
use crate::keys;
use crate::ledger::json::{READS_AT_ONCE, read_json, write_json};
use crate::ledger::listing::list;
use crate::ledger::schemas::columns_by_schema;
use crate::ledger::survey::{Seen, Survey};
use crate::partition::{AxisValue, PartitionKey};
use crate::ports::catalog::{Catalog, CatalogPartition};
use crate::ports::store::{Listed, Store};

/// Publishes the past of a dataset. Does nothing as long as no object was ever replaced or removed.
///
/// Editions are registered before the table of editions mentions them.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`], [`Error::EncodeFailed`].
pub(super) async fn publish_history(
    store: &impl Store,
    catalog: &impl Catalog,
    dataset: &Dataset,
    survey: &Survey,
    now: Timestamp,
    run: &str,
) -> Result<(), Error> {
    let lists = read_lists(store, dataset).await?;
    if lists.is_empty() {
        return Ok(());
    }
    let histories = histories(&lists, survey);
    register(store, catalog, dataset, &histories).await?;
    let refreshes = read_refreshes(store, &dataset.table).await?;
    let encoded = encode_editions(dataset, &histories, &refreshes)?;
    let key = keys::lookup_object(&keys::editions_table(&dataset.table));
    let n_rows = encoded.n_rows;
    if commit_plain(store, &key, encoded.bytes, encoded.edition, n_rows, now, run).await? {
        tracing::debug!(dataset = dataset.name, n_rows, "editions written");
    }
    Ok(())
}

/// Returns the lists of editions. Reads only those that have changed since they were last published.
async fn read_lists(store: &impl Store, dataset: &Dataset) -> Result<BTreeMap<PartitionKey, EditionList>, Error> {
    let listed = list(store, &keys::history_prefix(&dataset.table)).await?;
    let listed: Vec<(PartitionKey, Listed)> = listed
        .into_iter()
        .filter_map(|listed| {
            let partition = dataset.parse_partition(keys::parse_editions(&dataset.table, &listed.key)?)?;
            Some((partition, listed))
        })
        .collect();
    if listed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let key = keys::known_editions(dataset);
    let known: BTreeMap<String, EditionList> = read_json(store, &key).await?.unwrap_or_default();
    let lists: BTreeMap<PartitionKey, EditionList> = stream::iter(listed)
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

/// Returns the editions of every partition that has or had an object.
fn histories(lists: &BTreeMap<PartitionKey, EditionList>, survey: &Survey) -> Vec<PartitionHistory> {
    let stamp = |partition: &PartitionKey| -> Option<&Stamp> {
        match &survey.objects.get(partition)?.seen {
            Seen::Readable(stamp) => Some(stamp),
            Seen::NotOurs | Seen::Unknown(_) => None,
        }
    };
    let partitions: BTreeSet<&PartitionKey> = lists.keys().chain(survey.objects.keys()).collect();
    let histories = partitions.into_iter().map(|partition| {
        let current = stamp(partition);
        let editions = match lists.get(partition) {
            Some(list) => list.standings(current),
            None => current.map(Standing::of_current).into_iter().collect(),
        };
        PartitionHistory { partition: partition.clone(), editions }
    });
    histories.collect()
}

/// Makes the tables, and registers every kept edition. Removes those that are no longer kept.
async fn register(
    store: &impl Store,
    catalog: &impl Catalog,
    dataset: &Dataset,
    histories: &[PartitionHistory],
) -> Result<(), Error> {
    let spec = dataset.history_spec();
    let failed = |source| Error::CatalogFailed { table: format!("{}.{}", spec.database, spec.table), source };
    // Tables come before the view of both, which belongs to the second.
    for table in [&dataset.editions_spec(), &spec] {
        catalog.ensure_table(table).await.map_err(failed)?;
    }
    let kept: BTreeMap<PartitionKey, (&PartitionHistory, &Facts)> = histories
        .iter()
        .flat_map(|history| {
            let kept = history.editions.iter().filter(|standing| standing.until.is_some());
            kept.map(move |standing| (with_edition(&history.partition, &standing.facts), (history, &standing.facts)))
        })
        .collect();
    let registered = catalog.partitions(&spec).await.map_err(failed)?;
    let registered: BTreeSet<PartitionKey> = registered.into_iter().map(|registered| registered.partition).collect();
    let due: Vec<_> = kept.iter().filter(|(partition, _)| !registered.contains(*partition)).collect();
    let current = (dataset.schema_id(), Arc::new(dataset.typed_columns()));
    let other =
        due.iter().filter(|(_, (_, facts))| facts.edition.schema_id != current.0).map(|(_, (history, facts))| {
            (facts.edition.schema_id, keys::kept_edition(&dataset.table, &history.partition, &facts.edition))
        });
    let columns = columns_by_schema(store, dataset, &other.collect()).await?;
    let mut columns: BTreeMap<u64, Arc<Vec<TypedColumn>>> =
        columns.into_iter().map(|(schema_id, columns)| (schema_id, Arc::new(columns))).collect();
    columns.insert(current.0, current.1.clone());
    let put: Vec<CatalogPartition> = due
        .into_iter()
        .map(|(partition, (history, facts))| CatalogPartition {
            partition: partition.clone(),
            location: keys::kept_edition_prefix(&dataset.table, &history.partition, &facts.edition),
            n_rows: facts.n_rows,
            columns: columns.get(&facts.edition.schema_id).unwrap_or(&current.1).clone(),
        })
        .collect();
    let remove: Vec<PartitionKey> = registered.into_iter().filter(|partition| !kept.contains_key(partition)).collect();
    if put.is_empty() && remove.is_empty() {
        return Ok(());
    }
    catalog.change_partitions(&spec, &put, &remove).await.map_err(failed)
}

/// Returns the key of an edition in the table of kept editions.
fn with_edition(partition: &PartitionKey, facts: &Facts) -> PartitionKey {
    let edition = (EDITION.to_owned(), AxisValue::Text(facts.edition.to_string()));
    PartitionKey::new(partition.axes().iter().cloned().chain([edition]).collect())
}
