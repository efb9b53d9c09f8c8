//! Tests of `fetch`.

use super::*;
use crate::commit::commit_plain;
use crate::file::{Digest, ENCODING_VERSION};
use crate::ledger;
use crate::memory::Memory;
use crate::memory::Room;
use crate::page::PageDecoder;
use crate::ports::{PageRequest, PortalError, Reading, Response};
use crate::testing::{CannedPages, MemoryStore, NOW, StandingClock, enrollment, page, pages, partition, row, time};
use bytes::Bytes;
use futures::executor::block_on;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::task::Poll;
use url::Url;

const KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";

fn run_facts(force: bool) -> RunFacts {
    RunFacts { run: "r1".into(), portal_release: None, force, pages_at_once: 4 }
}

fn fetch_with(store: &MemoryStore, portal: &CannedPages, dataset: &Dataset, force: bool) -> Result<Receipt, Error> {
    block_on(fetch_partition(portal, store, &StandingClock, dataset, &partition(), &run_facts(force)))
}

/// Fetches in a run of another name.
fn fetch_as(run: &str, store: &MemoryStore, portal: &CannedPages, dataset: &Dataset) -> Result<Receipt, Error> {
    let facts = RunFacts { run: run.into(), ..run_facts(false) };
    block_on(fetch_partition(portal, store, &StandingClock, dataset, &partition(), &facts))
}

fn fetch(store: &MemoryStore, bodies: Vec<String>) -> Result<Receipt, Error> {
    fetch_with(store, &CannedPages::new(bodies), &enrollment(), false)
}

fn rows(n_rows: u64) -> Vec<String> {
    (1..=n_rows).map(|school| row(school, "5")).collect()
}

#[test]
fn pages_become_one_object_and_a_receipt() {
    let store = MemoryStore::default();
    let receipt = fetch(&store, pages(&rows(5), 2)).unwrap();
    assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Written, 5, 3));
    assert_eq!(store.keys(""), [KEY, "ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json",]);
    let stamp = store.stamp(KEY).unwrap();
    assert_eq!((stamp.n_rows, stamp.fetched_at, stamp.run.as_deref()), (5, time(NOW), Some("r1")));
}

#[test]
fn a_failure_leaves_a_receipt_with_its_error_and_the_release_that_was_read() {
    let (store, portal) = (MemoryStore::default(), CannedPages::new(vec![page(3, None, &rows(2))]));
    let run = RunFacts { portal_release: Some("0.24.0".into()), ..run_facts(false) };
    block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &partition(), &run)).unwrap_err();
    let receipt = store.bytes(&keys::receipt(&enrollment(), "r1", &partition())).unwrap();
    let receipt: Receipt = serde_json::from_slice(&receipt).unwrap();
    assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Failed, 0, 0));
    assert_eq!(receipt.error.unwrap().name, "CountMismatch");
    assert_eq!(receipt.portal_release.as_deref(), Some("0.24.0"));
}

#[test]
fn the_same_rows_are_unchanged_in_any_order_and_any_page_size() {
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
fn a_changed_value_descriptor_or_encoding_version_rewrites_the_partition() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 2)).unwrap();
    let mut changed = rows(5);
    changed[3] = row(4, "6");
    assert_eq!(fetch(&store, pages(&changed, 2)).unwrap().outcome, Outcome::Written);

    let mut dataset = enrollment();
    dataset.columns[0].dictionary = true;
    let portal = CannedPages::new(pages(&changed, 2));
    assert_eq!(fetch_with(&store, &portal, &dataset, false).unwrap().outcome, Outcome::Written);
    assert_eq!(fetch_as("r2", &store, &portal, &dataset).unwrap().outcome, Outcome::Unchanged);

    let mut stamp = store.stamp(KEY).unwrap();
    stamp.edition.encoding_version = ENCODING_VERSION - 1;
    store.set(KEY, b"written by an older version", Some(stamp));
    assert_eq!(fetch_with(&store, &portal, &dataset, false).unwrap().outcome, Outcome::Written);
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
fn a18_a_count_without_rows_or_rows_without_a_count_are_refused() {
    let store = MemoryStore::default();
    for (count, n_rows, expected) in [(5, 0, "expected 5 rows, received 0"), (0, 2, "expected 0 rows, received 2")] {
        let error = fetch(&store, vec![page(count, None, &rows(n_rows))]).unwrap_err();
        assert_eq!(error.chain(), format!("fetch `year=2021/grade=grade-pk`: {expected}"));
    }
    assert_eq!(store.bytes(KEY), None);
}

#[test]
fn a_missing_next_stops_before_the_other_pages_are_asked_for() {
    let store = MemoryStore::default();
    let portal = CannedPages::new(vec![page(778_243, None, &rows(10))]);
    let error = fetch_with(&store, &portal, &enrollment(), false).unwrap_err();
    assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 778243 rows, received 10");
    assert_eq!(*portal.requested.lock().unwrap(), [1]);
}

#[test]
fn a16_a_count_that_moves_is_refused() {
    let bodies = vec![page(4, Some(2), &rows(2)), page(5, None, &[row(3, "5"), row(4, "5")])];
    let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
    assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 4 rows, page 2 has `count` 5");
}

#[test]
fn a19_a20_a22_a_next_that_is_not_the_page_that_follows_is_refused() {
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
        "check `next` on page 2 of `year=2021/grade=grade-pk`: expected none after the last of 2 pages, found \
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
fn a7_an_empty_answer_is_written_as_nothing_and_replaces_nothing_without_force() {
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
fn a7_an_object_that_cannot_be_read_is_not_replaced_by_nothing_without_force() {
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
fn an_object_that_was_replaced_under_a_removal_stays() {
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
    // On several pages, a field of its own each.
    all[2] = all[2].replace("\"fips\"", "\"meals\":3,\"fips\"");
    let receipt = fetch(&store, pages(&all, 1)).unwrap();
    assert_eq!((receipt.n_unknown, receipt.unknown_fields), (2, vec!["lunch".to_owned(), "meals".to_owned()]));
}

#[test]
fn a27_one_misfit_in_a_thousand_is_kept_and_two_fail_the_partition() {
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
fn a28_a29_a_key_that_is_null_or_absent_or_no_key_fails_the_partition() {
    for (from, to, found) in [
        ("\"ncessch\":\"KEY\",", "\"ncessch\":null,", "`null`"),
        ("\"ncessch\":\"KEY\",", "", "no such field"),
        ("\"ncessch\":\"KEY\",", "\"ncessch\":[],", "`[]`"),
        ("\"ncessch\":\"KEY\",", "\"ncessch\":\"\",", "`\"\"`"),
    ] {
        // On the first page of a thousand rows, and on the second.
        for (n, n_rows) in [(2, 1000), (1500, 2000)] {
            let mut all = rows(2000);
            all[n - 1] = all[n - 1].replace(&from.replace("KEY", &format!("{n:012}")), to);
            let error = fetch(&MemoryStore::default(), pages(&all, 1000)).unwrap_err();
            assert_eq!(error.name(), "SchemaDrift");
            // A row that has no such field is the last that is read.
            let n_rows = if to.is_empty() { n } else { n_rows };
            let expected = format!(
                "expected string, never null or empty, found {found} in row {n} (1 of {n_rows} rows do not fit)"
            );
            assert!(error.chain().contains(&expected), "{}", error.chain());
        }
    }
}

/// Found by use: H12.
#[test]
fn a41_a_key_that_its_row_does_not_let_pad_is_written_as_it_came_unless_there_are_many() {
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
                     begins with the row's `fips` and `leaid` once it is padded, found `\"25000031636\"` in row 701 (2 of \
                     1000 rows do not fit)\nhint: if the portal's data has changed permanently, update the column in the \
                     descriptor"
            ),
            (result, _) => panic!("{result:?}"),
        }
    }
    // One that is kept hides none that is lost.
    let mut all = rows(1000);
    all[1] = all[1].replace("\"000000000002\"", "\"0000000000002\"");
    all[3] = all[3].replace("\"000000000004\"", "null");
    let error = fetch(&MemoryStore::default(), pages(&all, 1000)).unwrap_err();
    assert!(error.chain().contains("expected string, never null or empty, found `null` in row 4"), "{}", error.chain());
}

/// Found by use: W12.
#[test]
fn the_hint_at_a_key_without_a_value_names_the_columns_of_the_key() {
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

/// A stamp of other rows, received at `fetched_at`.
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
fn l5_a_stale_writer_ends_superseded_and_a_newer_one_wins() {
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

/// What was seen before the rows were read is older than they, whatever the clock of its writer said.
#[test]
fn an_object_of_a_clock_ahead_is_replaced_by_a_writer_that_saw_it_first() {
    let store = MemoryStore::default();
    store.set(KEY, b"ahead", Some(rival_stamp("2026-12-31T00:00:00Z")));
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
}

#[test]
fn s3_a_write_whose_answer_was_lost_counts_as_written() {
    let store = MemoryStore::default();
    *store.loses_answer.lock().unwrap() = true;
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
}

/// Found by use: B14.
#[test]
fn a_try_that_finds_what_its_own_run_wrote_has_written_it() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 2)).unwrap();
    // The receipt was lost, and the same event comes again.
    store.drop_object("ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json");
    assert_eq!(fetch(&store, pages(&rows(5), 2)).unwrap().outcome, Outcome::Written);
    let of_another = fetch_as("r2", &store, &CannedPages::new(pages(&rows(5), 2)), &enrollment());
    assert_eq!(of_another.unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn an_unchanged_partition_costs_one_look_and_one_write() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 2)).unwrap();
    store.calls.lock().unwrap().clear();
    fetch_as("r2", &store, &CannedPages::new(pages(&rows(5), 2)), &enrollment()).unwrap();
    assert_eq!(*store.calls.lock().unwrap(), BTreeMap::from([("head", 1), ("write", 1)]));
}

/// Found by use: H4.
#[test]
fn an_object_of_another_partition_is_no_object_of_this_one() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 5)).unwrap();
    let mut stamp = store.stamp(KEY).unwrap();
    stamp.partition = Some("year=2021/grade=grade-k".into());
    stamp.run = None;
    store.set(KEY, b"another's", Some(stamp.clone()));
    // The same edition and fewer rows are no reason to leave it there.
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    store.set(KEY, b"another's", Some(stamp));
    assert_eq!(fetch(&store, pages(&rows(1), 5)).unwrap().outcome, Outcome::Written);
    // A file of the encoding before names no partition, and is taken at its word.
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

/// A portal whose page 1 is served as `again` from the second time on.
struct Revised {
    pages: CannedPages,
    again: String,
}

impl Portal for Revised {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
    ) -> Result<Response<T>, PortalError> {
        let is_again = page == 1 && self.pages.requested.lock().unwrap().contains(&1);
        let again = Bytes::from(self.again.clone());
        self.pages.get(path, page, request, |body| read(if is_again { &again } else { body })).await
    }
}

/// Found by use: H6.
#[test]
fn a_source_that_changed_between_two_pages_is_read_again_from_page_1() {
    let first = |rows: &[String]| page(5, Some(2), rows);
    let changed =
        "fetch `year=2021/grade=grade-pk`: expected 5 rows, page 1 changed while the other pages were fetched";
    for (what, again, expected) in [
        ("the same", first(&rows(2)), None),
        ("a school that closed", first(&[row(2, "5"), row(3, "5")]), Some(changed)),
        ("a value that was revised", first(&[row(1, "5"), row(2, "6")]), Some(changed)),
        ("another order", first(&[row(2, "5"), row(1, "5")]), Some(changed)),
        ("another count", page(6, Some(2), &rows(2)), Some(changed)),
    ] {
        let store = MemoryStore::default();
        let portal = Revised { pages: CannedPages::new(pages(&rows(5), 2)), again };
        let (dataset, partition, run) = (enrollment(), partition(), run_facts(false));
        let result = block_on(fetch_partition(&portal, &store, &StandingClock, &dataset, &partition, &run));
        assert_eq!(result.as_ref().err().map(Error::chain).as_deref(), expected, "{what}");
        assert!(result.is_ok_and(|_| store.bytes(KEY).is_some()) || expected.is_some());
    }
    // One page is of one version anyway.
    let portal = CannedPages::new(pages(&rows(5), 5));
    fetch_with(&MemoryStore::default(), &portal, &enrollment(), false).unwrap();
    assert_eq!(*portal.requested.lock().unwrap(), [1]);
}

/// A portal with memory for next to nothing, which counts what is held.
struct Tight {
    pages: CannedPages,
    page_memory: Memory,
    partition_memory: Memory,
    most_held: Mutex<(usize, usize)>,
}

impl Tight {
    async fn turn(&self) {
        {
            let mut most = self.most_held.lock().unwrap();
            most.0 = most.0.max(self.page_memory.held_bytes());
            most.1 = most.1.max(self.partition_memory.held_bytes());
        }
        next_turn().await;
    }
}

/// Lets the others act.
async fn next_turn() {
    let mut is_later = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut is_later, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Portal for Tight {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        mut request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
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

/// Guard: nothing waits while it holds what another one waits for. Where something does, this does not end.
///
/// Found by use: B6.
#[test]
fn a42_partitions_that_share_too_little_memory_end_one_after_the_other() {
    let mut uneven = rows(40);
    // From the second page on, rows are longer than those of the first.
    uneven[5..]
        .iter_mut()
        .for_each(|row| *row = row.replace("\"fips\"", &format!("\"new\":\"{}\",\"fips\"", "x".repeat(500))));
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for limit in [0, 1, 5_000, 20_000, 1 << 20] {
            let bodies = pages(&uneven, 5);
            let most_body = bodies.iter().map(String::len).max().unwrap();
            let portal = Tight {
                pages: CannedPages::new(bodies),
                page_memory: Memory::new(limit),
                partition_memory: Memory::new(limit),
                most_held: Mutex::default(),
            };
            let stores: Vec<MemoryStore> = (0..8).map(|_| MemoryStore::default()).collect();
            let (dataset, partition, run) = (enrollment(), partition(), run_facts(false));
            let fetches =
                stores.iter().map(|store| fetch_partition(&portal, store, &StandingClock, &dataset, &partition, &run));
            for receipt in block_on(futures::future::join_all(fetches)) {
                assert_eq!(receipt.unwrap().n_rows, 40);
            }
            let (pages, partitions) = *portal.most_held.lock().unwrap();
            assert!(pages <= limit + 2 * most_body, "{pages} of {limit}");
            assert!(partitions <= limit + (1 << 20), "{partitions} of {limit}");
            assert_eq!((portal.page_memory.held_bytes(), portal.partition_memory.held_bytes()), (0, 0));
            // Each page once, page 1 twice, and one more for what was given up: a page ahead, or that of a partition.
            let asked = portal.pages.requested.lock().unwrap().len();
            assert!(asked <= 8 * (2 * 8 + 2), "{asked} requests");
        }
        done.send(()).unwrap();
    });
    ended.recv_timeout(std::time::Duration::from_secs(60)).expect("all partitions end");
}

/// A portal that writes down what it is asked, and answers a little later.
struct Watched {
    pages: CannedPages,
    page_memory: Memory,
    partition_memory: Memory,
    /// Whether an answer may be asked for once more.
    has_tries_left: bool,
    /// Pages asked for, each with the room that it has.
    requested: Mutex<Vec<(u32, Option<usize>)>>,
    /// The requests for the same page that had been made before each.
    tries_before: Mutex<Vec<u32>>,
    /// What the first answer of all holds instead.
    once: Option<String>,
    /// Requests under way, and the most at once.
    in_flight: Mutex<(usize, usize)>,
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
        }
    }

    fn fetch(&self) -> Result<Receipt, Error> {
        let (store, run) = (MemoryStore::default(), run_facts(false));
        block_on(fetch_partition(self, &store, &StandingClock, &enrollment(), &partition(), &run))
    }

    fn requested(&self) -> Vec<(u32, Option<usize>)> {
        self.requested.lock().unwrap().clone()
    }
}

impl Portal for Watched {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        mut request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
    ) -> Result<Response<T>, PortalError> {
        let room = request.room.take();
        let is_first = self.requested().is_empty();
        self.requested.lock().unwrap().push((page, room.as_ref().map(Room::n_bytes)));
        self.tries_before.lock().unwrap().push(request.tries);
        {
            let mut in_flight = self.in_flight.lock().unwrap();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
        }
        next_turn().await;
        self.in_flight.lock().unwrap().0 -= 1;
        let once = self.once.as_ref().filter(|_| is_first).map(|once| Bytes::from(once.clone()));
        let response = self.pages.get(path, page, request, |body| read(once.as_ref().unwrap_or(body))).await?;
        Ok(Response { room, has_tries_left: response.has_tries_left && self.has_tries_left, ..response })
    }

    fn page_memory(&self) -> Memory {
        self.page_memory.clone()
    }

    fn partition_memory(&self) -> Memory {
        self.partition_memory.clone()
    }
}

/// Bytes that the rows of a page take.
fn row_bytes(body: &str) -> usize {
    let (dataset, partition) = (enrollment(), partition());
    PageDecoder::new(&dataset, &partition).decode(1, body.as_bytes()).unwrap().batch.get_array_memory_size()
}

/// Found by use: B6.
#[test]
fn pages_are_asked_for_ahead_each_with_room_for_an_eighth_more_than_page_1() {
    let bodies = pages(&rows(16), 2);
    let page_1 = bodies[0].len() + row_bytes(&bodies[0]);
    let portal = Watched::new(bodies.clone());
    portal.fetch().unwrap();
    let ahead = Some(page_1 + page_1 / 8);
    // Four at once, of which the one that is due needs no room of its own beforehand.
    let expected = [(1, None), (2, None), (3, ahead), (4, ahead), (5, ahead), (6, ahead), (7, ahead), (8, ahead)];
    assert_eq!(portal.requested(), [&expected[..], &[(1, None)]].concat());
    assert_eq!(portal.in_flight.lock().unwrap().1, 4);
    // Where there is no room, none is asked for ahead.
    let portal = Watched { page_memory: Memory::new(page_1 + page_1 / 8 - 1), ..Watched::new(bodies) };
    portal.fetch().unwrap();
    assert!(portal.requested().iter().all(|(_, room)| room.is_none()), "{:?}", portal.requested());
    assert_eq!(portal.in_flight.lock().unwrap().1, 1);
}

/// Found by use: B6.
#[test]
fn a_page_is_held_twice_while_it_is_taken_in_and_given_up_where_there_is_no_room_for_that() {
    let body = page(5, None, &rows(5));
    let gate = crate::fetch::validator::Validator::new(&enrollment(), &partition(), 5).unwrap().memory_bytes();
    let needed = gate + 2 * row_bytes(&body);
    for (limit, n_asked) in [(needed, 1), (needed - 1, 2)] {
        let portal = Watched { partition_memory: Memory::new(limit), ..Watched::new(vec![body.clone()]) };
        portal.fetch().unwrap();
        assert_eq!(portal.requested().len(), n_asked, "{limit} of {needed}");
    }
}

#[test]
fn a_page_1_that_was_given_up_is_asked_for_four_times_in_all_and_compared_as_it_was_taken_in() {
    let bodies = pages(&rows(5), 2);
    let gate = crate::fetch::validator::Validator::new(&enrollment(), &partition(), 5).unwrap().memory_bytes();
    let too_small = Memory::new(gate + 2 * row_bytes(&bodies[0]) - 1);
    // Once, once more when there is room, and once after the last page: a fourth request is left.
    let portal = Watched { partition_memory: too_small.clone(), ..Watched::new(bodies.clone()) };
    portal.fetch().unwrap();
    assert_eq!(portal.requested().iter().filter(|(page, _)| *page == 1).count(), 3);
    assert_eq!(*portal.tries_before.lock().unwrap(), [0, 1, 0, 0, 2]);
    // The first time it held other rows.
    let mut portal = Watched { partition_memory: too_small, ..Watched::new(bodies.clone()) };
    portal.once = Some(page(5, Some(2), &[row(7, "1"), row(8, "1")]));
    assert_eq!(portal.fetch().unwrap().n_rows, 5);
}

#[test]
fn a_page_1_that_took_all_its_requests_is_enough_where_it_need_not_be_looked_at_again() {
    let portal = |length| Watched { has_tries_left: false, ..Watched::new(pages(&rows(5), length)) };
    assert_eq!(portal(5).fetch().unwrap().n_rows, 5);
    let several = portal(2);
    assert_eq!(several.fetch().unwrap_err().name(), "PortalUnavailable");
    assert_eq!(several.requested().len(), 1);
}

#[test]
fn s3_a_removal_whose_answer_was_lost_is_a_removal() {
    let store = MemoryStore::default();
    fetch(&store, pages(&rows(5), 5)).unwrap();
    *store.loses_answer.lock().unwrap() = true;
    let receipt = fetch_with(&store, &CannedPages::new(vec![page(0, None, &[])]), &enrollment(), true).unwrap();
    assert_eq!((receipt.outcome, store.bytes(KEY)), (Outcome::Empty, None));
}

#[test]
fn s4_a_write_lost_every_time_gives_up() {
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
fn an_object_deleted_under_a_writer_is_written_again() {
    let store = MemoryStore::with_rivals(vec![Box::new(|store| store.drop_object(KEY))]);
    store.set(KEY, b"older", Some(rival_stamp("2026-11-23T11:00:00Z")));
    assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
}

#[test]
fn a_table_without_partitions_is_written_when_its_rows_are_not_those_there() {
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
fn a10_a_body_that_is_no_page_is_asked_for_as_often_as_the_portal_allows() {
    let portal = CannedPages::new(vec!["{\"count\": 3, \"results\": [".into()]);
    let error = fetch_with(&MemoryStore::default(), &portal, &enrollment(), false).unwrap_err();
    assert_eq!(error.name(), "BadBody");
    assert_eq!(*portal.requested.lock().unwrap(), [1, 1, 1, 1]);
}
