//! Deletes editions that ended long ago.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::history::editions::{drop_editions, read_editions};
use crate::history::refreshes::keep_since;
use crate::keys;
use crate::ledger::listing::list;
use crate::ledger::records::Records;
use crate::ledger::survey::{Seen, survey};
use crate::partition::PartitionKey;
use crate::ports::catalog::Catalog;
use crate::ports::clock::Clock;
use crate::ports::store::Store;
use crate::publish::history::publish_history;

/// Deletes the editions of a dataset that ended before a time. Returns the keys of the deleted objects.
///
/// - `before`: from now on, asking for the lake as it was before this time is an error.
/// - `is_dry_run`: whether only to return what would be deleted.
///
/// First the time is recorded, then the editions leave the lists, then the catalog, and only then their objects are
/// deleted. If it is killed in between, the next call completes it.
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
    // Listed before the lists of editions are read: a copy that is in no list by then, and is not of the current object,
    // belongs to no edition.
    let copies: Vec<(PartitionKey, String)> = list(store, &prefix)
        .await?
        .into_iter()
        .filter_map(|listed| Some((keys::parse_kept_edition(dataset, &listed.key)?, listed.key)))
        .collect();
    if copies.is_empty() {
        return Ok(Vec::new());
    }
    let survey = survey(store, dataset, &Records::new()).await?;
    let mut kept: BTreeSet<String> = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for partition in copies.iter().map(|(partition, _)| partition).collect::<BTreeSet<_>>() {
        let current = match survey.objects.get(partition).map(|object| &object.seen) {
            Some(Seen::Readable(stamp)) => Some(stamp),
            Some(Seen::Unknown(_)) => {
                unknown.insert(partition);
                continue;
            }
            Some(Seen::NotOurs) | None => None,
        };
        let editions = read_editions(store, &dataset.table, partition, current).await?;
        let still = editions.iter().filter(|standing| standing.until.is_none_or(|until| until > before));
        kept.extend(still.map(|standing| keys::kept_edition(&dataset.table, partition, &standing.facts.edition)));
    }
    let is_old = |(partition, key): &(PartitionKey, String)| !kept.contains(key) && !unknown.contains(partition);
    let old: Vec<(PartitionKey, String)> = copies.iter().filter(|copy| is_old(copy)).cloned().collect();
    if is_dry_run || old.is_empty() {
        return Ok(old.into_iter().map(|(_, key)| key).collect());
    }
    keep_since(store, &dataset.table, before).await?;
    for partition in old.iter().map(|(partition, _)| partition).collect::<BTreeSet<_>>() {
        drop_editions(store, &dataset.table, partition, before).await?;
    }
    publish_history(store, catalog, dataset, &survey, clock.now(), "prune").await?;
    let keys: Vec<String> = old.into_iter().map(|(_, key)| key).collect();
    store.delete(keys.clone()).await.map_err(|source| Error::store_failed("delete", &prefix, source))?;
    Ok(keys)
}
