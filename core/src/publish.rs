//! The catalog step: plan + receipts + objects → records and catalog partitions, read back → summary.
//!
//! It converges from the objects: every partition of the dataset that has a readable one gets its catalog partition,
//! whether this run planned it or not, so a run that died between commit and publish is completed by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::{Error, chain};
use crate::fetch::commit_plain;
use crate::keys;
use crate::ledger::{self, FailedPartition, Left, Outcome, Receipt, Summary, no_receipt};
use crate::lookup::Lookup;
use crate::partition::PartitionKey;
use crate::plan::PlanItem;
use crate::ports::{Catalog, CatalogError, CatalogPartition, Clock, Condition, Put, Store, StoreError};
use crate::records::{self, Records};
use crate::schema::{self, TypedColumn};
use crate::survey::{self, Seen, Survey};
use crate::table::Encoded;

/// Conditional writes of one summary.
const SUMMARY_TRIES: u32 = 8;

/// Who adds partitions to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registrar {
    /// This step.
    Publisher,
    /// A crawler did, before this step: what it left out is an error.
    Crawler,
}

/// A run as it was planned, and how far it came.
#[derive(Debug, Clone, Copy)]
pub struct PlannedRun<'r> {
    /// Its name.
    pub name: &'r str,
    /// When it began.
    pub started_at: Timestamp,
    /// Its plan.
    pub items: &'r [PlanItem],
    /// Planned partitions that were not begun before the run ended.
    pub not_tried: &'r BTreeSet<PartitionKey>,
}

/// Publishes a run's partitions and writes its summary.
///
/// The records come first, then the summary, which holds all receipts; then the receipts' own objects are deleted. Whatever
/// is killed in between is found by whoever publishes the run again. Where two publish it at once, the slower one takes over
/// what the other summed up.
///
/// # Errors
/// [`Error::CatalogFailed`], also when the catalog does not read back as written; [`Error::StoreFailed`], also when an object
/// that the run committed cannot be looked at, which keeps nothing else from being published; [`Error::WriteConflict`] when others are faster every time.
pub async fn publish_partitions(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    registrar: Registrar,
) -> Result<Summary, Error> {
    let left = ledger::read_left(store, dataset, planned.name).await?;
    publish_left(store, catalog, clock, dataset, planned, left, registrar).await
}

/// The same of a run whose receipts were read.
///
/// - `left`: what [`ledger::read_left`] gave.
///
/// # Errors
/// Those of [`publish_partitions`].
pub async fn publish_left(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    mut left: Left,
    registrar: Registrar,
) -> Result<Summary, Error> {
    let run = planned.name;
    let key = keys::summary(dataset, run);
    let mut published = Published::default();
    for tries in 0..SUMMARY_TRIES {
        tracing::debug!(run, "publishing begun");
        let (survey, records) = take_stock(store, clock, dataset, planned, &mut left).await?;
        let changed = match registrar {
            Registrar::Publisher => converge(store, catalog, dataset, &survey).await?,
            Registrar::Crawler => read_back(catalog, dataset, &survey).await?,
        };
        published.n_put += changed.n_put;
        published.n_removed += changed.n_removed;
        tracing::debug!(run, n_put = changed.n_put, n_removed = changed.n_removed, "partitions published");
        if tries == 0 {
            publish_lookups(store, catalog, clock.now(), run).await?;
        }
        let mut summary = summarize(dataset, planned, left.receipts, clock.now());
        summary.n_published = published.n_put;
        summary.n_withdrawn = published.n_removed;
        summary.unreadable = survey.unreadable();
        summary.stale = stale(&records, dataset);
        let condition = left.condition.unwrap_or(Condition::Absent);
        if ledger::replace_json(store, &key, &summary, &condition).await? != Put::Lost {
            tracing::debug!(run, "summary written");
            // A receipt that stays is no harm: it is in the summary too.
            if let Err(error) = store.delete(left.keys).await {
                tracing::warn!(run, error = chain(&error), "receipts not deleted");
            }
            return check_seen(dataset, &summary, &survey).map(|()| summary);
        }
        left = ledger::read_left(store, dataset, run).await?;
    }
    Err(Error::WriteConflict { key, tries: SUMMARY_TRIES })
}

/// An object that the run may have committed and that could not be looked at is not published as it is: whoever publishes
/// the run again looks once more. Everything else is published by then.
fn check_seen(dataset: &Dataset, summary: &Summary, survey: &Survey) -> Result<(), Error> {
    let committed = summary.receipts.iter().filter(|receipt| receipt.may_be_committed());
    let unseen = committed.filter_map(|Receipt { partition, .. }| match &survey.objects.get(partition)?.seen {
        Seen::Unknown(why) => Some((partition, why)),
        Seen::Readable(_) | Seen::NotOurs => None,
    });
    match unseen.into_iter().next() {
        None => Ok(()),
        Some((partition, why)) => {
            let message = "expected what the run committed, to publish it".to_owned();
            let source = StoreError { message, source: why.clone().into() };
            Err(ledger::store_failed("read", &keys::partition_object(dataset, partition), source))
        }
    }
}

/// What objects there are, and the records once they say that and what the run left.
async fn take_stock(
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    left: &mut Left,
) -> Result<(Survey, Records), Error> {
    let run = planned.name;
    let n_left = left.receipts.len();
    complete(&mut left.receipts, dataset, planned, clock.now());
    tracing::debug!(run, n_left, "receipts read");
    let stored = records::read_stored(store, dataset).await?;
    let survey = survey::survey(store, dataset, &stored.records).await?;
    let (records, n_records) =
        records::update_records(store, dataset, stored, &survey, run, &left.receipts, clock.now()).await?;
    tracing::debug!(run, n_records, "records written");
    Ok((survey, records))
}

/// Partitions whose object is of another schema or encoding than a run would write today.
#[must_use]
pub fn stale(records: &Records, dataset: &Dataset) -> Vec<PartitionKey> {
    let committed = records.iter().filter_map(|(partition, record)| Some((partition, record.committed.as_ref()?)));
    let stale = committed.filter(|(_, committed)| committed.staleness(dataset).is_some());
    stale.map(|(partition, _)| partition.clone()).collect()
}

/// Gives every planned partition that left no receipt one that says so.
fn complete(
    receipts: &mut BTreeMap<PartitionKey, Receipt>,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    now: Timestamp,
) {
    for item in planned.items {
        let Some(partition) = dataset.arrange(&item.partition) else { continue };
        let is_tried = !planned.not_tried.contains(&partition);
        receipts
            .entry(partition.clone())
            .or_insert_with(|| Receipt::of_nothing(partition, is_tried.then(no_receipt), planned.started_at, now));
    }
}

/// What [`converge`] changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Partitions added or changed.
    pub n_put: usize,
    /// Partitions taken out, since their object is gone or cannot be read.
    pub n_removed: usize,
}

/// Makes the catalog say of every partition of `dataset` what the objects say, and reads it back. What is registered of an
/// object that could not be looked at stays.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`].
pub async fn converge(
    store: &impl Store,
    catalog: &impl Catalog,
    dataset: &Dataset,
    survey: &Survey,
) -> Result<Published, Error> {
    let failed = |source| Error::CatalogFailed { table: dataset.qualified_table(), source };
    // A descriptor that no object is of, such as one whose every partition was refused, does not change the table that there is.
    let mut schema_ids = survey
        .objects
        .values()
        .filter_map(|object| match &object.seen {
            Seen::Readable(stamp) => Some(stamp.edition.schema_id),
            Seen::NotOurs | Seen::Unknown(_) => None,
        })
        .peekable();
    let is_unused = schema_ids.peek().is_some() && schema_ids.all(|id| id != dataset.schema_id());
    let mut registered = match is_unused {
        true => by_key(catalog.partitions(dataset).await.map_err(failed)?),
        false => BTreeMap::new(),
    };
    if registered.is_empty() {
        catalog.ensure_table(&dataset.table_spec()).await.map_err(failed)?;
        registered = by_key(catalog.partitions(dataset).await.map_err(failed)?);
    }
    let due = due(store, dataset, survey, &registered).await?;
    let put: Vec<CatalogPartition> =
        due.values().filter(|partition| registered.get(&partition.partition) != Some(partition)).cloned().collect();
    let mut remove = Vec::new();
    for partition in registered.keys().filter(|partition| !due.contains_key(*partition)) {
        if survey.objects.get(partition).is_some_and(|object| matches!(object.seen, Seen::Unknown(_))) {
            continue;
        }
        // Another run may have written and registered it since the objects were listed.
        let is_there = dataset.has(partition)
            && survey::look(store, dataset, partition).await.is_some_and(|object| object.seen != Seen::NotOurs);
        if !is_there {
            remove.push(partition.clone());
        }
    }
    let published = Published { n_put: put.len(), n_removed: remove.len() };
    if put.is_empty() && remove.is_empty() {
        return Ok(published);
    }
    catalog.change_partitions(dataset, &put, &remove).await.map_err(failed)?;
    let found = by_key(catalog.partitions(dataset).await.map_err(failed)?);
    let wrong = put
        .iter()
        .filter(|partition| found.get(&partition.partition) != Some(partition))
        .map(|partition| &partition.partition)
        .chain(remove.iter().filter(|partition| found.contains_key(*partition)))
        .next();
    match wrong {
        None => Ok(published),
        Some(partition) => Err(failed(CatalogError {
            message: format!("read back `{partition}`: expected it as written, found it otherwise"),
            source: "the catalog did not keep a change".into(),
        })),
    }
}

/// What the catalog should hold: every partition with a readable object, with the columns of that object's schema.
async fn due(
    store: &impl Store,
    dataset: &Dataset,
    survey: &Survey,
    registered: &BTreeMap<PartitionKey, CatalogPartition>,
) -> Result<BTreeMap<PartitionKey, CatalogPartition>, Error> {
    let readable: Vec<(&PartitionKey, u64, u64)> = survey
        .objects
        .iter()
        .filter_map(|(partition, object)| match &object.seen {
            Seen::Readable(stamp) => Some((partition, stamp.n_rows, stamp.edition.schema_id)),
            Seen::NotOurs | Seen::Unknown(_) => None,
        })
        .collect();
    let current = (dataset.schema_id(), Arc::new(dataset.typed_columns()));
    let other: BTreeMap<u64, String> = readable
        .iter()
        .filter(|(_, _, schema_id)| *schema_id != current.0)
        .map(|(partition, _, schema_id)| (*schema_id, keys::partition_object(dataset, partition)))
        .collect();
    let columns = schema::columns_of(store, dataset, &other).await?;
    let mut columns: BTreeMap<u64, Arc<Vec<TypedColumn>>> =
        columns.into_iter().map(|(schema_id, columns)| (schema_id, Arc::new(columns))).collect();
    columns.insert(current.0, current.1.clone());
    let due = readable.into_iter().map(|(partition, n_rows, schema_id)| {
        // Where nothing tells, what is registered is as good as any.
        let said = registered.get(partition).map(|registered| &registered.columns);
        let columns = columns.get(&schema_id).or(said).unwrap_or(&current.1).clone();
        let location = keys::partition_prefix(dataset, partition);
        (partition.clone(), CatalogPartition { partition: partition.clone(), location, n_rows, columns })
    });
    Ok(due.collect())
}

/// Checks that the catalog has every partition of `dataset` that has a readable object, where that object is. Rows are
/// not compared: a crawler does not say them.
///
/// # Errors
/// [`Error::CatalogFailed`] naming a partition that is not there.
async fn read_back(catalog: &impl Catalog, dataset: &Dataset, survey: &Survey) -> Result<Published, Error> {
    let failed = |source| Error::CatalogFailed { table: dataset.qualified_table(), source };
    let registered = by_key(catalog.partitions(dataset).await.map_err(failed)?);
    let is_registered = |partition: &PartitionKey| {
        let location = registered.get(partition).map(|registered| registered.location.trim_end_matches('/'));
        location == Some(keys::partition_prefix(dataset, partition).trim_end_matches('/'))
    };
    let readable = survey.objects.iter().filter(|(_, object)| matches!(object.seen, Seen::Readable(_)));
    let missing: Vec<&PartitionKey> =
        readable.map(|(partition, _)| partition).filter(|partition| !is_registered(partition)).collect();
    if let Some(first) = missing.first() {
        return Err(failed(CatalogError {
            message: format!(
                "read back after the crawler: expected every partition, found {} of {} missing, such as `{first}`",
                missing.len(),
                survey.objects.len()
            ),
            source: "the crawler left it out".into(),
        }));
    }
    Ok(Published::default())
}

fn by_key(partitions: Vec<CatalogPartition>) -> BTreeMap<PartitionKey, CatalogPartition> {
    partitions.into_iter().map(|partition| (partition.partition.clone(), partition)).collect()
}

/// Makes records and catalog say what the objects say, without a run.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`].
pub async fn repair(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
) -> Result<Repaired, Error> {
    let stored = records::read_stored(store, dataset).await?;
    // Every object is looked at, whatever the records say of it: they only say which there were.
    let mut known = stored.records.clone();
    known.values_mut().filter_map(|record| record.committed.as_mut()).for_each(|committed| committed.etag.clear());
    let survey = survey::survey(store, dataset, &known).await?;
    let nothing = BTreeMap::new();
    let (records, n_records) =
        records::update_records(store, dataset, stored, &survey, "", &nothing, clock.now()).await?;
    if records.is_empty() && survey.objects.is_empty() && survey.strays.is_empty() && n_records == 0 {
        return Ok(Repaired::default());
    }
    let published = converge(store, catalog, dataset, &survey).await?;
    Ok(Repaired { stale: stale(&records, dataset), survey, n_records, published })
}

/// What [`repair`] found and changed.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The objects there are.
    pub survey: Survey,
    /// Records that were changed.
    pub n_records: usize,
    /// What was changed in the catalog.
    pub published: Published,
    /// Partitions to be written anew.
    pub stale: Vec<PartitionKey>,
}

/// Writes the look-up tables whose content differs, and their tables.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`].
pub async fn publish_lookups(
    store: &impl Store,
    catalog: &impl Catalog,
    now: Timestamp,
    run: &str,
) -> Result<(), Error> {
    let lookups = Lookup::built_in_encoded()?;
    for (lookup, Encoded { bytes, edition, n_rows, .. }) in lookups {
        let wrote = commit_plain(store, &lookup.object(), bytes.clone(), *edition, *n_rows, now, run).await?;
        if wrote {
            tracing::info!(table = lookup.table(), n_rows, "look-up table written");
        }
    }
    let specs: Vec<_> = lookups.iter().map(|(lookup, _)| lookup.table_spec()).collect();
    let ensured = catalog.ensure_tables(&specs).await;
    ensured.map_err(|source| Error::CatalogFailed { table: "look-up tables".to_owned(), source })
}

/// Adds the receipts up.
fn summarize(
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    mut receipts: BTreeMap<PartitionKey, Receipt>,
    finished_at: Timestamp,
) -> Summary {
    let in_order = planned.items.iter().filter_map(|item| receipts.remove(&dataset.arrange(&item.partition)?));
    let receipts: Vec<Receipt> = in_order.collect();
    let mut outcomes: BTreeMap<Outcome, usize> = Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect();
    for receipt in &receipts {
        *outcomes.entry(receipt.outcome).or_default() += 1;
    }
    let failed = receipts.iter().filter_map(|receipt| {
        let error = receipt.error.clone().filter(|_| receipt.outcome == Outcome::Failed)?;
        Some(FailedPartition { partition: receipt.partition.clone(), error })
    });
    Summary {
        run: planned.name.to_owned(),
        dataset: dataset.name.clone(),
        started_at: planned.started_at,
        finished_at,
        n_planned: planned.items.len(),
        outcomes,
        n_rows: receipts.iter().map(|receipt| receipt.n_rows).sum(),
        n_pages: receipts.iter().map(|receipt| u64::from(receipt.n_pages)).sum(),
        n_published: 0,
        n_withdrawn: 0,
        unreadable: Vec::new(),
        stale: Vec::new(),
        failed: failed.collect(),
        receipts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::{RunFacts, fetch_partition};
    use crate::partition::AxisValue;
    use crate::plan::Reason;
    use crate::records::read_records;
    use crate::testing::{
        CannedPages, MemoryCatalog, MemoryStore, NOW, StandingClock, enrollment, pages, partition, row, time,
    };
    use futures::executor::block_on;

    fn item(partition: PartitionKey) -> PlanItem {
        PlanItem { partition, reason: Reason::Requested }
    }

    fn other_partition() -> PartitionKey {
        PartitionKey::new(vec![
            ("year".into(), AxisValue::Int(2020)),
            ("grade".into(), AxisValue::Text("grade-pk".into())),
        ])
    }

    fn fetch(store: &MemoryStore, run: &str) {
        fetch_rows(store, run, &[row(1, "5"), row(2, "6")], false);
    }

    fn fetch_rows(store: &MemoryStore, run: &str, rows: &[String], force: bool) {
        let portal = CannedPages::new(pages(rows, 2));
        let facts = RunFacts { run: run.into(), portal_release: None, force, pages_at_once: 1 };
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
        let planned = PlannedRun { name: run, started_at: time(NOW), items: plan, not_tried: &BTreeSet::new() };
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
    fn what_a_faster_run_registered_since_the_objects_were_listed_stays() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        let listed = block_on(survey::survey(&store, &enrollment(), &Records::new())).unwrap();
        fetch(&store, "faster");
        publish(&store, &catalog, &[item(partition())], "faster").unwrap();
        let published = block_on(converge(&store, &catalog, &enrollment(), &listed)).unwrap();
        assert_eq!(published, Published::default());
        assert_eq!(catalog.partitions.lock().unwrap()[0].partition, partition());
    }

    #[test]
    fn a_run_publishes_what_a_killed_run_committed_whatever_it_planned_itself() {
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
    fn a_record_that_says_other_than_its_object_is_written_anew() {
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
        // A task that was taken for dead leaves its receipt after all.
        let late = Receipt { finished_at: time("2026-11-23T12:05:00Z"), ..again_of(&store, "r1") };
        let late = Receipt { partition: other_partition(), ..late };
        block_on(ledger::write_json(&store, &keys::receipt(&enrollment(), "r1", &other_partition()), &late)).unwrap();
        let third = publish(&store, &catalog, &plan, "r1").unwrap();
        assert_eq!((third.count(Outcome::Written), third.count(Outcome::Failed)), (2, 0));
    }

    /// The receipt of [`partition`] in a run's summary.
    fn again_of(store: &MemoryStore, run: &str) -> Receipt {
        block_on(ledger::read_left(store, &enrollment(), run)).unwrap().receipts.remove(&partition()).unwrap()
    }

    #[test]
    fn publishing_looks_at_no_object_that_the_records_know() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        publish(&store, &catalog, &[item(partition())], "r1").unwrap();
        let n_looks = |store: &MemoryStore| store.calls.lock().unwrap().get("head").copied().unwrap_or(0);
        let before = n_looks(&store);
        publish(&store, &catalog, &[], "r2").unwrap();
        // The four look-up tables.
        assert_eq!(n_looks(&store) - before, 4);
        fetch_rows(&store, "r3", &[row(1, "5"), row(2, "7")], false);
        let before = n_looks(&store);
        publish(&store, &catalog, &[item(partition())], "r3").unwrap();
        assert_eq!(n_looks(&store) - before, 5);
    }

    #[test]
    fn records_of_the_layout_before_are_taken_over_and_deleted() {
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
    fn records_that_another_run_wrote_meanwhile_are_kept() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        // What another run writes where this one has read.
        let receipt =
            Receipt { outcome: Outcome::Empty, ..Receipt::of_nothing(other_partition(), None, time(NOW), time(NOW)) };
        let receipts = BTreeMap::from([(other_partition(), receipt)]);
        let (of_rival, nothing) = (MemoryStore::default(), Survey::default());
        let stored = records::Stored::default();
        block_on(records::update_records(&of_rival, &enrollment(), stored, &nothing, "rival", &receipts, time(NOW)))
            .unwrap();
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
    fn a_try_is_recorded_whichever_run_is_published_first() {
        let of_try = Receipt {
            outcome: Outcome::Written,
            ..Receipt::of_nothing(partition(), None, time(NOW), time("2026-11-23T12:01:00Z"))
        };
        let said = |error| Receipt::of_nothing(partition(), error, time(NOW), time("2026-11-23T12:05:00Z"));
        let older = Receipt { finished_at: time("2026-11-23T12:00:30Z"), ..of_try.clone() };
        for (run, other) in [("slow", said(Some(no_receipt()))), ("slow", said(None)), ("r1", older)] {
            for is_first in [true, false] {
                let store = MemoryStore::default();
                let mut order = [("r1", of_try.clone()), (run, other.clone())];
                if !is_first {
                    order.reverse();
                }
                for (run, receipt) in order {
                    let receipts = BTreeMap::from([(partition(), receipt)]);
                    let (dataset, nothing) = (enrollment(), Survey::default());
                    let stored = block_on(records::read_stored(&store, &dataset)).unwrap();
                    let update = records::update_records(&store, &dataset, stored, &nothing, run, &receipts, time(NOW));
                    block_on(update).unwrap();
                }
                let records = block_on(read_records(&store, &enrollment())).unwrap();
                let attempt = records[&partition()].last_attempt.clone().unwrap();
                let expected = ("r1", Outcome::Written, of_try.finished_at);
                assert_eq!((attempt.run.as_str(), attempt.outcome, attempt.at), expected, "{other:?} {is_first}");
            }
        }
    }

    #[test]
    fn what_another_publisher_of_the_run_summed_up_meanwhile_is_kept() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        let plan = [item(partition()), item(other_partition())];
        publish(&store, &catalog, &plan, "r1").unwrap();
        // A receipt came, and another publisher took it up and deleted it, since this one looked.
        let of_rival = MemoryStore::default();
        fetch(&of_rival, "r1");
        let late = Receipt { partition: other_partition(), ..again_of(&store, "r1") };
        block_on(ledger::write_json(&of_rival, &keys::receipt(&enrollment(), "r1", &other_partition()), &late))
            .unwrap();
        publish(&of_rival, &MemoryCatalog::default(), &plan, "r1").unwrap();
        let key = keys::summary(&enrollment(), "r1");
        let bytes = of_rival.bytes(&key).unwrap();
        store.before_next(Box::new(move |store| store.set(&key, &bytes, None)));
        let slower = publish(&store, &catalog, &plan, "r1").unwrap();
        assert_eq!((slower.count(Outcome::Written), slower.count(Outcome::Failed)), (2, 0));
        let left = block_on(ledger::read_left(&store, &enrollment(), "r1")).unwrap();
        assert!(left.receipts.values().all(|receipt| receipt.outcome == Outcome::Written), "{left:?}");
    }

    #[test]
    fn a_receipt_that_came_where_none_was_read_stays() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        let key = keys::receipt(&enrollment(), "r1", &partition());
        let late = store.bytes(&key).unwrap();
        // Another publisher deleted it since it was listed, and a task that was taken for dead leaves its own.
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
            let receipt = Receipt { outcome, ..Receipt::of_nothing(partition(), None, time(at), time(at)) };
            block_on(ledger::write_json(&store, &keys::receipt(&enrollment(), "r1", &partition()), &receipt)).unwrap();
        };
        assert_eq!(publish().failed[0].error.name, "NoReceipt");
        // It ended before the run was published without it.
        land(Outcome::Unchanged, "2026-11-23T11:59:00Z");
        assert_eq!(publish().count(Outcome::Unchanged), 1);
        land(Outcome::Superseded, "2026-11-23T11:58:00Z");
        assert_eq!(publish().count(Outcome::Unchanged), 1);
        land(Outcome::Superseded, "2026-11-23T12:00:00Z");
        let last = publish();
        assert_eq!((last.count(Outcome::Superseded), last.n_open()), (1, 0));
    }

    #[test]
    fn what_was_not_tried_is_said_so_and_is_still_to_be_fetched() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        let items = [item(partition()), item(other_partition())];
        // What a publisher asks about before it publishes.
        let left = block_on(ledger::read_left(&store, &enrollment(), "r1")).unwrap();
        let not_tried = left.missing(&enrollment(), &items);
        assert_eq!(not_tried, BTreeSet::from([other_partition()]));
        let planned = PlannedRun { name: "r1", started_at: time(NOW), items: &items, not_tried: &not_tried };
        let registrar = Registrar::Publisher;
        let summary =
            block_on(publish_left(&store, &catalog, &StandingClock, &enrollment(), &planned, left, registrar)).unwrap();
        assert_eq!((summary.outcomes_in_words().as_str(), summary.n_open()), ("1 written, 1 not tried", 1));
        // Whoever publishes the run again need not ask.
        let left = block_on(ledger::read_left(&store, &enrollment(), "r1")).unwrap();
        assert!(left.missing(&enrollment(), &items).is_empty());
        assert!(summary.failed.is_empty());
        let records = block_on(read_records(&store, &enrollment())).unwrap();
        assert!(records[&other_partition()].last_attempt.as_ref().unwrap().outcome.is_open());
    }

    /// Found by use: H3.
    #[test]
    fn a_copy_beside_a_partition_and_a_value_that_no_axis_has_are_strays() {
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
        // An older program registered one.
        let grade = AxisValue::Text("grade-16".into());
        let stray = PartitionKey::new(vec![("year".into(), AxisValue::Int(2021)), ("grade".into(), grade)]);
        let registered = catalog.partitions.lock().unwrap()[0].clone();
        catalog.partitions.lock().unwrap().push(CatalogPartition { partition: stray, ..registered });
        let summary = publish(&store, &catalog, &[], "r2").unwrap();
        assert_eq!((summary.n_published, summary.n_withdrawn), (0, 1));
        let found: Vec<PartitionKey> =
            catalog.partitions.lock().unwrap().iter().map(|one| one.partition.clone()).collect();
        assert_eq!(found, [partition()]);
        let survey = block_on(survey::survey(&store, &enrollment(), &Records::new())).unwrap();
        assert_eq!(survey.strays.len(), strays.len());
    }

    /// Found by use: H8.
    #[test]
    fn a_descriptor_that_no_object_is_of_changes_no_table() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        publish(&store, &catalog, &[item(partition())], "r1").unwrap();
        let ensured = || std::mem::take(&mut *catalog.ensured.lock().unwrap());
        assert_eq!(ensured()[0].columns.len(), enrollment().columns.len() + 1);
        let mut other = enrollment();
        other.columns.retain(|column| column.name != "sex");
        let planned = PlannedRun { name: "r2", started_at: time(NOW), items: &[], not_tried: &BTreeSet::new() };
        let publish =
            || block_on(publish_partitions(&store, &catalog, &StandingClock, &other, &planned, Registrar::Publisher));
        publish().unwrap();
        assert!(ensured().iter().all(|table| table.table != other.table));
        // Once there is one, it does.
        let portal = CannedPages::new(pages(&[row(1, "5"), row(2, "6")], 2));
        let facts = RunFacts { run: "r3".into(), portal_release: None, force: false, pages_at_once: 1 };
        block_on(fetch_partition(&portal, &store, &StandingClock, &other, &partition(), &facts)).unwrap();
        publish().unwrap();
        assert_eq!(ensured()[0].columns.len(), other.columns.len() + 1);
    }

    /// Found by use: B13.
    #[test]
    fn an_attempt_of_a_clock_that_was_ahead_does_not_stay_the_last_one() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        let ahead = time("2046-11-23T12:00:00Z");
        let receipt = Receipt::of_nothing(partition(), Some(no_receipt()), ahead, ahead);
        block_on(ledger::write_json(&store, &keys::receipt(&enrollment(), "ahead", &partition()), &receipt)).unwrap();
        publish(&store, &catalog, &[item(partition())], "ahead").unwrap();
        fetch(&store, "r2");
        publish(&store, &catalog, &[item(partition())], "r2").unwrap();
        let records = block_on(read_records(&store, &enrollment())).unwrap();
        assert_eq!(records[&partition()].last_attempt.as_ref().unwrap().run, "r2");
    }

    #[test]
    fn a_record_that_cannot_be_read_takes_no_other_along() {
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
    fn an_object_that_cannot_be_looked_at_keeps_its_place_and_takes_no_other_along() {
        for is_there in [false, true] {
            let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
            fetch(&store, "r1");
            publish(&store, &catalog, &[item(partition())], "r1").unwrap();
            // It was touched, so it is looked at again, and cannot be.
            store.set(OBJECT, b"whatever", None);
            match is_there {
                true => store.unreadable.lock().unwrap().insert(OBJECT.to_owned()),
                false => store.refuses_look.lock().unwrap().insert(OBJECT.to_owned()),
            };
            let rows = [row(1, "5")].map(|row| row.replace("2021", "2020"));
            let portal = CannedPages::new(pages(&rows, 2)).of_year(2020);
            let facts = RunFacts { run: "r2".into(), portal_release: None, force: false, pages_at_once: 1 };
            block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &other_partition(), &facts))
                .unwrap();
            let summary = publish(&store, &catalog, &[item(other_partition())], "r2").unwrap();
            assert_eq!((summary.n_published, summary.n_withdrawn), (1, 0));
            assert_eq!(summary.unreadable, [partition()]);
            assert_eq!(catalog.partitions.lock().unwrap().len(), 2);
            let records = block_on(read_records(&store, &enrollment())).unwrap();
            assert_eq!(records[&partition()].committed.as_ref().unwrap().n_rows, 2);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_listed_takes_nothing_from_the_records_or_the_catalog() {
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
            assert_eq!((repaired.n_records, &repaired.published), (0, &Published::default()));
            publish(&store, &catalog, &[], &format!("without {n_known}")).unwrap();
            assert_eq!(block_on(read_records(&store, &enrollment())).unwrap(), records);
            assert_eq!(catalog.partitions.lock().unwrap().len(), 1);
        }
        // Every object that can be looked at is.
        store.refuses_look.lock().unwrap().clear();
        store.calls.lock().unwrap().clear();
        block_on(repair(&store, &catalog, &StandingClock, &enrollment())).unwrap();
        assert_eq!(store.calls.lock().unwrap()["head"], 1);
    }

    #[test]
    fn a_repair_makes_no_table_of_nothing_and_one_of_whatever_there_is() {
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
        // Of an object that is gone, a record is left that says so.
        let gone = MemoryStore::default();
        fetch(&gone, "r1");
        let _ = repaired(&gone);
        gone.drop_object(OBJECT);
        assert_eq!(repaired(&gone), (0, 0, 1, 1));
        assert_eq!(repaired(&gone), (0, 0, 0, 0));
    }

    #[test]
    fn what_the_run_may_have_committed_and_cannot_be_looked_at_is_an_error_once_all_else_is_published() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        store.refuses_look.lock().unwrap().insert(OBJECT.to_owned());
        let plan = [item(partition()), item(other_partition())];
        let publish = |run: &str| publish(&store, &catalog, &plan, run);
        let refused = publish("r1").unwrap_err();
        assert_eq!(refused.name(), "StoreFailed");
        assert!(refused.chain().contains("expected what the run committed, to publish it"), "{}", refused.chain());
        // Its receipt is in the summary, from which the next try begins.
        let summary: Summary =
            serde_json::from_slice(&store.bytes(&keys::summary(&enrollment(), "r1")).unwrap()).unwrap();
        assert_eq!((summary.count(Outcome::Written), &summary.unreadable[..]), (1, &[partition()][..]));
        // A run that was killed may have committed it too.
        assert_eq!(publish("r2").unwrap_err().name(), "StoreFailed");
        store.refuses_look.lock().unwrap().clear();
        assert_eq!(publish("r1").unwrap().n_published, 1);

        // One that failed, or was not tried, changed nothing.
        store.refuses_look.lock().unwrap().insert(OBJECT.to_owned());
        store.set(OBJECT, b"whatever", None);
        let _ = block_on(crate::fetch::record_failure(
            &store,
            &StandingClock,
            &enrollment(),
            &partition(),
            &RunFacts { run: "r3".into(), portal_release: None, force: false, pages_at_once: 1 },
            time(NOW),
            Error::WriteConflict { key: OBJECT.to_owned(), tries: 4 },
        ));
        assert_eq!(publish("r3").unwrap().unreadable, [partition()]);
    }

    /// Found by use: H8.
    #[test]
    fn a_partition_of_another_schema_is_stale_and_registered_with_its_own_columns() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        let mut older = enrollment();
        older.columns.retain(|column| column.name != "sex");
        block_on(schema::keep_schema(&store, &older)).unwrap();
        let portal = CannedPages::new(pages(&[row(1, "5")], 2));
        let facts = RunFacts { run: "r1".into(), portal_release: None, force: false, pages_at_once: 1 };
        block_on(fetch_partition(&portal, &store, &StandingClock, &older, &partition(), &facts)).unwrap();
        let summary = publish(&store, &catalog, &[item(partition())], "r1").unwrap();
        assert_eq!(summary.stale, [partition()]);
        assert_eq!(*catalog.partitions.lock().unwrap()[0].columns, older.typed_columns());
        // Where no schema is kept, the file's own footer tells.
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
    fn an_object_that_cannot_be_read_leaves_the_catalog_and_is_named() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        publish(&store, &catalog, &[item(partition())], "r1").unwrap();
        store.set("data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet", b"torn", None);
        let summary = publish(&store, &catalog, &[], "r2").unwrap();
        assert_eq!((summary.n_withdrawn, summary.unreadable), (1, vec![partition()]));
        assert!(catalog.partitions.lock().unwrap().is_empty());
    }

    #[test]
    fn g8_what_a_crawler_left_out_is_named() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        fetch(&store, "r1");
        let read_back = || publish_by(Registrar::Crawler, &store, &catalog, &[item(partition())], "r1");
        let error = read_back().unwrap_err().chain();
        assert!(error.contains("found 1 of 1 missing, such as `year=2021/grade=grade-pk`"), "{error}");
        publish(&store, &catalog, &[item(partition())], "r1").unwrap();
        assert_eq!(read_back().unwrap().n_published, 0);
    }

    #[test]
    fn a_catalog_that_does_not_keep_a_change_is_found_out() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog { forgets: true, ..MemoryCatalog::default() });
        fetch(&store, "r1");
        let error = publish(&store, &catalog, &[item(partition())], "r1").unwrap_err();
        assert_eq!(
            error.chain(),
            "publish to table `ccd_school.us_education_ccd_enrollment_data`: catalog refused: read back \
             `year=2021/grade=grade-pk`: expected it as written, found it otherwise: the catalog did not keep a change"
        );
    }
}
