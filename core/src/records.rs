//! What the ledger knows of every partition of a dataset: one object, derived from the data objects and from receipts.
//!
//! A commit never asks it. It says what planning and `status` would otherwise ask each object for, and since it remembers
//! each object's etag, publishing finds in one listing which objects changed, whoever changed them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dataset::Dataset;
use crate::edition::{ENCODING_VERSION, Edition, Stamp};
use crate::error::Error;
use crate::keys;
use crate::ledger::{ErrorFacts, Outcome, READS_AT_ONCE, Receipt, read_json, store_failed};
use crate::partition::PartitionKey;
use crate::plan::Reason;
use crate::ports::{Condition, Content, Put, Store};
use crate::survey::{Seen, Survey};

/// Conditional writes of the records.
const TRIES: u32 = 8;

/// What is committed of a partition, as its object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Edition of the object.
    pub edition: Edition,
    /// Rows in it.
    pub n_rows: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its etag when it was last seen.
    pub etag: String,
    /// When its last page was received.
    pub fetched_at: Timestamp,
    /// Run that wrote it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Pages it came in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_pages: Option<u32>,
    /// The portal's newest release that gave these rows, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
}

impl Committed {
    /// What the object with this stamp says of itself.
    #[must_use]
    pub(crate) fn new(stamp: &Stamp, etag: &str, size_bytes: u64) -> Self {
        Self {
            edition: stamp.edition,
            n_rows: stamp.n_rows,
            size_bytes,
            etag: etag.to_owned(),
            fetched_at: stamp.fetched_at,
            run: stamp.run.clone(),
            n_pages: None,
            portal_release: None,
        }
    }

    /// Why the object should be written anew by this descriptor and program; `None` when it is current.
    #[must_use]
    pub fn staleness(&self, dataset: &Dataset) -> Option<Reason> {
        staleness(&self.edition, dataset)
    }
}

/// Why an object of `edition` should be written anew; `None` when it is current.
pub(crate) fn staleness(edition: &Edition, dataset: &Dataset) -> Option<Reason> {
    if edition.schema_id != dataset.schema_id() {
        Some(Reason::OtherSchema)
    } else {
        (edition.encoding_version != ENCODING_VERSION).then_some(Reason::OtherEncoding)
    }
}

/// The last time a partition was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// Run.
    pub run: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The error of a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFacts>,
    /// When it ended; for one that left no receipt, when its run began.
    pub at: Timestamp,
    /// The portal's newest release then, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
}

/// What the ledger knows of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The partition.
    pub partition: PartitionKey,
    /// What is committed; `None` when nothing is.
    pub committed: Option<Committed>,
    /// The last attempt; `None` when the record was made from the object alone.
    pub last_attempt: Option<LastAttempt>,
}

/// Records by partition.
pub type Records = BTreeMap<PartitionKey, PartitionRecord>;

/// The records of a dataset as the lake holds them.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) records: Records,
    /// What must hold when they are replaced.
    condition: Option<Condition>,
    /// Objects of the layout before this one, one a partition, which were read instead.
    older: Vec<String>,
}

/// Reads the records as they were last written.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub(crate) async fn read_stored(store: &impl Store, dataset: &Dataset) -> Result<Stored, Error> {
    let key = keys::records(dataset);
    let found = store.read(&key).await.map_err(|source| store_failed("read", &key, source))?;
    let condition = found.as_ref().map(|Content { etag, .. }| Condition::Matches(etag.clone()));
    let parsed = found.and_then(|Content { bytes, .. }| match serde_json::from_slice::<Vec<&RawValue>>(&bytes) {
        // A record that cannot be read takes no other along.
        Ok(records) => {
            Some(records.into_iter().filter_map(|record| parse_record(&key, record.get())).collect::<Vec<_>>())
        }
        Err(error) => {
            tracing::error!(key, %error, "ledger object unreadable, taken as absent");
            None
        }
    });
    if let Some(parsed) = parsed {
        let records = parsed.into_iter().filter_map(|record| arranged(dataset, record)).collect();
        return Ok(Stored { records, condition, older: Vec::new() });
    }
    let prefix = keys::older_records_prefix(dataset);
    let listed = store.list(&prefix).await.map_err(|source| store_failed("list", &prefix, source))?;
    let older: Vec<String> = listed.into_iter().map(|listed| listed.key).collect();
    let records = stream::iter(older.iter())
        .map(|key| async move { read_json::<PartitionRecord>(store, key).await })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|record| async move { Ok(record.and_then(|record| arranged(dataset, record))) })
        .try_collect()
        .await?;
    Ok(Stored { records, condition, older })
}

fn parse_record(key: &str, text: &str) -> Option<PartitionRecord> {
    match serde_json::from_str(text) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(key, %error, "record unreadable, taken as absent");
            None
        }
    }
}

fn arranged(dataset: &Dataset, record: PartitionRecord) -> Option<(PartitionKey, PartitionRecord)> {
    let partition = dataset.arrange(&record.partition)?;
    Some((partition.clone(), PartitionRecord { partition, ..record }))
}

/// Everything the ledger knows of a dataset's partitions: the records, and the receipts of runs that were not published.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn read_records(store: &impl Store, dataset: &Dataset) -> Result<Records, Error> {
    let mut records = read_stored(store, dataset).await?.records;
    let prefix = keys::runs_prefix(dataset);
    let listed = store.list(&prefix).await.map_err(|source| store_failed("list", &prefix, source))?;
    // What a run with a summary left is in the records, and its receipts are there only where they were not deleted: by a
    // publisher that was killed, or by a program before this layout.
    let of_runs = listed.iter().filter_map(|listed| Some((keys::run_of(dataset, &listed.key)?, listed)));
    let published: BTreeSet<String> =
        of_runs.filter(|(run, listed)| listed.key == keys::summary(dataset, run)).map(|(run, _)| run).collect();
    let left = listed.iter().filter_map(|listed| {
        let (run, _) = keys::run_and_partition_of_receipt(dataset, &listed.key)?;
        (!published.contains(&run)).then(|| (listed.key.clone(), run))
    });
    let receipts: Vec<(String, Receipt)> = stream::iter(left)
        .map(|(key, run)| async move {
            let receipt: Option<Receipt> = read_json(store, &key).await?;
            Ok::<_, Error>(receipt.map(|receipt| (run, receipt)))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|receipt| async move { Ok(receipt) })
        .try_collect()
        .await?;
    for (run, receipt) in receipts {
        if let Some(partition) = dataset.arrange(&receipt.partition) {
            note_attempt(&mut records, partition, &run, &receipt, Timestamp::MAX);
        }
    }
    Ok(records)
}

/// Writes down what the receipts of runs that were not published say, before these are deleted.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer; [`Error::WriteConflict`] when others are faster every time.
pub(crate) async fn keep_attempts(store: &impl Store, dataset: &Dataset) -> Result<(), Error> {
    let key = keys::records(dataset);
    for _ in 0..TRIES {
        let stored = read_stored(store, dataset).await?;
        let records = read_records(store, dataset).await?;
        if records == stored.records {
            return Ok(());
        }
        let condition = stored.condition.unwrap_or(Condition::Absent);
        let put = store.replace(&key, render(&records)?, &condition).await;
        if put.map_err(|source| store_failed("write", &key, source))? != Put::Lost {
            return Ok(());
        }
    }
    Err(Error::WriteConflict { key, tries: TRIES })
}

/// Makes the records say what the objects and a run's receipts say, and writes them where that changes them. Gives how many
/// records changed.
///
/// Another writer's records in between are read again and kept: nobody's attempts are lost.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer; [`Error::WriteConflict`] when others are faster every time.
pub(crate) async fn update_records(
    store: &impl Store,
    dataset: &Dataset,
    mut stored: Stored,
    survey: &Survey,
    run: &str,
    receipts: &BTreeMap<PartitionKey, Receipt>,
    now: Timestamp,
) -> Result<(Records, usize), Error> {
    // An attempt of a later time is one of a clock that was ahead once; it must not stay the last one until then.
    let until = now.saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
    let key = keys::records(dataset);
    for tries in 0..TRIES {
        if tries > 0 {
            stored = read_stored(store, dataset).await?;
        }
        let mut records = stored.records.clone();
        follow_objects(&mut records, survey);
        for (partition, receipt) in receipts {
            note_attempt(&mut records, partition.clone(), run, receipt, until);
        }
        let n_changed =
            records.iter().filter(|(partition, record)| stored.records.get(*partition) != Some(record)).count()
                + stored.records.keys().filter(|partition| !records.contains_key(*partition)).count();
        if n_changed > 0 || !stored.older.is_empty() {
            let condition = stored.condition.clone().unwrap_or(Condition::Absent);
            let put = store.replace(&key, render(&records)?, &condition).await;
            if put.map_err(|source| store_failed("write", &key, source))? == Put::Lost {
                continue;
            }
        }
        if !stored.older.is_empty() {
            store.delete(stored.older).await.map_err(|source| store_failed("delete", &key, source))?;
        }
        return Ok((records, n_changed));
    }
    Err(Error::WriteConflict { key, tries: TRIES })
}

/// One record a line, so that two versions can be compared by a person.
fn render(records: &Records) -> Result<Bytes, Error> {
    let mut text = String::from("[");
    for (i, record) in records.values().enumerate() {
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&crate::ledger::to_json(record)?);
    }
    text.push_str("\n]\n");
    Ok(text.into())
}

/// Makes every record say of its object what the object says. One that cannot be looked at keeps what it said.
pub fn follow_objects(records: &mut Records, survey: &Survey) {
    for (partition, record) in records.iter_mut() {
        if !survey.objects.contains_key(partition) {
            record.committed = None;
        }
    }
    for (partition, object) in &survey.objects {
        let record = records.entry(partition.clone()).or_insert_with(|| PartitionRecord {
            partition: partition.clone(),
            committed: None,
            last_attempt: None,
        });
        match &object.seen {
            Seen::Readable(stamp) => {
                let mut committed = Committed::new(stamp, &object.etag, object.size_bytes);
                // Pages and release are what an object does not know of itself, nor does a file know its run.
                if let Some(before) = record.committed.take().filter(|before| before.edition == committed.edition) {
                    committed.n_pages = before.n_pages;
                    committed.portal_release = before.portal_release;
                    if before.etag == committed.etag {
                        committed.run = committed.run.or(before.run);
                    }
                }
                record.committed = Some(committed);
            }
            Seen::NotOurs => record.committed = None,
            Seen::Unknown(_) => {}
        }
    }
    records.retain(|_, record| record.committed.is_some() || record.last_attempt.is_some());
}

/// Notes what a run's attempt came to, unless a later one is known, which is one of a time up to `until`.
fn note_attempt(records: &mut Records, partition: PartitionKey, run: &str, receipt: &Receipt, until: Timestamp) {
    let record =
        records.entry(partition.clone()).or_insert(PartitionRecord { partition, committed: None, last_attempt: None });
    // Pages and release are those of the rows received: another writer's object may be there by now.
    if let (Some(committed), Some(edition)) = (&mut record.committed, receipt.edition)
        && committed.edition == edition
    {
        committed.n_pages = Some(receipt.n_pages);
        committed.portal_release.clone_from(&receipt.portal_release);
    }
    // What is said for want of a try says nothing against one since the run began, whichever is noted first.
    let at = if receipt.is_of_a_try() { receipt.finished_at } else { receipt.started_at };
    if record.last_attempt.as_ref().is_some_and(|known| known.at > at && known.at <= until) {
        return;
    }
    record.last_attempt = Some(LastAttempt {
        run: run.to_owned(),
        outcome: receipt.outcome,
        error: receipt.error.clone(),
        at,
        portal_release: receipt.portal_release.clone(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edition::Digest;
    use crate::survey::Object;
    use crate::testing::{MemoryStore, NOW, enrollment, partition, time};
    use futures::executor::block_on;

    const KEY: &str = "ledger/ccd_enrollment/records.json";

    fn stamp(run: Option<&str>) -> Stamp {
        let dataset = enrollment();
        let edition = Edition { digest: Digest(1), schema_id: dataset.schema_id(), encoding_version: ENCODING_VERSION };
        let (partition, run) = (Some(partition().to_string()), run.map(str::to_owned));
        Stamp { edition, partition, n_rows: 5, fetched_at: time(NOW), run }
    }

    fn survey(etag: &str, seen: Seen) -> Survey {
        let object = Object { etag: etag.to_owned(), size_bytes: 7, seen };
        Survey { objects: BTreeMap::from([(partition(), object)]), ..Survey::default() }
    }

    #[test]
    fn a_record_is_of_its_partition_in_whatever_order_its_axes_stand() {
        let store = MemoryStore::default();
        let text = r#"[{"partition": {"grade": "grade-pk", "year": 2021}, "committed": null, "last_attempt": null}]"#;
        store.set(KEY, text.as_bytes(), None);
        let records = block_on(read_stored(&store, &enrollment())).unwrap().records;
        assert_eq!(records[&partition()].partition.to_string(), partition().to_string());
    }

    #[test]
    fn a_folder_remembers_the_run_of_an_object_as_long_as_it_is_the_same_one() {
        let mut records = Records::new();
        let run = |records: &Records| records[&partition()].committed.as_ref().unwrap().run.clone();
        follow_objects(&mut records, &survey("e1", Seen::Readable(stamp(Some("r1")))));
        for (etag, expected) in [("e1", Some("r1")), ("e2", None)] {
            follow_objects(&mut records, &survey(etag, Seen::Readable(stamp(None))));
            assert_eq!(run(&records).as_deref(), expected, "{etag}");
        }
        // What cannot be looked at stays as it was; what is torn does not.
        follow_objects(&mut records, &survey("", Seen::Unknown("no answer".into())));
        assert_eq!(records[&partition()].committed.as_ref().unwrap().etag, "e2");
        follow_objects(&mut records, &survey("e3", Seen::NotOurs));
        assert!(records.is_empty());
    }

    #[test]
    fn records_that_were_read_are_not_read_again_unless_another_wrote_them() {
        let store = MemoryStore::default();
        let update = |store: &MemoryStore| {
            let stored = block_on(read_stored(store, &enrollment())).unwrap();
            store.calls.lock().unwrap().clear();
            let survey = survey("e1", Seen::Readable(stamp(Some("r1"))));
            let none = BTreeMap::new();
            block_on(update_records(store, &enrollment(), stored, &survey, "r1", &none, time(NOW))).unwrap().1
        };
        assert_eq!((update(&store), store.calls.lock().unwrap().get("read").copied()), (1, None));
        assert_eq!((update(&store), store.calls.lock().unwrap().get("read").copied()), (0, None));
        store.drop_object(KEY);
        store.before_next(Box::new(|store| store.set(KEY, b"[]", None)));
        assert_eq!((update(&store), store.calls.lock().unwrap()["read"]), (1, 1));
    }

    #[test]
    fn attempts_are_kept_beside_what_another_wrote_meanwhile() {
        let (store, dataset) = (MemoryStore::default(), enrollment());
        let receipt = Receipt::of_nothing(partition(), None, time(NOW), time(NOW));
        block_on(crate::ledger::write_json(&store, &keys::receipt(&dataset, "r1", &partition()), &receipt)).unwrap();
        let other = r#"[{"partition": {"year": 2020, "grade": "grade-pk"}, "committed": null, "last_attempt": null}]"#;
        store.before_next(Box::new(|store| store.set(KEY, other.as_bytes(), None)));
        block_on(keep_attempts(&store, &dataset)).unwrap();
        let records = block_on(read_stored(&store, &dataset)).unwrap().records;
        assert_eq!(records.len(), 2);
        assert_eq!(records[&partition()].last_attempt.as_ref().unwrap().run, "r1");
        let n_writes = store.calls.lock().unwrap()["write"];
        block_on(keep_attempts(&store, &dataset)).unwrap();
        assert_eq!(store.calls.lock().unwrap()["write"], n_writes, "they say so already");
    }
}
