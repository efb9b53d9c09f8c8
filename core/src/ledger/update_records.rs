//! Makes the records say what the objects and the receipts say.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::to_json;
use crate::ledger::read_records::{Stored, note_attempt, read_records, read_stored};
use crate::ledger::receipt::Receipt;
use crate::ledger::records::{Committed, PartitionRecord, Records};
use crate::ledger::survey::{Seen, Survey};
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Put, Store};

/// Conditional writes of the records.
const TRIES: u32 = 8;

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
        if put.map_err(|source| Error::store_failed("write", &key, source))? != Put::Lost {
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
            if put.map_err(|source| Error::store_failed("write", &key, source))? == Put::Lost {
                continue;
            }
        }
        if !stored.older.is_empty() {
            store.delete(stored.older).await.map_err(|source| Error::store_failed("delete", &key, source))?;
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
        text.push_str(&to_json(record)?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::edition::{Digest, ENCODING_VERSION, Edition};
    use crate::file::stamp::Stamp;
    use crate::ledger::Object;
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
