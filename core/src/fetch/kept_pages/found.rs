//! The sets of kept pages that the lake has for a partition, and which of them are of no use any more.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::kept_pages::page_set::{KeptPage, PageSet, group};
use crate::keys;
use crate::ledger::listing::list;
use crate::partition::PartitionKey;
use crate::ports::store::{Listed, Store};

/// A run does not take over pages that another run received earlier than this before its own page 1. No run on AWS
/// takes longer, so what is older belongs to a run that is over.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// A set of kept pages.
pub(super) struct FoundSet {
    pub(super) version: u128,
    pub(super) run: String,
    pub(super) keys: Vec<String>,
    /// Its description. `None` if it is missing or unreadable.
    pub(super) set: Option<PageSet>,
}

/// The count of a run's fetches.
struct FoundCount {
    run: String,
    key: String,
    modified_at: Timestamp,
}

/// What the lake has kept of a partition.
pub(super) struct Found {
    pub(super) sets: Vec<FoundSet>,
    counts: Vec<FoundCount>,
    /// Pages that stay after the commit, although another run kept them.
    retained: BTreeSet<String>,
}

/// The fetch that judges what it found.
pub(super) struct Judge<'j> {
    pub(super) run: &'j str,
    pub(super) version: u128,
    /// Its set, or the one that it would have.
    pub(super) set: &'j PageSet,
    /// When it started, before it looked at the partition's object.
    pub(super) started_at: Timestamp,
    /// Whether all other runs on this lake are over.
    pub(super) is_only_run: bool,
}

/// How a fetch ended with the pages of its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The partition has another object than before page 1.
    Replaced,
    /// The partition was found to be up to date.
    Unchanged,
    /// A page may be invalid.
    Invalid,
}

impl Found {
    /// Lists and describes what is kept of a partition.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be listed or read.
    pub(super) async fn list(store: &impl Store, dataset: &Dataset, partition: &PartitionKey) -> Result<Self, Error> {
        let listed = list(store, &keys::kept_prefix(dataset, partition)).await?;
        let count = |listed: &Listed| {
            let (_, run) = keys::parse_fetch_count(dataset, &listed.key)?;
            Some(FoundCount { run: run.to_owned(), key: listed.key.clone(), modified_at: listed.modified_at })
        };
        let counts = listed.iter().filter_map(count).collect();
        let (mut sets, mut retained) = (Vec::new(), BTreeSet::new());
        for ((partition, version, run), keys) in group(dataset, listed) {
            let set = PageSet::read(store, &keys::page_set_prefix(dataset, &partition, version, &run)).await?;
            if let Some(set) = set.as_ref().filter(|set| set.is_committed) {
                retained.extend(set.taken_over.iter().cloned());
            }
            sets.push(FoundSet { version, run, keys, set });
        }
        Ok(Self { sets, counts, retained })
    }

    /// Returns whether fetches of a run are counted.
    pub(super) fn has_count(&self, run: &str) -> bool {
        self.counts.iter().any(|count| count.run == run)
    }

    /// Returns the last page that a killed fetch of a run may have requested. Returns `None` if it left nothing.
    ///
    /// - `pages_at_once`: how many pages it may have requested without keeping them, apart from the one that was due.
    pub(super) fn last_requested(&self, run: &str, pages_at_once: usize) -> Option<u32> {
        let present: BTreeSet<&String> = self.sets.iter().flat_map(|set| &set.keys).collect();
        let number = |key: &String| KeptPage::parse(key.clone()).map(|(page, _)| page);
        let last = |found: &FoundSet| {
            let set = found.set.as_ref();
            let taken_over = set.into_iter().flat_map(|set| &set.taken_over).filter(|key| present.contains(key));
            let skipped: BTreeSet<u32> = taken_over.filter_map(number).collect();
            let last_kept = found.keys.iter().filter_map(number).max().unwrap_or(1);
            (last_kept + 1..).filter(|page| !skipped.contains(page)).nth(pages_at_once)
        };
        self.sets.iter().filter(|set| set.run == run).filter_map(last).max()
    }

    /// Returns the keys of everything that no fetch can use any more, now that `judge` has seen page 1.
    pub(super) fn useless(&self, judge: &Judge<'_>) -> Vec<String> {
        let sets = self.sets.iter().flat_map(|set| judge.useless(set));
        self.deletable(sets).chain(self.useless_counts(judge)).collect()
    }

    /// Returns the keys of everything that no fetch can use any more, now that `judge` has ended.
    pub(super) fn useless_after(&self, judge: &Judge<'_>, end: End) -> Vec<String> {
        let sets = self.sets.iter().flat_map(|set| judge.useless_after(set, end));
        let own = self.counts.iter().filter(|count| end != End::Invalid && count.run == judge.run);
        let own = own.map(|count| count.key.clone());
        self.deletable(sets).chain(self.useless_counts(judge)).chain(own).collect()
    }

    /// Returns the keys of every set that stayed after the commit, with the pages that it took over.
    pub(super) fn committed(&self) -> Vec<String> {
        let sets = self.sets.iter().filter(|set| set.is_committed()).flat_map(|set| set.keys.iter());
        first_descriptions(sets.chain(&self.retained).cloned()).collect()
    }

    /// Leaves out what is to stay, and puts descriptions first: without its description, no set is used.
    fn deletable<'s>(&'s self, keys: impl Iterator<Item = &'s String>) -> impl Iterator<Item = String> {
        first_descriptions(keys.filter(|key| !self.retained.contains(*key)).cloned())
    }

    /// Returns the counts of runs that are over.
    fn useless_counts(&self, judge: &Judge<'_>) -> Vec<String> {
        let others = self.counts.iter().filter(|count| count.run != judge.run);
        let is_over = |count: &&FoundCount| judge.is_only_run || count.modified_at < judge.oldest();
        others.filter(is_over).map(|count| count.key.clone()).collect()
    }
}

fn first_descriptions(keys: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let (descriptions, pages): (Vec<_>, Vec<_>) = keys.partition(|key| key.ends_with(keys::PAGE_SET));
    descriptions.into_iter().chain(pages)
}

impl FoundSet {
    pub(super) fn is_committed(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.is_committed)
    }

    /// Returns when its run last used it, as far as is known.
    fn last_used(&self) -> Timestamp {
        let pages = self.keys.iter().filter_map(|key| received_at(key));
        pages.chain(self.set.as_ref().map(|set| set.seen_at)).max().unwrap_or(Timestamp::MIN)
    }
}

fn received_at(key: &str) -> Option<Timestamp> {
    KeptPage::parse(key.to_owned()).map(|(_, page)| page.received_at)
}

impl Judge<'_> {
    /// Returns when the oldest page was received that may be taken over.
    pub(super) fn oldest(&self) -> Timestamp {
        self.set.seen_at.saturating_sub(MAX_AGE).unwrap_or(Timestamp::MIN)
    }

    /// Returns the keys of a set that can be taken over: pages other than page 1, which every run requests itself.
    pub(super) fn usable<'s>(&self, found: &'s FoundSet) -> impl Iterator<Item = &'s String> {
        let oldest = self.oldest();
        // The pages of a committed set have served their purpose: another run looks for changes.
        let is_usable = found.version == self.version && found.set.as_ref().is_some_and(|set| !set.is_committed);
        found.keys.iter().filter(move |key| {
            is_usable
                && KeptPage::parse((*key).clone()).is_some_and(|(page, kept)| page > 1 && kept.received_at >= oldest)
        })
    }

    pub(super) fn is_own(&self, found: &FoundSet) -> bool {
        found.version == self.version && found.run == self.run
    }

    /// Returns whether the fetch that used a set is certainly over.
    fn is_over(&self, found: &FoundSet) -> bool {
        self.is_only_run || found.run == self.run || found.last_used() < self.oldest()
    }

    fn useless<'s>(&self, found: &'s FoundSet) -> Vec<&'s String> {
        if self.is_own(found) && found.set.is_some() || found.is_committed() {
            return Vec::new();
        }
        if found.version == self.version && found.set.is_some() {
            // Its run may be alive, and continue with younger pages.
            let is_old = |key: &&String| received_at(key).is_some_and(|received_at| received_at < self.oldest());
            let is_all = found.last_used() < self.oldest();
            return found.keys.iter().filter(|key| is_all || is_old(key)).collect();
        }
        let was_seen_to_change = match &found.set {
            // What is left of a set that was deleted while its run still added pages.
            None => found.last_used() < self.started_at,
            // The object, `count` or page 1 is not any more what it was. A release is read when a run starts, so the
            // one of another run may be newer than this run's.
            Some(set) => {
                let is_same_source = set.portal == self.set.portal && set.portal_release == self.set.portal_release;
                is_same_source && set.seen_at < self.started_at
            }
        };
        if was_seen_to_change || self.is_over(found) { found.keys.iter().collect() } else { Vec::new() }
    }

    fn useless_after<'s>(&self, found: &'s FoundSet, end: End) -> Vec<&'s String> {
        if found.is_committed() {
            return Vec::new();
        }
        let prefix_of = |key: &String| key.rsplit_once('/').map(|(prefix, _)| prefix.to_owned());
        let prefixes: BTreeSet<Option<String>> = found.keys.iter().map(prefix_of).collect();
        // They have the version of this set, so they are as good or as bad.
        let is_taken_over = || self.set.taken_over.iter().any(|key| prefixes.contains(&prefix_of(key)));
        let is_used_up = found.version == self.version
            && (self.is_own(found)
                || is_taken_over()
                || found.set.as_ref().is_none_or(|set| set.seen_at < self.started_at));
        // Nobody finds the object again that these pages are to replace.
        let is_overtaken = end == End::Replaced && found.set.as_ref().is_some_and(|set| set.etag == self.set.etag);
        if is_used_up || is_overtaken { found.keys.iter().collect() } else { self.useless(found) }
    }
}
