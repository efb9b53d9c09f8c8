//! The auditor: what must hold after every step, judged from what the portal served and what the objects hold.
//!
//! It decodes every object with a Parquet reader and compares rows; it knows nothing of editions, and asks none of
//! core's decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use bytes::Bytes;
use jiff::Timestamp;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollcall_core::dataset::Dataset;
use rollcall_core::edition::Stamp;
use rollcall_core::keys;
use rollcall_core::ports::CatalogPartition;
use serde_json::Value;

use crate::catalog::CatalogState;
use crate::schedule::TaskId;
use crate::source::{self, Content, Row, sorted};
use crate::store::Bucket;

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

/// Rows of objects by their bytes: contents recur, and decoding is the dearest thing the auditor does.
#[derive(Default)]
pub(crate) struct Decoder(BTreeMap<Bytes, Option<Content>>);

impl Decoder {
    /// The rows in file order; `None` when the bytes are no such file.
    fn rows(&mut self, bytes: &Bytes) -> Option<Content> {
        self.0.entry(bytes.clone()).or_insert_with(|| decode(bytes.clone()).map(Arc::new)).clone()
    }
}

fn decode(bytes: Bytes) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?.build().ok()? {
        let batch = batch.ok()?;
        let schools = batch.column_by_name("school")?.as_primitive_opt::<Int64Type>()?;
        let enrollments = batch.column_by_name("enrollment")?.as_primitive_opt::<Int32Type>()?;
        let rescued = batch.column_by_name("_rescued")?;
        if schools.null_count() + enrollments.null_count() > 0 || rescued.null_count() != rescued.len() {
            return None;
        }
        rows.extend(schools.values().iter().copied().zip(enrollments.values().iter().copied()));
    }
    Some(rows)
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

    /// An object of the ledger was written.
    pub(crate) fn wrote(&mut self, dataset: &Dataset, task: TaskId, key: &str, bytes: &Bytes, step: u32) {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some(partition) =
            (0..self.n_partitions).find(|partition| key == keys::record(dataset, &source::key_of(*partition)))
        {
            self.record_writes.push((step, task, partition));
            self.record(task, partition, &value);
        } else if let Some(fetching) = self.fetches.get(&task) {
            let (run, partition) = (fetching.run.clone(), fetching.partition);
            let expected = keys::receipt(dataset, &run, &source::key_of(partition));
            self.demand(RECEIPTS, key == expected, || format!("t{task} wrote `{key}` and not `{expected}`"));
            self.receipt_writes.push((step, run));
            self.receipt(task, &value);
        }
    }

    /// A record says of the object what the task's last look at it found.
    fn record(&mut self, task: TaskId, partition: usize, record: &Value) {
        let name = source::key_of(partition);
        let seen = self.last_heads.get(&(task, partition)).copied();
        self.demand(RECORDS, seen.is_some(), || format!("`{name}`: t{task} wrote a record without a look"));
        let seen = seen.flatten().and_then(|id| self.versions.get(id));
        let committed = &record["committed"];
        let is_true = match seen {
            None => committed.is_null(),
            Some(version) => {
                committed["etag"] == *version.etag
                    && committed["n_rows"] == version.rows.len()
                    && committed["size_bytes"] == version.size_bytes
                    && committed["fetched_at"] == *version.stamp.fetched_at.to_string()
                    && committed["run"].as_str() == version.stamp.run.as_deref()
            }
        };
        // Pages are what the fetch says that had these very rows, written or found unchanged.
        let has_pages = |fetching: &Fetching| {
            let session = fetching.session.as_ref().filter(|_| fetching.partition == partition);
            session.zip(seen).is_some_and(|(session, version)| {
                committed["n_pages"] == session.n_pages() && sorted(&session.content) == version.rows
            })
        };
        let is_known = committed["n_pages"].is_null() || self.fetches.values().any(has_pages);
        self.demand(RECORDS, is_true, || format!("`{name}`: t{task} recorded {committed}"));
        self.demand(RECORDS, is_known, || format!("`{name}`: t{task} recorded pages of other rows: {committed}"));
    }

    fn receipt(&mut self, task: TaskId, receipt: &Value) {
        let fetching = &self.fetches[&task];
        let name = source::key_of(fetching.partition);
        let outcome = receipt["outcome"].as_str().unwrap_or_default();
        let content = fetching.session.as_ref().map(|session| session.content.clone()).unwrap_or_default();
        let received = fetching.session.as_ref().and_then(Session::last_received);
        let n_pages = fetching.session.as_ref().map_or(0, Session::n_pages);
        let rows = sorted(&content);
        let first = fetching.heads.first().copied().flatten().map(|id| &self.versions[id]);
        let is_sized = |version: &Version| receipt["size_bytes"] == version.size_bytes;
        let is_true = match outcome {
            "written" => self
                .versions
                .iter()
                .rev()
                .take_while(|version| version.step >= fetching.started_step)
                .any(|version| version.partition == fetching.partition && version.rows == rows && is_sized(version)),
            "unchanged" => first.is_some_and(|version| version.rows == rows && is_sized(version)),
            "superseded" => fetching
                .heads
                .iter()
                .flatten()
                .map(|id| &self.versions[*id])
                .any(|version| Some(version.stamp.fetched_at) > received && is_sized(version)),
            "empty" => content.is_empty() && (first.is_none() || fetching.has_removed),
            "failed" => receipt["error"]["name"].is_string(),
            _ => false,
        };
        self.demand(RECEIPTS, is_true, || format!("`{name}`: t{task} ended as {receipt}"));
        let is_counted = outcome == "failed" || (receipt["n_rows"] == rows.len() && receipt["n_pages"] == n_pages);
        self.demand(RECEIPTS, is_counted, || format!("`{name}`: t{task} received {} rows: {receipt}", rows.len()));
    }

    /// The catalog was changed, or a part of the change was carried out.
    pub(crate) fn catalog_changed(&mut self, dataset: &Dataset, task: TaskId, put: &[CatalogPartition]) {
        self.n_catalog_changes += 1;
        for registered in put {
            let name = &registered.partition;
            let is_there = registered.location == keys::partition_prefix(dataset, name);
            self.demand(REGISTERED, is_there, || format!("t{task} registered `{}`", registered.location));
            let held = self.versions.iter().filter(|version| source::key_of(version.partition) == *name);
            let is_held = held.map(|version| version.rows.len() as u64).any(|n_rows| n_rows == registered.n_rows);
            self.demand(REGISTERED, is_held, || {
                format!("t{task} registered `{name}` with {} rows, which no object there held", registered.n_rows)
            });
        }
    }

    pub(crate) fn begin_publish(
        &mut self,
        task: TaskId,
        run: &str,
        started_at: Timestamp,
        planned: Vec<usize>,
        step: u32,
    ) {
        let publishing = Publishing { run: run.to_owned(), started_at, planned, from: step, to: None };
        self.publishes.insert(task, publishing);
    }

    /// A task that published can act no more.
    pub(crate) fn end_publish(&mut self, task: TaskId, step: u32) {
        if let Some(publishing) = self.publishes.get_mut(&task) {
            publishing.to = Some(step);
        }
    }

    /// A run was published. Gives how many partitions a slower publisher changed back.
    pub(crate) fn published(
        &mut self,
        dataset: &Dataset,
        task: TaskId,
        bucket: &Bucket,
        catalog: &CatalogState,
    ) -> usize {
        let Publishing { run, started_at, planned, from, .. } = &self.publishes[&task];
        let (run, started_at, planned, from) = (run.clone(), *started_at, planned.clone(), *from);
        let mut n_overtaken = 0;
        for partition in 0..self.n_partitions {
            let (is_present, since) = self.presence[partition];
            let name = source::key_of(partition);
            let is_registered = catalog.n_rows(&name).is_some();
            if since >= from || is_registered == is_present {
                continue;
            }
            // A publisher that looked before an object vanished or came back may have acted on that since: until the
            // next run. A partition that never lost its object is not taken out, however slow the others are.
            let is_slower = |(other, publishing): (&TaskId, &Publishing)| {
                *other != task && publishing.from <= since && publishing.to.is_none_or(|to| to > from)
            };
            if self.vanished.contains(&partition) && self.publishes.iter().any(is_slower) {
                n_overtaken += 1;
                continue;
            }
            self.demand(REGISTERED, false, || {
                format!("after {run} `{name}` has an object: {is_present}, and is registered: {is_registered}")
            });
        }
        let summary: Value = bucket.json(&keys::summary(dataset, &run)).unwrap_or_default();
        let is_alone = !self.receipt_writes.iter().any(|(step, of)| *of == run && *step >= from);
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for partition in &planned {
            let name = source::key_of(*partition);
            let receipt: Option<Value> = bucket.json(&keys::receipt(dataset, &run, &name));
            let outcome = receipt.as_ref().and_then(|receipt| receipt["outcome"].as_str()).unwrap_or("failed");
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
            if receipt.is_some()
                || self.record_writes.iter().any(|(at, by, of)| at >= &from && *by != task && of == partition)
            {
                continue;
            }
            let record: Value = bucket.json(&keys::record(dataset, &name)).unwrap_or_default();
            let attempt = &record["last_attempt"];
            let at: Option<Timestamp> = attempt["at"].as_str().and_then(|at| at.parse().ok());
            self.demand(ACCOUNTED, at.is_some_and(|at| at >= started_at), || {
                format!("`{name}` was planned by {run} and has neither receipt nor record: {attempt}")
            });
        }
        let said: BTreeMap<String, u64> = serde_json::from_value(summary["outcomes"].clone()).unwrap_or_default();
        let is_sum = said.values().sum::<u64>() == planned.len() as u64 && summary["n_planned"] == planned.len();
        self.demand(ACCOUNTED, is_sum, || format!("{run} planned {}: {summary}", planned.len()));
        let n_failed = summary["failed"].as_array().map_or(0, Vec::len) as u64;
        let is_named = said.get("failed").copied() == Some(n_failed);
        self.demand(ACCOUNTED, is_named, || format!("{run} names {n_failed} failed partitions: {summary}"));
        let is_same = said.iter().all(|(outcome, n)| outcomes.get(outcome).copied().unwrap_or(0) == *n);
        self.demand(ACCOUNTED, is_same || !is_alone, || format!("{run} has receipts {outcomes:?} and says {said:?}"));
        n_overtaken
    }

    /// After a clean run, objects, records and catalog are what the source holds.
    pub(crate) fn converged(
        &mut self,
        dataset: &Dataset,
        run: &str,
        contents: &[Content],
        bucket: &Bucket,
        catalog: &CatalogState,
    ) {
        for (partition, content) in contents.iter().enumerate() {
            let name = source::key_of(partition);
            let object = bucket.version(&keys::partition_object(dataset, &name)).map(|id| &self.versions[id]);
            let rows = sorted(content);
            let is_latest = object.map_or(&[][..], |version| &version.rows) == rows;
            let etag = object.map(|version| version.etag.clone());
            self.demand(CONVERGES, is_latest, || format!("`{name}`: the object is not what the source holds"));
            let record: Value = bucket.json(&keys::record(dataset, &name)).unwrap_or_default();
            let is_recorded = record["committed"]["etag"].as_str() == etag.as_deref()
                && record["last_attempt"]["run"] == *run
                && record["last_attempt"]["outcome"] != "failed";
            self.demand(CONVERGES, is_recorded, || format!("`{name}`: recorded as {record}"));
            let registered = catalog.n_rows(&name);
            let is_registered = registered == (!rows.is_empty()).then_some(rows.len() as u64);
            self.demand(CONVERGES, is_registered, || format!("`{name}`: registered with {registered:?} rows"));
        }
        let n_registered = catalog.n_registered();
        let n_full = contents.iter().filter(|content| !content.is_empty()).count();
        self.demand(CONVERGES, n_registered == n_full, || format!("{n_registered} registered, {n_full} have rows"));
    }
}
