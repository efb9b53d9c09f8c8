//! The simulated bucket: conditional writes, and everything that may happen to a request before and after its effect.

use std::collections::BTreeMap;

use bytes::Bytes;
use rollcall_core::edition::Stamp;
use rollcall_core::keys;
use rollcall_core::ports::{Condition, ObjectFacts, Put, Store, StoreError};
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

/// An object of the bucket.
struct Object {
    bytes: Bytes,
    etag: String,
    stamp: Option<Stamp>,
    /// The auditor's number of a partition's object.
    version: Option<usize>,
}

impl Bucket {
    /// The auditor's number of a partition's object.
    pub(crate) fn version(&self, key: &str) -> Option<usize> {
        self.objects.get(key)?.version
    }

    /// A ledger object, read as JSON.
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

    fn insert(&mut self, key: &str, bytes: Bytes, stamp: Option<Stamp>, version: Option<usize>, etag: String) {
        self.objects.insert(key.to_owned(), Object { bytes, etag, stamp, version });
    }

    /// An etag that was never given before.
    fn next_etag(&mut self) -> String {
        self.n_writes += 1;
        format!("e{}", self.n_writes)
    }
}

/// Deletes a partition's object behind everyone's back, or leaves something in its place that is not one of ours.
pub(crate) fn spoil_by_hand(world: &mut World, partition: usize) {
    let key = keys::partition_object(&world.dataset, &crate::source::key_of(partition));
    if world.bucket.objects.remove(&key).is_none() {
        return;
    }
    world.audit.spoiled(partition, world.step);
    if world.rng.bool() {
        world.count("object deleted by hand");
        world.note(None, "deleted by hand", key, String::new());
    } else {
        world.count("object torn by hand");
        world.note(None, "torn by hand", key.clone(), String::new());
        let etag = world.bucket.next_etag();
        world.bucket.insert(&key, Bytes::from_static(b"PAR1"), None, None, etag);
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

    /// Calls the world, notes what came of it and fails before the effect now and then.
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
                Err(failed(verb, &key, "refused before its effect"))
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

/// What a conditional write came to, in a word.
fn answer(put: Put) -> (String, Put) {
    (if put == Put::Lost { "lost".to_owned() } else { "done".to_owned() }, put)
}

/// What a writer is told of a write that took effect.
fn told(
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
        return Err(failed(verb, key, "done, answer lost"));
    }
    world.count("store: condition lost to the own write");
    if let Some(fetching) = world.audit.fetches.get_mut(&task) {
        fetching.lost_own_write = true;
    }
    Ok(("done, seen as lost".to_owned(), Put::Lost))
}

/// Whether the writer is told that another write is under way.
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
            });
            let version = object.and_then(|object| object.version);
            if let Some(partition) = partition_of(world, key) {
                world.audit.head(task, partition, version);
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
                let replaced = world.bucket.version(key);
                let new = NewObject { bytes: &bytes, stamp: &stamp, etag: &etag };
                let (version, is_after_removal) = world.audit.put(task, partition, new, replaced, world.step);
                if is_after_removal {
                    world.count("removal undone by a stale writer");
                }
                version
            });
            world.bucket.insert(key, bytes, Some(stamp), version, etag.clone());
            told(world, task, "PUT", key, etag)
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
            if let (Some(partition), Some(version)) = (partition_of(world, key), world.bucket.version(key)) {
                world.audit.removed(task, partition, version, world.step);
            }
            world.bucket.objects.remove(key);
            world.count("object removed");
            told(world, task, "DELETE", key, String::new())
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.ask("GET", key, false, |world, key| {
            let bytes = world.bucket.objects.get(key).map(|object| object.bytes.clone());
            Ok((bytes.as_ref().map_or("none".to_owned(), |bytes| format!("{} bytes", bytes.len())), bytes))
        })
        .await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let task = self.task;
        self.ask("WRITE", key, true, move |world, key| {
            let dataset = world.dataset.clone();
            world.audit.wrote(&dataset, task, key, &bytes, world.step);
            let etag = world.bucket.next_etag();
            world.bucket.insert(key, bytes, None, None, etag);
            if world.chance(world.rates.store) {
                world.count("store: ledger write answered by an error");
                return Err(failed("WRITE", key, "done, answer lost"));
            }
            Ok(("done".to_owned(), ()))
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.ask("LIST", prefix, false, |world, prefix| {
            let keys: Vec<String> =
                world.bucket.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
            Ok((format!("{} keys", keys.len()), keys))
        })
        .await
    }
}

/// The number of the partition that a data object is of; `None` for a look-up table.
fn partition_of(world: &World, key: &str) -> Option<usize> {
    world.index_of(&keys::partition_of_object(&world.dataset, key)?)
}
