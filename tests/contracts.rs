//! The contracts of `Store` and `Catalog`. Every implementation runs the same suite.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use jiff::Timestamp;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::{FolderState, FolderStore};
use rollcall_aws::glue::GlueCatalog;
use rollcall_aws::s3::S3Store;
use rollcall_core::dataset::Dataset;
use rollcall_core::file::Encoded;
use rollcall_core::file::Stamp;
use rollcall_core::file::TypedColumn;
use rollcall_core::lookup::Lookup;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Catalog, CatalogPartition, Condition, Content, Listed, Put, Store, TableSpec};
use rollcall_tests::emulator::{Emulator, Kind, table_input};
use rollcall_tests::registered;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";
const RECORDS: &str = "ledger/ccd_enrollment/records.json";
/// The first column of every lookup table.
const CODE: (&str, &str) = ("code", "int");
const OTHER_KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-k/part-00000.parquet";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}

/// Returns distinct data objects. They are real files, since a store may read metadata from their footers.
fn objects() -> [Encoded; 4] {
    let lookups = Lookup::built_in().expect("the look-ups are built in");
    let single = lookups.iter().filter(|lookup| !lookup.has_lists());
    let encoded = single.map(|lookup| lookup.encode().expect("a look-up encodes")).collect::<Vec<_>>();
    encoded.try_into().map_err(|_| "another number").expect("four look-ups with one list are built in")
}

/// Returns a writer's stamp for an object received `second` seconds after noon.
fn stamp(object: &Encoded, second: u32) -> Stamp {
    let noon: Timestamp = "2026-11-23T12:00:00.123456789Z".parse().expect("the text is a time");
    Stamp {
        edition: object.edition,
        partition: Some("year=2021/grade=grade-pk".to_owned()),
        n_rows: object.n_rows,
        fetched_at: noon + Duration::from_secs(second.into()),
        run: Some("20261123T120000-000".to_owned()),
    }
}

async fn put(store: &impl Store, key: &str, object: &Encoded, condition: &Condition, second: u32) -> Put {
    let stamp = stamp(object, second);
    store.put(key, object.bytes.clone(), condition, &stamp).await.expect("the store responds")
}

/// Writes an object where none exists and returns its etag.
async fn put_first(store: &impl Store, key: &str, object: &Encoded) -> String {
    match put(store, key, object, &Condition::Absent, 0).await {
        Put::Done(etag) => etag,
        Put::Lost => panic!("expected no object at {key}, found one"),
    }
}

async fn keys_below(store: &impl Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.expect("the store responds").into_iter().map(|listed| listed.key).collect()
}

async fn etag(store: &impl Store, key: &str) -> String {
    store.head(key).await.expect("the store responds").expect("the object exists").etag
}

/// Fails the test unless the object at `key` equals `object`.
async fn assert_holds(store: &impl Store, key: &str, object: &Encoded) {
    let found = store.read(key).await.expect("the store responds").expect("the object exists").bytes;
    assert!(found == object.bytes, "{key}: expected {} bytes, found {} others", object.bytes.len(), found.len());
}

/// Checks the contract of a [`Store`]. `empty` returns an empty one.
async fn store_contract<S: Store>(empty: impl AsyncFn() -> S) {
    a_write_if_absent_wins_without_an_object_and_is_lost_with_one(&empty().await).await;
    a_write_if_the_etag_matches_wins_once_and_is_lost_with_an_old_etag(&empty().await).await;
    a_write_if_the_etag_matches_is_lost_without_an_object(&empty().await).await;
    the_head_of_an_object_has_the_stamp_of_its_writer(&empty().await).await;
    the_head_of_a_foreign_object_has_an_etag_and_no_stamp(&empty().await).await;
    only_a_parquet_object_has_a_footer(&empty().await).await;
    exactly_one_of_two_concurrent_writes_wins(&empty().await).await;
    a_reader_sees_a_complete_object_or_none(&empty().await).await;
    a_removal_is_lost_with_an_old_etag_and_done_with_the_current_one(&empty().await).await;
    ledger_objects_are_read_as_last_written(&empty().await).await;
    a_ledger_object_is_replaced_once_for_each_of_its_etags(&empty().await).await;
    exactly_one_of_eight_concurrent_replacements_is_kept(&empty().await).await;
    more_objects_than_fit_in_one_call_are_deleted_and_absent_ones_count_as_deleted(&empty().await).await;
    a_listing_has_exactly_the_keys_below_a_prefix_in_order(&empty().await).await;
    a_listing_has_the_same_etags_and_times_as_a_head(&empty().await).await;
}

async fn a_write_if_absent_wins_without_an_object_and_is_lost_with_one(store: &impl Store) {
    let [first, second, ..] = objects();
    assert_eq!(store.head(KEY).await.expect("the store responds"), None);

    let etag_of_first = put_first(store, KEY, &first).await;

    assert!(!etag_of_first.is_empty());
    assert_eq!(etag(store, KEY).await, etag_of_first);
    assert_eq!(put(store, KEY, &second, &Condition::Absent, 1).await, Put::Lost);
    assert_holds(store, KEY, &first).await;
    assert_eq!(etag(store, KEY).await, etag_of_first);
}

async fn a_write_if_the_etag_matches_wins_once_and_is_lost_with_an_old_etag(store: &impl Store) {
    let [first, second, third, _] = objects();
    let over_first = Condition::Matches(put_first(store, KEY, &first).await);

    let Put::Done(etag_of_second) = put(store, KEY, &second, &over_first, 1).await else {
        panic!("expected the etag to match")
    };

    assert_ne!(over_first, Condition::Matches(etag_of_second.clone()));
    assert_eq!(put(store, KEY, &third, &over_first, 2).await, Put::Lost);
    assert_holds(store, KEY, &second).await;
    assert_eq!(etag(store, KEY).await, etag_of_second);
    // An etag is only valid for its own object.
    let over_second = Condition::Matches(etag_of_second);
    assert_eq!(put(store, OTHER_KEY, &third, &over_second, 2).await, Put::Lost);
    assert_eq!(store.head(OTHER_KEY).await.expect("the store responds"), None);
}

async fn a_copy_has_the_bytes_and_the_stamp_of_its_object_and_needs_its_etag(store: &impl Store) {
    const COPY: &str = "history/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/edition=1/part-00000.parquet";
    let [first, second, ..] = objects();
    let copy = async |etag: &str| store.copy(KEY, etag, COPY).await.expect("the store responds");
    assert_eq!(copy("\"0\"").await, Put::Lost);
    let etag_of_first = put_first(store, KEY, &first).await;

    // Twice, as after a lost response.
    for _ in 0..2 {
        assert!(matches!(copy(&etag_of_first).await, Put::Done(_)));
    }
    assert!(matches!(put(store, KEY, &second, &Condition::Matches(etag_of_first.clone()), 1).await, Put::Done(_)));

    assert_eq!(copy(&etag_of_first).await, Put::Lost);
    assert_holds(store, COPY, &first).await;
    assert_holds(store, KEY, &second).await;
    let kept = store.head(COPY).await.expect("the store responds").expect("the copy exists").stamp;
    let kept = kept.expect("the copy has a stamp");
    assert_eq!((kept.edition, kept.fetched_at), (first.edition, stamp(&first, 0).fetched_at));
    // Another edition of the same object replaces nothing but itself.
    let etag_of_second = etag(store, KEY).await;
    assert!(matches!(copy(&etag_of_second).await, Put::Done(_)));
    assert_holds(store, COPY, &second).await;
}

async fn a_write_if_the_etag_matches_is_lost_without_an_object(store: &impl Store) {
    let [first, second, ..] = objects();
    let etag_of_first = put_first(store, KEY, &first).await;
    let removed = store.remove(KEY, &etag_of_first).await.expect("the store responds");
    assert!(matches!(removed, Put::Done(_)));

    assert_eq!(put(store, KEY, &second, &Condition::Matches(etag_of_first), 1).await, Put::Lost);

    assert_eq!(store.head(KEY).await.expect("the store responds"), None);
}

async fn the_head_of_an_object_has_the_stamp_of_its_writer(store: &impl Store) {
    for (second, object) in (0..).zip(objects()) {
        let condition = match store.head(KEY).await.expect("the store responds") {
            Some(facts) => Condition::Matches(facts.etag),
            None => Condition::Absent,
        };
        assert!(matches!(put(store, KEY, &object, &condition, second).await, Put::Done(_)));

        let facts = store.head(KEY).await.expect("the store responds").expect("the object exists");

        assert_eq!(facts.size_bytes, object.bytes.len() as u64);
        let (found, message) = (facts.stamp.expect("the object has a stamp"), stamp(&object, second));
        assert_eq!(
            (found.edition, found.n_rows, found.fetched_at),
            (message.edition, message.n_rows, message.fetched_at)
        );
        // A folder cannot store the run, and no store invents one.
        assert!(found.run.is_none() || found.run == message.run, "{found:?}");
    }
}

async fn the_head_of_a_foreign_object_has_an_etag_and_no_stamp(store: &impl Store) {
    let [first, ..] = objects();
    store.write(KEY, Bytes::from_static(b"not Parquet")).await.expect("the store responds");

    let facts = store.head(KEY).await.expect("the store responds").expect("the object exists");

    assert_eq!((facts.stamp, facts.size_bytes), (None, 11));
    // Such an object can be replaced like any other.
    let replaced = put(store, KEY, &first, &Condition::Matches(facts.etag), 1).await;
    assert!(matches!(replaced, Put::Done(_)));
    assert_holds(store, KEY, &first).await;
}

async fn only_a_parquet_object_has_a_footer(store: &impl Store) {
    let footer = async |key: &str| store.footer(key).await.expect("the store responds");
    assert_eq!(footer(KEY).await, None);
    for object in objects() {
        if let Some(facts) = store.head(KEY).await.expect("the store responds") {
            let removed = store.remove(KEY, &facts.etag).await.expect("the store responds");
            assert!(matches!(removed, Put::Done(_)));
        }
        let _ = put_first(store, KEY, &object).await;

        let found = footer(KEY).await.expect("the object has a stamp");

        assert_eq!((found.edition, found.n_rows), (object.edition, object.n_rows));
        assert_eq!(found.columns.first().map(|column| (column.name.as_str(), column.kind.as_str())), Some(CODE));
    }
    // An empty object, one that is not Parquet, and a truncated one.
    let [cut, ..] = objects();
    for bytes in [Bytes::new(), Bytes::from_static(b"not Parquet"), cut.bytes.slice(..cut.bytes.len() - 9)] {
        store.write(KEY, bytes).await.expect("the store responds");
        assert_eq!(footer(KEY).await, None);
    }
}

async fn exactly_one_of_two_concurrent_writes_wins(store: &impl Store) {
    let [a, b, c, d] = objects();
    let mut condition = Condition::Absent;
    for round in 0..20 {
        let (one, other) = if round % 2 == 0 { (&a, &b) } else { (&c, &d) };

        let (first, second) = tokio::join!(
            put(store, KEY, one, &condition, 2 * round),
            put(store, KEY, other, &condition, 2 * round + 1)
        );

        let (winner, etag_of_winner) = match (first, second) {
            (Put::Done(etag), Put::Lost) => (one, etag),
            (Put::Lost, Put::Done(etag)) => (other, etag),
            both => panic!("expected one winner in round {round}, found {both:?}"),
        };
        assert_holds(store, KEY, winner).await;
        assert_eq!(etag(store, KEY).await, etag_of_winner);
        condition = Condition::Matches(etag_of_winner);
    }
}

async fn a_reader_sees_a_complete_object_or_none(store: &impl Store) {
    let objects = objects();
    let writer = async {
        let mut condition = Condition::Absent;
        for (second, object) in (0..40).zip(objects.iter().cycle()) {
            match put(store, KEY, object, &condition, second).await {
                Put::Done(etag) => condition = Condition::Matches(etag),
                Put::Lost => panic!("there is no other writer"),
            }
        }
    };
    let n_seen = Cell::new(0);
    let reader = async {
        loop {
            if let Some(Content { bytes: found, .. }) = store.read(KEY).await.expect("the store responds") {
                assert!(
                    objects.iter().any(|object| object.bytes == found),
                    "found {} bytes of neither object",
                    found.len()
                );
                n_seen.set(n_seen.get() + 1);
            }
            for key in keys_below(store, "data/").await {
                assert_eq!(key, KEY, "expected nothing else below data/ at any time");
            }
        }
    };
    tokio::select! {
        () = writer => {}
        () = reader => {}
    }
    assert!(n_seen.get() > 0, "expected reads during the writes");
    assert_holds(store, KEY, &objects[3]).await;
}

async fn a_removal_is_lost_with_an_old_etag_and_done_with_the_current_one(store: &impl Store) {
    let [first, second, ..] = objects();
    let old = put_first(store, KEY, &first).await;
    let Put::Done(current) = put(store, KEY, &second, &Condition::Matches(old.clone()), 1).await else {
        panic!("expected the etag to match")
    };

    assert_eq!(store.remove(KEY, &old).await.expect("the store responds"), Put::Lost);
    assert_holds(store, KEY, &second).await;

    let removed = store.remove(KEY, &current).await.expect("the store responds");
    assert!(matches!(removed, Put::Done(_)));
    assert_eq!(store.head(KEY).await.expect("the store responds"), None);
    assert_eq!(store.read(KEY).await.expect("the store responds"), None);
    assert_eq!(store.remove(KEY, &current).await.expect("the store responds"), Put::Lost);
    // The key can be written again.
    let _ = put_first(store, KEY, &first).await;
}

async fn ledger_objects_are_read_as_last_written(store: &impl Store) {
    let key = "ledger/ccd_enrollment/runs/20261123T120000-000/receipts/year=2021/grade=grade-pk.json";
    assert_eq!(store.read(key).await.expect("the store responds"), None);
    for text in ["{}", "", "{\"outcome\": \"written\"}\n"] {
        store.write(key, Bytes::from_static(text.as_bytes())).await.expect("the store responds");
        let found = store.read(key).await.expect("the store responds");
        assert_eq!(found.map(|found| found.bytes).as_deref(), Some(text.as_bytes()));
    }
    // A key that is a folder for other keys is not an object.
    let parent = key.rsplit_once('/').expect("the key has a parent").0;
    assert!(!matches!(store.read(parent).await, Ok(Some(_))));
}

async fn replace(store: &impl Store, key: &str, text: &'static str, condition: &Condition) -> Put {
    store.replace(key, Bytes::from_static(text.as_bytes()), condition).await.expect("the store responds")
}

async fn a_ledger_object_is_replaced_once_for_each_of_its_etags(store: &impl Store) {
    let held = async || store.read(RECORDS).await.expect("the store responds").expect("the object exists");
    assert_eq!(replace(store, RECORDS, "[0]", &Condition::Matches("\"e\"".to_owned())).await, Put::Lost);
    assert_eq!(store.read(RECORDS).await.expect("the store responds"), None);

    let Put::Done(first) = replace(store, RECORDS, "[1]", &Condition::Absent).await else {
        panic!("the object does not exist")
    };

    assert_eq!(held().await, Content { bytes: Bytes::from_static(b"[1]"), etag: first.clone() });
    assert_eq!(replace(store, RECORDS, "[2]", &Condition::Absent).await, Put::Lost);
    let over_first = Condition::Matches(first.clone());
    let Put::Done(second) = replace(store, RECORDS, "[3]", &over_first).await else { panic!("the etag matches") };
    assert_ne!(first, second);
    assert_eq!(replace(store, RECORDS, "[4]", &over_first).await, Put::Lost);
    assert_eq!(held().await, Content { bytes: Bytes::from_static(b"[3]"), etag: second.clone() });
    // An unconditional write changes the etag too.
    store.write(RECORDS, Bytes::from_static(b"[5]")).await.expect("the store responds");
    assert_eq!(replace(store, RECORDS, "[6]", &Condition::Matches(second)).await, Put::Lost);
    let over_current = Condition::Matches(held().await.etag);
    assert!(matches!(replace(store, RECORDS, "[7]", &over_current).await, Put::Done(_)));
    store.delete(vec![RECORDS.to_owned()]).await.expect("the store responds");
    assert_eq!(replace(store, RECORDS, "[8]", &over_current).await, Put::Lost);
    assert!(matches!(replace(store, RECORDS, "[9]", &Condition::Absent).await, Put::Done(_)));
}

async fn exactly_one_of_eight_concurrent_replacements_is_kept(store: &impl Store) {
    let mut condition = Condition::Absent;
    for round in 0..5 {
        let texts: Vec<String> = (0..8).map(|writer| format!("[{round}{writer}]")).collect();

        let puts = join_all(texts.iter().map(|text| store.replace(RECORDS, Bytes::from(text.clone()), &condition)));

        let puts: Vec<Put> = puts.await.into_iter().map(|put| put.expect("the store responds")).collect();
        let mut won = puts.iter().zip(&texts).filter(|(put, _)| **put != Put::Lost);
        let (Some((Put::Done(etag), text)), None) = (won.next(), won.next()) else {
            panic!("expected one winner in round {round}, found {puts:?}")
        };
        let held = store.read(RECORDS).await.expect("the store responds").expect("the object exists");
        assert_eq!((held.bytes.as_ref(), &held.etag), (text.as_bytes(), etag));
        condition = Condition::Matches(held.etag);
    }
}

async fn more_objects_than_fit_in_one_call_are_deleted_and_absent_ones_count_as_deleted(store: &impl Store) {
    store.delete(Vec::new()).await.expect("deleting nothing succeeds");
    let folder = "ledger/a/runs/1/receipts/";
    // S3 deletes at most 1,000 objects per call. One key in the middle has characters that must be escaped in XML.
    let mut keys: Vec<String> = (0..1_100).map(|i| format!("{folder}year={i:04}.json")).collect();
    keys.push(format!("{folder}a & <b>.json"));
    let (there, others) = ([&keys[0], &keys[1_099], &keys[1_100]], ["ledger/a/runs/1/plan.json", "ledger/a/runs/10/x"]);
    for key in there.into_iter().map(String::as_str).chain(others) {
        store.write(key, Bytes::from_static(b"{}")).await.expect("the store responds");
    }

    for _ in 0..2 {
        store.delete(keys.clone()).await.expect("the store responds");

        assert_eq!(keys_below(store, "ledger/").await, others);
    }
}

async fn a_listing_has_the_same_etags_and_times_as_a_head(store: &impl Store) {
    let [first, second, ..] = objects();
    let etag_of_first = put_first(store, KEY, &first).await;
    let _ = put_first(store, OTHER_KEY, &first).await;
    assert!(matches!(put(store, KEY, &second, &Condition::Matches(etag_of_first), 7).await, Put::Done(_)));
    for text in ["[1]", "[2]"] {
        store.write(RECORDS, Bytes::from_static(text.as_bytes())).await.expect("the store responds");
    }

    let (data, ledger) = (store.list("data/").await, store.list("ledger/").await);

    let data = data.expect("the store responds");
    assert_eq!(data.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(), [OTHER_KEY, KEY]);
    for listed in &data {
        assert_eq!(listed.etag, etag(store, &listed.key).await);
    }
    let ledger = ledger.expect("the store responds");
    let content = store.read(RECORDS).await.expect("the store responds").expect("the object exists");
    assert_eq!(ledger.iter().map(|listed| listed.etag.as_str()).collect::<Vec<_>>(), [content.etag]);
    // S3 reports whole seconds; for a data object, a folder reports the time of its rows.
    let ago = |listed: &Listed| listed.modified_at.duration_until(Timestamp::now()).as_secs();
    assert!((-1..60).contains(&ago(&ledger[0])), "{ledger:?}");
}

async fn a_listing_has_exactly_the_keys_below_a_prefix_in_order(store: &impl Store) {
    let [first, ..] = objects();
    assert_eq!(keys_below(store, "ledger/ccd_enrollment/runs/").await, Vec::<String>::new());
    let keys = [
        "ledger/a/runs/1/plan.json",
        "ledger/a/runs/1/receipts/year=2020/grade=grade-1.json",
        "ledger/a/runs/1/receipts/year=2020/grade=grade-10.json",
        "ledger/a/runs/1/receipts/year=2021/grade=grade-1.json",
        "ledger/a/runs/10/plan.json",
        "ledger/ab/runs/1/plan.json",
    ];
    for key in keys.iter().rev() {
        store.write(key, Bytes::from_static(b"{}")).await.expect("the store responds");
    }
    let _ = put_first(store, KEY, &first).await;

    assert_eq!(keys_below(store, "ledger/").await, keys);
    assert_eq!(keys_below(store, "ledger/a/").await, keys[..5]);
    assert_eq!(keys_below(store, "ledger/a/runs/1/").await, keys[..4]);
    assert_eq!(keys_below(store, "ledger/a/runs/2/").await, Vec::<String>::new());
    assert_eq!(keys_below(store, "data/").await, [KEY]);
}

#[test]
fn a_folder_fulfils_the_contract_of_a_store() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    runtime().block_on(store_contract(async || {
        let lake = tempfile::tempdir_in(folder.path()).expect("a temporary folder can be created").keep();
        // The folder does not exist yet, as with a new lake.
        let store = FolderStore::new(lake.join("lake"));
        store.create(Bytes::from_static(b"{}")).await.expect("the folder can be created");
        store
    }));
    let store = FolderStore::new(folder.path().join("copies"));
    runtime().block_on(async {
        store.create(Bytes::from_static(b"{}")).await.expect("the folder can be created");
        a_copy_has_the_bytes_and_the_stamp_of_its_object_and_needs_its_etag(&store).await;
    });
}

/// Returns the names of files and folders, except for the lake's own.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("the folder can be listed").file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

#[test]
fn d9_locking_a_folder_removes_temporary_files_of_a_killed_run_and_no_others() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let store = FolderStore::new(folder.path());
    let [first, ..] = objects();
    let runtime = runtime();
    runtime.block_on(store.create(Bytes::from_static(b"{}"))).expect("the folder is empty");
    runtime.block_on(put_first(&store, KEY, &first));
    for name in [".tmp/.tmpHalf00", ".tmp/mine", ".lake.json-Half00"] {
        std::fs::write(folder.path().join(name), "PAR1").expect("a file can be written");
    }

    let lock = runtime.block_on(store.lock()).expect("the lock is free");

    assert_eq!(names_in(folder.path()), [".lock", ".tmp", "data", "lake.json"]);
    assert_eq!(names_in(&folder.path().join(".tmp")), ["mine"]);
    drop(lock);
    runtime.block_on(assert_holds(&store, KEY, &first));
}

/// Found by use: H1.
#[test]
fn f1_a_folder_without_a_mark_cannot_be_locked() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let error = runtime().block_on(FolderStore::new(folder.path()).lock()).expect_err("the folder is not a lake");
    assert!(error.chain().contains("find `") && error.chain().contains("lake.json`"), "{}", error.chain());
    assert_eq!(names_in(folder.path()), Vec::<String>::new());
}

/// Found by use: H1.
#[test]
fn f1_a_mark_never_replaces_a_file_and_only_one_of_two_runs_creates_the_lake() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let lake = folder.path().join("new/lake");
    let [one, other] = [FolderStore::new(&lake), FolderStore::new(&lake)];
    runtime().block_on(async {
        assert_eq!(one.inspect().await.expect("the file system is readable"), FolderState::Missing);
        one.create(Bytes::from_static(b"one")).await.expect("the lake can be created");
        other.create(Bytes::from_static(b"other")).await.expect("there is one");
        assert_eq!(
            other.inspect().await.expect("the folder is readable"),
            FolderState::Marked(Bytes::from_static(b"one"))
        );
        assert_eq!(names_in(&lake), ["lake.json"]);
        let lock = one.lock().await.expect("the lock is free");
        assert_eq!(other.lock().await.expect_err("the other run holds the lock").name(), "LakeLocked");
        drop(lock);
        // What remains if a run is killed before it has moved its mark into place.
        std::fs::rename(lake.join("lake.json"), lake.join(".lake.json-Half00")).expect("a file can be renamed");
        std::fs::remove_file(lake.join(".lock")).expect("a file can be removed");
        assert_eq!(other.inspect().await.expect("the folder is readable"), FolderState::Empty);
        std::fs::write(lake.join(".lake.json-mine"), "mine").expect("a file can be written");
        assert_eq!(other.inspect().await.expect("the folder is readable"), FolderState::Other);
    });
}

/// Found by use: H9, H10.
#[test]
fn f2_f3_nothing_is_written_after_the_lake_or_its_lock_has_moved() {
    /// Moves or removes the lake or its lock.
    type Mishap = fn(&Path);
    let rename = |lake: &Path| std::fs::rename(lake, lake.with_file_name("elsewhere")).expect("renaming succeeds");
    let remove = |lake: &Path| std::fs::remove_dir_all(lake).expect("removing succeeds");
    let replace = |lake: &Path| {
        std::fs::rename(lake, lake.with_file_name("elsewhere")).expect("renaming succeeds");
        std::fs::create_dir(lake).expect("a folder can be created");
        std::fs::write(lake.join(".lock"), "").expect("a file can be written");
    };
    let unlock = |lake: &Path| std::fs::remove_file(lake.join(".lock")).expect("removing succeeds");
    let relock = |lake: &Path| {
        std::fs::remove_file(lake.join(".lock")).expect("removing succeeds");
        std::fs::write(lake.join(".lock"), "").expect("a file can be written");
    };
    let mishaps: [Mishap; 5] = [rename, remove, replace, unlock, relock];
    for mishap in mishaps {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let lake = folder.path().join("lake");
        let store = FolderStore::new(&lake);
        let [first, second, ..] = objects();
        runtime().block_on(async {
            store.create(Bytes::from_static(b"{}")).await.expect("the lake can be created");
            let _lock = store.lock().await.expect("the lock is free");
            let etag = put_first(&store, KEY, &first).await;
            store.check_lock().await.expect("the lock is in place");
            mishap(&lake);
            let before = files(&lake);
            let removed = store.remove(KEY, &etag).await;
            let condition = Condition::Matches(etag);
            let put = store.put(KEY, second.bytes.clone(), &condition, &stamp(&second, 1)).await;
            let written = store.write("ledger/a.json", Bytes::from_static(b"{}")).await;
            let lost = store.check_lock().await.expect_err("the lock is not in place").chain();
            assert!(lost.contains(&lake.display().to_string()), "{lost}");
            // The object disappeared with the folder.
            assert!(!matches!(removed, Ok(Put::Done(_))) && !matches!(put, Ok(Put::Done(_))) && written.is_err());
            assert_eq!(files(&lake), before);
            store.lost().await;
        });
    }
}

/// Returns every file and folder below a folder, or nothing if it does not exist.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("the folder can be listed").path();
            found.push(path.display().to_string());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Found by use: H11.
#[test]
fn f4_a_lock_that_is_another_programs_file_is_rejected_and_left_untouched() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let (lake, theirs) = (folder.path().join("lake"), folder.path().join("theirs"));
    let store = FolderStore::new(&lake);
    let runtime = runtime();
    runtime.block_on(store.create(Bytes::from_static(b"{}"))).expect("the lake can be created");
    std::fs::write(&theirs, "123").expect("a file can be written");
    let before = std::fs::metadata(&theirs).expect("it exists").modified().expect("the file has a time");
    let make: [fn(&Path, &Path); 4] = [
        |theirs, lock| std::fs::hard_link(theirs, lock).expect("a link can be created"),
        |theirs, lock| std::os::unix::fs::symlink(theirs, lock).expect("a link can be created"),
        |_, lock| std::fs::create_dir(lock).expect("a folder can be created"),
        |_, lock| {
            assert!(Command::new("mkfifo").arg(lock).status().expect("the system has mkfifo").success());
        },
    ];
    for make in make {
        let lock = lake.join(".lock");
        make(&theirs, &lock);
        let error = runtime.block_on(store.lock()).expect_err("the lock is another program's file").chain();
        assert!(error.contains(&format!("open `{}`", lock.display())), "{error}");
        assert_eq!(std::fs::read_to_string(&theirs).expect("it is readable"), "123");
        assert_eq!(std::fs::metadata(&theirs).expect("it exists").modified().expect("the file has a time"), before);
        std::fs::remove_file(&lock).or_else(|_| std::fs::remove_dir(&lock)).expect("removing succeeds");
    }
    // A file of another program is locked unless it is a link, but keeps its content.
    std::fs::write(lake.join(".lock"), "theirs").expect("a file can be written");
    let _lock = runtime.block_on(store.lock()).expect("the lock is free");
    assert_eq!(std::fs::read_to_string(lake.join(".lock")).expect("it is readable"), "theirs");
}

#[test]
fn d8_nothing_is_deleted_through_a_link() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let (lake, outside) = (folder.path().join("lake"), folder.path().join("outside"));
    let store = FolderStore::new(&lake);
    let [first, ..] = objects();
    let runtime = runtime();
    runtime.block_on(async {
        store.create(Bytes::from_static(b"{}")).await.expect("the lake can be created");
        let etag = put_first(&store, KEY, &first).await;
        std::fs::rename(lake.join("data"), &outside).expect("a folder can be renamed");
        std::os::unix::fs::symlink(&outside, lake.join("data")).expect("a link can be created");
        let error = store.remove(KEY, &etag).await.expect_err("the object is behind a link");
        assert!(rollcall_core::error::chain(&error).contains("expected no links in a lake"), "{error}");
        assert_holds(&store, KEY, &first).await;
    });
}

#[test]
fn an_open_reader_of_a_folder_keeps_the_file_that_was_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let store = FolderStore::new(folder.path());
    let [first, second, ..] = objects();
    let runtime = runtime();
    let etag = runtime.block_on(put_first(&store, KEY, &first));
    let mut reader = std::fs::File::open(folder.path().join(KEY)).expect("the object is a file");

    let replaced = runtime.block_on(put(&store, KEY, &second, &Condition::Matches(etag), 1));

    assert!(matches!(replaced, Put::Done(_)));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut bytes).expect("an open file can be read");
    assert!(bytes == first.bytes);
    runtime.block_on(assert_holds(&store, KEY, &second));
}

#[test]
fn a_folder_settles_when_the_write_of_a_cancelled_caller_is_done() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let store = FolderStore::new(folder.path());
    let bytes = Bytes::from(vec![b' '; 32 << 20]);
    runtime().block_on(async {
        let mut write = Box::pin(store.write("ledger/a/plan.json", bytes.clone()));
        assert!(futures::poll!(&mut write).is_pending());
        drop(write);
        store.settle().await;
        let found = std::fs::read(folder.path().join("ledger/a/plan.json")).expect("the file is written");
        assert!(found == bytes);
    });
}

#[test]
fn a_truncated_file_of_a_folder_has_no_stamp_and_an_invalid_name_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let store = FolderStore::new(folder.path());
    let torn = "data/t/year=2020/part-00000.parquet";
    std::fs::create_dir_all(folder.path().join(torn).with_file_name("")).expect("a folder can be created");
    std::fs::write(folder.path().join(torn), "PAR1").expect("a file can be written");
    runtime().block_on(async {
        let facts = store.head(torn).await.expect("it is readable").expect("it exists");
        assert_eq!((facts.size_bytes, facts.stamp), (4, None));
        let key = format!("data/{}", "x".repeat(300));
        let error = store.head(&key).await.expect_err("the path is invalid").to_string();
        assert!(error.starts_with("read `") && error.contains(&key), "{error}");
        let error =
            store.list(&format!("data/{}/", "x".repeat(300))).await.expect_err("the path is invalid").to_string();
        assert!(error.starts_with("list `"), "{error}");
    });
}

/// Found by use: B1, B2.
#[test]
fn f6_something_other_than_a_file_at_an_objects_key_has_no_stamp_and_is_replaced_if_possible() {
    /// Creates something at the object's path.
    type Make = fn(&Path);
    let make: [(Make, bool); 5] = [
        (|path| assert!(Command::new("mkfifo").arg(path).status().expect("the system has mkfifo").success()), true),
        (|path| drop(std::os::unix::net::UnixListener::bind(path).expect("a socket can be created")), true),
        (|path| std::os::unix::fs::symlink(path, path).expect("a link can be created"), true),
        (|path| std::os::unix::fs::symlink("/dev/zero", path).expect("a link can be created"), true),
        (|path| std::fs::create_dir(path).expect("a folder can be created"), false),
    ];
    let [first, ..] = objects();
    for (n, (make, can_be_replaced)) in make.into_iter().enumerate() {
        // The path is short because socket paths have a maximum length.
        let folder = tempfile::tempdir_in("/tmp").expect("a temporary folder can be created");
        let store = FolderStore::new(folder.path());
        let path = folder.path().join("data/o");
        std::fs::create_dir(folder.path().join("data")).expect("a folder can be created");
        make(&path);
        runtime().block_on(async {
            let facts = store.head("data/o").await.expect("the store responds").expect("it exists");
            assert_eq!(facts.stamp, None, "{n}");
            assert_eq!(store.head("data/o").await.expect("the store responds"), Some(facts.clone()), "{n}");
            assert_eq!(
                store.list("data/").await.expect("the folder can be listed").len(),
                usize::from(can_be_replaced),
                "{n}"
            );
            let condition = Condition::Matches(facts.etag);
            let put = store.put("data/o", first.bytes.clone(), &condition, &stamp(&first, 1)).await;
            assert_eq!(put.is_ok(), can_be_replaced, "{n}: {put:?}");
            if can_be_replaced {
                assert_holds(&store, "data/o", &first).await;
            }
            store.read("data").await.expect_err("a folder cannot be read");
        });
    }
}

/// Found by use: B2.
#[test]
fn f6_a_file_with_an_unrepresentable_time_is_unreadable_and_can_be_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let store = FolderStore::new(folder.path());
    let [first, second, ..] = objects();
    runtime().block_on(async {
        store.create(Bytes::from_static(b"{}")).await.expect("the lake can be created");
        put_first(&store, KEY, &first).await;
        let status = Command::new("touch").args(["-d", "@400000000000"]).arg(folder.path().join(KEY)).status();
        assert!(status.expect("the system has touch").success());
        let modified =
            std::fs::metadata(folder.path().join(KEY)).expect("it exists").modified().expect("the file has a time");
        if modified.duration_since(std::time::UNIX_EPOCH).expect("the time is after 1970").as_secs() != 400_000_000_000
        {
            // This file system cannot store such a time.
            return;
        }
        let facts = store.head(KEY).await.expect("the store responds").expect("it exists");
        assert_eq!(facts.stamp, None);
        let put = store.put(KEY, second.bytes.clone(), &Condition::Matches(facts.etag), &stamp(&second, 1)).await;
        assert!(matches!(put, Ok(Put::Done(_))), "{put:?}");
        assert_holds(&store, KEY, &second).await;
    });
}

/// Returns the partitions of a catalog in order. A catalog may return them in any order.
async fn partitions(catalog: &impl Catalog, dataset: &Dataset) -> Vec<CatalogPartition> {
    let mut found = catalog.partitions(&dataset.table_spec()).await.expect("the catalog responds");
    found.sort_by(|a, b| a.partition.cmp(&b.partition));
    found
}

/// Checks the contract of a [`Catalog`].
///
/// - `empty` returns a catalog without tables.
/// - `columns` reads a table's column names, as a query engine would.
///
/// - `declare` creates or changes the table, as its owner would.
async fn catalog_contract<C: Catalog>(
    empty: impl AsyncFn() -> C,
    declare: impl AsyncFn(&C, &TableSpec),
    columns: impl AsyncFn(&C, &str) -> Vec<String>,
) {
    ensuring_a_table_again_changes_nothing(&empty().await, &declare, &columns).await;
    partitions_are_added_replaced_and_removed(&empty().await, &declare).await;
    two_hundred_and_fifty_partitions_are_changed_in_one_call(&empty().await, &declare).await;
    partitions_of_a_missing_table_cannot_be_changed(&empty().await).await;
    partitions_stay_when_the_columns_of_their_table_change(&empty().await, &declare, &columns).await;
    a_partition_keeps_the_columns_of_its_own_file(&empty().await, &declare).await;
}

fn enrollment() -> Dataset {
    Dataset::built_in("ccd_enrollment").expect("the dataset is built in")
}

async fn ensuring_a_table_again_changes_nothing<C: Catalog>(
    catalog: &C,
    declare: &impl AsyncFn(&C, &TableSpec),
    columns: &impl AsyncFn(&C, &str) -> Vec<String>,
) {
    let dataset = enrollment();
    declare(catalog, &dataset.table_spec()).await;
    for _ in 0..2 {
        catalog.ensure_table(&dataset.table_spec()).await.expect("the catalog responds");
        assert_eq!(partitions(catalog, &dataset).await, []);
        let found = columns(catalog, &dataset.table).await;
        let expected = ["ncessch", "ncessch_num", "race", "sex", "enrollment", "fips", "leaid", "_rescued"];
        assert_eq!(found, expected);
    }
    for lookup in Lookup::built_in().expect("the look-ups are built in") {
        declare(catalog, &lookup.table_spec()).await;
        for _ in 0..2 {
            catalog.ensure_table(&lookup.table_spec()).await.expect("a table without partitions is a table");
        }
    }
    let mut all = vec![dataset.table_spec()];
    all.extend(Lookup::built_in().expect("the look-ups are built in").iter().map(Lookup::table_spec));
    for specs in [&all[..], &all[1..], &[]] {
        catalog.ensure_tables(specs).await.expect("all tables exist");
    }
    assert_eq!(columns(catalog, "lookup_grades").await, ["code", "label", "grade"]);
}

async fn partitions_are_added_replaced_and_removed<C: Catalog>(catalog: &C, declare: &impl AsyncFn(&C, &TableSpec)) {
    let dataset = enrollment();
    declare(catalog, &dataset.table_spec()).await;
    let change = async |put: &[&CatalogPartition], remove: &[&CatalogPartition]| {
        let put: Vec<CatalogPartition> = put.iter().copied().cloned().collect();
        let remove: Vec<PartitionKey> = remove.iter().map(|registered| registered.partition.clone()).collect();
        catalog.change_partitions(&dataset.table_spec(), &put, &remove).await.expect("the catalog responds");
        partitions(catalog, &dataset).await
    };
    let (pk, k) = (registered(2021, "grade-pk", 7), registered(2021, "grade-k", 9));
    let moved = CatalogPartition { location: "data/elsewhere/year=2021/grade=grade-pk/".to_owned(), ..pk.clone() };
    let grown = registered(2021, "grade-pk", 8);
    let first = registered(2020, "grade-1", 3);

    assert_eq!(change(&[&pk, &k], &[]).await, [k.clone(), pk.clone()]);
    // Repeating a change has no effect.
    assert_eq!(change(&[&pk], &[]).await, [k.clone(), pk.clone()]);
    // An object with another location or row count replaces the registered one.
    assert_eq!(change(&[&moved], &[]).await, [k.clone(), moved.clone()]);
    assert_eq!(change(&[&grown], &[]).await, [k.clone(), grown.clone()]);
    // One partition is added while another is removed.
    assert_eq!(change(&[&first], &[&k]).await, [first.clone(), grown.clone()]);
    // Removing a partition that is not registered has no effect.
    let left = [grown];
    assert_eq!(change(&[], &[&k, &first]).await, left);
    assert_eq!(change(&[], &[]).await, left);
}

async fn two_hundred_and_fifty_partitions_are_changed_in_one_call<C: Catalog>(
    catalog: &C,
    declare: &impl AsyncFn(&C, &TableSpec),
) {
    let dataset = enrollment();
    declare(catalog, &dataset.table_spec()).await;
    // More than Glue accepts per call: 100 to add and 25 to remove.
    let mut all: Vec<CatalogPartition> = (0..250).map(|i| registered(1900 + i, "grade-pk", 1 + i as u64)).collect();
    all.reverse();

    catalog.change_partitions(&dataset.table_spec(), &all, &[]).await.expect("the catalog responds");

    all.reverse();
    assert_eq!(partitions(catalog, &dataset).await, all);
    let (gone, left) = all.split_at(240);
    let gone: Vec<PartitionKey> = gone.iter().map(|registered| registered.partition.clone()).collect();
    catalog.change_partitions(&dataset.table_spec(), &[], &gone).await.expect("the catalog responds");
    assert_eq!(partitions(catalog, &dataset).await, left);
}

async fn partitions_of_a_missing_table_cannot_be_changed(catalog: &impl Catalog) {
    assert_eq!(partitions(catalog, &enrollment()).await, []);
    let changed = catalog.change_partitions(&enrollment().table_spec(), &[registered(2021, "grade-pk", 7)], &[]).await;
    assert!(changed.is_err());
}

async fn partitions_stay_when_the_columns_of_their_table_change<C: Catalog>(
    catalog: &C,
    declare: &impl AsyncFn(&C, &TableSpec),
    columns: &impl AsyncFn(&C, &str) -> Vec<String>,
) {
    let dataset = enrollment();
    let mut spec = dataset.table_spec();
    declare(catalog, &spec).await;
    let put = [registered(2020, "grade-pk", 7), registered(2021, "grade-pk", 9)];
    catalog.change_partitions(&dataset.table_spec(), &put, &[]).await.expect("the catalog responds");
    spec.columns.insert(7, ("teachers".to_owned(), "double".to_owned(), "Full-time equivalent".to_owned()));

    declare(catalog, &spec).await;

    let expected = ["ncessch", "ncessch_num", "race", "sex", "enrollment", "fips", "leaid", "teachers", "_rescued"];
    assert_eq!(columns(catalog, &dataset.table).await, expected);
    let found = partitions(catalog, &dataset).await;
    // The files still have their old columns, and so do the partitions.
    assert_eq!(found, put);
    catalog.change_partitions(&dataset.table_spec(), &put, &[]).await.expect("the catalog responds");
    assert_eq!(partitions(catalog, &dataset).await, put);
}

async fn a_partition_keeps_the_columns_of_its_own_file<C: Catalog>(
    catalog: &C,
    declare: &impl AsyncFn(&C, &TableSpec),
) {
    let dataset = enrollment();
    declare(catalog, &dataset.table_spec()).await;
    let current = registered(2021, "grade-pk", 7);
    // An older file: one column has another type, one has another name, one is missing.
    let mut columns = current.columns.as_ref().clone();
    columns.remove(3);
    columns[1] = TypedColumn { name: "number".to_owned(), kind: "string".to_owned() };
    columns[3] = TypedColumn { kind: "bigint".to_owned(), ..columns[3].clone() };
    let older = CatalogPartition { columns: Arc::new(columns), ..registered(2020, "grade-pk", 5) };
    let put = async |put: &[&CatalogPartition]| {
        let put: Vec<CatalogPartition> = put.iter().copied().cloned().collect();
        catalog.change_partitions(&dataset.table_spec(), &put, &[]).await.expect("the catalog responds");
        partitions(catalog, &dataset).await
    };

    assert_eq!(put(&[&older, &current]).await, [older.clone(), current.clone()]);
    // Changing another partition, or ensuring the table again, does not change this one.
    let grown = CatalogPartition { n_rows: 8, ..current.clone() };
    assert_eq!(put(&[&grown]).await, [older.clone(), grown.clone()]);
    catalog.ensure_table(&dataset.table_spec()).await.expect("the catalog responds");
    assert_eq!(partitions(catalog, &dataset).await, [older.clone(), grown.clone()]);
    // A rewritten file has the current columns. A file rewritten by an older program has the old ones again.
    let rewritten = CatalogPartition { columns: current.columns.clone(), ..older.clone() };
    assert_eq!(put(&[&rewritten]).await, [rewritten, grown.clone()]);
    assert_eq!(put(&[&older]).await, [older, grown]);
}

/// Found by use: H8.
#[test]
fn a_file_catalog_fulfils_the_contract_of_a_catalog() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let empty = async || {
        let lake = tempfile::tempdir_in(folder.path()).expect("a temporary folder can be created").keep();
        FileCatalog::new(FolderStore::new(lake))
    };
    let columns = async |catalog: &FileCatalog<FolderStore>, table: &str| {
        let tables = catalog.tables().await.expect("the catalog can be read");
        let found = tables.into_iter().find(|found| found.table == table).expect("the table exists");
        found.columns.into_iter().map(|column| column.name).collect()
    };
    let declare = async |catalog: &FileCatalog<FolderStore>, spec: &TableSpec| {
        catalog.ensure_table(spec).await.expect("the catalog responds");
    };
    runtime().block_on(catalog_contract(empty, declare, columns));
}

#[test]
fn s3_on_ministack_fulfils_the_contract_of_a_store() {
    bucket_fulfils_the_contract_of_a_store(Kind::MiniStack);
    // The other emulator ignores the condition of a copy.
    let emulator = Emulator::start(Kind::MiniStack);
    runtime().block_on(async {
        let config = emulator.config().await;
        let client =
            aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build());
        client.create_bucket().bucket("copies").send().await.expect("a bucket can be created");
        a_copy_has_the_bytes_and_the_stamp_of_its_object_and_needs_its_etag(&S3Store::new(&config, "copies")).await;
    });
}

#[test]
fn s3_on_moto_fulfils_the_contract_of_a_store() {
    bucket_fulfils_the_contract_of_a_store(Kind::Moto);
}

fn bucket_fulfils_the_contract_of_a_store(kind: Kind) {
    let emulator = Emulator::start(kind);
    let n_buckets = Cell::new(0);
    runtime().block_on(async {
        let config = emulator.config().await;
        let client =
            aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build());
        store_contract(async || {
            n_buckets.set(n_buckets.get() + 1);
            let bucket = format!("lake-{}", n_buckets.get());
            client.create_bucket().bucket(&bucket).send().await.expect("a bucket can be created");
            S3Store::new(&config, bucket)
        })
        .await;
        // The empty objects that the S3 console creates as folders are not data objects.
        let store = S3Store::new(&config, "lake-1");
        let before = keys_below(&store, "data/").await;
        for folder in ["data/", "data/us_education_ccd_enrollment_data/year=2021/"] {
            client.put_object().bucket("lake-1").key(folder).send().await.expect("an object can be put");
        }
        assert_eq!(keys_below(&store, "data/").await, before);
    });
}

/// Found by use: H8.
#[test]
fn glue_on_ministack_fulfils_the_contract_of_a_catalog() {
    glue_fulfils_the_contract_of_a_catalog(Kind::MiniStack);
}

/// Found by use: H8.
#[test]
fn glue_on_moto_fulfils_the_contract_of_a_catalog() {
    glue_fulfils_the_contract_of_a_catalog(Kind::Moto);
}

fn glue_fulfils_the_contract_of_a_catalog(kind: Kind) {
    let emulator = Emulator::start(kind);
    runtime().block_on(async {
        let config = emulator.config().await;
        let glue = aws_sdk_glue::Client::new(&config);
        let database = enrollment().database;
        let input = aws_sdk_glue::types::DatabaseInput::builder().name(&database).build().expect("the name is set");
        glue.create_database().database_input(input).send().await.expect("a database can be created");
        let empty = async || {
            let tables = glue.get_tables().database_name(&database).send().await.expect("tables can be listed");
            for table in tables.table_list() {
                let gone = glue.delete_table().database_name(&database).name(table.name()).send().await;
                gone.expect("a table can be deleted");
            }
            GlueCatalog::new(&config, "lake")
        };
        let declare = async |catalog: &GlueCatalog, spec: &TableSpec| {
            catalog.ensure_table(spec).await.expect("Glue responds");
        };
        let columns = async |_: &GlueCatalog, table: &str| {
            let found = glue.get_table().database_name(&database).name(table).send().await.expect("the table exists");
            let storage =
                found.table.and_then(|table| table.storage_descriptor).expect("the partition has a storage descriptor");
            storage.columns().iter().map(|column| column.name().to_owned()).collect()
        };
        catalog_contract(empty, declare, columns).await;
        let catalog = GlueCatalog::new(&config, "lake");
        let _ = empty().await;
        a_table_of_the_template_is_only_checked(&catalog, &glue).await;
        let _ = empty().await;
        a_table_of_an_earlier_template_is_adopted_with_its_partitions(&catalog, &glue).await;
        let _ = empty().await;
        a_table_of_another_lake_is_not_adopted(&catalog, &glue).await;
        let _ = empty().await;
        a_view_follows_its_descriptor_and_replaces_nothing_of_others(&catalog, &glue).await;
    });
}

/// Returns a table or view as it is in Glue.
async fn in_glue(glue: &aws_sdk_glue::Client, name: &str) -> aws_sdk_glue::types::Table {
    let found = glue.get_table().database_name(enrollment().database).name(name).send().await.expect("it exists");
    found.table.expect("the response has it")
}

/// Returns who manages a table or view.
fn manager(table: &aws_sdk_glue::types::Table) -> Option<&str> {
    table.parameters().and_then(|parameters| parameters.get("managed_by")).map(String::as_str)
}

async fn a_table_of_the_template_is_only_checked(catalog: &GlueCatalog, glue: &aws_sdk_glue::Client) {
    let mut spec = enrollment().table_spec();
    let create = glue.create_table().database_name(&spec.database).table_input(table_input(&spec, "lake"));
    create.send().await.expect("a table can be created");
    let before = in_glue(glue, &spec.table).await;
    for comment in ["", "another"] {
        // Comments may differ while a deployment is in progress.
        spec.columns[0].2 = comment.to_owned();
        catalog.ensure_table(&spec).await.expect("the table is as declared");
        catalog.ensure_tables(std::slice::from_ref(&spec)).await.expect("the table is as declared");
    }
    spec.columns.insert(7, ("teachers".to_owned(), "double".to_owned(), String::new()));
    let refused = catalog.ensure_table(&spec).await.expect_err("the table has other columns");
    let refused = rollcall_core::error::chain(&refused);
    assert!(
        refused.ends_with(
            "as in the descriptor, found `ncessch string, ncessch_num bigint, race int, sex int, enrollment \
         int, fips int, leaid string, _rescued string`\nhint: deploy the template again"
        ),
        "{refused}"
    );
    let several =
        catalog.ensure_tables(std::slice::from_ref(&spec)).await.expect_err("it is refused among several too");
    assert_eq!(several.to_string(), format!("check table `{}.{}`", spec.database, spec.table));
    assert_eq!(in_glue(glue, &spec.table).await, before);
    assert_eq!(manager(&before), Some("template"));
}

/// The template had tables that it no longer has. They have no `managed_by`, and others may have set parameters.
async fn a_table_of_an_earlier_template_is_adopted_with_its_partitions(
    catalog: &GlueCatalog,
    glue: &aws_sdk_glue::Client,
) {
    let dataset = enrollment();
    let spec = dataset.table_spec();
    let mut input = table_input(&spec, "lake");
    let parameters = [("EXTERNAL", "TRUE"), ("classification", "parquet"), ("UPDATED_BY_CRAWLER", "a-crawler")];
    input.parameters = Some(parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let create = glue.create_table().database_name(&spec.database).table_input(input);
    create.send().await.expect("a table can be created");
    let put = [registered(2020, "grade-pk", 7), registered(2021, "grade-pk", 9)];
    catalog.change_partitions(&spec, &put, &[]).await.expect("the catalog responds");

    for _ in 0..2 {
        catalog.ensure_table(&spec).await.expect("the table is adopted");
        let found = in_glue(glue, &spec.table).await;
        let parameters = found.parameters().expect("it has parameters");
        assert_eq!((manager(&found), parameters.len()), (Some("rollcall"), 4));
        assert_eq!(parameters.get("UPDATED_BY_CRAWLER").map(String::as_str), Some("a-crawler"));
        assert_eq!(partitions(catalog, &dataset).await, put);
    }
}

async fn a_table_of_another_lake_is_not_adopted(catalog: &GlueCatalog, glue: &aws_sdk_glue::Client) {
    let spec = enrollment().table_spec();
    let mut input = table_input(&spec, "another-lake");
    input.parameters = None;
    let create = glue.create_table().database_name(&spec.database).table_input(input);
    create.send().await.expect("a table can be created");
    let before = in_glue(glue, &spec.table).await;
    let refused = catalog.ensure_table(&spec).await.expect_err("the table is of another lake");
    let refused = rollcall_core::error::chain(&refused);
    assert!(refused.contains("expected location `s3://lake/") && refused.contains("`s3://another-lake/"), "{refused}");
    assert_eq!(in_glue(glue, &spec.table).await, before);
}

async fn a_view_follows_its_descriptor_and_replaces_nothing_of_others(
    catalog: &GlueCatalog,
    glue: &aws_sdk_glue::Client,
) {
    let dataset = enrollment();
    let spec = dataset.table_spec();
    let name = "ccd_enrollment_labeled";
    catalog.ensure_table(&spec).await.expect("Glue responds");
    let view = in_glue(glue, name).await;
    assert_eq!((view.table_type(), manager(&view)), (Some("VIRTUAL_VIEW"), Some("rollcall")));
    assert!(sql(&view).ends_with("from \"ccd_school\".\"us_education_ccd_enrollment_data\""), "{}", sql(&view));
    catalog.ensure_table(&spec).await.expect("Glue responds");
    assert_eq!(in_glue(glue, name).await, view);

    let mut changed = spec.clone();
    let new = changed.view.as_mut().expect("the dataset has a view");
    new.parts[0] = new.parts[0].replace("\nfrom ", ",\n  1 as \"one\"\nfrom ");
    catalog.ensure_table(&changed).await.expect("Glue responds");
    let updated = in_glue(glue, name).await;
    assert!(sql(&updated).contains("1 as \"one\""), "{}", sql(&updated));

    // Neither a table nor a view of someone else is replaced.
    for (kind, found) in [("EXTERNAL_TABLE", "a table"), ("VIRTUAL_VIEW", "a view that rollcall has not made")] {
        glue.delete_table().database_name(&spec.database).name(name).send().await.expect("it can be deleted");
        let theirs = aws_sdk_glue::types::TableInput::builder().name(name).table_type(kind);
        let theirs = theirs.storage_descriptor(aws_sdk_glue::types::StorageDescriptor::builder().build());
        let create =
            glue.create_table().database_name(&spec.database).table_input(theirs.build().expect("it has a name"));
        create.send().await.expect("it can be created");
        let before = in_glue(glue, name).await;
        let refused = catalog.ensure_table(&spec).await.expect_err("something else has the view's name");
        let expected = format!(
            "expected no `{name}`, or a view that rollcall has made, found {found}\nhint: give it another name"
        );
        let refused = rollcall_core::error::chain(&refused);
        assert!(refused.ends_with(&expected), "{refused}");
        assert_eq!(in_glue(glue, name).await, before);
    }
}

/// Returns the query of a view, as Athena reads it.
fn sql(view: &aws_sdk_glue::types::Table) -> String {
    use base64::Engine;
    let text = view.view_original_text().expect("a view has a text");
    let coded = text.strip_prefix("/* Presto View: ").and_then(|text| text.strip_suffix(" */"));
    let json = base64::prelude::BASE64_STANDARD.decode(coded.expect("it has Athena's format")).expect("it is base64");
    let definition: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!((&definition["catalog"], &definition["schema"]), (&"awsdatacatalog".into(), &"ccd_school".into()));
    definition["originalSql"].as_str().expect("it has a query").to_owned()
}

/// Returns a file catalog with one table of three partitions.
fn small_catalog(folder: &TempDir, runtime: &Runtime) -> FileCatalog<FolderStore> {
    let catalog = FileCatalog::new(FolderStore::new(folder.path()));
    let dataset = enrollment();
    runtime.block_on(async {
        catalog.ensure_table(&dataset.table_spec()).await.expect("the catalog responds");
        let put = [registered(2021, "grade-pk", 7), registered(2020, "grade-pk", 5), registered(2020, "grade-1", 3)];
        catalog.change_partitions(&dataset.table_spec(), &put, &[]).await.expect("the catalog responds");
    });
    catalog
}

#[test]
fn a_file_catalog_lists_partitions_in_order_so_that_its_file_can_be_compared() {
    let (folder, runtime) = (tempfile::tempdir().expect("a temporary folder can be created"), runtime());
    let catalog = small_catalog(&folder, &runtime);

    let found = runtime.block_on(catalog.partitions(&enrollment().table_spec())).expect("the catalog responds");

    let paths: Vec<String> = found.iter().map(|registered| registered.partition.to_string()).collect();
    assert_eq!(paths, ["year=2020/grade=grade-1", "year=2020/grade=grade-pk", "year=2021/grade=grade-pk"]);
}

#[test]
fn a_corrupt_file_of_a_file_catalog_is_reported_and_rewritten_by_the_next_run() {
    let (folder, runtime) = (tempfile::tempdir().expect("a temporary folder can be created"), runtime());
    let catalog = small_catalog(&folder, &runtime);
    let file = folder.path().join("catalog/ccd_school/us_education_ccd_enrollment_data.json");
    std::fs::write(&file, "{\"database\": \"ccd_sch").expect("the file can be written");
    let dataset = enrollment();

    let error = runtime.block_on(catalog.partitions(&dataset.table_spec())).expect_err("the file is truncated");
    assert_eq!(error.to_string(), "read `catalog/ccd_school/us_education_ccd_enrollment_data.json`");

    runtime.block_on(catalog.ensure_table(&dataset.table_spec())).expect("the catalog responds");
    assert_eq!(runtime.block_on(partitions(&catalog, &dataset)), []);
}
