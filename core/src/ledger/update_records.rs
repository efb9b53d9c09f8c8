//! Updates the records from the objects and the receipts.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::to_json;
use crate::ledger::read_records::{Stored, read_records, read_stored, record_attempt};
use crate::ledger::receipt::Receipt;
use crate::ledger::records::{Committed, PartitionRecord, Records};
use crate::ledger::survey::{Seen, Survey, survey};
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Put, Store};

/// Maximum number of conditional writes of the records.
const MAX_TRIES: u32 = 8;

/// Records the attempts of unpublished runs, before their receipts are deleted.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the records on every try.
pub(crate) async fn keep_attempts(store: &impl Store, dataset: &Dataset) -> Result<(), Error> {
    let key = keys::records(dataset);
    for _ in 0..MAX_TRIES {
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
    Err(Error::WriteConflict { key, tries: MAX_TRIES })
}

/// Updates the records from the objects and a run's receipts, and writes them if they changed. Returns the records, and how
/// many of them changed.
///
/// If another writer has changed the records in the meantime, reads them again first, so that no attempt is lost.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the records on every try.
pub(crate) async fn update_records(
    store: &impl Store,
    dataset: &Dataset,
    mut stored: Stored,
    survey: &Survey,
    run: &str,
    receipts: &BTreeMap<PartitionKey, Receipt>,
    now: Timestamp,
) -> Result<(Records, usize), Error> {
    // A time after this comes from a clock that was ahead. An attempt with such a time must not remain the last one
    // until then.
    let until = now.saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
    let key = keys::records(dataset);
    for tries in 0..MAX_TRIES {
        if tries > 0 {
            stored = read_stored(store, dataset).await?;
        }
        let mut records = stored.records.clone();
        follow_objects(&mut records, survey);
        for (partition, receipt) in receipts {
            record_attempt(&mut records, partition.clone(), run, receipt, until);
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
    Err(Error::WriteConflict { key, tries: MAX_TRIES })
}

/// Renders one record per line, so that versions can be compared with a line-based diff.
fn render(records: &Records) -> Result<Bytes, Error> {
    let mut text = String::from("[");
    for (i, record) in records.values().enumerate() {
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&to_json(record)?);
    }
    text.push_str("\n]\n");
    Ok(text.into())
}

/// Reads the records of a dataset as its objects are now, and what was found among the objects. Writes nothing.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read or listed.
pub async fn read_current(store: &impl Store, dataset: &Dataset) -> Result<(Records, Survey), Error> {
    let mut records = read_records(store, dataset).await?;
    let survey = survey(store, dataset, &records).await?;
    follow_objects(&mut records, &survey);
    Ok((records, survey))
}

/// Updates every record from its object. If the object could not be inspected, the record stays as it is.
fn follow_objects(records: &mut Records, survey: &Survey) {
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
                // An object stores neither its number of pages nor its release. In a folder, it does not store its run
                // either.
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
    fn the_order_of_the_axes_in_a_record_does_not_matter() {
        let store = MemoryStore::default();
        let text = r#"[{"partition": {"grade": "grade-pk", "year": 2021}, "committed": null, "last_attempt": null}]"#;
        store.set(KEY, text.as_bytes(), None);
        let records = block_on(read_stored(&store, &enrollment())).unwrap().records;
        assert_eq!(records[&partition()].partition.to_string(), partition().to_string());
    }

    #[test]
    fn a_record_keeps_the_run_of_a_file_as_long_as_the_file_is_the_same() {
        let mut records = Records::new();
        let run = |records: &Records| records[&partition()].committed.as_ref().unwrap().run.clone();
        follow_objects(&mut records, &survey("e1", Seen::Readable(stamp(Some("r1")))));
        for (etag, expected) in [("e1", Some("r1")), ("e2", None)] {
            follow_objects(&mut records, &survey(etag, Seen::Readable(stamp(None))));
            assert_eq!(run(&records).as_deref(), expected, "{etag}");
        }
        // If the object cannot be inspected, the record stays; if the object is torn, it does not.
        follow_objects(&mut records, &survey("", Seen::Unknown("no response".into())));
        assert_eq!(records[&partition()].committed.as_ref().unwrap().etag, "e2");
        follow_objects(&mut records, &survey("e3", Seen::NotOurs));
        assert!(records.is_empty());
    }

    #[test]
    fn records_are_read_again_only_if_another_writer_changed_them() {
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
    fn attempts_are_added_to_records_that_another_writer_changed() {
        let (store, dataset) = (MemoryStore::default(), enrollment());
        let receipt = Receipt::without_rows(partition(), None, time(NOW), time(NOW));
        block_on(crate::ledger::write_json(&store, &keys::receipt(&dataset, "r1", &partition()), &receipt)).unwrap();
        let other = r#"[{"partition": {"year": 2020, "grade": "grade-pk"}, "committed": null, "last_attempt": null}]"#;
        store.before_next(Box::new(|store| store.set(KEY, other.as_bytes(), None)));
        block_on(keep_attempts(&store, &dataset)).unwrap();
        let records = block_on(read_stored(&store, &dataset)).unwrap().records;
        assert_eq!(records.len(), 2);
        assert_eq!(records[&partition()].last_attempt.as_ref().unwrap().run, "r1");
        let n_writes = store.calls.lock().unwrap()["write"];
        block_on(keep_attempts(&store, &dataset)).unwrap();
        assert_eq!(store.calls.lock().unwrap()["write"], n_writes, "the records are already up to date");
    }
}
