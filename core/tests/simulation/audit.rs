//! The auditor checks every promise after every step, based on what the portal served and what the objects contain.
//!
//! It decodes every object with a Parquet reader and compares rows. It knows nothing about editions and relies on none
//! of core's decisions. This file judges objects; `ledger.rs` judges receipts and records, `publish.rs` the result of
//! publishing.

mod decode;
mod history;
mod kept;
mod ledger;
mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::file::Stamp;
use serde_json::Value;

pub(crate) use self::decode::Decoder;
use self::history::Past;
use self::kept::Kept;
use crate::schedule::TaskId;
use crate::source::{self, Content, Row, sorted};
use crate::store::Bucket;

pub(crate) const ONE_VERSION: &str = "an object holds one version of one partition";
pub(crate) const PAGE_1_AGAIN: &str = "pages are not written when page 1 changed meanwhile";
pub(crate) const NEWEST_WINS: &str = "the newest write wins";
pub(crate) const NOT_TWICE: &str = "equal editions are not written again";
pub(crate) const SHRINK_GUARD: &str = "a larger partition stays unless forced";
pub(crate) const CONTINUED: &str = "a partition continues only from pages with the same count and page 1";
pub(crate) const FETCH_LIMIT: &str = "at most three fetches of a run request a page";
pub(crate) const REMEMBERED: &str = "what was replaced is kept";
pub(crate) const RECEIPTS: &str = "a receipt is true";
pub(crate) const RECORDS: &str = "a record has the facts of its object";
pub(crate) const ATTEMPTS: &str = "an attempt is not replaced by an older one";
pub(crate) const NO_OUTCOME_LOST: &str = "no outcome is lost";
pub(crate) const ACCOUNTED: &str = "every planned partition is accounted for";
pub(crate) const REGISTERED: &str = "publishing converges from the objects";
pub(crate) const CONVERGES: &str = "a fault-free run repairs everything";
pub(crate) const RESTS: &str = "a run that changes nothing writes nothing";

/// A broken promise.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) found: String,
}

/// A version of an object that is or was at a partition's location.
pub(crate) struct Version {
    pub(crate) partition: usize,
    /// Sorted.
    rows: Vec<Row>,
    stamp: Stamp,
    etag: String,
    size_bytes: u64,
    step: u32,
}

/// An object that is being written.
pub(crate) struct NewObject<'o> {
    pub(crate) bytes: &'o Bytes,
    pub(crate) stamp: &'o Stamp,
    pub(crate) etag: &'o str,
}

/// What the portal served to one fetch.
pub(crate) struct Session {
    /// The content that page 1 came from.
    pub(crate) content: Content,
    pub(crate) page_length: usize,
    /// Whether later pages come from the source's current content.
    pub(crate) follows: bool,
    /// When each readable page was served. A page that is served again, or read from the lake, replaces the one before.
    pub(crate) received: BTreeMap<u32, Timestamp>,
    /// The rows of each readable page.
    pub(crate) pages: BTreeMap<u32, Vec<Row>>,
    /// Whether page 1 was the same when it was served again, and how many pages had been served by then.
    pub(crate) again: Option<(bool, usize)>,
    /// Whether everything served so far is acceptable, apart from a changed page 1.
    pub(crate) is_sound: bool,
    /// The pages that were not acceptable when they were last served.
    pub(crate) unsound_pages: BTreeSet<u32>,
}

impl Session {
    pub(crate) fn new(content: Content, page_length: usize, follows: bool) -> Self {
        let (received, pages) = (BTreeMap::new(), BTreeMap::new());
        let unsound_pages = BTreeSet::new();
        Self { content, page_length, follows, received, pages, again: None, is_sound: true, unsound_pages }
    }

    /// Returns the rows of all pages as served, sorted.
    pub(crate) fn rows(&self) -> Vec<Row> {
        sorted(&self.pages.values().flatten().copied().collect::<Vec<Row>>())
    }

    /// Checks whether page 1 is the only page, or was unchanged when requested again after the last page.
    fn is_confirmed(&self) -> bool {
        self.n_pages() == 1 || self.again == Some((true, self.n_pages()))
    }

    pub(crate) fn n_pages(&self) -> usize {
        self.content.len().div_ceil(self.page_length).max(1)
    }

    fn oldest_received(&self) -> Option<Timestamp> {
        self.received.values().min().copied()
    }
}

/// One try at fetching a partition.
pub(crate) struct Fetching {
    pub(crate) run: String,
    schema_id: u64,
    partition: usize,
    force: bool,
    started_step: u32,
    pub(crate) session: Option<Session>,
    /// What each inspection of the object found.
    heads: Vec<Option<usize>>,
    has_removed: bool,
    /// Whether its write succeeded, but the response said that the condition failed.
    pub(crate) lost_own_write: bool,
}

/// One try at publishing a run.
struct Publishing {
    run: String,
    started_at: Timestamp,
    planned: Vec<usize>,
    /// The planned partitions that never started.
    not_tried: BTreeSet<usize>,
    from: u32,
    /// `None` while the publisher may still act.
    to: Option<u32>,
}

/// Everything observed so far.
pub(crate) struct Auditor {
    decoder: Arc<Mutex<Decoder>>,
    n_partitions: usize,
    pub(crate) violation: Option<Violation>,
    versions: Vec<Version>,
    /// Whether each partition has a readable object, and since which step.
    presence: Vec<(bool, u32)>,
    /// What happened to the objects, in order, by partition.
    past: Vec<(usize, Past)>,
    /// Partitions whose object has ever been missing or corrupt.
    vanished: BTreeSet<usize>,
    pub(crate) fetches: BTreeMap<TaskId, Fetching>,
    publishes: BTreeMap<TaskId, Publishing>,
    /// The result of a task's last inspection of a partition's object, including listings.
    last_looks: BTreeMap<(TaskId, usize), Look>,
    /// Partitions whose object a task could not inspect. Their registration and record must stay.
    unseen: BTreeSet<(TaskId, usize)>,
    /// The etag of every ledger object as a task last read it.
    reads: BTreeMap<(TaskId, String), String>,
    record_writes: Vec<(u32, TaskId)>,
    /// Every page that was kept, by key.
    kept: BTreeMap<String, Kept>,
    /// The fetches that requested each page of a partition, by run and partition.
    requested_by: BTreeMap<(String, usize), BTreeMap<u32, BTreeSet<TaskId>>>,
    /// The last fetch that had started when the count of a run and partition was deleted.
    counted_after: BTreeMap<(String, usize), TaskId>,
    /// All receipts by run and partition, in the order in which they were written.
    receipts: BTreeMap<(String, usize), Vec<Landed>>,
    /// Runs and partitions whose last receipt was deleted by a task that had read only the one before. A deletion is
    /// unconditional, so a task that was given up on may lose its receipt to a concurrent publisher.
    deleted_unread: BTreeSet<(String, usize)>,
    /// When the portal last had no rows for a partition whose object was removed for that reason.
    emptied: BTreeMap<usize, Timestamp>,
    /// Writes under `data/` and changes to the catalog, including lookup tables.
    pub(crate) n_data_writes: u64,
    pub(crate) n_catalog_changes: u64,
    /// Writes of ledger objects, by key.
    pub(crate) ledger_writes: BTreeMap<String, u64>,
}

/// Result of inspecting a partition's object.
#[derive(Clone, Copy)]
enum Look {
    /// The version found; `None` if there was no readable object.
    Found(Option<usize>),
    Failed,
}

/// A written receipt.
struct Landed {
    step: u32,
    receipt: Value,
}

impl Auditor {
    pub(crate) fn new(decoder: Arc<Mutex<Decoder>>, n_partitions: usize) -> Self {
        Self {
            decoder,
            n_partitions,
            violation: None,
            versions: Vec::new(),
            presence: vec![(false, 0); n_partitions],
            past: Vec::new(),
            vanished: BTreeSet::new(),
            fetches: BTreeMap::new(),
            publishes: BTreeMap::new(),
            last_looks: BTreeMap::new(),
            unseen: BTreeSet::new(),
            reads: BTreeMap::new(),
            record_writes: Vec::new(),
            kept: BTreeMap::new(),
            requested_by: BTreeMap::new(),
            counted_after: BTreeMap::new(),
            receipts: BTreeMap::new(),
            deleted_unread: BTreeSet::new(),
            emptied: BTreeMap::new(),
            n_data_writes: 0,
            n_catalog_changes: 0,
            ledger_writes: BTreeMap::new(),
        }
    }

    /// Keeps the first violation.
    pub(crate) fn demand(&mut self, promise: &'static str, holds: bool, found: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(Violation { promise, found: found() });
        }
    }

    pub(crate) fn start_fetch(
        &mut self,
        task: TaskId,
        run: &str,
        schema_id: u64,
        partition: usize,
        force: bool,
        step: u32,
    ) {
        let fetching = Fetching {
            run: run.to_owned(),
            schema_id,
            partition,
            force,
            started_step: step,
            session: None,
            heads: Vec::new(),
            has_removed: false,
            lost_own_write: false,
        };
        self.fetches.insert(task, fetching);
    }

    /// Records what an inspection of a partition's object, or a listing, found.
    pub(crate) fn look(&mut self, task: TaskId, partition: usize, found: Option<usize>) {
        self.last_looks.insert((task, partition), Look::Found(found));
    }

    /// Records that an inspection of a partition's object failed.
    pub(crate) fn look_failed(&mut self, task: TaskId, partition: usize) {
        self.last_looks.insert((task, partition), Look::Failed);
        self.unseen.insert((task, partition));
    }

    /// Records what a fetch found when it inspected its object.
    pub(crate) fn head(&mut self, task: TaskId, found: Option<usize>) {
        if let Some(fetching) = self.fetches.get_mut(&task) {
            fetching.heads.push(found);
        }
    }

    /// Checks that the object that is about to be written may replace the one that is there, as far as keeping it goes.
    pub(crate) fn replaces(&mut self, dataset: &Dataset, replaced: usize, new: &Stamp, bucket: &Bucket) {
        if self.versions[replaced].stamp.edition.digest != new.edition.digest {
            self.check_kept(dataset, replaced, bucket);
        }
    }

    /// Records a write of a partition's object. Returns the new version, and whether it reappeared after a more recent
    /// removal.
    pub(crate) fn put(
        &mut self,
        task: TaskId,
        partition: usize,
        NewObject { bytes, stamp, etag }: NewObject<'_>,
        replaced: Option<usize>,
        step: u32,
    ) -> (usize, bool) {
        let rows = self.decoder.lock().unwrap().rows(bytes);
        let name = source::key_of(partition);
        self.demand(ONE_VERSION, rows.is_some(), || {
            format!("`{name}`: t{task} wrote what is no file of these columns")
        });
        let rows = rows.unwrap_or_default();
        let is_own = rows.iter().all(|(school, _)| source::partition_of_school(*school) == partition);
        self.demand(ONE_VERSION, is_own, || format!("`{name}`: t{task} wrote rows of another partition: {rows:?}"));
        let (mut served, mut oldest_received, mut force, mut is_confirmed) = (None, None, false, false);
        let mut is_of_schema = false;
        if let Some(Fetching { partition: of, session: Some(session), force: may, schema_id, .. }) =
            self.fetches.get(&task)
        {
            served = (session.is_sound && *of == partition).then(|| session.rows());
            is_confirmed = session.is_confirmed();
            oldest_received = session.oldest_received();
            force = *may;
            is_of_schema = stamp.edition.schema_id == *schema_id;
        }
        self.demand(PAGE_1_AGAIN, is_confirmed, || format!("`{name}`: t{task} wrote {rows:?}, served {served:?}"));
        // Files are sorted by key.
        self.demand(ONE_VERSION, served.as_ref() == Some(rows.as_ref()), || {
            format!("`{name}`: t{task} was served {served:?} and wrote {rows:?}")
        });
        let is_named = stamp.partition == Some(name.to_string()) && is_of_schema;
        self.demand(ONE_VERSION, is_named, || format!("`{name}`: t{task} wrote what says {stamp:?}"));
        self.demand(ONE_VERSION, stamp.n_rows == rows.len() as u64 && !rows.is_empty(), || {
            format!("`{name}`: t{task} wrote {} rows and said {}", rows.len(), stamp.n_rows)
        });
        self.demand(NEWEST_WINS, Some(stamp.fetched_at) == oldest_received, || {
            format!("`{name}`: t{task} received its oldest page at {oldest_received:?} and said {}", stamp.fetched_at)
        });
        let rows = sorted(&rows);
        if let Some(old) = replaced.and_then(|id| self.versions.get(id)) {
            let is_equal = old.rows == rows && old.stamp.edition.schema_id == stamp.edition.schema_id;
            let (old_at, n_old) = (old.stamp.fetched_at, old.rows.len());
            self.demand(NOT_TWICE, !is_equal, || format!("`{name}`: t{task} wrote the rows that were there"));
            self.demand(NEWEST_WINS, old_at <= stamp.fetched_at, || {
                format!("`{name}`: t{task} replaced rows received at {old_at} by some received at {}", stamp.fetched_at)
            });
            self.demand(SHRINK_GUARD, force || rows.len() * 2 >= n_old, || {
                format!("`{name}`: t{task} replaced {n_old} rows by {} without force", rows.len())
            });
        } else {
            self.presence[partition] = (true, step);
        }
        let is_after_removal =
            replaced.is_none() && self.emptied.get(&partition).is_some_and(|at| *at > stamp.fetched_at);
        let (stamp, etag, size_bytes) = (stamp.clone(), etag.to_owned(), bytes.len() as u64);
        self.versions.push(Version { partition, rows, stamp, etag, size_bytes, step });
        self.past.push((partition, Past::Written(self.versions.len() - 1)));
        (self.versions.len() - 1, is_after_removal)
    }

    /// Records that a task removed a partition's object.
    pub(crate) fn removed(&mut self, dataset: &Dataset, task: TaskId, version: usize, step: u32, bucket: &Bucket) {
        self.check_kept(dataset, version, bucket);
        let partition = self.versions[version].partition;
        self.presence[partition] = (false, step);
        self.vanished.insert(partition);
        self.past.push((partition, Past::Removed));
        let name = source::key_of(partition);
        let (mut was_empty, mut received, mut force) = (false, None, false);
        if let Some(Fetching { session: Some(session), force: may, has_removed, .. }) = self.fetches.get_mut(&task) {
            was_empty = session.content.is_empty() && session.is_sound;
            received = session.oldest_received();
            force = *may;
            *has_removed = true;
        }
        let (n_rows, old_at) = (self.versions[version].rows.len(), self.versions[version].stamp.fetched_at);
        self.demand(ONE_VERSION, was_empty, || format!("`{name}`: t{task} removed what the portal has rows for"));
        self.demand(SHRINK_GUARD, force, || format!("`{name}`: t{task} removed {n_rows} rows without force"));
        self.demand(NEWEST_WINS, Some(old_at) <= received, || {
            format!("`{name}`: t{task} removed rows received at {old_at}, and found none at {received:?}")
        });
        if let Some(at) = received {
            self.emptied.insert(partition, at);
        }
    }

    /// Records that someone deleted or corrupted a partition's object by hand.
    pub(crate) fn corrupted_by_hand(&mut self, partition: usize, step: u32) {
        self.presence[partition] = (false, step);
        self.vanished.insert(partition);
        self.past.push((partition, Past::ByHand));
        self.emptied.remove(&partition);
    }
}
