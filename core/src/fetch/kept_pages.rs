//! Keeps the pages of a large partition in the lake until it is committed, so that a fetch that ran out of time, or was
//! killed, continues where it ended.
//!
//! Each set of kept pages belongs to one run. Its key contains a hash of everything that its pages must agree with: the
//! portal and its release, the object that the partition had before page 1, `count`, and the rows of page 1. If any of
//! them changes, the key changes too, and the partition starts over. A run takes over the pages that earlier runs kept
//! for the same version by listing them in its own set.

mod fetch_count;
mod found;
pub(super) mod keeping;
pub(super) mod page_set;
#[cfg(test)]
mod tests;
pub(super) mod to_keep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use async_lock::{Semaphore, SemaphoreGuard};
use bytes::Bytes;
use jiff::Timestamp;

use crate::cost::Metered;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::kept_pages::fetch_count::{Begun, FetchCount, MAX_REQUESTS, count_failure, is_used_up};
use crate::fetch::kept_pages::found::{End, Found, Judge};
use crate::fetch::kept_pages::page_set::{KeptPage, PageSet};
use crate::fetch::kept_pages::to_keep::ToKeep;
use crate::fetch::page_error::page_error;
use crate::fetch::run_facts::{Keep, RunFacts};
use crate::keys;
use crate::ledger::receipt::Outcome;
use crate::partition::PartitionKey;
use crate::ports::portal::PortalError;
use crate::ports::store::Store;

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
    /// Set before that, unless this is the only run. Kept even if the fetches of the run are used up.
    count: OnceLock<FetchCount>,
    /// Number of pages that this fetch has added.
    n_added: AtomicU32,
    /// Pages that this fetch has requested, apart from page 1.
    requested: Mutex<BTreeSet<u32>>,
    /// Whether page 1 has arrived and says that the partition is large.
    is_large: AtomicBool,
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
    version: u128,
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
        let (set, count, n_added) = (OnceLock::new(), OnceLock::new(), AtomicU32::new(0));
        let (requested, is_large) = (Mutex::default(), AtomicBool::new(false));
        Self { store, dataset, partition, run, started_at, etag, set, count, n_added, requested, is_large }
    }

    /// Returns whether page 1 is to be kept as well, because the pages stay after the commit.
    pub(super) fn includes_page_1(&self) -> bool {
        self.run.keep.after_commit
    }

    /// Finds the pages that earlier fetches of the same version kept, and starts to keep pages, if the partition is
    /// large enough for that. Deletes what page 1 shows to be of no use any more.
    ///
    /// - `first`: what page 1 says. Later pages are kept under it.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be listed, read or written, or pages that may be invalid cannot be
    /// deleted; [`Error::PortalUnavailable`] if the run has fetched the partition as often as allowed.
    pub(super) async fn open(&self, first: &FirstPage<'_>) -> Result<(), Error> {
        let Keep { from_pages, from_duration, after_commit, .. } = self.run.keep;
        if !after_commit && first.n_pages < from_pages.max(2) {
            return Ok(());
        }
        self.is_large.store(true, Ordering::Relaxed);
        let duration = first.received_at.duration_since(self.started_at).saturating_mul(first.n_pages as i32);
        self.open_if(first, after_commit || duration >= from_duration).await
    }

    /// Starts to keep the pages of a large partition that takes longer than page 1 suggested.
    ///
    /// - `received_at`: when a page arrived.
    ///
    /// # Errors
    /// Same as [`Self::open`].
    pub(super) async fn reconsider(&self, first: &FirstPage<'_>, received_at: Timestamp) -> Result<(), Error> {
        let is_slow = received_at.duration_since(self.started_at) >= self.run.keep.from_duration;
        if is_slow && !self.is_open() && self.is_large.load(Ordering::Relaxed) {
            return self.open_if(first, true).await;
        }
        Ok(())
    }

    /// Starts to keep pages if it `is_worth_it`, or a fetch of the same run or version did.
    async fn open_if(&self, first: &FirstPage<'_>, is_worth_it: bool) -> Result<(), Error> {
        let version = self.version(first);
        let mut set = PageSet {
            portal: first.root.to_owned(),
            portal_release: self.run.portal_release.clone(),
            etag: self.etag.clone(),
            n_pages: first.n_pages,
            seen_at: first.received_at,
            ..PageSet::default()
        };
        let found = Found::list(self.store, self.dataset, self.partition).await?;
        let judge = self.judge(version, &set);
        let deleted = self.delete(found.useless(&judge)).await;
        let own = found.sets.iter().find(|set| judge.is_own(set));
        match own {
            // What is left of a set that was found invalid. With a new description, it would be part of a set again.
            Some(left) if left.set.is_none() => deleted?,
            _ => self.warn("useless pages not deleted", deleted),
        }
        let own = own.filter(|own| own.set.is_some());
        let others = found.sets.iter().filter(|set| set.run != self.run.run);
        let usable: Vec<String> = others.flat_map(|set| judge.usable(set)).cloned().collect();
        // After an unfinished fetch, the run continues to count, even if its pages are of no use any more.
        let is_continued = own.is_some() || !usable.is_empty() || found.has_count(&self.run.run);
        if !is_continued && !is_worth_it {
            return Ok(());
        }
        self.begin_count(&found, first.n_pages).await?;
        match own.and_then(|own| own.set.as_ref()) {
            Some(continued) => set = PageSet { seen_at: first.received_at, ..continued.clone() },
            None => set.taken_over = usable,
        }
        let present: BTreeSet<&String> = found.sets.iter().flat_map(|set| &set.keys).collect();
        let taken_over = set.taken_over.iter().filter(|key| present.contains(key));
        let kept = taken_over.chain(own.iter().flat_map(|own| &own.keys));
        let pages: BTreeMap<u32, KeptPage> = kept.cloned().filter_map(KeptPage::parse).collect();
        let prefix = keys::page_set_prefix(self.dataset, self.partition, version, &self.run.run);
        set.write(self.store, &prefix).await?;
        tracing::info!(
            partition = %self.partition, n_kept = pages.len(), n_pages = first.n_pages, "keeping pages"
        );
        let slots = Semaphore::new(self.run.pages_to_keep_at_once());
        let _ = self.set.set(OpenSet { version, prefix, set, pages: Mutex::new(pages), slots });
        Ok(())
    }

    /// Counts this fetch, unless its process counts the fetches of its run itself.
    async fn begin_count(&self, found: &Found, n_pages: u32) -> Result<(), Error> {
        if self.run.keep.is_only_run {
            return Ok(());
        }
        let last_requested = found.last_requested(&self.run.run, self.run.pages_at_once());
        let begun = Begun { at: self.started_at, n_pages };
        let begun = FetchCount::begin(self.store, &self.count_key(), begun, last_requested).await?;
        let count = self.count.get_or_init(|| begun);
        if count.is_used_up() { Err(self.used_up(count, 2)) } else { Ok(()) }
    }

    fn judge<'j>(&'j self, version: u128, set: &'j PageSet) -> Judge<'j> {
        let (run, started_at, is_only_run) = (self.run.run.as_str(), self.started_at, self.run.keep.is_only_run);
        Judge { run, version, set, started_at, is_only_run }
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let prefix = keys::kept_prefix(self.dataset, self.partition);
        self.store.delete(keys).await.map_err(|source| Error::store_failed("delete", &prefix, source))
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

    /// Returns a slot if one is free. Returns `None` if none is, or if pages are not kept.
    pub(super) fn free_slot(&self) -> Option<SemaphoreGuard<'_>> {
        self.set.get()?.slots.try_acquire()
    }

    /// Records that a page is requested.
    ///
    /// # Errors
    /// [`Error::PortalUnavailable`] if as many fetches of this run as allowed have requested it.
    pub(super) fn request(&self, page: u32) -> Result<(), Error> {
        if let Some(count) = self.count.get().filter(|count| count.is_page_used_up(page)) {
            return Err(self.used_up(count, page));
        }
        self.requested().insert(page);
        Ok(())
    }

    fn requested(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_key(&self) -> String {
        keys::fetch_count(self.dataset, self.partition, &self.run.run)
    }

    fn used_up(&self, count: &FetchCount, page: u32) -> Error {
        let last_failure = count.last_failure().map(str::to_owned);
        let used_up = PortalError::UsedUp { n_requests: MAX_REQUESTS, last_failure };
        page_error(used_up, self.dataset, self.partition, page)
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
    pub(super) async fn add(&self, ToKeep { page, received_at, compress, slot }: ToKeep<'_>) {
        let Some(open) = self.set.get() else { return };
        let key = format!("{}{}", open.prefix, keys::kept_page(page, received_at));
        let written = self.store.write_unflushed(&key, compress).await;
        drop(slot);
        match written {
            Ok(()) => {
                open.pages().insert(page, KeptPage { key, received_at });
                if page > 1 {
                    self.n_added.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => tracing::warn!(key, error = %error.source, "page not kept"),
        }
    }

    /// Returns what the requests of all fetches of the partition in this run cost, as far as it is known.
    ///
    /// - `cost`: what those of this fetch cost.
    pub(super) fn total(&self, cost: Metered) -> Metered {
        self.count.get().map_or(cost, |count| count.total(cost))
    }

    /// Same as [`Self::total`], for a fetch that ended before its first request.
    pub(super) async fn total_before(&self) -> Metered {
        if self.run.keep.is_only_run {
            return Metered::default();
        }
        let count = FetchCount::read(self.store, &self.count_key()).await;
        count.map(|count| count.total(Metered::default())).unwrap_or_default()
    }

    /// Returns how far the fetch got, if it kept further pages.
    pub(super) fn progress(&self) -> Option<Progress> {
        let open = self.set.get()?;
        let n_kept = u32::try_from(open.pages().len()).unwrap_or(u32::MAX);
        (self.n_added.load(Ordering::Relaxed) > 0).then_some(Progress { n_kept, n_pages: open.set.n_pages })
    }

    /// Counts a fetch that failed. If this fails, the next fetch of the run counts it as killed, provided that this one
    /// kept pages. Returns what the requests of all fetches of the partition in this run cost, as far as it is known.
    ///
    /// - `cost`: what its requests cost.
    pub(super) async fn count_failure(&self, error: &Error, cost: Metered) -> Metered {
        if self.run.keep.is_only_run {
            return cost;
        }
        let requested = self.requested().clone();
        let counted = match self.count.get() {
            Some(count) => {
                let last_failure = count.last_failure().filter(|_| is_used_up(error)).map(str::to_owned);
                let failure = last_failure.unwrap_or_else(|| error.chain());
                count.end(self.store, &requested, cost, Some(failure)).await.map(|()| count.total(cost))
            }
            None => {
                let (key, is_large) = (self.count_key(), self.is_large.load(Ordering::Relaxed));
                count_failure(self.store, &key, self.started_at, is_large, (&requested, cost), error.chain()).await
            }
        };
        counted.unwrap_or_else(|error| {
            self.warn("fetch not counted", Err(error));
            self.total(cost)
        })
    }

    /// Counts the pages that an unfinished fetch requested. If this fails, the next fetch of the run counts it as
    /// killed.
    ///
    /// - `cost`: what its requests cost.
    pub(super) async fn pause(&self, cost: Metered) {
        let Some(count) = self.count.get() else { return };
        let requested = self.requested().clone();
        self.warn("requested pages not counted", count.end(self.store, &requested, cost, None).await);
    }

    fn warn(&self, what: &str, done: Result<(), Error>) {
        if let Err(error) = done {
            tracing::warn!(partition = %self.partition, error = error.chain(), "{what}");
        }
    }

    /// Ends the set of a fetch that committed its partition, or found it up to date. Deletes it, with everything that
    /// is of no use any more. Pages that are to stay after the commit are marked instead.
    pub(super) async fn finish(&self, outcome: Outcome) {
        let end = if outcome == Outcome::Unchanged { End::Unchanged } else { End::Replaced };
        let finish = async {
            if let Some(open) = self.set.get().filter(|_| self.run.keep.after_commit) {
                let set = PageSet { is_committed: true, ..open.set.clone() };
                set.write(self.store, &open.prefix).await?;
            }
            self.delete_useless_after(end).await
        };
        self.warn("kept pages not deleted", finish.await);
    }

    /// Deletes the set of a fetch that failed because of what a page contains, with the sets from which it took pages
    /// over.
    pub(super) async fn discard(&self) {
        self.warn("kept pages not deleted", self.delete_useless_after(End::Invalid).await);
    }

    /// Deletes the pages that stayed after earlier commits, before the object is removed because the portal has no rows
    /// any more: otherwise the partition could be brought back from them.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be listed, or objects cannot be deleted.
    pub(super) async fn forget(&self) -> Result<(), Error> {
        let found = Found::list(self.store, self.dataset, self.partition).await?;
        self.delete(found.committed()).await
    }

    async fn delete_useless_after(&self, end: End) -> Result<(), Error> {
        let Some(open) = self.set.get() else { return Ok(()) };
        let found = Found::list(self.store, self.dataset, self.partition).await?;
        self.delete(found.useless_after(&self.judge(open.version, &open.set), end)).await
    }
}
