//! Fakes for this crate's tests: a portal, a store and a catalog in memory, and a clock that never advances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use jiff::Timestamp;
use parquet::file::metadata::ParquetMetaDataReader;
use url::Url;

use crate::dataset::Dataset;
use crate::fetch::{Keep, RunFacts};
use crate::file::Footer;
use crate::file::Stamp;
use crate::memory::Room;
use crate::partition::{AxisValue, PartitionKey};
use crate::ports::{
    Catalog, CatalogError, CatalogPartition, Clock, Condition, Content, Listed, ObjectFacts, PageRequest, Portal,
    PortalError, Put, Reading, Response, Store, StoreError, TableSpec,
};

pub(crate) const NOW: &str = "2026-11-23T12:00:00Z";

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The partition of grade pre-K in 2021.
pub(crate) fn partition() -> PartitionKey {
    PartitionKey::new(vec![("year".into(), AxisValue::Int(2021)), ("grade".into(), AxisValue::Text("grade-pk".into()))])
}

pub(crate) fn enrollment() -> Dataset {
    Dataset::built_in("ccd_enrollment").unwrap()
}

/// Returns the facts of a run of this name, with one request in flight.
pub(crate) fn run_facts(run: &str) -> RunFacts {
    RunFacts {
        run: run.into(),
        portal_release: None,
        force: false,
        in_flight: 1,
        keep: Keep::default(),
        max_partition_bytes: None,
    }
}

/// Returns a row of [`partition`] as JSON.
pub(crate) fn row(school: u64, enrollment: &str) -> String {
    format!(
        "{{\"year\":2021,\"ncessch\":\"{school:012}\",\"ncessch_num\":{school},\"grade\":-1,\"race\":99,\"sex\":99,\
         \"enrollment\":{enrollment},\"fips\":1,\"leaid\":\"100002\"}}"
    )
}

/// Returns the body of a page from the portal at `https://portal.test`.
pub(crate) fn page(count: u64, next: Option<u32>, rows: &[String]) -> String {
    let next = next.map_or("null".to_owned(), |page| {
        format!("\"https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page={page}\"")
    });
    format!("{{\"count\":{count},\"next\":{next},\"previous\":null,\"results\":[{}]}}", rows.join(","))
}

/// Splits `rows` into page bodies with `length` rows each.
pub(crate) fn pages(rows: &[String], length: usize) -> Vec<String> {
    let n_pages = rows.len().div_ceil(length);
    rows.chunks(length)
        .enumerate()
        .map(|(i, rows_of_page)| {
            let next = (i + 1 < n_pages).then_some(i as u32 + 2);
            page(rows.len() as u64, next, rows_of_page)
        })
        .collect()
}

/// Lets the other tasks run.
pub(crate) async fn next_turn() {
    let mut is_later = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut is_later, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A portal that serves the given bodies as pages 1, 2, … of every path.
pub(crate) struct CannedPages {
    root: Url,
    pages: Vec<String>,
    pub(crate) requested: Mutex<Vec<u32>>,
    pub(crate) received_at: Timestamp,
    /// Whether the time is up, so that nothing can wait for memory.
    pub(crate) is_time_up: bool,
}

impl CannedPages {
    /// Changes the year in the pages' links.
    pub(crate) fn of_year(mut self, year: i32) -> Self {
        self.pages.iter_mut().for_each(|page| *page = page.replace("/2021/", &format!("/{year}/")));
        self
    }

    pub(crate) fn new(pages: Vec<String>) -> Self {
        Self {
            root: Url::parse("https://portal.test/api/v1/").unwrap(),
            pages,
            requested: Mutex::default(),
            received_at: time(NOW),
            is_time_up: false,
        }
    }
}

impl Portal for CannedPages {
    fn root(&self) -> &Url {
        &self.root
    }

    async fn hold(&self, room: &mut Room, n_bytes: usize) -> Result<(), PortalError> {
        if self.is_time_up {
            return Err(PortalError::Deadline { tries: 0 });
        }
        room.hold(n_bytes).await;
        Ok(())
    }

    async fn get<T: Send + 'static>(
        &self,
        _path: &str,
        page: u32,
        PageRequest { mut tries, .. }: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        loop {
            self.requested.lock().unwrap().push(page);
            tries += 1;
            let Some(body) = self.pages.get(page as usize - 1) else {
                return Err(PortalError::Refused { status: 404, excerpt: "Invalid page.".into() });
            };
            let has_tries_left = tries < 4;
            match read(&Bytes::from(body.clone())) {
                Reading::Invalid { .. } if has_tries_left => {}
                Reading::Done(result) | Reading::Invalid { result, .. } => {
                    let (size_bytes, received_at) = (body.len(), self.received_at);
                    return Ok(Response { result, size_bytes, received_at, tries, has_tries_left, room: None });
                }
            }
        }
    }
}

/// An action by another writer, between our request for an object's facts and our write or removal.
pub(crate) type Rival = Box<dyn FnOnce(&MemoryStore) + Send>;

/// An object in memory: its bytes, its stamp, and a number that every write increases.
type Object = (Bytes, Option<Stamp>, u64);

/// A store in memory. It supports conditional writes and counts its calls.
#[derive(Default)]
pub(crate) struct MemoryStore {
    objects: Mutex<BTreeMap<String, Object>>,
    n_writes: Mutex<u64>,
    /// When objects were written, if not at [`NOW`].
    modified_at: Mutex<BTreeMap<String, Timestamp>>,
    rivals: Mutex<Vec<Rival>>,
    /// Keys of objects that cannot be accessed, and prefixes (ending in `/`) of folders that cannot be listed.
    pub(crate) refuses_look: Mutex<BTreeSet<String>>,
    /// Keys of objects that exist but cannot be read.
    pub(crate) unreadable: Mutex<BTreeSet<String>>,
    /// Keys of objects that are deleted after they are listed and before they are read.
    pub(crate) gone_when_read: Mutex<BTreeSet<String>>,
    /// If set, no page is compressed and written before it is true.
    pub(crate) may_keep: Mutex<Option<Arc<AtomicBool>>>,
    /// If set, the ending of keys that cannot be written.
    pub(crate) refuses_write: Mutex<Option<&'static str>>,
    /// If set, how many more objects can be deleted.
    pub(crate) deletes_left: Mutex<Option<usize>>,
    /// How many turns a read takes.
    pub(crate) turns_to_read: Mutex<usize>,
    /// Number of calls by kind.
    pub(crate) calls: Mutex<BTreeMap<&'static str, usize>>,
    /// Whether the response to the next conditional write or removal is lost. The request itself succeeds.
    pub(crate) loses_response: Mutex<bool>,
}

impl MemoryStore {
    /// Creates a store in which one of `rivals` acts before each of the next conditional writes and removals.
    pub(crate) fn with_rivals(rivals: Vec<Rival>) -> Self {
        Self { rivals: Mutex::new(rivals), ..Self::default() }
    }

    /// Lets `rival` act before the next conditional write or removal.
    pub(crate) fn before_next(&self, rival: Rival) {
        self.rivals.lock().unwrap().push(rival);
    }

    fn check_write(&self, key: &str) -> Result<(), StoreError> {
        match self.refuses_write.lock().unwrap().is_some_and(|ending| key.ends_with(ending)) {
            true => Err(StoreError { message: format!("write `{key}`"), source: "permission denied".into() }),
            false => Ok(()),
        }
    }

    pub(crate) fn set(&self, key: &str, bytes: &[u8], stamp: Option<Stamp>) {
        let mut n_writes = self.n_writes.lock().unwrap();
        *n_writes += 1;
        self.objects.lock().unwrap().insert(key.into(), (Bytes::copy_from_slice(bytes), stamp, *n_writes));
    }

    /// Adds an empty object that was written at `at`.
    pub(crate) fn set_at(&self, key: &str, at: Timestamp) {
        self.set(key, b"", None);
        self.modified_at.lock().unwrap().insert(key.into(), at);
    }

    pub(crate) fn drop_object(&self, key: &str) {
        self.objects.lock().unwrap().remove(key);
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<Bytes> {
        self.objects.lock().unwrap().get(key).map(|object| object.0.clone())
    }

    pub(crate) fn stamp(&self, key: &str) -> Option<Stamp> {
        self.objects.lock().unwrap().get(key).and_then(|object| object.1.clone())
    }

    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        self.objects.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn note(&self, call: &'static str) {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
    }

    /// Lets a rival act before a conditional write, but not before that of a list of editions, which accompanies another.
    fn let_rival_act(&self, key: &str) {
        if key.ends_with("/editions.json") {
            return;
        }
        let rival = self.rivals.lock().unwrap().pop();
        if let Some(rival) = rival {
            rival(self);
        }
    }

    fn holds(&self, key: &str, condition: &Condition) -> bool {
        let found = self.objects.lock().unwrap().get(key).map(|object| object.2.to_string());
        match condition {
            Condition::Absent => found.is_none(),
            Condition::Matches(etag) => found.as_ref() == Some(etag),
        }
    }
}

fn is_below(folder: &str, key: &str) -> bool {
    folder.ends_with('/') && key.starts_with(folder)
}

impl Store for MemoryStore {
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        self.note("head");
        if self.refuses_look.lock().unwrap().iter().any(|refused| refused == key || is_below(refused, key)) {
            return Err(StoreError { message: format!("read `{key}`"), source: "permission denied".into() });
        }
        let is_readable = !self.unreadable.lock().unwrap().contains(key);
        Ok(self.objects.lock().unwrap().get(key).map(|(bytes, stamp, etag)| ObjectFacts {
            etag: etag.to_string(),
            size_bytes: bytes.len() as u64,
            stamp: stamp.clone().filter(|_| is_readable),
            is_readable,
        }))
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: &Condition, stamp: &Stamp) -> Result<Put, StoreError> {
        self.check_write(key)?;
        self.note("write");
        self.let_rival_act(key);
        if !self.holds(key, condition) {
            return Ok(Put::Lost);
        }
        self.set(key, &bytes, Some(stamp.clone()));
        // A client that repeats a successful write finds its own object, so that the condition no longer holds.
        if std::mem::take(&mut *self.loses_response.lock().unwrap()) {
            Ok(Put::Lost)
        } else {
            Ok(Put::Done("etag".into()))
        }
    }

    async fn copy(&self, key: &str, etag: &str, to: &str) -> Result<Put, StoreError> {
        self.note("copy");
        if !self.holds(key, &Condition::Matches(etag.to_owned())) {
            return Ok(Put::Lost);
        }
        let found = self.objects.lock().unwrap().get(key).map(|(bytes, stamp, _)| (bytes.clone(), stamp.clone()));
        if let Some((bytes, stamp)) = found {
            self.set(to, &bytes, stamp);
        }
        Ok(Put::Done("etag".into()))
    }

    async fn remove(&self, key: &str, etag: &str) -> Result<Put, StoreError> {
        self.let_rival_act(key);
        if !self.holds(key, &Condition::Matches(etag.into())) {
            return Ok(Put::Lost);
        }
        self.drop_object(key);
        let is_lost = std::mem::take(&mut *self.loses_response.lock().unwrap());
        Ok(if is_lost { Put::Lost } else { Put::Done(String::new()) })
    }

    async fn footer(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        let bytes = self.bytes(key);
        let metadata = bytes.and_then(|bytes| ParquetMetaDataReader::new().parse_and_finish(&bytes).ok());
        Ok(metadata.and_then(|metadata| Footer::from_metadata(&metadata)))
    }

    async fn read(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let n_turns = *self.turns_to_read.lock().unwrap();
        for _ in 0..n_turns {
            next_turn().await;
        }
        self.note("read");
        if self.gone_when_read.lock().unwrap().remove(key) {
            self.drop_object(key);
        }
        let objects = self.objects.lock().unwrap();
        Ok(objects.get(key).map(|(bytes, _, etag)| Content { bytes: bytes.clone(), etag: etag.to_string() }))
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.note("write");
        self.check_write(key)?;
        self.set(key, &bytes, None);
        Ok(())
    }

    async fn write_unflushed(
        &self,
        key: &str,
        make: impl FnOnce() -> std::io::Result<Bytes> + Send + 'static,
    ) -> Result<(), StoreError> {
        let may_keep = self.may_keep.lock().unwrap().clone().filter(|_| key.ends_with(".zst"));
        while may_keep.as_ref().is_some_and(|may_keep| !may_keep.load(Ordering::Relaxed)) {
            next_turn().await;
        }
        self.write(key, make().unwrap()).await
    }

    async fn replace(&self, key: &str, bytes: Bytes, condition: &Condition) -> Result<Put, StoreError> {
        self.check_write(key)?;
        self.note("write");
        self.let_rival_act(key);
        if !self.holds(key, condition) {
            return Ok(Put::Lost);
        }
        self.set(key, &bytes, None);
        if std::mem::take(&mut *self.loses_response.lock().unwrap()) {
            return Ok(Put::Lost);
        }
        Ok(Put::Done(self.n_writes.lock().unwrap().to_string()))
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        let n_left = *self.deletes_left.lock().unwrap();
        let n_deleted = n_left.map_or(keys.len(), |n_left| n_left.min(keys.len()));
        keys[..n_deleted].iter().for_each(|key| self.drop_object(key));
        if n_deleted < keys.len() {
            return Err(StoreError { message: format!("delete `{}`", keys[n_deleted]), source: "busy".into() });
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.note("list");
        let objects = self.objects.lock().unwrap();
        let refused = self.refuses_look.lock().unwrap();
        let folders = refused.iter().filter(|key| key.starts_with(prefix) && key.ends_with('/'));
        let folders = folders.map(|key| Listed { key: key.clone(), etag: String::new(), modified_at: Timestamp::MAX });
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found
            .filter(|(key, _)| !refused.iter().any(|refused| is_below(refused, key)))
            .map(|(key, (_, _, etag))| {
                let modified_at = self.modified_at.lock().unwrap().get(key).copied().unwrap_or_else(|| time(NOW));
                Listed { key: key.clone(), etag: etag.to_string(), modified_at }
            })
            .chain(folders)
            .collect())
    }
}

/// A catalog in memory.
#[derive(Default)]
pub(crate) struct MemoryCatalog {
    pub(crate) partitions: Mutex<Vec<CatalogPartition>>,
    /// Kept editions.
    pub(crate) kept: Mutex<Vec<CatalogPartition>>,
    /// Tables passed to `ensure_table`.
    pub(crate) ensured: Mutex<Vec<TableSpec>>,
    /// Whether changes are dropped, as if catalog errors were ignored.
    pub(crate) forgets: bool,
}

impl MemoryCatalog {
    fn of_table(&self, table: &TableSpec) -> &Mutex<Vec<CatalogPartition>> {
        if table.table.ends_with("_history") { &self.kept } else { &self.partitions }
    }
}

impl Catalog for MemoryCatalog {
    async fn ensure_table(&self, table: &TableSpec) -> Result<(), CatalogError> {
        self.ensured.lock().unwrap().push(table.clone());
        Ok(())
    }

    async fn partitions(&self, table: &TableSpec) -> Result<Vec<CatalogPartition>, CatalogError> {
        Ok(self.of_table(table).lock().unwrap().clone())
    }

    async fn change_partitions(
        &self,
        table: &TableSpec,
        put: &[CatalogPartition],
        remove: &[PartitionKey],
    ) -> Result<(), CatalogError> {
        if !self.forgets {
            let mut partitions = self.of_table(table).lock().unwrap();
            partitions.retain(|one| {
                !remove.contains(&one.partition) && !put.iter().any(|changed| changed.partition == one.partition)
            });
            partitions.extend_from_slice(put);
        }
        Ok(())
    }
}

/// A clock that never advances.
pub(crate) struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        time(NOW)
    }
}
