//! Tests of what commits keep, and of the changes that they report.

use futures::executor::block_on;

use crate::change::{CellChanges, Change, RowChanges};
use crate::dataset::Dataset;
use crate::fetch::{RunFacts, fetch_partition};
use crate::history::read_editions;
use crate::keys;
use crate::ledger::{Outcome, Receipt};
use crate::testing::{
    CannedPages, MemoryStore, StandingClock, enrollment, page, pages, partition, row, run_facts, time,
};

const KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";
const HISTORY: &str = "history/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/";

/// Fetches rows that the portal serves at this time, as a run of its own.
fn fetch_at(store: &MemoryStore, run: &str, bodies: Vec<String>, at: &str) -> Receipt {
    fetch_with(store, run, bodies, at, &enrollment())
}

fn fetch_with(store: &MemoryStore, run: &str, bodies: Vec<String>, at: &str, dataset: &Dataset) -> Receipt {
    let mut portal = CannedPages::new(bodies);
    portal.received_at = time(at);
    let facts = RunFacts { force: true, ..run_facts(run) };
    block_on(fetch_partition(&portal, store, &StandingClock, dataset, &partition(), &facts)).unwrap().receipt().unwrap()
}

fn rows(enrollment: &[&str]) -> Vec<String> {
    let rows = (1..).zip(enrollment).map(|(school, enrollment)| row(school, enrollment)).collect::<Vec<_>>();
    pages(&rows, 2)
}

/// Returns the keys of the copies.
fn kept(store: &MemoryStore) -> Vec<String> {
    store.keys(HISTORY).into_iter().filter(|key| key.ends_with(".parquet")).collect()
}

#[test]
fn a_replaced_object_is_kept_once_and_the_receipt_says_what_changed() {
    let store = MemoryStore::default();
    let first = fetch_at(&store, "r1", rows(&["5", "6", "null"]), "2026-11-01T00:00:00Z");
    assert_eq!((first.outcome, first.change), (Outcome::Written, None));
    assert!(kept(&store).is_empty());
    let (bytes, edition) = (store.bytes(KEY).unwrap(), store.stamp(KEY).unwrap().edition);
    let second = fetch_at(&store, "r2", rows(&["7", "6", "-1", "9"]), "2026-11-02T00:00:00Z");
    let copy = keys::kept_edition(&enrollment().table, &partition(), &edition);
    assert_eq!((kept(&store), store.bytes(&copy)), (vec![copy.clone()], Some(bytes)));
    let change = *second.change.clone().unwrap();
    assert_eq!(change.replaced, Some(edition));
    assert_eq!(change.rows, RowChanges { revised: 1, recoded: 1, added: 1, removed: 0 });
    assert_eq!(change.columns["enrollment"], CellChanges { revised: 1, recoded: 1, ..CellChanges::default() });
    assert_eq!(change.keys.revised, ["ncessch 000000000001"]);
    // A run that was killed before it wrote its receipt finds out the same.
    let again = fetch_at(&store, "r2", rows(&["7", "6", "-1", "9"]), "2026-11-03T00:00:00Z");
    assert_eq!((again.outcome, again.change), (Outcome::Written, second.change));
    // Nothing changes, and nothing more is kept.
    let third = fetch_at(&store, "r3", rows(&["7", "6", "-1", "9"]), "2026-11-04T00:00:00Z");
    assert_eq!((third.outcome, third.change, kept(&store).len()), (Outcome::Unchanged, None, 1));
    // The first edition returns. Its copy is not kept twice.
    fetch_at(&store, "r4", rows(&["5", "6", "null"]), "2026-11-05T00:00:00Z");
    fetch_at(&store, "r5", rows(&["1"]), "2026-11-06T00:00:00Z");
    assert_eq!(kept(&store).len(), 2);
    let current = store.stamp(KEY).unwrap();
    let editions = block_on(read_editions(&store, &enrollment().table, &partition(), Some(&current))).unwrap();
    let found: Vec<(u64, String)> =
        editions.iter().map(|validity| (validity.facts.n_rows, validity.since.strftime("%d").to_string())).collect();
    assert_eq!(found, [(3, "01".into()), (4, "02".into()), (3, "05".into()), (1, "06".into())]);
}

#[test]
fn a_removed_object_is_kept_and_a_rewritten_one_is_not() {
    let store = MemoryStore::default();
    fetch_at(&store, "r1", rows(&["5", "6"]), "2026-11-01T00:00:00Z");
    let mut other = enrollment();
    other.columns[0].dictionary = true;
    let rewritten = fetch_with(&store, "r2", rows(&["5", "6"]), "2026-11-02T00:00:00Z", &other);
    assert_eq!((rewritten.outcome, kept(&store).len()), (Outcome::Rewritten, 0));
    assert_eq!(rewritten.change.map(|change| change.is_empty()), Some(true));
    // A killed run reports a rewrite again, too.
    let again = fetch_with(&store, "r2", rows(&["5", "6"]), "2026-11-02T00:00:00Z", &other);
    assert_eq!((again.outcome, again.change.map(|change| change.is_empty())), (Outcome::Rewritten, Some(true)));
    let bytes = store.bytes(KEY).unwrap();
    let removed = fetch_with(&store, "r3", vec![page(0, None, &[])], "2026-11-03T00:00:00Z", &other);
    let rows = RowChanges { removed: 2, ..RowChanges::default() };
    assert_eq!((removed.outcome, removed.change.unwrap().rows), (Outcome::Empty, rows));
    assert_eq!(kept(&store).iter().map(|key| store.bytes(key).unwrap()).collect::<Vec<_>>(), [bytes]);
    let editions = block_on(read_editions(&store, &other.table, &partition(), None)).unwrap();
    let days: Vec<_> = editions.iter().map(|validity| (validity.since.to_string(), validity.until.is_some())).collect();
    assert_eq!(days, [("2026-11-01T00:00:00Z".to_owned(), true)]);
}

#[test]
fn a_field_that_becomes_a_column_changes_no_row() {
    let store = MemoryStore::default();
    let with_field = |value: u32| {
        let row = row(1, "5").replace("\"year\"", &format!("\"teachers\":{value},\"year\""));
        pages(&[row], 2)
    };
    fetch_at(&store, "r1", with_field(3), "2026-11-01T00:00:00Z");
    // The value of a field without a column is compared.
    let second = fetch_at(&store, "r2", with_field(4), "2026-11-02T00:00:00Z");
    assert_eq!((second.outcome, second.change.unwrap().rows.revised), (Outcome::Written, 1));
    let mut with_column = enrollment();
    let mut teachers = with_column.columns.iter().find(|column| column.name == "enrollment").unwrap().clone();
    teachers.name = "teachers".to_owned();
    with_column.columns.push(teachers);
    let third = fetch_with(&store, "r3", with_field(4), "2026-11-03T00:00:00Z", &with_column);
    assert_eq!((third.outcome, third.change.map(|change| change.is_empty())), (Outcome::Rewritten, Some(true)));
    assert_eq!(kept(&store).len(), 2);
}

#[test]
fn after_a_lost_write_the_object_then_seen_is_kept_too() {
    let store = MemoryStore::default();
    fetch_at(&store, "r1", rows(&["5"]), "2026-11-01T00:00:00Z");
    let rival = MemoryStore::default();
    fetch_at(&rival, "rival", rows(&["6"]), "2026-11-02T00:00:00Z");
    let (bytes, stamp) = (rival.bytes(KEY).unwrap(), rival.stamp(KEY));
    let written = bytes.clone();
    store.before_next(Box::new(move |store| store.set(KEY, &written, stamp)));
    let receipt = fetch_at(&store, "r2", rows(&["7"]), "2026-11-03T00:00:00Z");
    assert_eq!(receipt.outcome, Outcome::Written);
    assert_eq!(receipt.change.unwrap().replaced, rival.stamp(KEY).map(|stamp| stamp.edition));
    assert_eq!(kept(&store).len(), 2);
    assert!(kept(&store).iter().any(|key| store.bytes(key).unwrap() == bytes));
}

#[test]
fn a_damaged_object_is_kept_without_a_comparison() {
    let store = MemoryStore::default();
    fetch_at(&store, "r1", rows(&["5"]), "2026-11-01T00:00:00Z");
    store.set(KEY, b"PAR1 and then nothing", store.stamp(KEY));
    let receipt = fetch_at(&store, "r2", rows(&["7"]), "2026-11-02T00:00:00Z");
    let change = receipt.change.clone().unwrap();
    assert_eq!((receipt.outcome, change.not_compared, kept(&store).len()), (Outcome::Written, true, 1));
    assert_eq!(receipt.change_in_words(&enrollment()).as_deref(), Some("rows not compared"));
}

#[test]
fn rows_are_committed_uncompared_if_the_time_is_up() {
    let store = MemoryStore::default();
    fetch_at(&store, "r1", rows(&["5"]), "2026-11-01T00:00:00Z");
    let mut portal = CannedPages::new(rows(&["7"]));
    portal.is_time_up = true;
    let fetched =
        block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &partition(), &run_facts("r2")));
    let receipt = fetched.unwrap().receipt().unwrap();
    assert_eq!((receipt.outcome, kept(&store).len()), (Outcome::Written, 1));
    assert_eq!(receipt.change_in_words(&enrollment()).as_deref(), Some("rows not compared"));
}

#[test]
fn rows_are_committed_uncompared_if_that_would_take_more_memory_than_the_process_has() {
    let n_rows = 20_000;
    for (max_partition_bytes, expected) in [(3 << 20, "rows not compared"), (6 << 20, "1 school revised")] {
        let store = MemoryStore::default();
        let fetch = |run: &str, first: &str| {
            let rows: Vec<String> = (1..=n_rows).map(|i| row(i, if i == 1 { first } else { "5" })).collect();
            let portal = CannedPages::new(pages(&rows, 1_000));
            let run = RunFacts { max_partition_bytes: Some(max_partition_bytes), ..run_facts(run) };
            let (dataset, partition) = (enrollment(), partition());
            let fetched = fetch_partition(&portal, &store, &StandingClock, &dataset, &partition, &run);
            block_on(fetched).unwrap().receipt().unwrap()
        };
        fetch("r1", "6");
        // The second fetch of the same run finds its own object, and compares it with the one that it replaced.
        for run in ["r2", "r2"] {
            let receipt = fetch(run, "7");
            assert_eq!((receipt.outcome, kept(&store).len()), (Outcome::Written, 1));
            assert_eq!(receipt.change_in_words(&enrollment()).as_deref(), Some(expected));
        }
    }
}

#[test]
fn changes_of_several_partitions_add_up() {
    let cells = |recoded, revised| CellChanges { recoded, revised, ..CellChanges::default() };
    let change = |revised, column: &str| Change {
        rows: RowChanges { revised, ..RowChanges::default() },
        columns: [(column.to_owned(), cells(0, revised))].into(),
        ..Change::default()
    };
    let sum = change(2, "a").plus(&change(3, "a")).plus(&change(4, "b"));
    assert_eq!((sum.rows.revised, sum.columns["a"], sum.columns["b"]), (9, cells(0, 5), cells(0, 4)));
}
