//! Checks the result of publishing against the objects that exist.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::file::TypedColumn;
use rollcall_core::keys;
use rollcall_core::ports::CatalogPartition;
use serde_json::Value;

use super::ledger::{is_of_a_try, item_of, record_of, time};
use super::{ATTEMPTS, Auditor, CONVERGES, Publishing, RECORDS, REGISTERED, RESTS, Version};
use crate::catalog::CatalogState;
use crate::schedule::TaskId;
use crate::source::{self, Content, sorted};
use crate::store::Bucket;

impl Auditor {
    /// Records a change to the catalog, or the part of it that took effect.
    pub(crate) fn catalog_changed(&mut self, dataset: &Dataset, task: TaskId, put: &[CatalogPartition]) {
        self.n_catalog_changes += 1;
        for registered in put {
            let name = &registered.partition;
            let is_there = registered.location == keys::partition_prefix(dataset, name);
            self.demand(REGISTERED, is_there, || format!("t{task} registered `{}`", registered.location));
            let held = self.versions.iter().filter(|version| source::key_of(version.partition) == *name);
            let is_held = held
                .map(|version| (version.rows.len() as u64, version.stamp.edition.schema_id))
                .any(|held| (Some(held.0), Some(held.1)) == facts_of(registered));
            self.demand(REGISTERED, is_held, || {
                format!("t{task} registered `{name}` as {registered:?}, which no object there is")
            });
        }
    }

    pub(crate) fn start_publish(
        &mut self,
        task: TaskId,
        run: &str,
        started_at: Timestamp,
        planned: Vec<usize>,
        not_tried: BTreeSet<usize>,
        step: u32,
    ) {
        let publishing = Publishing { run: run.to_owned(), started_at, planned, not_tried, from: step, to: None };
        self.publishes.insert(task, publishing);
    }

    /// Records that a publishing task can no longer act.
    pub(crate) fn end_publish(&mut self, task: TaskId, step: u32) {
        if let Some(publishing) = self.publishes.get_mut(&task) {
            publishing.to = Some(step);
        }
    }

    /// Checks a published run. Returns how many partitions a slower publisher reverted.
    pub(crate) fn published(
        &mut self,
        dataset: &Dataset,
        task: TaskId,
        bucket: &Bucket,
        catalog: &CatalogState,
    ) -> usize {
        let (run, from) = (self.publishes[&task].run.clone(), self.publishes[&task].from);
        self.recorded(dataset, task, bucket);
        self.attempts_recorded(dataset, task, bucket);
        let mut n_overtaken = 0;
        for partition in 0..self.n_partitions {
            let (is_present, since) = self.presence[partition];
            let name = source::key_of(partition);
            let is_registered = catalog.partition(&name).is_some();
            // A partition whose object could not be read stays registered as it was, unless the run itself may have
            // committed it.
            let may_be_unseen = is_registered || !self.may_have_committed(dataset, task, bucket, partition);
            let is_unseen = may_be_unseen && self.unseen.contains(&(task, partition));
            if since >= from || is_registered == is_present || is_unseen {
                continue;
            }
            // A publisher that inspected an object before it vanished or reappeared may act on what it saw until the
            // next run. A partition that never lost its object stays registered, however slow the others are.
            let is_slower = |(other, publishing): (&TaskId, &Publishing)| {
                *other != task && publishing.from <= since && publishing.to.is_none_or(|to| to > from)
            };
            if self.vanished.contains(&partition) && self.publishes.iter().any(is_slower) {
                n_overtaken += 1;
                continue;
            }
            self.demand(REGISTERED, false, || {
                format!("after {run} `{name}` has an object: {is_present}, and is registered: {is_registered}")
            });
        }
        n_overtaken
    }

    /// Checks whether a run's summary says that it wrote an object, found it unchanged, or was killed while fetching
    /// it.
    fn may_have_committed(&self, dataset: &Dataset, task: TaskId, bucket: &Bucket, partition: usize) -> bool {
        let summary: Value = bucket.json(&keys::summary(dataset, &self.publishes[&task].run)).unwrap_or_default();
        item_of(&summary["partitions"], partition).is_some_and(|receipt| match receipt["outcome"].as_str() {
            Some("written" | "rewritten" | "unchanged" | "superseded") => true,
            Some("failed") => !is_of_a_try(receipt),
            _ => false,
        })
    }

    /// Checks that every record matches its object, unless others wrote either of them in the meantime.
    fn recorded(&mut self, dataset: &Dataset, task: TaskId, bucket: &Bucket) {
        let from = self.publishes[&task].from;
        if self.record_writes.iter().any(|(at, by)| *by != task && *at >= from) {
            return;
        }
        for partition in 0..self.n_partitions {
            if self.unseen.contains(&(task, partition))
                || self.presence[partition].1 >= from
                || self.versions.iter().any(|version| version.partition == partition && version.step >= from)
            {
                continue;
            }
            let name = source::key_of(partition);
            let version = self.object(dataset, bucket, partition);
            let etag = version.map(|version| version.etag.clone());
            let record = record_of(dataset, bucket, partition);
            let recorded = record["committed"]["etag"].as_str();
            self.demand(RECORDS, recorded == etag.as_deref(), || {
                format!("`{name}`: after publishing, {recorded:?} is recorded of {etag:?}")
            });
        }
    }

    /// Checks that a summary's attempts, or later ones, are recorded. A missing receipt counts as later only if
    /// its run started after the recorded attempt.
    fn attempts_recorded(&mut self, dataset: &Dataset, task: TaskId, bucket: &Bucket) {
        let run = self.publishes[&task].run.clone();
        let summary: Value = bucket.json(&keys::summary(dataset, &run)).unwrap_or_default();
        for partition in self.publishes[&task].planned.clone() {
            let name = source::key_of(partition);
            let receipt = item_of(&summary["partitions"], partition).cloned().unwrap_or_default();
            let attempt = record_of(dataset, bucket, partition)["last_attempt"].clone();
            let of = |publishing: &&Publishing| attempt["run"] == *publishing.run;
            let began_at = self.publishes.values().find(of).map(|publishing| publishing.started_at);
            let is_recorded = match (is_of_a_try(&receipt), is_of_a_try(&attempt)) {
                _ if receipt.is_null() || attempt.is_null() => false,
                (true, true) => time(&attempt["at"]) >= time(&receipt["finished_at"]),
                (true, false) => began_at >= time(&receipt["finished_at"]),
                (false, _) => true,
            };
            self.demand(ATTEMPTS, is_recorded, || {
                format!("`{name}`: after publishing {run}, {attempt} is recorded of {receipt}")
            });
        }
    }

    /// Returns the current object of a partition.
    fn object(&self, dataset: &Dataset, bucket: &Bucket, partition: usize) -> Option<&Version> {
        bucket.version(&keys::partition_object(dataset, &source::key_of(partition))).map(|id| &self.versions[id])
    }

    /// Checks after a fault-free run that objects, records and catalog match the source.
    pub(crate) fn converged(
        &mut self,
        dataset: &Dataset,
        run: &str,
        contents: &[Content],
        bucket: &Bucket,
        catalog: &CatalogState,
    ) {
        let summary: Value = bucket.json(&keys::summary(dataset, run)).unwrap_or_default();
        for (partition, content) in contents.iter().enumerate() {
            let name = source::key_of(partition);
            let object = self.object(dataset, bucket, partition);
            let rows = sorted(content);
            let is_of_schema = object.is_none_or(|version| version.stamp.edition.schema_id == dataset.schema_id());
            let is_latest = is_of_schema && object.map_or(&[][..], |version| &version.rows) == rows;
            let etag = object.map(|version| version.etag.clone());
            self.demand(CONVERGES, is_latest, || format!("`{name}`: the object is not what the source holds"));
            let record = record_of(dataset, bucket, partition);
            let is_recorded = record["committed"]["etag"].as_str() == etag.as_deref()
                && record["committed"]["n_pages"].is_u64() == etag.is_some()
                && record["last_attempt"]["run"] == *run
                && record["last_attempt"]["outcome"] != "failed";
            self.demand(CONVERGES, is_recorded, || format!("`{name}`: recorded as {record}"));
            let registered = catalog.partition(&name);
            let message = registered.map_or((None, None), facts_of);
            let has_rows = !rows.is_empty();
            let is_registered =
                message == (has_rows.then_some(rows.len() as u64), has_rows.then_some(dataset.schema_id()));
            self.demand(CONVERGES, is_registered, || format!("`{name}`: registered as {registered:?}"));
            let receipt = item_of(&summary["partitions"], partition);
            let is_summed_up = receipt.is_some_and(is_of_a_try);
            self.demand(CONVERGES, is_summed_up, || format!("`{name}`: {run} sums up {receipt:?}"));
        }
        let n_registered = catalog.n_registered();
        let n_full = contents.iter().filter(|content| !content.is_empty()).count();
        self.demand(CONVERGES, n_registered == n_full, || format!("{n_registered} registered, {n_full} have rows"));
        let left = bucket.keys(&format!("{}receipts/", keys::run_prefix(dataset, run)));
        self.demand(CONVERGES, left.is_empty(), || format!("{run} left {left:?}"));
        let is_of_now = bucket.json(&keys::records(dataset)).is_some();
        self.demand(CONVERGES, is_of_now, || "the records are not in one object".to_owned());
    }

    /// Checks that, since writes were last counted, a run wrote only its descriptor, its plan, its summary, a receipt for
    /// each partition and the records, once each.
    pub(crate) fn rested(&mut self, dataset: &Dataset, run: &str) {
        let receipts = (0..self.n_partitions).map(|partition| keys::receipt(dataset, run, &source::key_of(partition)));
        let descriptor = keys::run_descriptor(&dataset.name, run);
        let ledger = [descriptor, keys::plan(dataset, run), keys::summary(dataset, run), keys::records(dataset)];
        let others = ledger.into_iter().chain([keys::refreshes(&dataset.table)]);
        let expected: Vec<(String, u64)> =
            receipts.chain(others).collect::<BTreeSet<String>>().into_iter().map(|key| (key, 1)).collect();
        let written: Vec<(String, u64)> = self.ledger_writes.clone().into_iter().collect();
        self.demand(RESTS, written == expected, || format!("{run} wrote {written:?}"));
    }
}

/// Returns the row count and the schema of a registered partition, if the simulation knows the schema.
fn facts_of(registered: &CatalogPartition) -> (Option<u64>, Option<u64>) {
    static SCHEMAS: LazyLock<[(Vec<TypedColumn>, u64); 2]> = LazyLock::new(|| {
        [source::dataset(), source::other_dataset()].map(|dataset| (dataset.typed_columns(), dataset.schema_id()))
    });
    let of = SCHEMAS.iter().find(|(columns, _)| *columns == *registered.columns);
    (Some(registered.n_rows), of.map(|(_, schema_id)| *schema_id))
}
