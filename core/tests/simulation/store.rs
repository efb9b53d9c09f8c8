//! The simulated bucket: conditional writes, and everything that can happen to a request before and after its effect.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use parquet::file::metadata::ParquetMetaDataReader;
use rollcall_core::file::Footer;
use rollcall_core::file::Stamp;
use rollcall_core::keys;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Condition, Content, Listed, ObjectFacts, Put, Store, StoreError};
use serde_json::Value;

use crate::audit::NewObject;
use crate::schedule::{TaskId, call};
use crate::world::{Shared, World};

/// The objects.
#[derive(Default)]
pub(crate) struct Bucket {
    objects: BTreeMap<String, Object>,
    n_writes: u64,
}

/// An object in the bucket.
struct Object {
    bytes: Bytes,
    etag: String,
    stamp: Option<Stamp>,
    /// The auditor's number for this version of a partition's object.
    version: Option<usize>,
    modified_at: Timestamp,
}

impl Bucket {
    /// Returns the auditor's number for the version at `key`.
    pub(crate) fn version(&self, key: &str) -> Option<usize> {
        self.objects.get(key)?.version
    }

    /// Returns the content of an object.
    pub(crate) fn bytes(&self, key: &str) -> Option<&Bytes> {
        Some(&self.objects.get(key)?.bytes)
    }

    /// Returns the etag of an object.
    pub(crate) fn etag(&self, key: &str) -> Option<&str> {
        Some(&self.objects.get(key)?.etag)
    }

    /// Returns the keys below a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        self.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Reads a ledger object as JSON.
    pub(crate) fn json(&self, key: &str) -> Option<Value> {
        serde_json::from_slice(&self.objects.get(key)?.bytes).ok()
    }

    fn holds(&self, key: &str, condition: &Condition) -> bool {
        match (self.objects.get(key), condition) {
            (None, Condition::Absent) => true,
            (Some(object), Condition::Matches(etag)) => object.etag == *etag,
            _ => false,
        }
    }

    /// Returns a new etag.
    fn next_etag(&mut self) -> String {
        self.n_writes += 1;
        format!("e{}", self.n_writes)
    }
}

fn insert(world: &mut World, key: &str, bytes: Bytes, stamp: Option<Stamp>, version: Option<usize>, etag: String) {
    let object = Object { bytes, etag, stamp, version, modified_at: world.now() };
    world.bucket.objects.insert(key.to_owned(), object);
}

/// Writes a ledger object, which the auditor judges before and after. Returns its etag.
fn write_ledger(world: &mut World, task: TaskId, key: &str, bytes: Bytes) -> String {
    let dataset = world.dataset.clone();
    world.audit.wrote(&dataset, task, key, &bytes, world.step, &world.bucket);
    let etag = world.bucket.next_etag();
    insert(world, key, bytes, None, None, etag.clone());
    world.audit.check_outcomes_kept(&dataset, key, &world.bucket);
    etag
}

/// Replaces the records with one object per partition, as in the previous layout.
pub(crate) fn apply_previous_layout(world: &mut World) {
    let dataset = world.dataset.clone();
    let Some(object) = world.bucket.objects.remove(&keys::records(&dataset)) else { return };
    let records: Vec<Value> = serde_json::from_slice(&object.bytes).unwrap();
    for record in records {
        let partition: PartitionKey = serde_json::from_value(record["partition"].clone()).unwrap();
        let partition = dataset.arrange(&partition).unwrap();
        let key = format!("{}{partition}.json", keys::older_records_prefix(&dataset));
        let etag = world.bucket.next_etag();
        insert(world, &key, serde_json::to_vec(&record).unwrap().into(), None, None, etag);
    }
    world.count("lake of the previous layout");
    world.note(None, "given the previous layout", keys::older_records_prefix(&dataset), String::new());
}

/// Deletes a partition's object by hand, or replaces it with something that rollcall did not write.
pub(crate) fn corrupt_by_hand(world: &mut World, partition: usize) {
    let key = keys::partition_object(&world.dataset, &crate::source::key_of(partition));
    if world.bucket.objects.remove(&key).is_none() {
        return;
    }
    world.audit.corrupted_by_hand(partition, world.step);
    if world.rng.bool() {
        world.count("object deleted by hand");
        world.note(None, "deleted by hand", key, String::new());
    } else {
        world.count("object corrupted by hand");
        world.note(None, "corrupted by hand", key.clone(), String::new());
        let etag = world.bucket.next_etag();
        insert(world, &key, Bytes::from_static(b"PAR1"), None, None, etag);
    }
}

/// The bucket as one task sees it.
pub(crate) struct SimStore {
    shared: Shared,
    task: TaskId,
}

impl SimStore {
    pub(crate) fn new(shared: &Shared, task: TaskId) -> Self {
        Self { shared: shared.clone(), task }
    }

    /// Calls the world and adds the result to the trace. Sometimes fails before the effect.
    async fn ask<T: Send + 'static>(
        &self,
        verb: &'static str,
        key: &str,
        is_write: bool,
        act: impl FnOnce(&mut World, &str) -> Result<(String, T), StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (task, key) = (self.task, key.to_owned());
        call(&self.shared, task, is_write, move |world| {
            let is_refused = world.chance(world.rates.store);
            let done = if is_refused {
                world.count(if is_write { "store: write fails before its effect" } else { "store: read fails" });
                if let (Some(partition), "HEAD") = (partition_of(world, &key), verb) {
                    world.audit.look_failed(task, partition);
                }
                Err(failed(verb, &key, "rejected before its effect"))
            } else {
                act(world, &key)
            };
            let result = match &done {
                Ok((result, _)) => result.clone(),
                Err(error) => error.source.to_string(),
            };
            world.note(Some(task), verb, key, result);
            done.map(|(_, answer)| answer)
        })
        .await
    }
}

fn failed(verb: &str, key: &str, cause: &str) -> StoreError {
    StoreError { message: format!("{verb} `{key}`"), source: cause.into() }
}

/// Returns the result of a conditional write, preceded by a word for the trace.
fn answer(put: Put) -> (String, Put) {
    (if put == Put::Lost { "lost".to_owned() } else { "done".to_owned() }, put)
}

/// Decides at random how the store responds to a write that took effect.
fn told_text(
    world: &mut World,
    task: TaskId,
    verb: &'static str,
    key: &str,
    etag: String,
) -> Result<(String, Put), StoreError> {
    if !world.chance(world.rates.store) {
        return Ok(answer(Put::Done(etag)));
    }
    if world.rng.bool() {
        world.count("store: error after the effect");
        return Err(failed(verb, key, "done, response lost"));
    }
    world.count("store: condition lost to own write");
    if let Some(fetching) = world.audit.fetches.get_mut(&task) {
        fetching.lost_own_write = true;
    }
    Ok(("done, reported as a conflict".to_owned(), Put::Lost))
}

/// Decides at random whether the store responds that another write is in progress.
fn conflicts(world: &mut World) -> bool {
    let conflicts = world.chance(world.rates.conflict);
    if conflicts {
        world.count("store: conflict");
    }
    conflicts
}

impl Store for SimStore {
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let task = self.task;
        self.ask("HEAD", key, false, move |world, key| {
            let object = world.bucket.objects.get(key);
            let facts = object.map(|object| ObjectFacts {
                etag: object.etag.clone(),
                size_bytes: object.bytes.len() as u64,
                stamp: object.stamp.clone(),
                is_readable: true,
            });
            let version = object.and_then(|object| object.version);
            if let Some(partition) = partition_of(world, key) {
                world.audit.look(task, partition, version);
                world.audit.head(task, version);
            }
            let result = facts.as_ref().map_or("none".to_owned(), |facts| {
                let n_rows = facts.stamp.as_ref().map_or(0, |stamp| stamp.n_rows);
                format!("{}, {n_rows} rows", facts.etag)
            });
            Ok((result, facts))
        })
        .await
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: &Condition, stamp: &Stamp) -> Result<Put, StoreError> {
        let (task, condition, stamp) = (self.task, condition.clone(), stamp.clone());
        self.ask("PUT", key, true, move |world, key| {
            if conflicts(world) {
                return Ok(answer(Put::Lost));
            }
            if !world.bucket.holds(key, &condition) {
                let found = world.bucket.objects.get(key).and_then(|object| object.stamp.as_ref());
                let is_stale = found.is_some_and(|found| found.fetched_at > stamp.fetched_at);
                world.count(if is_stale { "stale writer" } else { "store: condition lost" });
                return Ok(answer(Put::Lost));
            }
            world.audit.n_data_writes += 1;
            let etag = world.bucket.next_etag();
            let version = partition_of(world, key).map(|partition| {
                let (replaced, dataset) = (world.bucket.version(key), world.dataset.clone());
                if let Some(replaced) = replaced {
                    world.audit.replaces(&dataset, replaced, &stamp, &world.bucket);
                }
                let new = NewObject { bytes: &bytes, stamp: &stamp, etag: &etag };
                let (version, is_after_removal) = world.audit.put(task, partition, new, replaced, world.step);
                if is_after_removal {
                    world.count("removal undone by a stale writer");
                }
                version
            });
            insert(world, key, bytes, Some(stamp), version, etag.clone());
            told_text(world, task, "PUT", key, etag)
        })
        .await
    }

    async fn copy(&self, key: &str, etag: &str, to: &str) -> Result<Put, StoreError> {
        let (task, condition, to) = (self.task, Condition::Matches(etag.to_owned()), to.to_owned());
        self.ask("COPY", key, true, move |world, key| {
            if conflicts(world) || !world.bucket.holds(key, &condition) {
                return Ok(answer(Put::Lost));
            }
            let etag = world.bucket.next_etag();
            let found = world.bucket.objects.get(key).map(|object| (object.bytes.clone(), object.stamp.clone()));
            if let Some((bytes, stamp)) = found {
                insert(world, &to, bytes, stamp, None, etag.clone());
            }
            world.count("object copied before it is replaced");
            told_text(world, task, "COPY", &to, etag)
        })
        .await
    }

    async fn remove(&self, key: &str, etag: &str) -> Result<Put, StoreError> {
        let (task, condition) = (self.task, Condition::Matches(etag.to_owned()));
        self.ask("DELETE", key, true, move |world, key| {
            if conflicts(world) || !world.bucket.holds(key, &condition) {
                return Ok(answer(Put::Lost));
            }
            world.audit.n_data_writes += 1;
            if let (Some(_), Some(version)) = (partition_of(world, key), world.bucket.version(key)) {
                let dataset = world.dataset.clone();
                world.audit.removed(&dataset, task, version, world.step, &world.bucket);
            }
            world.bucket.objects.remove(key);
            world.count("object removed");
            told_text(world, task, "DELETE", key, String::new())
        })
        .await
    }

    async fn footer(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        self.ask("FOOTER", key, false, |world, key| {
            let object = world.bucket.objects.get(key);
            let metadata = object.and_then(|object| ParquetMetaDataReader::new().parse_and_finish(&object.bytes).ok());
            let footer = metadata.and_then(|metadata| Footer::from_metadata(&metadata));
            Ok((footer.as_ref().map_or("none".to_owned(), |footer| format!("{} rows", footer.n_rows)), footer))
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let task = self.task;
        self.ask("GET", key, false, move |world, key| {
            let object = world.bucket.objects.get(key);
            let content = object.map(|object| Content { bytes: object.bytes.clone(), etag: object.etag.clone() });
            if let Some(content) = &content {
                world.audit.read(task, key, &content.etag);
                if world.audit.page_read(task, key) {
                    world.count("partition continued from a kept page");
                }
            }
            let result = content.as_ref().map(|content| format!("{}, {} bytes", content.etag, content.bytes.len()));
            Ok((result.unwrap_or_else(|| "none".to_owned()), content))
        })
        .await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let task = self.task;
        self.ask("WRITE", key, true, move |world, key| {
            write_ledger(world, task, key, bytes);
            if world.chance(world.rates.store) {
                world.count("store: ledger write fails");
                return Err(failed("WRITE", key, "done, response lost"));
            }
            Ok(("done".to_owned(), ()))
        })
        .await
    }

    async fn replace(&self, key: &str, bytes: Bytes, condition: &Condition) -> Result<Put, StoreError> {
        let (task, condition) = (self.task, condition.clone());
        self.ask("REPLACE", key, true, move |world, key| {
            if conflicts(world) {
                return Ok(answer(Put::Lost));
            }
            if !world.bucket.holds(key, &condition) {
                world.count("store: ledger condition lost");
                return Ok(answer(Put::Lost));
            }
            let etag = write_ledger(world, task, key, bytes);
            told_text(world, task, "REPLACE", key, etag)
        })
        .await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        let task = self.task;
        let subject = format!("{} keys", keys.len());
        self.ask("DELETE", &subject, true, move |world, subject| {
            let is_faulty = world.chance(world.rates.store);
            let n_done = if is_faulty { world.rng.usize(0..=keys.len()) } else { keys.len() };
            let dataset = world.dataset.clone();
            for key in keys.iter().take(n_done) {
                if world.audit.deletes(&dataset, task, key, &world.bucket) {
                    world.count("receipt deleted that replaced the summarized one");
                }
                world.bucket.objects.remove(key);
                world.audit.check_outcomes_kept(&dataset, key, &world.bucket);
            }
            if is_faulty {
                let is_whole = n_done == keys.len();
                world.count(if is_whole { "store: deletion fails" } else { "store: partial deletion" });
                return Err(failed("DELETE", subject, if is_whole { "done, response lost" } else { "partly done" }));
            }
            Ok(("done".to_owned(), ()))
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let task = self.task;
        self.ask("LIST", prefix, false, move |world, prefix| {
            let found = world.bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix));
            let listed: Vec<Listed> = found
                .map(|(key, object)| Listed {
                    key: key.clone(),
                    etag: object.etag.clone(),
                    modified_at: object.modified_at,
                })
                .collect();
            if prefix == keys::table_prefix(&world.dataset.table) {
                for partition in 0..world.source.n_partitions() {
                    let key = keys::partition_object(&world.dataset, &crate::source::key_of(partition));
                    world.audit.look(task, partition, world.bucket.version(&key));
                }
            }
            Ok((format!("{} keys", listed.len()), listed))
        })
        .await
    }
}

/// Returns the partition of a data object, or `None` for a lookup table.
fn partition_of(world: &World, key: &str) -> Option<usize> {
    world.index_of(&keys::parse_partition_object(&world.dataset, key)?)
}
