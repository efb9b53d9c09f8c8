//! Deletes old kept pages, and the plans, summaries and receipts of old runs. Data and records are not touched.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::listing::list;
use crate::ledger::update_records::keep_attempts;
use crate::ports::store::Store;

/// The runs that [`prune_runs`] deletes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Run names, sorted.
    pub runs: Vec<String>,
    /// Keys of their objects, and of old kept pages.
    pub keys: Vec<String>,
}

/// Returns the runs with no object written at or after `before`, and the pages that were kept before it. The most recent run is never included, so that one always
/// remains.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed.
pub async fn old_runs(store: &impl Store, dataset: &Dataset, before: Timestamp) -> Result<Pruned, Error> {
    let prefix = keys::runs_prefix(dataset);
    let listed = list(store, &prefix).await?;
    let mut runs: BTreeMap<String, (Timestamp, Vec<String>)> = BTreeMap::new();
    for listed in listed {
        let Some(run) = keys::parse_run(dataset, &listed.key) else { continue };
        let (last_written, keys) = runs.entry(run).or_insert((listed.modified_at, Vec::new()));
        *last_written = listed.modified_at.max(*last_written);
        keys.push(listed.key);
    }
    let newest = runs.values().map(|(last_written, _)| *last_written).max();
    let mut old = Pruned::default();
    for (run, (last_written, keys)) in runs {
        if last_written < before && Some(last_written) != newest {
            old.runs.push(run);
            old.keys.extend(keys);
        }
    }
    let prefix = keys::kept_pages_prefix(dataset);
    let kept = list(store, &prefix).await?;
    old.keys.extend(kept.into_iter().filter(|kept| kept.modified_at < before).map(|kept| kept.key));
    Ok(old)
}

/// Deletes the objects of the runs that [`old_runs`] returns. First records the attempts of runs that were not published.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the records on every try.
pub async fn prune_runs(store: &impl Store, dataset: &Dataset, before: Timestamp) -> Result<Pruned, Error> {
    let old = old_runs(store, dataset, before).await?;
    if old.keys.is_empty() {
        return Ok(old);
    }
    keep_attempts(store, dataset).await?;
    let prefix = keys::runs_prefix(dataset);
    store.delete(old.keys.clone()).await.map_err(|source| Error::store_failed("delete", &prefix, source))?;
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{self, ErrorFacts, Outcome, Receipt};
    use crate::testing::{MemoryStore, NOW, enrollment, partition, time};
    use futures::executor::block_on;

    #[test]
    fn old_runs_are_deleted_but_not_the_last_one_the_data_or_the_records() {
        let store = MemoryStore::default();
        let runs = "ledger/ccd_enrollment/runs";
        for (key, at) in [
            (format!("{runs}/old/plan.json"), "2026-01-01T00:00:00Z"),
            (format!("{runs}/old/receipts/year=2021/grade=grade-pk.json"), "2026-01-01T00:00:00Z"),
            (format!("{runs}/slow/plan.json"), "2026-01-01T00:00:00Z"),
            (format!("{runs}/slow/summary.json"), "2026-03-01T00:00:00Z"),
            (format!("{runs}/last/plan.json"), "2026-03-02T00:00:00Z"),
            ("ledger/ccd_enrollment/records.json".to_owned(), "2026-01-01T00:00:00Z"),
            ("ledger/ccd_directory/runs/old/plan.json".to_owned(), "2026-01-01T00:00:00Z"),
            ("pages/ccd_enrollment/year=2021/grade=grade-pk/ab/old/set.json".to_owned(), "2026-01-01T00:00:00Z"),
            ("pages/ccd_enrollment/year=2021/grade=grade-pk/ab/last/set.json".to_owned(), "2026-03-02T00:00:00Z"),
            ("data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/x".to_owned(), "2026-01-01T00:00:00Z"),
        ] {
            store.set_at(&key, time(at));
        }
        let prune = |before: &str| block_on(prune_runs(&store, &enrollment(), time(before))).unwrap();
        // A run last written exactly at that time is kept.
        assert_eq!(prune("2026-01-01T00:00:00Z"), Pruned::default());
        let old = prune("2026-02-01T00:00:00Z");
        assert_eq!((old.runs.as_slice(), old.keys.len()), (&["old".to_owned()][..], 3));
        assert_eq!(store.keys("").len(), 7);
        assert_eq!(prune("2027-01-01T00:00:00Z").runs, ["slow"]);
        assert_eq!(prune("2027-01-01T00:00:00Z"), Pruned::default());
    }

    #[test]
    fn the_receipts_of_a_killed_run_are_recorded_before_they_are_deleted() {
        let store = MemoryStore::default();
        let (now, old) = (time(NOW), time("2026-01-01T00:00:00Z"));
        let failed = ErrorFacts { name: "BadBody".to_owned(), message: "no page".to_owned() };
        let receipt = Receipt::without_rows(partition(), Some(failed), old, old);
        let key = keys::receipt(&enrollment(), "killed", &partition());
        block_on(ledger::write_json(&store, &key, &receipt)).unwrap();
        store.set_at(&key, old);
        store.set_at("ledger/ccd_enrollment/runs/last/plan.json", now);
        block_on(ledger::write_json(&store, &key, &receipt)).unwrap();
        assert_eq!(block_on(prune_runs(&store, &enrollment(), now)).unwrap().runs, ["killed"]);
        let records = block_on(ledger::read_records(&store, &enrollment())).unwrap();
        let attempt = records[&partition()].last_attempt.as_ref().unwrap();
        assert_eq!((attempt.run.as_str(), attempt.outcome), ("killed", Outcome::Failed));
        assert_eq!(store.bytes(&key), None);
    }
}
