//! Deletes editions that ended long ago.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::history::editions::drop_editions;
use crate::history::refreshes::keep_since;
use crate::keys;
use crate::ledger::json::READS_AT_ONCE;
use crate::ledger::listing::list;
use crate::ledger::read_records::read_records;
use crate::ledger::survey::{Seen, survey};
use crate::partition::PartitionKey;
use crate::ports::catalog::Catalog;
use crate::ports::clock::Clock;
use crate::ports::store::Store;
use crate::publish::history::{publish_history, read_lists};

/// Deletes the editions of a dataset that ended before a time. Returns the keys of the deleted objects.
///
/// - `before`: from now on, asking for the lake as it was before this time is an error.
/// - `is_dry_run`: whether only to return what would be deleted.
///
/// First the time is recorded, then the editions leave the lists, then the catalog, and only then their objects are
/// deleted. If it is killed in between, the next call completes it. An edition whose end is unknown stays, and so does a
/// copy of the current edition.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change a list on every
/// try.
pub async fn prune_history(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    before: Timestamp,
    is_dry_run: bool,
) -> Result<Vec<String>, Error> {
    let prefix = keys::history_prefix(&dataset.table);
    // Listed before the lists of editions and the objects are read: a copy that is in no list by then, and is not of the
    // current object, belongs to no edition.
    let copies: Vec<(PartitionKey, String)> = list(store, &prefix)
        .await?
        .into_iter()
        .filter_map(|listed| Some((keys::parse_kept_edition(dataset, &listed.key)?, listed.key)))
        .collect();
    if copies.is_empty() {
        return Ok(Vec::new());
    }
    let lists = read_lists(store, dataset).await?;
    let survey = survey(store, dataset, &read_records(store, dataset).await?).await?;
    let is_old = |(partition, key): &(PartitionKey, String)| {
        let current = match survey.objects.get(partition).map(|object| &object.seen) {
            Some(Seen::Unknown(_)) => return false,
            Some(Seen::Readable(stamp)) => Some(stamp),
            Some(Seen::NotOurs) | None => None,
        };
        let listed = lists.get(partition).map(|list| list.kept_since(before, current)).unwrap_or_default();
        let kept = listed.iter().map(|facts| &facts.edition).chain(current.map(|stamp| &stamp.edition));
        !kept.into_iter().any(|edition| *key == keys::kept_edition(&dataset.table, partition, edition))
    };
    let old: Vec<(PartitionKey, String)> = copies.into_iter().filter(|copy| is_old(copy)).collect();
    let keys: Vec<String> = old.iter().map(|(_, key)| key.clone()).collect();
    if is_dry_run || old.is_empty() {
        return Ok(keys);
    }
    keep_since(store, &dataset.table, before).await?;
    let partitions: BTreeSet<&PartitionKey> = old.iter().map(|(partition, _)| partition).collect();
    stream::iter(partitions)
        .map(|partition| drop_editions(store, &dataset.table, partition, before))
        .buffer_unordered(READS_AT_ONCE)
        .try_collect::<()>()
        .await?;
    publish_history(store, catalog, dataset, &survey, clock.now(), "prune").await?;
    store.delete(keys.clone()).await.map_err(|source| Error::store_failed("delete", &prefix, source))?;
    Ok(keys)
}

#[cfg(test)]
mod tests;
