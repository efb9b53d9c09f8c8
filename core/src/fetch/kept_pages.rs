//! Keeps the pages of a large partition in the lake until it is committed, so that a fetch that ran out of time, or was
//! killed, continues where it ended.
//!
//! Each set of kept pages belongs to one run. Its key contains a hash of everything that its pages must agree with: the portal and
//! its release, the object that the partition had before page 1, `count`, and the rows of page 1. If any of them changes,
//! the key changes too, and the partition starts over. A run takes over the pages that earlier runs kept for the same
//! version by listing them in its own set.

pub(super) mod page_set;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use async_lock::{Semaphore, SemaphoreGuard};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::kept_pages::page_set::{KeptPage, PageSet, Sets, list_sets};
use crate::fetch::run_facts::{Keep, RunFacts};
use crate::keys;
use crate::ledger::listing::list;
use crate::partition::PartitionKey;
use crate::ports::store::Store;

/// Maximum number of fetches of one run that may request the same page.
const MAX_FETCHES_PER_PAGE: u32 = 3;

/// A run does not take over pages that another run received earlier than this before its own page 1.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// The pages of one partition that one fetch keeps or finds kept.
pub(super) struct KeptPages<'k, S> {
    store: &'k S,
    dataset: &'k Dataset,
    partition: &'k PartitionKey,
    run: &'k RunFacts,
    started_at: Timestamp,
    /// Etag of the object before page 1.
    etag: Option<String>,
    /// Set once page 1 has arrived, if pages are kept.
    set: OnceLock<OpenSet>,
    /// Number of pages that this fetch has added.
    n_added: AtomicU32,
}

/// What page 1 says about its partition.
pub(super) struct FirstPage<'f> {
    pub(super) root: &'f str,
    pub(super) count: u64,
    pub(super) n_pages: u32,
    /// Hash of its rows.
    pub(super) fingerprint: u64,
    pub(super) received_at: Timestamp,
}

/// The set of this fetch.
struct OpenSet {
    prefix: String,
    set: PageSet,
    /// By page number.
    pages: Mutex<BTreeMap<u32, KeptPage>>,
    /// Limits the pages that are requested but not kept yet, which are lost if the process is killed.
    slots: Semaphore,
}

impl OpenSet {
    fn pages(&self) -> MutexGuard<'_, BTreeMap<u32, KeptPage>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far an unfinished fetch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of pages kept.
    pub n_kept: u32,
    /// Number of pages of the partition.
    pub n_pages: u32,
}

impl<'k, S: Store> KeptPages<'k, S> {
    /// Prepares to keep pages. Nothing is read or written before [`Self::open`].
    pub(super) fn new(
        store: &'k S,
        dataset: &'k Dataset,
        partition: &'k PartitionKey,
        run: &'k RunFacts,
        started_at: Timestamp,
        etag: Option<String>,
    ) -> Self {
        let (set, n_added) = (OnceLock::new(), AtomicU32::new(0));
        Self { store, dataset, partition, run, started_at, etag, set, n_added }
    }

    /// Returns whether page 1 is to be kept as well, because the pages stay after the commit.
    pub(super) fn includes_page_1(&self) -> bool {
        self.run.keep.after_commit
    }

    /// Finds the pages that earlier fetches of the same version kept, and starts to keep pages, if the partition is large
    /// enough for that.
    ///
    /// - `first`: what page 1 says. Later pages are kept under it.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be listed, read or written.
    pub(super) async fn open(&self, first: &FirstPage<'_>) -> Result<(), Error> {
        let Keep { from_pages, from_duration, after_commit } = self.run.keep;
        if !after_commit && first.n_pages < from_pages.max(2) {
            return Ok(());
        }
        let version = self.version(first);
        let kept = keys::kept_prefix(self.dataset, self.partition);
        let mut sets = list_sets(self.store, self.dataset, &kept).await?;
        sets.retain(|(_, found, _), _| *found == version);
        let duration = first.received_at.duration_since(self.started_at).saturating_mul(first.n_pages as i32);
        if sets.is_empty() && !after_commit && duration < from_duration {
            return Ok(());
        }
        let prefix = self.prefix(version, &self.run.run);
        let own = sets.get(&(self.partition.clone(), version, self.run.run.clone())).cloned();
        let is_continued = own.is_some();
        let continued = if is_continued { PageSet::read(self.store, &prefix).await? } else { None };
        let mut set = match continued {
            Some(set) => set,
            None => self.new_set(first, &sets).await?,
        };
        let present: BTreeSet<&String> = sets.values().flatten().collect();
        let taken_over = set.taken_over.iter().filter(|key| present.contains(key)).cloned();
        let pages: BTreeMap<u32, KeptPage> =
            taken_over.chain(own.into_iter().flatten()).filter_map(KeptPage::parse).collect();
        set.requested.retain(|page, _| !pages.contains_key(page));
        if is_continued {
            // As many pages as there are slots, and the one that was due, may have been requested and not kept.
            let missing = (2..=first.n_pages).filter(|page| !pages.contains_key(page));
            missing.take(self.run.in_flight.max(1) + 1).for_each(|page| *set.requested.entry(page).or_default() += 1);
        }
        set.n_fetches += 1;
        set.write(self.store, &prefix).await?;
        tracing::info!(
            partition = %self.partition, n_kept = pages.len(), n_pages = first.n_pages, n_fetches = set.n_fetches,
            "keeping pages"
        );
        let slots = Semaphore::new(self.run.in_flight.max(1));
        let _ = self.set.set(OpenSet { prefix, set, pages: Mutex::new(pages), slots });
        Ok(())
    }

    /// Describes a new set, which takes over the pages that other runs kept for the same version.
    async fn new_set(&self, first: &FirstPage<'_>, sets: &Sets) -> Result<PageSet, Error> {
        let oldest = first.received_at.saturating_sub(MAX_AGE).unwrap_or(Timestamp::MIN);
        // Every run requests page 1 itself.
        let is_usable = |key: &String| {
            KeptPage::parse(key.clone()).is_none_or(|(number, page)| number > 1 && page.received_at >= oldest)
        };
        let mut set = PageSet { portal: first.root.to_owned(), n_pages: first.n_pages, ..PageSet::default() };
        for ((_, version, run), keys) in sets {
            // The pages of a committed set have served their purpose: another run looks for changes.
            if PageSet::read(self.store, &self.prefix(*version, run)).await?.is_some_and(|other| !other.is_committed) {
                set.taken_over.extend(keys.iter().filter(|key| is_usable(key)).cloned());
            }
        }
        Ok(set)
    }

    fn prefix(&self, version: u128, run: &str) -> String {
        keys::page_set_prefix(self.dataset, self.partition, version, run)
    }

    /// Hashes what all pages of a version must agree with.
    fn version(&self, first: &FirstPage<'_>) -> u128 {
        let facts =
            (first.root, self.run.portal_release.as_deref(), self.etag.as_deref(), first.count, first.fingerprint);
        twox_hash::XxHash3_128::oneshot(format!("{facts:?}").as_bytes())
    }

    /// Returns whether pages are kept.
    pub(super) fn is_open(&self) -> bool {
        self.set.get().is_some()
    }

    /// Waits for a slot in which a page is requested and then kept. Returns `None` if pages are not kept.
    pub(super) async fn slot(&self) -> Option<SemaphoreGuard<'_>> {
        Some(self.set.get()?.slots.acquire().await)
    }

    /// Returns whether as many fetches of this run as allowed have requested a page.
    pub(super) fn is_used_up(&self, page: u32) -> bool {
        let requested = self.set.get().and_then(|open| open.set.requested.get(&page));
        requested.is_some_and(|n_fetches| *n_fetches >= MAX_FETCHES_PER_PAGE)
    }

    /// Reads the body of a kept page and when it was received. Returns `None` if the page is not kept, or its object is
    /// gone or damaged.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be read.
    pub(super) async fn read(&self, page: u32) -> Result<Option<(Bytes, Timestamp)>, Error> {
        let found = self.set.get().and_then(|open| open.pages().get(&page).cloned());
        match found {
            Some(page) => Ok(page.read(self.store).await?.map(|body| (body, page.received_at))),
            None => Ok(None),
        }
    }

    /// Keeps a page. If the lake refuses it, the fetch continues without keeping it.
    pub(super) async fn add(&self, page: u32, received_at: Timestamp, compressed: Bytes) {
        let Some(open) = self.set.get() else { return };
        let key = format!("{}{}", open.prefix, keys::kept_page(page, received_at));
        match self.store.write_unflushed(&key, compressed).await {
            Ok(()) => {
                open.pages().insert(page, KeptPage { key, received_at });
                self.n_added.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(key, error = %error.source, "page not kept"),
        }
    }

    /// Returns how far the fetch got, if it kept further pages.
    pub(super) fn progress(&self) -> Option<Progress> {
        let open = self.set.get()?;
        let n_kept = u32::try_from(open.pages().len()).unwrap_or(u32::MAX);
        (self.n_added.load(Ordering::Relaxed) > 0).then_some(Progress { n_kept, n_pages: open.set.n_pages })
    }

    /// Deletes the set, with the pages it took over. Pages that are to stay after the commit are marked instead.
    ///
    /// - `is_committed`: whether the partition was committed from these pages, or found unchanged.
    ///
    /// # Errors
    /// [`Error::StoreFailed`]. What is left expires with its run.
    pub(super) async fn close(&self, is_committed: bool) -> Result<(), Error> {
        let Some(open) = self.set.get() else { return Ok(()) };
        if is_committed && self.run.keep.after_commit {
            let set = PageSet { is_committed, ..open.set.clone() };
            return set.write(self.store, &open.prefix).await;
        }
        let prefix = &open.prefix;
        let own = list(self.store, prefix).await?.into_iter().map(|listed| listed.key);
        let keys = own.chain(open.set.taken_over.iter().cloned()).collect();
        self.store.delete(keys).await.map_err(|source| Error::store_failed("delete", prefix, source))
    }
}
