//! The catalog step: plan + receipts + objects → catalog partitions, read back → summary.
//!
//! It converges from the objects: every partition of the dataset that has a readable one gets its catalog partition,
//! whether this run planned it or not, so a run that died between commit and publish is completed by the next.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::commit_plain;
use crate::keys;
use crate::ledger::{self, ErrorFacts, FailedPartition, Outcome, Receipt, Summary};
use crate::lookup::Lookup;
use crate::partition::PartitionKey;
use crate::plan::PlanItem;
use crate::ports::{Catalog, CatalogError, CatalogPartition, Clock, ObjectFacts, Store};
use crate::table::Encoded;

/// Who adds partitions to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registrar {
    /// This step.
    Publisher,
    /// A crawler did, before this step: what it left out is an error.
    Crawler,
}

/// A run as it was planned.
#[derive(Debug, Clone, Copy)]
pub struct PlannedRun<'r> {
    /// Its name.
    pub name: &'r str,
    /// When it began.
    pub started_at: Timestamp,
    /// Its plan.
    pub items: &'r [PlanItem],
}

/// Publishes a run's partitions and writes its summary.
///
/// # Errors
/// [`Error::CatalogFailed`], also when the catalog does not read back as written; [`Error::StoreFailed`].
pub async fn publish_partitions(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
    planned: &PlannedRun<'_>,
    registrar: Registrar,
) -> Result<Summary, Error> {
    let PlannedRun { name: run, started_at, items: plan } = *planned;
    let planned: Vec<PartitionKey> = plan.iter().map(|item| item.partition.clone()).collect();
    tracing::debug!(run, "publishing begun");
    let receipts = ledger::read_receipts(store, dataset, run, &planned).await?;
    let objects = ledger::committed_objects(store, dataset).await?;
    ledger::reconcile(store, dataset, &objects).await?;
    let published = match registrar {
        Registrar::Publisher => converge(store, catalog, dataset, &objects).await?,
        Registrar::Crawler => read_back(catalog, dataset, &objects).await?,
    };
    tracing::debug!(run, n_put = published.n_put, n_removed = published.n_removed, "partitions published");
    publish_lookups(store, catalog, clock.now(), run).await?;
    let mut summary = summarize(dataset, plan, &receipts, run, started_at, clock.now());
    summary.n_published = published.n_put;
    summary.n_withdrawn = published.n_removed;
    summary.unreadable = published.unreadable;
    let is_lost = |failed: &&FailedPartition| !receipts.contains_key(&failed.partition);
    let lost: Vec<FailedPartition> = summary.failed.iter().filter(is_lost).cloned().collect();
    ledger::record_lost(store, dataset, &lost, run, started_at, summary.finished_at).await?;
    ledger::write_json(store, &keys::summary(dataset, run), &summary).await?;
    tracing::debug!(run, "summary written");
    Ok(summary)
}

/// What [`converge`] changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Partitions added or changed.
    pub n_put: usize,
    /// Partitions taken out, since their object is gone or cannot be read.
    pub n_removed: usize,
    /// Partitions whose object cannot be read as one of ours: a run that fetches them writes it again.
    pub unreadable: Vec<PartitionKey>,
}

/// Makes the catalog say of every partition of `dataset` what the objects say, and reads it back.
///
/// - `objects`: every object, from [`ledger::committed_objects`].
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`].
pub async fn converge(
    store: &impl Store,
    catalog: &impl Catalog,
    dataset: &Dataset,
    objects: &BTreeMap<PartitionKey, ObjectFacts>,
) -> Result<Published, Error> {
    let failed = |source| Error::CatalogFailed { table: dataset.qualified_table(), source };
    let mut unreadable = Vec::new();
    let mut due = BTreeMap::new();
    for (partition, facts) in objects {
        match &facts.stamp {
            Some(stamp) => {
                let location = keys::partition_prefix(dataset, partition);
                let partition = partition.clone();
                let n_rows = stamp.n_rows;
                let registered = CatalogPartition { partition, location, n_rows, has_columns_of_table: true };
                due.insert(registered.partition.clone(), registered);
            }
            None => unreadable.push(partition.clone()),
        }
    }
    catalog.ensure_table(&dataset.table_spec()).await.map_err(failed)?;
    let registered = by_key(catalog.partitions(dataset).await.map_err(failed)?);
    let put: Vec<CatalogPartition> =
        due.values().filter(|partition| registered.get(&partition.partition) != Some(partition)).cloned().collect();
    let mut remove = Vec::new();
    for partition in registered.keys().filter(|partition| !due.contains_key(*partition)) {
        // Another run may have written and registered it since the objects were listed.
        let facts = ledger::object_facts(store, dataset, partition).await?;
        if facts.is_none_or(|facts| facts.stamp.is_none()) {
            remove.push(partition.clone());
        }
    }
    let published = Published { n_put: put.len(), n_removed: remove.len(), unreadable };
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

/// Checks that the catalog has every partition of `dataset` that has a readable object, where that object is. Rows are
/// not compared: a crawler does not say them.
///
/// # Errors
/// [`Error::CatalogFailed`] naming a partition that is not there.
async fn read_back(
    catalog: &impl Catalog,
    dataset: &Dataset,
    objects: &BTreeMap<PartitionKey, ObjectFacts>,
) -> Result<Published, Error> {
    let failed = |source| Error::CatalogFailed { table: dataset.qualified_table(), source };
    let registered = by_key(catalog.partitions(dataset).await.map_err(failed)?);
    let is_registered = |partition: &PartitionKey| {
        let location = registered.get(partition).map(|registered| registered.location.trim_end_matches('/'));
        location == Some(keys::partition_prefix(dataset, partition).trim_end_matches('/'))
    };
    let (readable, unreadable): (Vec<_>, Vec<_>) = objects.iter().partition(|(_, facts)| facts.stamp.is_some());
    let missing: Vec<&PartitionKey> =
        readable.into_iter().map(|(partition, _)| partition).filter(|partition| !is_registered(partition)).collect();
    if let Some(first) = missing.first() {
        return Err(failed(CatalogError {
            message: format!(
                "read back after the crawler: expected every partition, found {} of {} missing, such as `{first}`",
                missing.len(),
                objects.len()
            ),
            source: "the crawler left it out".into(),
        }));
    }
    let unreadable = unreadable.into_iter().map(|(partition, _)| partition.clone()).collect();
    Ok(Published { n_put: 0, n_removed: 0, unreadable })
}

fn by_key(partitions: Vec<CatalogPartition>) -> BTreeMap<PartitionKey, CatalogPartition> {
    partitions.into_iter().map(|partition| (partition.partition.clone(), partition)).collect()
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
    for (lookup, Encoded { bytes, edition, n_rows }) in Lookup::built_in_encoded()? {
        let wrote = commit_plain(store, &lookup.object(), bytes.clone(), *edition, *n_rows, now, run).await?;
        if wrote {
            tracing::info!(table = lookup.table(), n_rows, "look-up table written");
        }
        let spec = lookup.table_spec();
        catalog
            .ensure_table(&spec)
            .await
            .map_err(|source| Error::CatalogFailed { table: format!("{}.{}", spec.database, spec.table), source })?;
    }
    Ok(())
}

/// Adds the receipts up. A planned partition without a receipt counts as failed.
fn summarize(
    dataset: &Dataset,
    plan: &[PlanItem],
    receipts: &BTreeMap<PartitionKey, Receipt>,
    run: &str,
    started_at: Timestamp,
    finished_at: Timestamp,
) -> Summary {
    let mut summary = Summary {
        run: run.to_owned(),
        dataset: dataset.name.clone(),
        started_at,
        finished_at,
        n_planned: plan.len(),
        outcomes: Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect(),
        n_rows: 0,
        n_pages: 0,
        n_published: 0,
        n_withdrawn: 0,
        unreadable: Vec::new(),
        failed: Vec::new(),
    };
    for item in plan {
        let receipt = receipts.get(&item.partition);
        let outcome = receipt.map_or(Outcome::Failed, |receipt| receipt.outcome);
        *summary.outcomes.entry(outcome).or_default() += 1;
        if let Some(receipt) = receipt {
            summary.n_rows += receipt.n_rows;
            summary.n_pages += u64::from(receipt.n_pages);
        }
        if outcome == Outcome::Failed {
            let error = receipt.and_then(|receipt| receipt.error.clone()).unwrap_or_else(|| ErrorFacts {
                name: "NoReceipt".to_owned(),
                message: "expected a receipt, found none: it was killed, timed out or never started".to_owned(),
            });
            summary.failed.push(FailedPartition { partition: item.partition.clone(), error });
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::{RunFacts, fetch_partition};
    use crate::ledger::PartitionRecord;
    use crate::partition::AxisValue;
    use crate::plan::Reason;
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
        let planned = PlannedRun { name: run, started_at: time(NOW), items: plan };
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
        assert_eq!(summary.failed[0].error.name, "NoReceipt");
        assert_eq!(summary.n_published, 1);
    }

    #[test]
    fn a_partition_without_a_receipt_is_recorded_as_failed_unless_it_was_tried_since() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        let attempt = |store: &MemoryStore| {
            let key = keys::record(&enrollment(), &partition());
            let record: PartitionRecord = block_on(ledger::read_json(store, &key)).unwrap().unwrap();
            record.last_attempt.unwrap()
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
        store.delete("data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet");
        let summary = publish(&store, &catalog, &[item(partition())], "r1").unwrap();
        assert_eq!(summary.n_withdrawn, 1);
        assert!(catalog.partitions.lock().unwrap().is_empty());
    }

    #[test]
    fn what_a_faster_run_registered_since_the_objects_were_listed_stays() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        let listed = block_on(ledger::committed_objects(&store, &enrollment())).unwrap();
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
        store.delete("ledger/ccd_enrollment/partitions/year=2021/grade=grade-pk.json");
        let summary = publish(&store, &catalog, &[], "r2").unwrap();
        assert_eq!((summary.n_planned, summary.n_published), (0, 1));
        assert_eq!(catalog.partitions.lock().unwrap()[0].partition, partition());
        let records = block_on(ledger::read_records(&store, &enrollment())).unwrap();
        assert_eq!(records[&partition()].committed.as_ref().unwrap().n_rows, 2);
    }

    #[test]
    fn a_record_that_says_other_than_its_object_is_written_anew() {
        let (store, catalog) = (MemoryStore::default(), MemoryCatalog::default());
        let record = "ledger/ccd_enrollment/partitions/year=2021/grade=grade-pk.json";
        let object = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";
        let recorded = || block_on(ledger::read_records(&store, &enrollment())).unwrap().remove(&partition()).unwrap();
        fetch(&store, "r1");
        let older = store.bytes(record).unwrap();
        fetch_rows(&store, "killed", &[row(1, "5")], true);
        store.set(record, &older, None);
        let _ = publish(&store, &catalog, &[], "r2").unwrap();
        let found = recorded();
        assert_eq!(found.committed.unwrap().n_rows, 1);
        assert_eq!(found.last_attempt.unwrap().run, "r1");
        store.delete(object);
        let _ = publish(&store, &catalog, &[], "r3").unwrap();
        assert_eq!(recorded().committed, None);
        let before = block_on(store.head(record)).unwrap().unwrap().etag;
        let _ = publish(&store, &catalog, &[], "r4").unwrap();
        assert_eq!(block_on(store.head(record)).unwrap().unwrap().etag, before);
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
