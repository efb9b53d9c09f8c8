//! Tests of `fetch`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::executor::block_on;
use url::Url;

use super::*;
use crate::commit::commit_plain;
use crate::dataset::RepeatedKeys;
use crate::file::{Digest, ENCODING_VERSION, Edition, Stamp};
use crate::ledger::{self, Outcome};
use crate::memory::Memory;
use crate::memory::Room;
use crate::page::PageDecoder;
use crate::ports::{PageRequest, PortalError, Reading, Response};
use crate::testing::{
    CannedPages, MemoryStore, NOW, StandingClock, enrollment, next_turn, page, pages, partition, row, run_facts, time,
};

const KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";

fn facts(force: bool) -> RunFacts {
    RunFacts { force, in_flight: 2, ..run_facts("r1") }
}

/// Returns the receipt of a fetch, which must not be unfinished.
fn finished(fetched: Result<Fetched, Error>) -> Result<Receipt, Error> {
    fetched.map(|fetched| fetched.receipt().unwrap())
}

fn fetch_with(store: &MemoryStore, portal: &CannedPages, dataset: &Dataset, force: bool) -> Result<Receipt, Error> {
    finished(block_on(fetch_partition(portal, store, &StandingClock, dataset, &partition(), &facts(force))))
}

/// Fetches as part of the run named `run`.
fn fetch_as(run: &str, store: &MemoryStore, portal: &CannedPages, dataset: &Dataset) -> Result<Receipt, Error> {
    let facts = RunFacts { run: run.into(), ..facts(false) };
    finished(block_on(fetch_partition(portal, store, &StandingClock, dataset, &partition(), &facts)))
}

fn fetch(store: &MemoryStore, bodies: Vec<String>) -> Result<Receipt, Error> {
    fetch_with(store, &CannedPages::new(bodies), &enrollment(), false)
}

fn rows(n_rows: u64) -> Vec<String> {
    (1..=n_rows).map(|school| row(school, "5")).collect()
}

#[test]
fn a_fetched_partition_has_one_object_and_a_receipt() {
    let store = MemoryStore::default();
    let receipt = fetch(&store, pages(&rows(5), 2)).unwrap();
    assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Written, 5, 3));
    assert_eq!(store.keys(""), [KEY, "ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json",]);
    let stamp = store.stamp(KEY).unwrap();
    assert_eq!((stamp.n_rows, stamp.fetched_at, stamp.run.as_deref()), (5, time(NOW), Some("r1")));
}

#[test]
fn a_failure_leaves_a_receipt_with_the_error_and_the_portals_release() {
    let (store, portal) = (MemoryStore::default(), CannedPages::new(vec![page(3, None, &rows(2))]));
    let run = RunFacts { portal_release: Some("0.24.0".into()), ..facts(false) };
    block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &partition(), &run)).unwrap_err();
    let receipt = store.bytes(&keys::receipt(&enrollment(), "r1", &partition())).unwrap();
    let receipt: Receipt = serde_json::from_slice(&receipt).unwrap();
    assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Failed, 0, 0));
    assert_eq!(receipt.error.unwrap().name, "CountMismatch");
    assert_eq!(receipt.portal_release.as_deref(), Some("0.24.0"));
}

#[test]
fn the_same_rows_in_another_order_or_page_size_leave_the_partition_unchanged() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 2)).unwrap();
    let before = store.bytes(KEY);
    let mut reversed = rows(5);
    reversed.reverse();
    for bodies in [pages(&rows(5), 2), pages(&rows(5), 5), pages(&reversed, 3)] {
        let later = fetch_as("r2", &store, &CannedPages::new(bodies), &enrollment());
        assert_eq!(later.unwrap().outcome, Outcome::Unchanged);
        assert_eq!(store.bytes(KEY), before);
    }
}

#[test]
fn a_changed_value_or_descriptor_or_encoding_version_rewrites_the_partition() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 2)).unwrap();
    let mut changed = rows(5);
    changed[3] = row(4, "6");
    assert_eq!(fetch(&store, pages(&changed, 2)).unwrap().outcome, Outcome::Written);

    let mut dataset = enrollment();
    dataset.columns[0].dictionary = true;
    let portal = CannedPages::new(pages(&changed, 2));
    assert_eq!(fetch_with(&store, &portal, &dataset, false).unwrap().outcome, Outcome::Rewritten);
    assert_eq!(fetch_as("r2", &store, &portal, &dataset).unwrap().outcome, Outcome::Unchanged);

    let mut stamp = store.stamp(KEY).unwrap();
    stamp.edition.encoding_version = ENCODING_VERSION - 1;
    store.set(KEY, b"written by an older version", Some(stamp));
    assert_eq!(fetch_with(&store, &portal, &dataset, false).unwrap().outcome, Outcome::Rewritten);
}

#[test]
fn a18_a_lost_row_is_refused_with_both_counts() {
    let store = MemoryStore::default();
    let bodies = vec![page(3, Some(2), &rows(2)), page(3, None, &[])];
    let error = fetch(&store, bodies).unwrap_err();
    assert_eq!(error.name(), "CountMismatch");
    assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 3 rows, received 2");
    assert_eq!(store.bytes(KEY), None);
    let receipt: Receipt =
        block_on(ledger::read_json(&store, "ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json"))
            .unwrap()
            .unwrap();
    assert_eq!(receipt.error.unwrap().name, "CountMismatch");
}

#[test]
fn a18_a_count_without_rows_and_rows_without_a_count_are_refused() {
    let store = MemoryStore::default();
    for (count, n_rows, expected) in [(5, 0, "expected 5 rows, received 0"), (0, 2, "expected 0 rows, received 2")] {
        let error = fetch(&store, vec![page(count, None, &rows(n_rows))]).unwrap_err();
        assert_eq!(error.chain(), format!("fetch `year=2021/grade=grade-pk`: {expected}"));
    }
    assert_eq!(store.bytes(KEY), None);
}

#[test]
fn a_link_on_the_last_page_is_refused() {
    for (bodies, expected) in [
        (vec![page(2, Some(2), &rows(2))], "null on the only page"),
        (vec![page(4, Some(2), &rows(2)), page(4, Some(3), &rows(4)[2..])], "null on the last of 2 pages"),
    ] {
        let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
        assert!(error.name() == "UntrustedNext" && error.chain().contains(expected), "{}", error.chain());
    }
}

#[test]
fn a_missing_next_fails_the_partition_before_other_pages_are_requested() {
    let store = MemoryStore::default();
    let portal = CannedPages::new(vec![page(778_243, None, &rows(10))]);
    let error = fetch_with(&store, &portal, &enrollment(), false).unwrap_err();
    assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 778243 rows, received 10");
    assert_eq!(*portal.requested.lock().unwrap(), [1]);
}

#[test]
fn a16_a_count_that_changes_between_pages_is_refused() {
    let bodies = vec![page(4, Some(2), &rows(2)), page(5, None, &[row(3, "5"), row(4, "5")])];
    let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
    assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 4 rows, page 2 has `count` 5");
}

#[test]
fn a19_a20_a22_a_next_other_than_the_following_page_is_refused() {
    for next in [
        "https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=1",
        "https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=3",
        "https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2&fips=1",
        "https://portal.test/api/v1/schools/ccd/enrollment/2020/grade-pk/?page=2",
        "http://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
        "https://portal.test:8443/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
        "https://portal.test.evil/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
        "https://user@portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
        "//evil/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
        "/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "",
    ] {
        let first = page(4, Some(2), &rows(2))
            .replace("https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2", next);
        let error = fetch(&MemoryStore::default(), vec![first]).unwrap_err();
        assert_eq!(error.name(), "UntrustedNext", "{next}");
        assert_eq!(
            error.chain(),
            format!(
                "check `next` on page 1 of `year=2021/grade=grade-pk`: expected \
                     `https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2`, found `{next}`"
            )
        );
    }
}

#[test]
fn a_next_after_the_last_page_is_refused() {
    let bodies = vec![page(4, Some(2), &rows(2)), page(4, Some(3), &[row(3, "5"), row(4, "5")])];
    let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
    assert_eq!(
        error.chain(),
        "check `next` on page 2 of `year=2021/grade=grade-pk`: expected null on the last of 2 pages, found \
             `https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=3`"
    );
}

#[test]
fn a17_a_key_on_two_pages_is_refused() {
    let bodies = vec![page(4, Some(2), &rows(2)), page(4, None, &[row(2, "5"), row(4, "5")])];
    let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
    assert_eq!(
        error.chain(),
        "check keys of `year=2021/grade=grade-pk`: expected each key once, found `ncessch 000000000002` more than \
             once (1 of 4 rows repeat a key)"
    );
}

#[test]
fn a7_an_empty_response_writes_no_object_and_removes_one_only_with_force() {
    let store = MemoryStore::default();
    let empty = || vec![page(0, None, &[])];
    assert_eq!(fetch(&store, empty()).unwrap().outcome, Outcome::Empty);
    assert_eq!(store.bytes(KEY), None);
    fetch(&store, pages(&rows(5), 5)).unwrap();
    let error = fetch(&store, empty()).unwrap_err();
    assert_eq!(
        error.chain(),
        "replace `year=2021/grade=grade-pk`: expected at least half of the 5 rows committed before, found 0\n\
             hint: if the portal's data is right, run this partition again with `force`"
    );
    assert!(store.bytes(KEY).is_some());
    let receipt = fetch_with(&store, &CannedPages::new(empty()), &enrollment(), true).unwrap();
    assert_eq!((receipt.outcome, store.bytes(KEY)), (Outcome::Empty, None));
}

#[test]
fn a7_an_empty_response_removes_an_unreadable_object_only_with_force() {
    let store = MemoryStore::default();
    store.set(KEY, b"unreadable", None);
    let empty = || CannedPages::new(vec![page(0, None, &[])]);
    let error = fetch_with(&store, &empty(), &enrollment(), false).unwrap_err();
    assert_eq!(error.name(), "ShrankTooMuch");
    assert!(store.bytes(KEY).is_some());
    let receipt = fetch_with(&store, &empty(), &enrollment(), true).unwrap();
    assert_eq!((receipt.outcome, store.bytes(KEY)), (Outcome::Empty, None));
}

#[test]
fn an_object_that_is_replaced_during_a_removal_stays() {
    let newer = rival_stamp("2026-11-23T12:00:01Z");
    let store = MemoryStore::with_rivals(vec![Box::new(move |store| store.set(KEY, b"rival", Some(newer)))]);
    store.set(KEY, b"older", Some(rival_stamp("2026-11-23T11:00:00Z")));
    let error = fetch_with(&store, &CannedPages::new(vec![page(0, None, &[])]), &enrollment(), true).unwrap_err();
    assert_eq!(error.name(), "WriteConflict");
    assert_eq!(store.bytes(KEY).unwrap().as_ref(), b"rival");
}

#[test]
fn a_partition_that_shrank_by_more_than_half_needs_force() {
    for (before, after, is_refused) in [(4, 2, false), (5, 2, true), (5, 3, false), (2, 1, false), (3, 1, true)] {
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(before), 10)).unwrap();
        let result = fetch(&store, pages(&rows(after), 10));
        assert_eq!(result.is_err_and(|error| error.name() == "ShrankTooMuch"), is_refused, "{before} to {after}");
    }
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 10)).unwrap();
    let forced = fetch_with(&store, &CannedPages::new(pages(&rows(1), 10)), &enrollment(), true);
    assert_eq!(forced.unwrap().outcome, Outcome::Written);
}

#[test]
fn a26_an_unknown_field_is_kept_and_counted_and_the_partition_is_written() {
    let store = MemoryStore::default();
    let mut all = rows(3);
    all[1] = all[1].replace("\"fips\"", "\"lunch\":[1, 2],\"fips\"");
    let receipt = fetch(&store, pages(&all, 3)).unwrap();
    assert_eq!((receipt.outcome, receipt.n_unknown, receipt.n_misfits), (Outcome::Written, 1, 0));
    assert_eq!(receipt.unknown_fields, ["lunch"]);
    // Two pages, each with a different unknown field.
    all[2] = all[2].replace("\"fips\"", "\"meals\":3,\"fips\"");
    let receipt = fetch(&store, pages(&all, 1)).unwrap();
    assert_eq!((receipt.n_unknown, receipt.unknown_fields), (2, vec!["lunch".to_owned(), "meals".to_owned()]));
}

#[test]
fn a27_one_misfit_per_thousand_rows_is_kept_and_two_fail_the_partition() {
    for (n_misfits, expected) in [(1, None), (2, Some("SchemaDrift"))] {
        let mut all = rows(1000);
        for i in 0..n_misfits {
            all[700 + i] = row(701 + i as u64, "\"many\"");
        }
        let result = fetch(&MemoryStore::default(), pages(&all, 400));
        match (result, expected) {
            (Ok(receipt), None) => assert_eq!((receipt.outcome, receipt.n_misfits), (Outcome::Written, 1)),
            (Err(error), Some(name)) => {
                assert_eq!(error.name(), name);
                assert_eq!(
                    error.chain(),
                    "check column `enrollment` of `year=2021/grade=grade-pk`: expected int, found `\"many\"` in row \
                         701 (2 of 1000 rows do not fit)\nhint: if the portal's data has changed permanently, update the \
                         column in the descriptor"
                );
            }
            (result, _) => panic!("{result:?}"),
        }
    }
}

#[test]
fn a28_a29_a_null_absent_or_invalid_key_fails_the_partition() {
    for (from, to, found) in [
        ("\"ncessch\":\"KEY\",", "\"ncessch\":null,", "`null`"),
        ("\"ncessch\":\"KEY\",", "", "no such field"),
        ("\"ncessch\":\"KEY\",", "\"ncessch\":[],", "`[]`"),
        ("\"ncessch\":\"KEY\",", "\"ncessch\":\"\",", "`\"\"`"),
    ] {
        // The row is on the first page of a thousand rows, then on the second.
        for (n, n_rows) in [(2, 1000), (1500, 2000)] {
            let mut all = rows(2000);
            all[n - 1] = all[n - 1].replace(&from.replace("KEY", &format!("{n:012}")), to);
            let error = fetch(&MemoryStore::default(), pages(&all, 1000)).unwrap_err();
            assert_eq!(error.name(), "SchemaDrift");
            // Reading stops at a row without this field.
            let n_rows = if to.is_empty() { n } else { n_rows };
            let expected = format!(
                "expected string, never null or empty, found {found} in row {n} (1 of {n_rows} rows do not fit)"
            );
            assert!(error.chain().contains(&expected), "{}", error.chain());
        }
    }
}

/// A change to the descriptor of enrollment.
fn with(change: impl FnOnce(&mut Dataset)) -> Dataset {
    let mut dataset = enrollment();
    change(&mut dataset);
    dataset
}

#[test]
fn a43_an_optional_field_is_absent_from_all_rows_of_a_partition_or_from_none() {
    let optional = with(|dataset| dataset.columns[4].optional = true);
    let without = |row: &String| row.replace("\"enrollment\":5,", "");
    let fetch = |dataset: &Dataset, all: &[String]| {
        fetch_with(&MemoryStore::default(), &CannedPages::new(pages(all, 400)), dataset, false)
    };
    let absent: Vec<String> = rows(1000).iter().map(without).collect();
    let receipt = fetch(&optional, &absent).unwrap();
    assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_misfits), (Outcome::Written, 1000, 0));
    assert_eq!(fetch(&enrollment(), &absent).unwrap_err().name(), "SchemaDrift");
    // The name that was looked for, if the column has another.
    let renamed = with(|dataset| dataset.columns[4].field = Some("pupils".to_owned()));
    let message = fetch(&renamed, &absent).unwrap_err().chain();
    assert!(message.contains("expected int, found no field `pupils` in row 1 (1000 of 1000 rows"), "{message}");
    // One row in a thousand is an accident, as in other columns; the field of more is not.
    for (n_absent, is_written) in [(1, true), (2, false), (999, false)] {
        let mut all = rows(1000);
        all[..n_absent].clone_from_slice(&absent[..n_absent]);
        match fetch(&optional, &all) {
            Ok(receipt) => assert_eq!((receipt.n_misfits, is_written), (n_absent as u64, true)),
            Err(error) => {
                assert!(!is_written, "{}", error.chain());
                let expected = format!("found no such field in row 1 ({n_absent} of 1000 rows do not fit)");
                assert!(error.chain().contains(&expected), "{}", error.chain());
            }
        }
    }
}

#[test]
fn a44_repeated_and_empty_keys_are_counted_if_the_descriptor_keeps_them() {
    let keep = with(|dataset| dataset.repeated_keys = RepeatedKeys::Keep);
    let mut all = rows(1000);
    all[10] = all[9].clone();
    all[500] = all[9].clone();
    all[20] = all[20].replace("\"000000000021\"", "null");
    all[21] = all[21].replace("\"000000000022\"", "\"\"");
    let mut files = Vec::new();
    for page_size in [1000, 400, 7] {
        let (store, portal) = (MemoryStore::default(), CannedPages::new(pages(&all, page_size)));
        assert_eq!(fetch_with(&store, &portal, &enrollment(), false).unwrap_err().name(), "SchemaDrift");
        let receipt = fetch_with(&store, &portal, &keep, false).unwrap();
        assert_eq!((receipt.outcome, receipt.n_rows), (Outcome::Written, 1000), "{page_size}");
        assert_eq!((receipt.n_repeated_keys, receipt.n_empty_keys), (2, 2), "{page_size}");
        assert_eq!(fetch_as("r2", &store, &portal, &keep).unwrap().outcome, Outcome::Unchanged, "{page_size}");
        files.push(store.bytes(&keys::partition_object(&keep, &partition())).unwrap());
    }
    assert!(files.iter().all(|file| *file == files[0]), "the file depends on the size of the pages");
    let receipt = fetch_with(&MemoryStore::default(), &CannedPages::new(pages(&rows(5), 2)), &keep, false).unwrap();
    assert_eq!((receipt.n_repeated_keys, receipt.n_empty_keys), (0, 0));
}

/// Found by use: H12.
#[test]
fn a41_a_key_that_cannot_be_padded_is_written_unchanged_unless_there_are_many() {
    for (n_odd, expected) in [(1, None), (2, Some("of 1000 rows do not fit"))] {
        let mut all = rows(1000);
        for i in 0..n_odd {
            let odd = format!("\"2500003{:04}\"", 1636 + i);
            all[700 + i] = all[700 + i].replace(&format!("\"{:012}\"", 701 + i), &odd);
            all[700 + i] = all[700 + i].replace("\"fips\":1,\"leaid\":\"100002\"", "\"fips\":25,\"leaid\":\"2500003\"");
        }
        match (fetch(&MemoryStore::default(), pages(&all, 400)), expected) {
            (Ok(receipt), None) => assert_eq!((receipt.outcome, receipt.n_misfits), (Outcome::Written, 1)),
            (Err(error), Some(_)) => assert_eq!(
                error.chain(),
                "check column `ncessch` of `year=2021/grade=grade-pk`: expected string of at most 12 characters that \
                 starts with the row's `fips` and `leaid` after padding, found `\"25000031636\"` in row 701 (2 of 1000 \
                 rows do not fit)\nhint: if the portal's data has changed permanently, update the column in the descriptor"
            ),
            (result, _) => panic!("{result:?}"),
        }
    }
    // A key that was kept unchanged does not hide one that was lost.
    let mut all = rows(1000);
    all[1] = all[1].replace("\"000000000002\"", "\"0000000000002\"");
    all[3] = all[3].replace("\"000000000004\"", "null");
    let error = fetch(&MemoryStore::default(), pages(&all, 1000)).unwrap_err();
    assert!(error.chain().contains("expected string, never null or empty, found `null` in row 4"), "{}", error.chain());
}

/// Found by use: W12.
#[test]
fn the_hint_for_a_key_without_a_value_names_the_key_columns() {
    for to in ["\"\"", "null"] {
        let all = [rows(1).concat().replace("\"000000000001\"", to)];
        let error = fetch(&MemoryStore::default(), pages(&all, 1)).unwrap_err();
        let hint = "\nhint: key columns (ncessch) cannot be null or empty; if the portal has rows without them, choose \
                        another `key` in the descriptor";
        assert!(error.chain().ends_with(hint), "{}", error.chain());
    }
}

#[test]
fn a33_a_row_of_another_partition_is_refused() {
    for (from, to, expected) in [
        ("\"grade\":-1", "\"grade\":0", "expected `grade` -1, found 0"),
        ("\"year\":2021", "\"year\":2020", "expected `year` 2021, found 2020"),
        ("\"year\":2021,", "", "expected `year` 2021, found no such field"),
        ("\"grade\":-1", "\"grade\":null", "expected `grade` -1, found null"),
    ] {
        let mut all = rows(3);
        all[2] = all[2].replace(from, to);
        let error = fetch(&MemoryStore::default(), pages(&all, 2)).unwrap_err();
        assert_eq!(error.name(), "WrongPartition");
        assert_eq!(error.chain(), format!("check row 1 on page 2 of `year=2021/grade=grade-pk`: {expected}"));
    }
}

fn edition(digest: u128) -> Edition {
    Edition { digest: Digest(digest), schema_id: enrollment().schema_id(), encoding_version: ENCODING_VERSION }
}

/// The stamp of a rival's object, with different rows, received at `fetched_at`.
fn rival_stamp(fetched_at: &str) -> Stamp {
    Stamp {
        edition: edition(7),
        partition: Some("year=2021/grade=grade-pk".into()),
        n_rows: 5,
        fetched_at: time(fetched_at),
        run: Some("rival".into()),
    }
}

#[test]
fn l5_an_outdated_writer_is_superseded_and_a_newer_one_wins() {
    for (fetched_at, outcome, winner) in [
        ("2026-11-23T12:00:01Z", Outcome::Superseded, "rival"),
        ("2026-11-23T12:00:00Z", Outcome::Written, "r1"),
        ("2026-11-23T11:59:59Z", Outcome::Written, "r1"),
    ] {
        let stamp = rival_stamp(fetched_at);
        let store = MemoryStore::with_rivals(vec![Box::new(move |store| store.set(KEY, b"rival", Some(stamp)))]);
        let receipt = fetch(&store, pages(&rows(5), 5)).unwrap();
        assert_eq!(receipt.outcome, outcome);
        assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some(winner));
    }
}

/// An object seen before the rows were read is older than the rows, whatever its timestamp says.
#[test]
fn an_object_from_a_clock_that_is_ahead_is_replaced_by_a_writer_that_saw_it_first() {
    let store = MemoryStore::default();
    store.set(KEY, b"ahead", Some(rival_stamp("2026-12-31T00:00:00Z")));
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
}

#[test]
fn o3_a_write_whose_response_was_lost_counts_as_written() {
    let store = MemoryStore::default();
    *store.loses_response.lock().unwrap() = true;
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
}

/// Found by use: B14.
#[test]
fn a_retry_that_finds_an_object_of_its_own_run_reports_it_as_written() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 2)).unwrap();
    // The receipt is lost, and the same partition is fetched again.
    store.drop_object("ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json");
    assert_eq!(fetch(&store, pages(&rows(5), 2)).unwrap().outcome, Outcome::Written);
    let another_run = fetch_as("r2", &store, &CannedPages::new(pages(&rows(5), 2)), &enrollment());
    assert_eq!(another_run.unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn an_unchanged_partition_costs_one_head_request_and_one_write() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 2)).unwrap();
    store.calls.lock().unwrap().clear();
    fetch_as("r2", &store, &CannedPages::new(pages(&rows(5), 2)), &enrollment()).unwrap();
    assert_eq!(*store.calls.lock().unwrap(), BTreeMap::from([("head", 1), ("write", 1)]));
}

/// Found by use: H4.
#[test]
fn an_object_that_names_another_partition_is_replaced_as_if_unreadable() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 5)).unwrap();
    let mut stamp = store.stamp(KEY).unwrap();
    stamp.partition = Some("year=2021/grade=grade-k".into());
    stamp.run = None;
    store.set(KEY, b"another's", Some(stamp.clone()));
    // It is replaced even though the edition is the same and the new file has fewer rows.
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    store.set(KEY, b"another's", Some(stamp));
    assert_eq!(fetch(&store, pages(&rows(1), 5)).unwrap().outcome, Outcome::Written);
    // A file with the previous encoding version names no partition, so it is assumed to belong to this one.
    let mut old = store.stamp(KEY).unwrap();
    (old.partition, old.edition.encoding_version, old.n_rows) = (None, 1, 500);
    store.set(KEY, b"old", Some(old.clone()));
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap_err().name(), "ShrankTooMuch");
    old.edition.encoding_version = 2;
    store.set(KEY, b"of no partition", Some(old));
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
}

/// Found by use: H7.
#[test]
fn a_column_that_loses_most_of_its_values_needs_force() {
    let with = |value: &str| (1..=150).map(|school| row(school, value)).collect::<Vec<String>>();
    for (value, is_refused) in [("null", true), ("-1", true), ("0", true), ("7", false)] {
        let store = MemoryStore::default();
        fetch(&store, pages(&with("5"), 200)).unwrap();
        let before = store.bytes(KEY);
        let result = fetch(&store, pages(&with(value), 200));
        assert_eq!(result.is_err(), is_refused, "{value}");
        let Err(error) = result else { continue };
        assert_eq!(
            error.chain(),
            "replace `year=2021/grade=grade-pk`: expected at least half of the 150 values of `enrollment` committed \
                 before, found 0\nhint: if the portal's data is right, run this partition again with `force`"
        );
        assert_eq!((error.name(), store.bytes(KEY)), ("ShrankTooMuch", before));
        let forced = fetch_with(&store, &CannedPages::new(pages(&with(value), 200)), &enrollment(), true);
        assert_eq!(forced.unwrap().outcome, Outcome::Written);
    }
}

/// A portal that serves `again` for page 1 from the second request on.
struct Revised {
    pages: CannedPages,
    again: String,
}

impl Portal for Revised {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let is_again = page == 1 && self.pages.requested.lock().unwrap().contains(&1);
        let again = Bytes::from(self.again.clone());
        self.pages.get(path, page, request, move |body| read(if is_again { &again } else { body })).await
    }
}

/// Found by use: H6.
#[test]
fn a_source_that_changes_between_two_pages_fails_the_partition() {
    let first = |rows: &[String]| page(5, Some(2), rows);
    let changed =
        "fetch `year=2021/grade=grade-pk`: expected 5 rows, page 1 changed while the other pages were fetched";
    for (what, again, expected) in [
        ("no change", first(&rows(2)), None),
        ("a closed school", first(&[row(2, "5"), row(3, "5")]), Some(changed)),
        ("a revised value", first(&[row(1, "5"), row(2, "6")]), Some(changed)),
        ("another order", first(&[row(2, "5"), row(1, "5")]), Some(changed)),
        ("another count", page(6, Some(2), &rows(2)), Some(changed)),
    ] {
        let store = MemoryStore::default();
        let portal = Revised { pages: CannedPages::new(pages(&rows(5), 2)), again };
        let (dataset, partition, run) = (enrollment(), partition(), facts(false));
        let result = block_on(fetch_partition(&portal, &store, &StandingClock, &dataset, &partition, &run));
        assert_eq!(result.as_ref().err().map(Error::chain).as_deref(), expected, "{what}");
        assert!(result.is_ok_and(|_| store.bytes(KEY).is_some()) || expected.is_some());
    }
    // A single page cannot mix two versions.
    let portal = CannedPages::new(pages(&rows(5), 5));
    fetch_with(&MemoryStore::default(), &portal, &enrollment(), false).unwrap();
    assert_eq!(*portal.requested.lock().unwrap(), [1]);
}

/// A portal with very little memory, which records the maximum of the bytes held.
struct Tight {
    pages: CannedPages,
    page_memory: Memory,
    partition_memory: Memory,
    max_held: Mutex<(usize, usize)>,
}

impl Tight {
    async fn turn(&self) {
        {
            let mut max = self.max_held.lock().unwrap();
            max.0 = max.0.max(self.page_memory.held_bytes());
            max.1 = max.1.max(self.partition_memory.held_bytes());
        }
        next_turn().await;
    }
}

impl Portal for Tight {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        mut request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        self.turn().await;
        let room = request.room.take();
        let mut response = self.pages.get(path, page, request, read).await?;
        response.room = Some(match room {
            Some(room) if room.n_bytes() < response.size_bytes => {
                return Err(PortalError::Outgrown { tries: response.tries });
            }
            Some(room) => room,
            None => {
                let mut room = self.page_memory.room();
                for i in 1..=4 {
                    room.hold(response.size_bytes * i / 2).await;
                    self.turn().await;
                }
                room
            }
        });
        Ok(response)
    }

    fn page_memory(&self) -> Memory {
        self.page_memory.clone()
    }

    fn partition_memory(&self) -> Memory {
        self.partition_memory.clone()
    }
}

/// Guards against a deadlock, which would keep the fetches from ever finishing.
///
/// Found by use: B6.
#[test]
fn a42_partitions_that_share_too_little_memory_finish_one_after_the_other() {
    let mut uneven = rows(40);
    // From the second page on, rows are longer than on the first.
    uneven[5..]
        .iter_mut()
        .for_each(|row| *row = row.replace("\"fips\"", &format!("\"new\":\"{}\",\"fips\"", "x".repeat(500))));
    in_a_minute(move || {
        for limit in [0, 1, 5_000, 20_000, 1 << 20] {
            let bodies = pages(&uneven, 5);
            let max_body = bodies.iter().map(String::len).max().unwrap();
            let portal = Tight {
                pages: CannedPages::new(bodies),
                page_memory: Memory::new(limit),
                partition_memory: Memory::new(limit),
                max_held: Mutex::default(),
            };
            let stores: Vec<MemoryStore> = (0..8).map(|_| MemoryStore::default()).collect();
            let (dataset, partition) = (enrollment(), partition());
            // The second run finds everything unchanged, and so holds rows that it may not have to encode.
            for (number, (run, outcome)) in [("r1", Outcome::Written), ("r2", Outcome::Unchanged)].iter().enumerate() {
                let run = RunFacts { run: (*run).to_owned(), ..facts(false) };
                let fetches = stores
                    .iter()
                    .map(|store| fetch_partition(&portal, store, &StandingClock, &dataset, &partition, &run));
                for receipt in block_on(futures::future::join_all(fetches)) {
                    let receipt = finished(receipt).unwrap();
                    assert_eq!((receipt.n_rows, &receipt.outcome), (40, outcome));
                }
                let (pages, partitions) = *portal.max_held.lock().unwrap();
                assert!(pages <= limit + 2 * max_body, "{pages} of {limit}");
                assert!(partitions <= limit + (1 << 20), "{partitions} of {limit}");
                assert_eq!((portal.page_memory.held_bytes(), portal.partition_memory.held_bytes()), (0, 0));
                // Every page is requested once, and page 1 twice. A page that was dropped is requested one more time.
                let n_requests = portal.pages.requested.lock().unwrap().len();
                assert!(n_requests <= (number + 1) * 8 * (2 * 8 + 2), "{n_requests} requests");
            }
        }
    });
}

/// A portal on which page 3 does not fit in its room and pages 4 and 5 take long. At first, its time ends after page 2.
struct Crossing {
    pages: CannedPages,
    has_time: bool,
}

impl Portal for Crossing {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        if page > 2 && !self.has_time {
            return Err(PortalError::Deadline { tries: 1 });
        }
        for _ in 0..if matches!(page, 4 | 5) { 50 } else { 1 } {
            next_turn().await;
        }
        if page == 3 && request.room.is_some() {
            return Err(PortalError::Outgrown { tries: 1 });
        }
        self.pages.get(path, page, request, read).await
    }
}

/// Guards against a deadlock: while page 2 is read from the lake, page 3 turns out too large and pages 4 and 5 take both
/// slots. They make no progress while page 3 is requested again.
#[test]
fn a_page_that_is_due_does_not_wait_for_later_pages_to_be_kept() {
    in_a_minute(|| {
        let mut portal = Crossing { pages: CannedPages::new(pages(&rows(16), 2)), has_time: false };
        let keep =
            Keep { from_pages: 5, from_duration: jiff::SignedDuration::ZERO, after_commit: false, is_only_run: false };
        let (store, run) = (MemoryStore::default(), RunFacts { keep, ..facts(false) });
        let (dataset, partition) = (enrollment(), partition());
        let fetch =
            |portal: &Crossing| block_on(fetch_partition(portal, &store, &StandingClock, &dataset, &partition, &run));
        assert!(matches!(fetch(&portal).unwrap(), Fetched::Unfinished { progress: Progress { n_kept: 1, .. }, .. }));
        portal.has_time = true;
        *store.turns_to_read.lock().unwrap() = 5;
        assert_eq!(finished(fetch(&portal)).unwrap().n_rows, 16);
    });
}

/// A portal that reports when page 1 is requested again.
struct Rechecked(CannedPages, Arc<AtomicBool>);

impl Portal for Rechecked {
    fn root(&self) -> &Url {
        self.0.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let is_again = page == 1 && !self.0.requested.lock().unwrap().is_empty();
        self.1.fetch_or(is_again, Ordering::Relaxed);
        self.0.get(path, page, request, read).await
    }
}

#[test]
fn a_partition_does_not_wait_for_its_pages_to_be_written_before_it_is_committed() {
    in_a_minute(|| {
        let may_keep = Arc::new(AtomicBool::new(false));
        let portal = Rechecked(CannedPages::new(pages(&rows(10), 2)), may_keep.clone());
        let keep = Keep { from_pages: 5, from_duration: jiff::SignedDuration::ZERO, ..Keep::default() };
        let (store, run) = (MemoryStore::default(), RunFacts { keep, in_flight: 4, ..facts(false) });
        *store.may_keep.lock().unwrap() = Some(may_keep);
        let (dataset, partition) = (enrollment(), partition());
        let fetched = block_on(fetch_partition(&portal, &store, &StandingClock, &dataset, &partition, &run));
        assert_eq!(finished(fetched).unwrap().n_rows, 10);
        // All four were written before the commit, and then deleted.
        assert_eq!(store.keys("pages/"), Vec::<String>::new());
        assert_eq!(store.calls.lock().unwrap()["write"], 4 + 4);
    });
}

/// A portal whose pages have a memory limit, and which reports when page 1 is requested again.
struct Scarce {
    pages: Rechecked,
    memory: Memory,
    /// Bodies that exist: the current number, and the maximum when a page was requested.
    bodies: Arc<Mutex<(usize, usize)>>,
}

impl Scarce {
    fn new(bodies: Vec<String>, limit_bytes: usize) -> Self {
        let pages = Rechecked(CannedPages::new(bodies), Arc::default());
        Self { pages, memory: Memory::new(limit_bytes), bodies: Arc::default() }
    }

    /// Fetches a partition. Returns how many pages were kept.
    fn n_kept(&self, store: &MemoryStore) -> usize {
        let keep = Keep { from_pages: 5, from_duration: jiff::SignedDuration::ZERO, ..Keep::default() };
        let (dataset, partition, run) = (enrollment(), partition(), RunFacts { keep, ..facts(false) });
        finished(block_on(fetch_partition(self, store, &StandingClock, &dataset, &partition, &run))).unwrap();
        // Description, count, object and receipt.
        store.calls.lock().unwrap()["write"] - 4
    }
}

/// A body that is counted while it exists.
struct Counted(Bytes, Arc<Mutex<(usize, usize)>>);

impl Counted {
    fn body(body: &Bytes, bodies: &Arc<Mutex<(usize, usize)>>) -> Bytes {
        bodies.lock().unwrap().0 += 1;
        Bytes::from_owner(Self(body.clone(), bodies.clone()))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.lock().unwrap().0 -= 1;
    }
}

impl Portal for Scarce {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        mut request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        {
            let mut bodies = self.bodies.lock().unwrap();
            bodies.1 = bodies.1.max(bodies.0);
        }
        let room = request.room.take();
        let bodies = Arc::clone(&self.bodies);
        let read = move |body: &Bytes| read(&Counted::body(body, &bodies));
        let response = self.pages.get(path, page, request, read).await?;
        Ok(Response { room, ..response })
    }

    fn page_memory(&self) -> Memory {
        self.memory.clone()
    }
}

#[test]
fn pages_that_wait_to_be_written_are_limited_even_if_every_page_is_due() {
    in_a_minute(|| {
        let bodies = pages(&rows(20), 2);
        let page_1 = bodies[0].len() + row_bytes(&bodies[0]);
        // Neither has memory for a prefetched page. Without room for a body, it is compressed at once.
        for (limit_bytes, bodies_wait) in [(1, false), (page_1, true)] {
            let (portal, store) = (Scarce::new(bodies.clone(), limit_bytes), MemoryStore::default());
            *store.may_keep.lock().unwrap() = Some(portal.pages.1.clone());
            // Two requests in flight have three slots.
            assert_eq!(portal.n_kept(&store), 3);
            assert_eq!(portal.bodies.lock().unwrap().1 > 0, bodies_wait);
        }
    });
}

/// Runs `work` in a thread.
///
/// # Panics
/// If it fails, or has not ended within a minute.
fn in_a_minute(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    ended.recv_timeout(std::time::Duration::from_secs(60)).expect("the work ends");
}

/// A portal that records its requests and responds a little later.
struct Watched {
    pages: CannedPages,
    page_memory: Memory,
    partition_memory: Memory,
    /// Whether another request for the same page is allowed.
    has_tries_left: bool,
    /// Requested pages, each with the size of its room.
    requested: Mutex<Vec<(u32, Option<usize>)>>,
    /// For each request, the number of earlier requests for the same page.
    tries_before: Mutex<Vec<u32>>,
    /// Replaces the body of the very first response.
    once: Option<String>,
    /// Requests in flight: the current number and the maximum.
    in_flight: Mutex<(usize, usize)>,
    /// The most memory that the partition held at a request, in bytes.
    max_held: Mutex<usize>,
}

impl Watched {
    fn new(bodies: Vec<String>) -> Self {
        Self {
            pages: CannedPages::new(bodies),
            page_memory: Memory::new(1 << 30),
            partition_memory: Memory::new(1 << 30),
            has_tries_left: true,
            requested: Mutex::default(),
            tries_before: Mutex::default(),
            once: None,
            in_flight: Mutex::default(),
            max_held: Mutex::default(),
        }
    }

    fn fetch(&self) -> Result<Receipt, Error> {
        self.fetch_as("r1", &MemoryStore::default())
    }

    fn fetch_as(&self, run: &str, store: &MemoryStore) -> Result<Receipt, Error> {
        let run = RunFacts { run: run.to_owned(), ..facts(false) };
        finished(block_on(fetch_partition(self, store, &StandingClock, &enrollment(), &partition(), &run)))
    }

    fn requested(&self) -> Vec<(u32, Option<usize>)> {
        self.requested.lock().unwrap().clone()
    }
}

impl Portal for Watched {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        mut request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let room = request.room.take();
        let is_first = self.requested().is_empty();
        self.requested.lock().unwrap().push((page, room.as_ref().map(Room::n_bytes)));
        self.tries_before.lock().unwrap().push(request.tries);
        {
            let mut max_held = self.max_held.lock().unwrap();
            *max_held = self.partition_memory.held_bytes().max(*max_held);
            let mut in_flight = self.in_flight.lock().unwrap();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
        }
        next_turn().await;
        self.in_flight.lock().unwrap().0 -= 1;
        let once = self.once.as_ref().filter(|_| is_first).map(|once| Bytes::from(once.clone()));
        let response = self.pages.get(path, page, request, move |body| read(once.as_ref().unwrap_or(body))).await?;
        Ok(Response { room, has_tries_left: response.has_tries_left && self.has_tries_left, ..response })
    }

    fn page_memory(&self) -> Memory {
        self.page_memory.clone()
    }

    fn partition_memory(&self) -> Memory {
        self.partition_memory.clone()
    }
}

/// Returns the memory that the rows of a page take, in bytes.
fn row_bytes(body: &str) -> usize {
    let (dataset, partition) = (enrollment(), partition());
    PageDecoder::new(&dataset, &partition).decode(1, body.as_bytes()).unwrap().batch.get_array_memory_size()
}

/// Found by use: B6.
#[test]
fn pages_are_requested_ahead_each_with_room_for_an_eighth_more_than_page_1() {
    let bodies = pages(&rows(16), 2);
    let page_1 = bodies[0].len() + row_bytes(&bodies[0]);
    let portal = Watched::new(bodies.clone());
    portal.fetch().unwrap();
    let ahead = Some(page_1 + page_1 / 8);
    // Four pages are requested at once. The page that is due needs no room beforehand.
    let expected = [(1, None), (2, None), (3, ahead), (4, ahead), (5, ahead), (6, ahead), (7, ahead), (8, ahead)];
    assert_eq!(portal.requested(), [&expected[..], &[(1, None)]].concat());
    assert_eq!(portal.in_flight.lock().unwrap().1, 4);
    // Without room, no page is prefetched.
    let portal = Watched { page_memory: Memory::new(page_1 + page_1 / 8 - 1), ..Watched::new(bodies) };
    portal.fetch().unwrap();
    assert!(portal.requested().iter().all(|(_, room)| room.is_none()), "{:?}", portal.requested());
    assert_eq!(portal.in_flight.lock().unwrap().1, 1);
}

/// Found by use: B6.
#[test]
fn a_page_needs_twice_its_memory_while_it_is_added_and_is_dropped_without_that_room() {
    let body = page(5, None, &rows(5));
    let validator = crate::fetch::validator::Validator::new(&enrollment(), &partition(), 5).unwrap().memory_bytes();
    let needed = validator + 2 * row_bytes(&body);
    for (limit, n_requests) in [(needed, 1), (needed - 1, 2)] {
        let portal = Watched { partition_memory: Memory::new(limit), ..Watched::new(vec![body.clone()]) };
        portal.fetch().unwrap();
        assert_eq!(portal.requested().len(), n_requests, "{limit} of {needed}");
    }
    // A single page that is requested again need not have the same rows, but must still be the only one.
    for (count, next, expected) in [(5, None, None), (6, Some(2), Some("CountMismatch"))] {
        let mut portal = Watched { partition_memory: Memory::new(needed - 1), ..Watched::new(vec![body.clone()]) };
        let other: Vec<String> = (11..16).map(|school| row(school, "5")).collect();
        portal.pages = CannedPages::new(vec![page(count, next, &other)]);
        portal.once = Some(body.clone());
        assert_eq!(portal.fetch().err().map(|error| error.name()), expected);
    }
}

#[test]
fn rows_are_encoded_if_the_memory_that_they_are_held_in_is_needed_for_a_page() {
    let bodies = pages(&rows(120_000), 20_000);
    let n_requests = |store: &MemoryStore, run: &str, limit| {
        let portal = Watched { partition_memory: Memory::new(limit), ..Watched::new(bodies.clone()) };
        assert_eq!(portal.fetch_as(run, store).unwrap().n_rows, 120_000);
        portal.requested().len()
    };
    // The least memory with which the first run requests no page again to save memory.
    let step = row_bytes(&bodies[0]) / 2;
    let (store, limit) = (1..)
        .map(|i| (MemoryStore::default(), i * step))
        .find(|(store, limit)| n_requests(store, "r1", *limit) == 7)
        .unwrap();
    assert_eq!(n_requests(&store, "r2", limit), 7);
}

#[test]
fn rows_are_held_only_if_there_are_as_many_as_in_the_lake() {
    let max_held = |store: &MemoryStore, run: &str, n_rows| {
        let portal = Watched::new(pages(&rows(n_rows), 20_000));
        assert_eq!(portal.fetch_as(run, store).unwrap().n_rows, n_rows);
        portal.max_held.into_inner().unwrap()
    };
    let (store, other) = (MemoryStore::default(), MemoryStore::default());
    let encoded = max_held(&store, "r1", 100_000);
    assert!(max_held(&store, "r2", 100_000) > encoded);
    assert_eq!(max_held(&store, "r3", 99_999), max_held(&other, "r1", 99_999));
}

#[test]
fn a42_a_partition_has_the_memory_of_the_process_that_its_largest_page_leaves() {
    // Most bytes are in a field that has no column.
    let wide = |school| row(school, "5").replace("\"fips\"", &format!("\"new\":\"{}\",\"fips\"", "x".repeat(50_000)));
    let bodies = pages(&[row(1, "5"), row(2, "5"), wide(3), wide(4), row(5, "5"), row(6, "5")], 2);
    let page_2 = bodies[1].len() + row_bytes(&bodies[1]);
    let fetch = |max_partition_bytes| {
        let (store, portal) = (MemoryStore::default(), CannedPages::new(bodies.clone()));
        let run = RunFacts { max_partition_bytes, ..facts(false) };
        finished(block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &partition(), &run)))
    };
    let error = fetch(Some(page_2 + page_2 / 8 + 100)).unwrap_err();
    let Error::PartitionTooLarge { page, limit_bytes, .. } = error else { panic!("{error}") };
    assert_eq!((page, limit_bytes), (2, 100));
    assert_eq!(fetch(Some(4 * page_2)).unwrap().n_rows, 6);
}

#[test]
fn a_dropped_page_1_is_requested_at_most_four_times_and_must_have_the_same_rows_each_time() {
    let bodies = pages(&rows(5), 2);
    let validator = crate::fetch::validator::Validator::new(&enrollment(), &partition(), 5).unwrap().memory_bytes();
    let too_small = Memory::new(validator + 2 * row_bytes(&bodies[0]) - 1);
    // Page 1 is requested first, again when there is room, and again after the last page. A fourth request would still
    // be allowed.
    let portal = Watched { partition_memory: too_small.clone(), ..Watched::new(bodies.clone()) };
    portal.fetch().unwrap();
    assert_eq!(portal.requested().iter().filter(|(page, _)| *page == 1).count(), 3);
    assert_eq!(*portal.tries_before.lock().unwrap(), [0, 1, 0, 0, 2]);
    // The first response has different rows.
    let mut portal = Watched { partition_memory: too_small, ..Watched::new(bodies.clone()) };
    portal.once = Some(page(5, Some(2), &[row(7, "1"), row(8, "1")]));
    assert_eq!(portal.fetch().unwrap_err().name(), "CountMismatch");
    assert_eq!(portal.requested().len(), 2);
}

#[test]
fn a_page_1_without_requests_left_is_enough_if_it_need_not_be_fetched_again() {
    let portal = |length| Watched { has_tries_left: false, ..Watched::new(pages(&rows(5), length)) };
    assert_eq!(portal(5).fetch().unwrap().n_rows, 5);
    let several = portal(2);
    assert_eq!(several.fetch().unwrap_err().name(), "PortalUnavailable");
    assert_eq!(several.requested().len(), 1);
}

#[test]
fn o3_a_removal_whose_response_was_lost_counts_as_a_removal() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 5)).unwrap();
    *store.loses_response.lock().unwrap() = true;
    let receipt = fetch_with(&store, &CannedPages::new(vec![page(0, None, &[])]), &enrollment(), true).unwrap();
    assert_eq!((receipt.outcome, store.bytes(KEY)), (Outcome::Empty, None));
}

#[test]
fn o4_a_writer_that_loses_every_race_gives_up() {
    let rivals = (0..4)
        .map(|_| -> crate::testing::Rival {
            Box::new(|store| store.set(KEY, b"rival", Some(rival_stamp("2026-11-23T11:00:00Z"))))
        })
        .collect();
    let store = MemoryStore::with_rivals(rivals);
    let error = fetch(&store, pages(&rows(5), 5)).unwrap_err();
    assert_eq!(
        error.chain(),
        format!("write `{KEY}`: expected the object as last read, found it changed by another writer 4 times")
    );
}

#[test]
fn an_object_that_is_deleted_during_a_write_is_written_again() {
    let store = MemoryStore::with_rivals(vec![Box::new(|store| store.drop_object(KEY))]);
    store.set(KEY, b"older", Some(rival_stamp("2026-11-23T11:00:00Z")));
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
}

#[test]
fn a_table_without_partitions_is_written_when_its_rows_have_changed() {
    const LOOKUP: &str = "data/lookup_states/part-00000.parquet";
    let write = |store: &MemoryStore, bytes: &'static [u8], digest| {
        block_on(commit_plain(store, LOOKUP, Bytes::from_static(bytes), edition(digest), 5, time(NOW), "r1")).unwrap()
    };
    let store = MemoryStore::default();
    for (bytes, digest, is_written) in [(&b"one"[..], 1, true), (b"one", 1, false), (b"two", 2, true)] {
        assert_eq!(write(&store, bytes, digest), is_written);
        assert_eq!(store.bytes(LOOKUP).unwrap().as_ref(), bytes);
    }
    let lost = MemoryStore::with_rivals(vec![Box::new(|store| store.set(LOOKUP, b"rival", None))]);
    assert!(!write(&lost, b"one", 1));
    assert_eq!(lost.bytes(LOOKUP).unwrap().as_ref(), b"rival");
}

#[test]
fn a10_an_invalid_body_is_requested_again_as_often_as_the_portal_allows() {
    let portal = CannedPages::new(vec!["{\"count\": 3, \"results\": [".into()]);
    let error = fetch_with(&MemoryStore::default(), &portal, &enrollment(), false).unwrap_err();
    assert_eq!(error.name(), "BadBody");
    assert_eq!(*portal.requested.lock().unwrap(), [1, 1, 1, 1]);
}

/// A command may run each partition in a task of its own.
#[test]
fn a_fetch_may_move_between_threads() {
    fn assert_send(_: &impl Send) {}
    let (store, portal) = (MemoryStore::default(), CannedPages::new(Vec::new()));
    assert_send(&async move {
        let (dataset, partition, run) = (enrollment(), partition(), facts(false));
        fetch_partition(&portal, &store, &StandingClock, &dataset, &partition, &run).await.is_ok()
    });
}
