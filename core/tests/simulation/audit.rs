//! The auditor: what must hold after every step, judged from what the portal served and what the objects hold.
//!
//! It decodes every object with a Parquet reader and compares rows; it knows nothing of editions, and asks none of
//! core's decisions. This file judges objects; `ledger.rs` judges receipts and records, `publish.rs` the catalog.

mod decode;
mod ledger;
mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use rollcall_core::edition::Stamp;

pub(crate) use self::decode::Decoder;
use crate::schedule::TaskId;
use crate::source::{self, Content, Row, sorted};

pub(crate) const ONE_VERSION: &str = "an object holds one version of one partition";
pub(crate) const NEWEST_WINS: &str = "the newest write wins";
pub(crate) const NOT_TWICE: &str = "equal editions are not written again";
pub(crate) const SHRINK_GUARD: &str = "a fuller partition stays without force";
pub(crate) const RECEIPTS: &str = "a receipt tells the truth";
pub(crate) const RECORDS: &str = "a record says what the object said";
pub(crate) const ACCOUNTED: &str = "every planned partition is accounted for";
pub(crate) const REGISTERED: &str = "publishing converges from the objects";
pub(crate) const CONVERGES: &str = "a clean run mends everything";
pub(crate) const RESTS: &str = "a run that changes nothing writes nothing";

/// A promise that did not hold.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) found: String,
}

/// An object that was at a partition's location once.
pub(crate) struct Version {
    partition: usize,
    /// Sorted.
    rows: Vec<Row>,
    stamp: Stamp,
    etag: String,
    size_bytes: u64,
    step: u32,
}

/// An object as it is written.
pub(crate) struct NewObject<'o> {
    pub(crate) bytes: &'o Bytes,
    pub(crate) stamp: &'o Stamp,
    pub(crate) etag: &'o str,
}

/// What the portal served to one fetch.
pub(crate) struct Session {
    /// What page 1 was of.
    pub(crate) content: Content,
    pub(crate) page_length: usize,
    /// When each page that can be read was served last.
    pub(crate) received: BTreeMap<u32, Timestamp>,
    /// Nothing was served that must be refused.
    pub(crate) is_sound: bool,
}

impl Session {
    pub(crate) fn n_pages(&self) -> usize {
        self.content.len().div_ceil(self.page_length).max(1)
    }

    fn last_received(&self) -> Option<Timestamp> {
        self.received.values().max().copied()
    }
}

/// One try to fetch a partition.
pub(crate) struct Fetching {
    run: String,
    partition: usize,
    force: bool,
    started_step: u32,
    pub(crate) session: Option<Session>,
    /// What every look at the object found.
    heads: Vec<Option<usize>>,
    has_removed: bool,
    /// Its write took effect, and it was told that the condition did not hold.
    pub(crate) lost_own_write: bool,
}

/// One try to publish a run.
struct Publishing {
    run: String,
    started_at: Timestamp,
    planned: Vec<usize>,
    from: u32,
    /// `None` while it may still act.
    to: Option<u32>,
}

/// Everything that was seen.
pub(crate) struct Auditor {
    decoder: Arc<Mutex<Decoder>>,
    n_partitions: usize,
    pub(crate) violation: Option<Violation>,
    versions: Vec<Version>,
    /// Whether each partition has an object that can be read, and since which step it has been so.
    presence: Vec<(bool, u32)>,
    /// Partitions whose object was gone or torn once.
    vanished: BTreeSet<usize>,
    pub(crate) fetches: BTreeMap<TaskId, Fetching>,
    publishes: BTreeMap<TaskId, Publishing>,
    /// What a task's last look at a partition's object found.
    last_heads: BTreeMap<(TaskId, usize), Option<usize>>,
    record_writes: Vec<(u32, TaskId, usize)>,
    receipt_writes: Vec<(u32, String)>,
    /// When the portal last had no rows for a partition whose object was removed for it.
    emptied: BTreeMap<usize, Timestamp>,
    /// Writes under `data/` and changes of the catalog, look-up tables among them.
    pub(crate) n_data_writes: u64,
    pub(crate) n_catalog_changes: u64,
}

impl Auditor {
    pub(crate) fn new(decoder: Arc<Mutex<Decoder>>, n_partitions: usize) -> Self {
        Self {
            decoder,
            n_partitions,
            violation: None,
            versions: Vec::new(),
            presence: vec![(false, 0); n_partitions],
            vanished: BTreeSet::new(),
            fetches: BTreeMap::new(),
            publishes: BTreeMap::new(),
            last_heads: BTreeMap::new(),
            record_writes: Vec::new(),
            receipt_writes: Vec::new(),
            emptied: BTreeMap::new(),
            n_data_writes: 0,
            n_catalog_changes: 0,
        }
    }

    /// Keeps the first violation.
    pub(crate) fn demand(&mut self, promise: &'static str, holds: bool, found: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(Violation { promise, found: found() });
        }
    }

    pub(crate) fn begin_fetch(&mut self, task: TaskId, run: &str, partition: usize, force: bool, step: u32) {
        let fetching = Fetching {
            run: run.to_owned(),
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

    /// A look at a partition's object found this.
    pub(crate) fn head(&mut self, task: TaskId, partition: usize, found: Option<usize>) {
        self.last_heads.insert((task, partition), found);
        if let Some(fetching) = self.fetches.get_mut(&task) {
            fetching.heads.push(found);
        }
    }

    /// A partition's object was written, maybe in place of another. Gives the new one's number, and whether it came
    /// back after a newer removal.
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
        let (mut served, mut last_received, mut force) = (None, None, false);
        if let Some(Fetching { partition: of, session: Some(session), force: may, .. }) = self.fetches.get(&task) {
            served = (session.is_sound && *of == partition).then(|| session.content.clone());
            last_received = session.last_received();
            force = *may;
        }
        self.demand(ONE_VERSION, served.as_ref() == Some(&rows), || {
            format!("`{name}`: t{task} was served {served:?} and wrote {rows:?}")
        });
        self.demand(ONE_VERSION, stamp.n_rows == rows.len() as u64 && !rows.is_empty(), || {
            format!("`{name}`: t{task} wrote {} rows and said {}", rows.len(), stamp.n_rows)
        });
        self.demand(NEWEST_WINS, Some(stamp.fetched_at) == last_received, || {
            format!("`{name}`: t{task} received its last page at {last_received:?} and said {}", stamp.fetched_at)
        });
        let rows = sorted(&rows);
        if let Some(old) = replaced.and_then(|id| self.versions.get(id)) {
            let (old_at, n_old, is_equal) = (old.stamp.fetched_at, old.rows.len(), old.rows == rows);
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
        (self.versions.len() - 1, is_after_removal)
    }

    /// A task removed a partition's object.
    pub(crate) fn removed(&mut self, task: TaskId, partition: usize, version: usize, step: u32) {
        self.presence[partition] = (false, step);
        self.vanished.insert(partition);
        let name = source::key_of(partition);
        let (mut was_empty, mut received, mut force) = (false, None, false);
        if let Some(Fetching { session: Some(session), force: may, has_removed, .. }) = self.fetches.get_mut(&task) {
            was_empty = session.content.is_empty() && session.is_sound;
            received = session.last_received();
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

    /// Somebody deleted a partition's object by hand, or tore it.
    pub(crate) fn spoiled(&mut self, partition: usize, step: u32) {
        self.presence[partition] = (false, step);
        self.vanished.insert(partition);
        self.emptied.remove(&partition);
    }
}
