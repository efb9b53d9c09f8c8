//! Tests of pruning.

use std::collections::BTreeSet;

use futures::executor::block_on;

use super::*;
use crate::fetch::{RunFacts, fetch_partition};
use crate::file::stamp::Stamp;
use crate::history::{Moment, table_as_of};
use crate::ledger::{PlanItem, Reason};
use crate::publish::{CatalogChanges, PlannedRun, Registrar, WithoutReceipt, publish_partitions};
use crate::testing::{
    CannedPages, MemoryCatalog, MemoryStore, StandingClock, enrollment, pages, partition, row, run_facts, time,
};

const DATA: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";
const BETWEEN: &str = "2026-11-02T12:00:00Z";

/// Three editions, fetched on the first three days of the month and published.
fn three_editions() -> (MemoryStore, MemoryCatalog) {
    let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
    for day in 1..=3 {
        let mut portal = CannedPages::new(pages(&[row(1, &day.to_string())], 2));
        let at = format!("2026-11-0{day}T00:00:00Z");
        portal.received_at = time(&at);
        let run = format!("r{day}");
        let facts = RunFacts { force: true, ..run_facts(&run) };
        block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &partition(), &facts)).unwrap();
        let items = [PlanItem { partition: partition(), reason: Reason::Requested }];
        let without_receipt = WithoutReceipt::default();
        let planned = PlannedRun {
            name: &run,
            started_at: time(&at),
            items: &items,
            without_receipt: &without_receipt,
            registered: CatalogChanges::default(),
        };
        let dataset = enrollment();
        block_on(publish_partitions(&store, &catalog, &StandingClock, &dataset, &planned, Registrar::Publisher))
            .unwrap();
    }
    (store, catalog)
}

fn prune(store: &MemoryStore, catalog: &MemoryCatalog, before: &str, is_dry_run: bool) -> Result<usize, Error> {
    let dataset = enrollment();
    let pruned = prune_history(store, catalog, &StandingClock, &dataset, time(before), is_dry_run);
    block_on(pruned).map(|deleted| deleted.len())
}

/// Returns the keys of the kept editions.
fn kept(store: &MemoryStore) -> Vec<String> {
    let history = keys::history_prefix(&enrollment().table);
    store.keys(&history).into_iter().filter(|key| key.ends_with(".parquet")).collect()
}

/// Returns the object of the partition at a moment; an error if nobody knows it any more.
fn as_of(store: &MemoryStore, at: &str) -> Result<Option<String>, Error> {
    let dataset = enrollment();
    let parse = |path: &str| dataset.parse_partition(path);
    let found = block_on(table_as_of(store, &dataset.table, parse, &Moment::parse(at)))?;
    Ok(found.partitions.into_iter().next().map(|as_of| as_of.object))
}

#[test]
fn an_edition_is_deleted_once_its_end_is_old_enough() {
    let (store, catalog) = three_editions();
    let all = kept(&store);
    assert_eq!(all.len(), 2);
    // The first edition ended on the second day.
    for (before, n_deleted) in [("2026-11-01T23:59:59Z", 0), (BETWEEN, 1), (BETWEEN, 0)] {
        assert_eq!(prune(&store, &catalog, before, true).unwrap(), n_deleted, "{before}");
        assert_eq!(prune(&store, &catalog, before, false).unwrap(), n_deleted, "{before}");
    }
    let left = kept(&store);
    assert_eq!(left.len(), 1);
    assert_eq!(as_of(&store, "2026-11-02T13:00:00Z").unwrap().as_ref(), left.first());
    assert_eq!(as_of(&store, "2026-11-03T13:00:00Z").unwrap().as_deref(), Some(DATA));
    assert!(as_of(&store, "2026-11-01T13:00:00Z").unwrap_err().to_string().contains("were pruned"));
    assert_eq!(prune(&store, &catalog, "2026-11-04T00:00:00Z", false).unwrap(), 1);
    assert!(kept(&store).is_empty() && store.stamp(DATA).is_some());
}

#[test]
fn the_edition_before_the_current_one_is_deleted_too() {
    let (store, catalog) = three_editions();
    assert_eq!(catalog.kept.lock().unwrap().len(), 2);
    assert_eq!(prune(&store, &catalog, "2026-11-04T00:00:00Z", false).unwrap(), 2);
    // Nothing refers to what was deleted.
    assert!(kept(&store).is_empty() && catalog.kept.lock().unwrap().is_empty());
    assert_eq!(as_of(&store, "2026-11-05T00:00:00Z").unwrap().as_deref(), Some(DATA));
    assert_eq!(prune(&store, &catalog, "2026-11-05T00:00:00Z", false).unwrap(), 0);
}

#[test]
fn an_object_of_another_partition_is_not_part_of_the_past() {
    let (store, _) = three_editions();
    let stamp = store.stamp(DATA).map(|stamp| Stamp { partition: Some("year=2020/grade=grade-pk".into()), ..stamp });
    store.set(DATA, &store.bytes(DATA).unwrap(), stamp);
    assert_eq!(as_of(&store, "2026-11-05T00:00:00Z").unwrap(), None);
}

#[test]
fn pruning_that_was_killed_is_completed_by_the_next_and_loses_nothing_in_between() {
    for step in ["refreshes.json", "editions.json", "part-00000.parquet", "delete"] {
        let (store, catalog) = three_editions();
        let second = as_of(&store, BETWEEN).unwrap().unwrap();
        match step {
            "delete" => *store.deletes_left.lock().unwrap() = Some(0),
            _ => *store.refuses_write.lock().unwrap() = Some(step),
        }
        prune(&store, &catalog, BETWEEN, false).unwrap_err();
        assert_eq!(kept(&store).len(), 2, "{step}");
        assert_eq!(as_of(&store, BETWEEN).unwrap().as_ref(), Some(&second), "{step}");
        *store.refuses_write.lock().unwrap() = None;
        *store.deletes_left.lock().unwrap() = None;
        assert_eq!(prune(&store, &catalog, BETWEEN, false).unwrap(), 1, "{step}");
        assert_eq!(kept(&store), [second], "{step}");
    }
}

#[test]
fn an_edition_whose_end_is_unknown_stays() {
    let late = "2026-12-01T00:00:00Z";
    // The current object is damaged, so nobody knows when its predecessor ended.
    let (store, catalog) = three_editions();
    let second = as_of(&store, BETWEEN).unwrap().unwrap();
    store.set(DATA, b"PAR1 and then nothing", None);
    assert_eq!(prune(&store, &catalog, late, false).unwrap(), 1);
    assert_eq!(kept(&store), [second]);
    // It cannot be looked at.
    let (store, catalog) = three_editions();
    *store.refuses_look.lock().unwrap() = BTreeSet::from([DATA.to_owned()]);
    prune(&store, &catalog, late, false).unwrap_err();
    assert_eq!(kept(&store).len(), 2);
    // Nor is there a record of it.
    store.drop_object(&keys::records(&enrollment()));
    assert_eq!(prune(&store, &catalog, late, false).unwrap(), 0);
    assert_eq!(kept(&store).len(), 2);
}

#[test]
fn a_table_of_editions_that_cannot_be_inspected_is_not_overwritten() {
    let (store, catalog) = three_editions();
    let key = keys::lookup_object(&keys::editions_table(&enrollment().table));
    let before = store.bytes(&key);
    *store.refuses_look.lock().unwrap() = BTreeSet::from([key.clone()]);
    let error = prune(&store, &catalog, BETWEEN, false).unwrap_err();
    assert!(matches!(&error, Error::StoreFailed { key: refused, .. } if *refused == key), "{error:?}");
    assert_eq!((store.bytes(&key), kept(&store).len()), (before, 2));
}
