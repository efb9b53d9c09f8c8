//! Encodes partitions again from the pages that a run kept, without the portal.

use std::collections::{BTreeMap, BTreeSet};

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

/// Maximum number of missing pages that a reason names.
const MAX_NAMED: usize = 5;

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

/// Kept pages that were not encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The partition.
    pub partition: PartitionKey,
    /// The run that kept the pages.
    pub run: String,
    /// Why they were not encoded.
    pub reason: String,
}

/// What became of the kept pages of a dataset.
#[derive(Debug, Default)]
pub struct FromPages {
    /// The partitions that were encoded, or failed to be.
    pub encoded: Vec<Reencoded>,
    /// Sets of pages from which nothing can be encoded.
    pub skipped: Vec<Skipped>,
}

/// Encodes every partition whose pages a run kept after the commit, from the most recent of them. Requests nothing.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed or read. The error of a single partition is in its
/// [`Reencoded`].
pub async fn encode_kept_pages(store: &impl Store, dataset: &Dataset) -> Result<FromPages, Error> {
    let prefix = keys::kept_pages_prefix(dataset);
    let (mut sets, mut present) = (Vec::new(), BTreeSet::new());
    for ((partition, version, run), keys) in list_sets(store, dataset, &prefix).await? {
        let set = PageSet::read(store, &keys::page_set_prefix(dataset, &partition, version, &run)).await?;
        present.extend(keys.iter().cloned());
        sets.push((partition, run, keys, set));
    }
    let committed = sets.iter().filter_map(|(.., set)| set.as_ref().filter(|set| set.is_committed));
    let taken_over: BTreeSet<String> = committed.flat_map(|set| set.taken_over.iter().cloned()).collect();
    let mut newest: BTreeMap<PartitionKey, KeptPortal<'_, _>> = BTreeMap::new();
    let mut result = FromPages::default();
    for (partition, run, keys, set) in sets {
        // These pages belong to the set that took them over.
        if set.is_none() && keys.iter().all(|key| taken_over.contains(key)) {
            continue;
        }
        match KeptPortal::new(store, set, keys, &present) {
            Ok(portal) if newest.get(&partition).is_none_or(|other| other.received_at < portal.received_at) => {
                newest.insert(partition, portal);
            }
            Ok(_) => {}
            Err(reason) => result.skipped.push(Skipped { partition, run, reason }),
        }
    }
    if !newest.is_empty() {
        keep_schema(store, dataset).await?;
    }
    for (partition, portal) in newest {
        let outcome = encode(store, dataset, &partition, &portal).await;
        result.encoded.push(Reencoded { partition, result: outcome });
    }
    Ok(result)
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
    let run = RunFacts {
        run: RUN.to_owned(),
        portal_release: None,
        force: false,
        in_flight: 1,
        keep,
        max_partition_bytes: None,
    };
    match attempt(portal, store, dataset, partition, &run, portal.received_at).await.0? {
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
    /// Returns a portal that serves the pages of a set, or why it cannot serve all of them.
    ///
    /// - `present`: the keys of all kept pages.
    fn new(store: &'k S, set: Option<PageSet>, keys: Vec<String>, present: &BTreeSet<String>) -> Result<Self, String> {
        let set = set.ok_or("expected its description, found none that can be read")?;
        if !set.is_committed {
            return Err(
                "expected pages that stayed after the commit, found the partition not committed from them".into()
            );
        }
        // A page of this run replaces one that it took over.
        let taken_over = set.taken_over.iter().filter(|key| present.contains(*key)).cloned();
        let pages: BTreeMap<u32, KeptPage> = taken_over.chain(keys).filter_map(KeptPage::parse).collect();
        let missing: Vec<u32> = (1..=set.n_pages).filter(|page| !pages.contains_key(page)).collect();
        let received_at = pages.values().map(|page| page.received_at).min();
        let (Some(received_at), true) = (received_at, missing.is_empty()) else {
            let named: Vec<String> = missing.iter().take(MAX_NAMED).map(u32::to_string).collect();
            let more = if missing.len() > MAX_NAMED { ", …" } else { "" };
            return Err(format!(
                "expected {} pages, found {} missing: {}{more}",
                set.n_pages,
                missing.len(),
                named.join(", ")
            ));
        };
        let root = Url::parse(&set.portal).map_err(|error| format!("read its portal `{}`: {error}", set.portal))?;
        Ok(Self { store, root, pages, received_at })
    }
}

impl<S: Store> Portal for KeptPortal<'_, S> {
    fn root(&self) -> &Url {
        &self.root
    }

    async fn get<T: Send + 'static>(
        &self,
        _path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
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
