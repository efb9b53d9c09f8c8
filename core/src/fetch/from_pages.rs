//! Encodes partitions again from the pages that a run kept, without the portal.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use url::Url;

use crate::commit::head;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::attempt::{AttemptEnd, attempt};
use crate::fetch::kept_pages::page_set::{KeptPage, PageSet, list_sets};
use crate::fetch::run_facts::{Keep, RunFacts};
use crate::keys;
use crate::ledger::receipt::Outcome;
use crate::ledger::schemas::keep_schema;
use crate::partition::PartitionKey;
use crate::ports::cause::BoxError;
use crate::ports::portal::{PageRequest, Portal, PortalError, Reading, Response};
use crate::ports::store::Store;

/// Name under which the objects are committed.
const RUN: &str = "from-pages";

/// What became of a partition whose pages are in the lake.
#[derive(Debug)]
pub struct Reencoded {
    /// The partition.
    pub partition: PartitionKey,
    /// `written`, `unchanged`, or `superseded` if its object is newer than the pages; otherwise why it failed.
    pub result: Result<Outcome, Error>,
}

/// Encodes every partition whose pages a run kept after the commit, from the most recent of them. Requests nothing.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed or read. The error of a single partition is in its [`Reencoded`].
pub async fn encode_kept_pages(store: &impl Store, dataset: &Dataset) -> Result<Vec<Reencoded>, Error> {
    let prefix = keys::kept_pages_prefix(dataset);
    let sets = list_sets(store, dataset, &prefix).await?;
    let mut newest: BTreeMap<PartitionKey, KeptPortal<'_, _>> = BTreeMap::new();
    for ((partition, version, run), keys) in sets {
        let set = PageSet::read(store, &keys::page_set_prefix(dataset, &partition, version, &run)).await?;
        let Some(set) = set.filter(|set| set.is_committed) else { continue };
        // A page of this run replaces one that it took over.
        let keys = set.taken_over.iter().cloned().chain(keys);
        let Some(portal) = KeptPortal::new(store, &set, keys) else { continue };
        if newest.get(&partition).is_none_or(|other| other.received_at < portal.received_at) {
            newest.insert(partition, portal);
        }
    }
    if !newest.is_empty() {
        keep_schema(store, dataset).await?;
    }
    let mut reencoded = Vec::new();
    for (partition, portal) in newest {
        let result = encode(store, dataset, &partition, &portal).await;
        reencoded.push(Reencoded { partition, result });
    }
    Ok(reencoded)
}

async fn encode(
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    portal: &KeptPortal<'_, impl Store>,
) -> Result<Outcome, Error> {
    let found = head(store, partition, &keys::partition_object(dataset, partition)).await?;
    if found.and_then(|facts| facts.stamp).is_some_and(|stamp| stamp.fetched_at > portal.received_at) {
        return Ok(Outcome::Superseded);
    }
    let keep = Keep { from_pages: u32::MAX, ..Keep::default() };
    let run = RunFacts { run: RUN.to_owned(), portal_release: None, force: false, in_flight: 1, keep };
    match attempt(portal, store, dataset, partition, &run, portal.received_at).await? {
        AttemptEnd::Done(done) => Ok(done.outcome),
        AttemptEnd::Unfinished(_, error) => Err(error),
    }
}

/// A portal that serves kept pages.
struct KeptPortal<'k, S> {
    store: &'k S,
    root: Url,
    pages: BTreeMap<u32, KeptPage>,
    /// When the oldest page was received.
    received_at: Timestamp,
}

impl<'k, S: Store> KeptPortal<'k, S> {
    /// Returns `None` if a page is missing.
    fn new(store: &'k S, set: &PageSet, keys: impl Iterator<Item = String>) -> Option<Self> {
        let pages: BTreeMap<u32, KeptPage> = keys.filter_map(KeptPage::parse).collect();
        let received_at = pages.values().map(|page| page.received_at).min()?;
        let is_complete = pages.keys().copied().eq(1..=set.n_pages);
        let root = Url::parse(&set.portal).ok()?;
        is_complete.then_some(Self { store, root, pages, received_at })
    }
}

impl<S: Store> Portal for KeptPortal<'_, S> {
    fn root(&self) -> &Url {
        &self.root
    }

    async fn get<T: Send>(
        &self,
        _path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
    ) -> Result<Response<T>, PortalError> {
        let unusable = |source: BoxError| PortalError::Unusable { source };
        let gone = || unusable(format!("read kept page {page}: gone or damaged").into());
        let kept = self.pages.get(&page).ok_or_else(gone)?;
        let body = kept.read(self.store).await.map_err(|error| unusable(error.into()))?.ok_or_else(gone)?;
        let (Reading::Done(result) | Reading::Invalid { result, .. }) = read(&body);
        Ok(Response {
            result,
            size_bytes: body.len(),
            received_at: kept.received_at,
            tries: request.tries,
            has_tries_left: true,
            room: request.room,
        })
    }
}
