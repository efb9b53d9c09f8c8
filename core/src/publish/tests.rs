//! Tests of `publish`.

use std::collections::{BTreeMap, BTreeSet};

use futures::executor::block_on;

use super::*;
use crate::fetch::{RunFacts, fetch_partition};
use crate::ledger::Reason;
use crate::ledger::read_records;
use crate::ledger::receipt::no_receipt;
use crate::ledger::{self, Outcome, PlanItem, Records};
use crate::partition::AxisValue;
use crate::partition::PartitionKey;
use crate::ports::CatalogPartition;
use crate::testing::{
    CannedPages, MemoryCatalog, MemoryStore, NOW, StandingClock, enrollment, pages, partition, row, run_facts, time,
};

fn item(partition: PartitionKey) -> PlanItem {
    PlanItem { partition, reason: Reason::Requested }
}

fn other_partition() -> PartitionKey {
    PartitionKey::new(vec![("year".into(), AxisValue::Int(2020)), ("grade".into(), AxisValue::Text("grade-pk".into()))])
}

fn fetch(store: &MemoryStore, run: &str) {
    fetch_rows(store, run, &[row(1, "5"), row(2, "6")], false);
}

fn fetch_rows(store: &MemoryStore, run: &str, rows: &[String], force: bool) {
    let portal = CannedPages::new(pages(rows, 2));
    let facts = RunFacts { force, ..run_facts(run) };
    block_on(fetch_partition(&portal, store, &StandingClock, &enrollment(), &partition(), &facts)).unwrap();
}

fn publish(store: &MemoryStore, catalog: &MemoryCatalog, plan: &[PlanItem], run: &str) -> Result<Summary, Error> {
    publish_by(Registrar::Publisher, store, catalog, plan, run)
}

fn publish_by(
    registrar: Registrar,
    store: &MemoryStore,
    catalog: &MemoryCatalog,
    plan: &[PlanItem],
    run: &str,
) -> Result<Summary, Error> {
    let planned = PlannedRun {
        name: run,
        started_at: time(NOW),
        items: plan,
        without_receipt: &WithoutReceipt::default(),
        registered: CatalogChanges::default(),
    };
    block_on(publish_partitions(store, catalog, &StandingClock, &enrollment(), &planned, registrar))
}

#[test]
fn outcomes_add_up_and_a_partition_without_a_receipt_counts_as_failed() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    let summary = publish(&store, &catalog, &[item(partition()), item(other_partition())], "r1").unwrap();
    assert_eq!(summary.n_planned, 2);
    assert_eq!(summary.outcomes.values().sum::<usize>(), 2);
    assert_eq!((summary.count(Outcome::Written), summary.count(Outcome::Failed)), (1, 1));
    assert_eq!(summary.n_open(), 1);
    assert_eq!(summary.failed[0].error.name, "NoReceipt");
    assert_eq!(summary.n_published, 1);
}

#[test]
fn a_partition_without_a_receipt_is_recorded_as_failed_unless_it_was_tried_since() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    let attempt = |store: &MemoryStore| {
        block_on(read_records(store, &enrollment())).unwrap().remove(&partition()).unwrap().last_attempt.unwrap()
    };
    publish(&store, &catalog, &[item(partition())], "killed").unwrap();
    let lost = attempt(&store);
    assert_eq!((lost.run.as_str(), lost.outcome), ("killed", Outcome::Failed));
    assert_eq!(lost.error.unwrap().name, "NoReceipt");
    fetch(&store, "other");
    publish(&store, &catalog, &[item(partition())], "slow").unwrap();
    assert_eq!((attempt(&store).run.as_str(), attempt(&store).outcome), ("other", Outcome::Written));
}

#[test]
fn a_run_that_died_before_publishing_is_completed_by_the_next() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    fetch(&store, "r2");
    let summary = publish(&store, &catalog, &[item(partition())], "r2").unwrap();
    assert_eq!((summary.count(Outcome::Unchanged), summary.n_published), (1, 1));
    assert_eq!(
        catalog.partitions.lock().unwrap()[0].location,
        "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/"
    );
    assert_eq!(publish(&store, &catalog, &[item(partition())], "r2").unwrap().n_published, 0);
}

#[test]
fn a_partition_whose_object_is_gone_leaves_the_catalog() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    store.drop_object("data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet");
    let summary = publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    assert_eq!(summary.n_withdrawn, 1);
    assert!(catalog.partitions.lock().unwrap().is_empty());
}

#[test]
fn a_partition_that_a_faster_run_registered_after_the_listing_stays() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    let listed = block_on(survey(&store, &enrollment(), &Records::new())).unwrap();
    fetch(&store, "faster");
    publish(&store, &catalog, &[item(partition())], "faster").unwrap();
    let published = block_on(converge(&store, &catalog, &enrollment(), &listed)).unwrap();
    assert_eq!(published, CatalogChanges::default());
    assert_eq!(catalog.partitions.lock().unwrap()[0].partition, partition());
}

#[test]
fn a_run_publishes_what_a_killed_run_committed_even_if_it_did_not_plan_it() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "killed");
    store.drop_object("ledger/ccd_enrollment/runs/killed/receipts/year=2021/grade=grade-pk.json");
    let summary = publish(&store, &catalog, &[], "r2").unwrap();
    assert_eq!((summary.n_planned, summary.n_published), (0, 1));
    assert_eq!(catalog.partitions.lock().unwrap()[0].partition, partition());
    let records = block_on(read_records(&store, &enrollment())).unwrap();
    assert_eq!(records[&partition()].committed.as_ref().unwrap().n_rows, 2);
}

const OBJECT: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";
const RECORDS: &str = "ledger/ccd_enrollment/records.json";

#[test]
fn a_record_that_does_not_match_its_object_is_rewritten() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    let recorded = || block_on(read_records(&store, &enrollment())).unwrap().remove(&partition()).unwrap();
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    fetch_rows(&store, "killed", &[row(1, "5")], true);
    store.drop_object("ledger/ccd_enrollment/runs/killed/receipts/year=2021/grade=grade-pk.json");
    publish(&store, &catalog, &[], "r2").unwrap();
    let found = recorded();
    assert_eq!(found.committed.unwrap().n_rows, 1);
    assert_eq!(found.last_attempt.unwrap().run, "r1");
    store.drop_object(OBJECT);
    publish(&store, &catalog, &[], "r3").unwrap();
    assert_eq!(recorded().committed, None);
    let before = block_on(store.read(RECORDS)).unwrap().unwrap().etag;
    publish(&store, &catalog, &[], "r4").unwrap();
    assert_eq!(block_on(store.read(RECORDS)).unwrap().unwrap().etag, before);
}

#[test]
fn receipts_become_part_of_the_summary_and_the_run_can_be_published_again_from_there() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    let plan = [item(partition()), item(other_partition())];
    let first = publish(&store, &catalog, &plan, "r1").unwrap();
    assert_eq!(store.keys("ledger/ccd_enrollment/runs/"), ["ledger/ccd_enrollment/runs/r1/summary.json"]);
    assert_eq!(first.receipts.len(), 2);
    let again = publish(&store, &catalog, &plan, "r1").unwrap();
    assert_eq!((again.outcomes, again.receipts), (first.outcomes, first.receipts));
    // A task that was presumed dead writes its receipt after all.
    let late = Receipt { finished_at: time("2026-11-23T12:05:00Z"), ..summarized_receipt(&store, "r1") };
    let late = Receipt { partition: other_partition(), ..late };
    block_on(ledger::write_json(&store, &keys::receipt(&enrollment(), "r1", &other_partition()), &late)).unwrap();
    let third = publish(&store, &catalog, &plan, "r1").unwrap();
    assert_eq!((third.count(Outcome::Written), third.count(Outcome::Failed)), (2, 0));
}

/// The receipt of [`partition`] in a run's summary.
fn summarized_receipt(store: &MemoryStore, run: &str) -> Receipt {
    block_on(ledger::read_run(store, &enrollment(), run)).unwrap().receipts.remove(&partition()).unwrap()
}

#[test]
fn publishing_inspects_no_object_that_matches_its_record() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    let n_inspected = |store: &MemoryStore| store.calls.lock().unwrap().get("head").copied().unwrap_or(0);
    let before = n_inspected(&store);
    publish(&store, &catalog, &[], "r2").unwrap();
    // The five lookup tables, and the table of editions.
    assert_eq!(n_inspected(&store) - before, 6);
    fetch_rows(&store, "r3", &[row(1, "5"), row(2, "7")], false);
    let before = n_inspected(&store);
    publish(&store, &catalog, &[item(partition())], "r3").unwrap();
    // The object too.
    assert_eq!(n_inspected(&store) - before, 7);
}

#[test]
fn records_of_the_earlier_layout_are_migrated_and_deleted() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    let mut record = block_on(read_records(&store, &enrollment())).unwrap().remove(&partition()).unwrap();
    record.last_attempt.as_mut().unwrap().outcome = Outcome::Failed;
    let older = "ledger/ccd_enrollment/partitions/year=2021/grade=grade-pk.json";
    block_on(ledger::write_json(&store, older, &record)).unwrap();
    store.drop_object(RECORDS);
    assert_eq!(block_on(read_records(&store, &enrollment())).unwrap()[&partition()], record);
    publish(&store, &catalog, &[], "r2").unwrap();
    assert_eq!(block_on(read_records(&store, &enrollment())).unwrap()[&partition()], record);
    assert_eq!((store.bytes(older), store.bytes(RECORDS).is_some()), (None, true));
}

#[test]
fn records_that_another_run_wrote_in_the_meantime_are_kept() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    // What another run writes after this one has read the records.
    let receipt =
        Receipt { outcome: Outcome::Empty, ..Receipt::without_rows(other_partition(), None, time(NOW), time(NOW)) };
    let receipts = BTreeMap::from([(other_partition(), receipt)]);
    let (of_rival, nothing) = (MemoryStore::default(), Survey::default());
    let stored = crate::ledger::read_records::Stored::default();
    block_on(update_records(&of_rival, &enrollment(), stored, &nothing, "rival", &receipts, time(NOW))).unwrap();
    let bytes = of_rival.bytes(RECORDS).unwrap();
    let rival: crate::testing::Rival = Box::new(move |store: &MemoryStore| store.set(RECORDS, &bytes, None));
    fetch(&store, "r1");
    store.before_next(rival);
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    let records = block_on(read_records(&store, &enrollment())).unwrap();
    assert_eq!(records[&other_partition()].last_attempt.as_ref().unwrap().run, "rival");
    assert_eq!(records[&partition()].last_attempt.as_ref().unwrap().run, "r1");
}

#[test]
fn an_attempt_is_recorded_whichever_run_is_published_first() {
    let from_attempt = Receipt {
        outcome: Outcome::Written,
        ..Receipt::without_rows(partition(), None, time(NOW), time("2026-11-23T12:01:00Z"))
    };
    let added = |error| Receipt::without_rows(partition(), error, time(NOW), time("2026-11-23T12:05:00Z"));
    let older = Receipt { finished_at: time("2026-11-23T12:00:30Z"), ..from_attempt.clone() };
    for (run, other) in [("slow", added(Some(no_receipt(None)))), ("slow", added(None)), ("r1", older)] {
        for is_first in [true, false] {
            let store = MemoryStore::default();
            let mut order = [("r1", from_attempt.clone()), (run, other.clone())];
            if !is_first {
                order.reverse();
            }
            for (run, receipt) in order {
                let receipts = BTreeMap::from([(partition(), receipt)]);
                let (dataset, nothing) = (enrollment(), Survey::default());
                let stored = block_on(read_stored(&store, &dataset)).unwrap();
                let update = update_records(&store, &dataset, stored, &nothing, run, &receipts, time(NOW));
                block_on(update).unwrap();
            }
            let records = block_on(read_records(&store, &enrollment())).unwrap();
            let attempt = records[&partition()].last_attempt.clone().unwrap();
            let expected = ("r1", Outcome::Written, from_attempt.finished_at);
            assert_eq!((attempt.run.as_str(), attempt.outcome, attempt.at), expected, "{other:?} {is_first}");
        }
    }
}

#[test]
fn a_summary_that_another_publisher_wrote_in_the_meantime_is_kept() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    let plan = [item(partition()), item(other_partition())];
    publish(&store, &catalog, &plan, "r1").unwrap();
    // After this publisher read the run, a receipt arrived, and another publisher summarized and deleted it.
    let of_rival = MemoryStore::default();
    fetch(&of_rival, "r1");
    let late = Receipt { partition: other_partition(), ..summarized_receipt(&store, "r1") };
    block_on(ledger::write_json(&of_rival, &keys::receipt(&enrollment(), "r1", &other_partition()), &late)).unwrap();
    publish(&of_rival, &MemoryCatalog::default(), &plan, "r1").unwrap();
    let key = keys::summary(&enrollment(), "r1");
    let bytes = of_rival.bytes(&key).unwrap();
    store.before_next(Box::new(move |store| store.set(&key, &bytes, None)));
    let slower = publish(&store, &catalog, &plan, "r1").unwrap();
    assert_eq!((slower.count(Outcome::Written), slower.count(Outcome::Failed)), (2, 0));
    let run = block_on(ledger::read_run(&store, &enrollment(), "r1")).unwrap();
    assert!(run.receipts.values().all(|receipt| receipt.outcome == Outcome::Written), "{run:?}");
}

#[test]
fn a_receipt_that_arrived_after_reading_stays() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    let key = keys::receipt(&enrollment(), "r1", &partition());
    let late = store.bytes(&key).unwrap();
    // Another publisher deleted it after the listing, and a task that was presumed dead writes its own.
    store.gone_when_read.lock().unwrap().insert(key.clone());
    let of_late = key.clone();
    store.before_next(Box::new(move |store| store.set(&of_late, &late, None)));
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    assert!(store.bytes(&key).is_some());
    assert_eq!(publish(&store, &catalog, &[item(partition())], "r1").unwrap().count(Outcome::Written), 1);
    assert_eq!(store.bytes(&key), None);
}

#[test]
fn a_try_whose_receipt_comes_late_says_more_than_that_there_was_none_and_an_older_try_says_less() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    let publish = || publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    let land = |outcome, at: &str| {
        let receipt = Receipt { outcome, ..Receipt::without_rows(partition(), None, time(at), time(at)) };
        block_on(ledger::write_json(&store, &keys::receipt(&enrollment(), "r1", &partition()), &receipt)).unwrap();
    };
    assert_eq!(publish().failed[0].error.name, "NoReceipt");
    // The task had already ended when the run was published without its receipt.
    land(Outcome::Unchanged, "2026-11-23T11:59:00Z");
    assert_eq!(publish().count(Outcome::Unchanged), 1);
    land(Outcome::Superseded, "2026-11-23T11:58:00Z");
    assert_eq!(publish().count(Outcome::Unchanged), 1);
    land(Outcome::Superseded, "2026-11-23T12:00:00Z");
    let last = publish();
    assert_eq!((last.count(Outcome::Superseded), last.n_open()), (1, 0));
}

#[test]
fn a_partition_that_was_not_tried_is_recorded_as_such_and_still_has_to_be_fetched() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    let items = [item(partition()), item(other_partition())];
    // A publisher first checks which receipts are missing.
    let run_receipts = block_on(ledger::read_run(&store, &enrollment(), "r1")).unwrap();
    let not_tried = run_receipts.missing(&enrollment(), &items);
    assert_eq!(not_tried, BTreeSet::from([other_partition()]));
    let planned = PlannedRun {
        name: "r1",
        started_at: time(NOW),
        items: &items,
        without_receipt: &not_tried.into(),
        registered: CatalogChanges::default(),
    };
    let registrar = Registrar::Publisher;
    let dataset = enrollment();
    let published = publish_receipts(&store, &catalog, &StandingClock, &dataset, &planned, run_receipts, registrar);
    let summary = block_on(published).unwrap();
    assert_eq!((summary.outcomes_in_words().as_str(), summary.n_open()), ("1 written, 1 not tried", 1));
    // When the run is published again, none is missing.
    let run_receipts = block_on(ledger::read_run(&store, &enrollment(), "r1")).unwrap();
    assert!(run_receipts.missing(&enrollment(), &items).is_empty());
    assert!(summary.failed.is_empty());
    let records = block_on(read_records(&store, &enrollment())).unwrap();
    assert!(records[&other_partition()].last_attempt.as_ref().unwrap().outcome.is_open());
}

/// Found by use: H3.
#[test]
fn a_copy_of_a_partition_and_an_unknown_axis_value_are_strays() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    let (bytes, stamp) = (store.bytes(OBJECT).unwrap(), store.stamp(OBJECT));
    let strays = [
        "year=2021/grade=grade-16/part-00000.parquet",
        "year=2021/grade=grade-pk (copy)/part-00000.parquet",
        "year=2021/grade=grade-pk.bak/part-00000.parquet",
        "year=2021/grade=grade-pk/part-00000.parquet.bak",
        "year=2021/grade=grade-pk\u{1b}[31m\n/part-00000.parquet",
        "year=1/grade=grade-pk/part-00000.parquet",
        "year=20211/grade=grade-pk/part-00000.parquet",
    ];
    for stray in strays {
        store.set(&format!("data/us_education_ccd_enrollment_data/{stray}"), &bytes, stamp.clone());
    }
    // An older version of rollcall registered a stray partition.
    let grade = AxisValue::Text("grade-16".into());
    let stray = PartitionKey::new(vec![("year".into(), AxisValue::Int(2021)), ("grade".into(), grade)]);
    let registered = catalog.partitions.lock().unwrap()[0].clone();
    catalog.partitions.lock().unwrap().push(CatalogPartition { partition: stray, ..registered });
    let summary = publish(&store, &catalog, &[], "r2").unwrap();
    assert_eq!((summary.n_published, summary.n_withdrawn), (0, 1));
    let found: Vec<PartitionKey> = catalog.partitions.lock().unwrap().iter().map(|one| one.partition.clone()).collect();
    assert_eq!(found, [partition()]);
    let survey = block_on(survey(&store, &enrollment(), &Records::new())).unwrap();
    assert_eq!(survey.strays.len(), strays.len());
}

/// Found by use: H8.
#[test]
fn a_descriptor_does_not_change_the_table_until_an_object_has_its_schema() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    let ensured = || std::mem::take(&mut *catalog.ensured.lock().unwrap());
    assert_eq!(ensured()[0].columns.len(), enrollment().columns.len() + 1);
    let mut other = enrollment();
    other.columns.retain(|column| column.name != "sex");
    let planned = PlannedRun {
        name: "r2",
        started_at: time(NOW),
        items: &[],
        without_receipt: &WithoutReceipt::default(),
        registered: CatalogChanges::default(),
    };
    let publish =
        || block_on(publish_partitions(&store, &catalog, &StandingClock, &other, &planned, Registrar::Publisher));
    publish().unwrap();
    assert!(ensured().iter().all(|table| table.table != other.table));
    // Now an object has its schema.
    let portal = CannedPages::new(pages(&[row(1, "5"), row(2, "6")], 2));
    let facts = run_facts("r3");
    block_on(fetch_partition(&portal, &store, &StandingClock, &other, &partition(), &facts)).unwrap();
    publish().unwrap();
    assert_eq!(ensured()[0].columns.len(), other.columns.len() + 1);
}

/// Found by use: B13.
#[test]
fn an_attempt_dated_in_the_future_does_not_stay_the_last_one() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    let ahead = time("2046-11-23T12:00:00Z");
    let receipt = Receipt::without_rows(partition(), Some(no_receipt(None)), ahead, ahead);
    block_on(ledger::write_json(&store, &keys::receipt(&enrollment(), "ahead", &partition()), &receipt)).unwrap();
    publish(&store, &catalog, &[item(partition())], "ahead").unwrap();
    fetch(&store, "r2");
    publish(&store, &catalog, &[item(partition())], "r2").unwrap();
    let records = block_on(read_records(&store, &enrollment())).unwrap();
    assert_eq!(records[&partition()].last_attempt.as_ref().unwrap().run, "r2");
}

#[test]
fn an_unreadable_record_does_not_affect_the_others() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition()), item(other_partition())], "r1").unwrap();
    let text = String::from_utf8(store.bytes(RECORDS).unwrap().to_vec()).unwrap();
    store.set(RECORDS, text.replace("\"written\"", "\"skipped\"").as_bytes(), None);
    let records = block_on(read_records(&store, &enrollment())).unwrap();
    assert_eq!(records.keys().collect::<Vec<_>>(), [&other_partition()]);
    assert_eq!(records[&other_partition()].last_attempt.as_ref().unwrap().outcome, Outcome::Failed);
}

/// Found by use: B2.
#[test]
fn an_object_that_cannot_be_inspected_stays_registered_and_does_not_affect_others() {
    for is_there in [false, true] {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        publish(&store, &catalog, &[item(partition())], "r1").unwrap();
        // It was changed, so it has to be inspected again, which fails.
        store.set(OBJECT, b"whatever", None);
        match is_there {
            true => store.unreadable.lock().unwrap().insert(OBJECT.to_owned()),
            false => store.refuses_look.lock().unwrap().insert(OBJECT.to_owned()),
        };
        let rows = [row(1, "5")].map(|row| row.replace("2021", "2020"));
        let portal = CannedPages::new(pages(&rows, 2)).of_year(2020);
        let facts = run_facts("r2");
        block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &other_partition(), &facts)).unwrap();
        let summary = publish(&store, &catalog, &[item(other_partition())], "r2").unwrap();
        assert_eq!((summary.n_published, summary.n_withdrawn), (1, 0));
        assert_eq!(summary.unreadable, [partition()]);
        assert_eq!(catalog.partitions.lock().unwrap().len(), 2);
        let records = block_on(read_records(&store, &enrollment())).unwrap();
        assert_eq!(records[&partition()].committed.as_ref().unwrap().n_rows, 2);
    }
}

#[test]
fn a_lookup_table_that_cannot_be_written_is_an_error_after_everything_else_is_published() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    fetch_rows(&store, "r2", &[row(1, "7")], false);
    *store.refuses_write.lock().unwrap() = Some("lookup_codes/part-00000.parquet");
    // The history is published later than the other table fails.
    *store.turns_to_read.lock().unwrap() = 5;
    let error = publish(&store, &catalog, &[item(partition())], "r2").unwrap_err();
    assert!(error.chain().contains("lookup_codes"), "{error}");
    assert_eq!((catalog.partitions.lock().unwrap().len(), catalog.kept.lock().unwrap().len()), (1, 1));
    // Four other look-up tables, and the one with the editions.
    assert_eq!(
        store.keys("data/").iter().filter(|key| !key.starts_with(OBJECT)).count(),
        5,
        "{:?}",
        store.keys("data/")
    );
    *store.refuses_write.lock().unwrap() = None;
    assert_eq!(publish(&store, &catalog, &[item(partition())], "r2").unwrap().n_open(), 0);
    assert!(store.keys("data/").iter().any(|key| key.contains("lookup_codes")));
}

#[test]
fn a_folder_that_cannot_be_listed_changes_neither_the_records_nor_the_catalog() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    let records = block_on(read_records(&store, &enrollment())).unwrap();
    assert!(records[&partition()].committed.as_ref().unwrap().n_pages.is_some());
    for (folder, n_known) in [("year=2021/", 1), ("year=2020/", 0)] {
        let folder = format!("data/us_education_ccd_enrollment_data/{folder}");
        *store.refuses_look.lock().unwrap() = BTreeSet::from([folder]);
        let repaired = block_on(repair(&store, &catalog, &StandingClock, &enrollment())).unwrap();
        assert_eq!(repaired.survey.unreadable().len(), n_known);
        assert_eq!((repaired.n_records, &repaired.published), (0, &CatalogChanges::default()));
        publish(&store, &catalog, &[], &format!("without {n_known}")).unwrap();
        assert_eq!(block_on(read_records(&store, &enrollment())).unwrap(), records);
        assert_eq!(catalog.partitions.lock().unwrap().len(), 1);
    }
    // Every object that can be inspected is inspected.
    store.refuses_look.lock().unwrap().clear();
    store.calls.lock().unwrap().clear();
    block_on(repair(&store, &catalog, &StandingClock, &enrollment())).unwrap();
    // And the table of editions.
    assert_eq!(store.calls.lock().unwrap()["head"], 2);
}

#[test]
fn a_repair_creates_a_table_only_if_something_was_found() {
    let repaired = |store: &MemoryStore| {
        let catalog = MemoryCatalog::default();
        let repaired = block_on(repair(store, &catalog, &StandingClock, &enrollment())).unwrap();
        let n_tables = catalog.ensured.lock().unwrap().len();
        (repaired.survey.objects.len(), repaired.survey.strays.len(), repaired.n_records, n_tables)
    };
    let store = MemoryStore::default();
    assert_eq!(repaired(&store), (0, 0, 0, 0));
    store.set("data/us_education_ccd_enrollment_data/notes.txt", b"", None);
    assert_eq!(repaired(&store), (0, 1, 0, 1));
    fetch(&store, "r1");
    assert_eq!(repaired(&store), (1, 1, 1, 1));
    assert_eq!(repaired(&store), (1, 1, 0, 1));
    // An object that is gone leaves a record to update.
    let gone = MemoryStore::default();
    fetch(&gone, "r1");
    let _ = repaired(&gone);
    gone.drop_object(OBJECT);
    assert_eq!(repaired(&gone), (0, 0, 1, 1));
    assert_eq!(repaired(&gone), (0, 0, 0, 0));
}

#[test]
fn an_object_of_the_run_that_cannot_be_inspected_is_an_error_after_everything_else_is_published() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    store.refuses_look.lock().unwrap().insert(OBJECT.to_owned());
    let plan = [item(partition()), item(other_partition())];
    let publish = |run: &str| publish(&store, &catalog, &plan, run);
    let refused = publish("r1").unwrap_err();
    assert_eq!(refused.name(), "StoreFailed");
    assert!(refused.chain().contains("inspect the object that the run committed"), "{}", refused.chain());
    // Its receipt is in the summary, from which the next publication starts.
    let summary: Summary = serde_json::from_slice(&store.bytes(&keys::summary(&enrollment(), "r1")).unwrap()).unwrap();
    assert_eq!((summary.count(Outcome::Written), &summary.unreadable[..]), (1, &[partition()][..]));
    // A killed run may have committed it too.
    assert_eq!(publish("r2").unwrap_err().name(), "StoreFailed");
    store.refuses_look.lock().unwrap().clear();
    assert_eq!(publish("r1").unwrap().n_published, 1);

    // A partition that failed or was not tried changed nothing.
    store.refuses_look.lock().unwrap().insert(OBJECT.to_owned());
    store.set(OBJECT, b"whatever", None);
    let _ = block_on(crate::fetch::record_failure(
        &store,
        &StandingClock,
        &enrollment(),
        &partition(),
        &run_facts("r3"),
        crate::fetch::Spent { started_at: time(NOW), cost: crate::cost::Metered::default() },
        Error::WriteConflict { key: OBJECT.to_owned(), tries: 4 },
    ));
    assert_eq!(publish("r3").unwrap().unreadable, [partition()]);
}

/// Found by use: H8.
#[test]
fn a_partition_with_another_schema_is_stale_and_registered_with_its_own_columns() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    let mut older = enrollment();
    older.columns.retain(|column| column.name != "sex");
    block_on(crate::ledger::schemas::keep_schema(&store, &older)).unwrap();
    let portal = CannedPages::new(pages(&[row(1, "5")], 2));
    let facts = run_facts("r1");
    block_on(fetch_partition(&portal, &store, &StandingClock, &older, &partition(), &facts)).unwrap();
    let summary = publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    assert_eq!(summary.stale, [partition()]);
    assert_eq!(*catalog.partitions.lock().unwrap()[0].columns, older.typed_columns());
    // Without a stored schema, the columns come from the file's footer.
    for key in store.keys("ledger/ccd_enrollment/schemas/") {
        store.drop_object(&key);
    }
    assert_eq!(publish(&store, &catalog, &[], "r2").unwrap().n_published, 0);
    fetch_rows(&store, "r3", &[row(1, "5")], false);
    let summary = publish(&store, &catalog, &[item(partition())], "r3").unwrap();
    assert_eq!((summary.stale.len(), summary.n_published), (0, 1));
    assert_eq!(*catalog.partitions.lock().unwrap()[0].columns, enrollment().typed_columns());
}

#[test]
fn a_torn_object_is_removed_from_the_catalog_and_reported() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    store.set("data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet", b"torn", None);
    let summary = publish(&store, &catalog, &[], "r2").unwrap();
    assert_eq!((summary.n_withdrawn, summary.unreadable), (1, vec![partition()]));
    assert!(catalog.partitions.lock().unwrap().is_empty());
}

#[test]
fn g8_a_partition_that_the_crawler_missed_is_named() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    fetch(&store, "r1");
    let read_back = || publish_by(Registrar::Crawler, &store, &catalog, &[item(partition())], "r1");
    let error = read_back().unwrap_err().chain();
    assert!(error.contains("found 1 of 1 missing, such as `year=2021/grade=grade-pk`"), "{error}");
    publish(&store, &catalog, &[item(partition())], "r1").unwrap();
    assert_eq!(read_back().unwrap().n_published, 0);
}

#[test]
fn a_catalog_that_does_not_keep_a_change_is_detected() {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog { forgets: true, ..MemoryCatalog::default() });
    fetch(&store, "r1");
    let error = publish(&store, &catalog, &[item(partition())], "r1").unwrap_err();
    assert_eq!(
        error.chain(),
        "publish to catalog table `ccd_school.us_education_ccd_enrollment_data`: read back `year=2021/grade=grade-pk`: \
             expected what was written, found something else: the catalog did not keep the change"
    );
}
