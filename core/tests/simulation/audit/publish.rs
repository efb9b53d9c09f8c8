//! What publishing leaves, against the objects there are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ports::CatalogPartition;
use serde_json::Value;

use super::{ACCOUNTED, Auditor, CONVERGES, Publishing, RECORDS, REGISTERED};
use crate::catalog::CatalogState;
use crate::schedule::TaskId;
use crate::source::{self, Content, sorted};
use crate::store::Bucket;

impl Auditor {
    /// The catalog was changed, or a part of the change was carried out.
    pub(crate) fn catalog_changed(&mut self, dataset: &Dataset, task: TaskId, put: &[CatalogPartition]) {
        self.n_catalog_changes += 1;
        for registered in put {
            let name = &registered.partition;
            let is_there = registered.location == keys::partition_prefix(dataset, name);
            self.demand(REGISTERED, is_there, || format!("t{task} registered `{}`", registered.location));
            let held = self.versions.iter().filter(|version| source::key_of(version.partition) == *name);
            let is_held = held.map(|version| version.rows.len() as u64).any(|n_rows| n_rows == registered.n_rows);
            self.demand(REGISTERED, is_held, || {
                format!("t{task} registered `{name}` with {} rows, which no object there held", registered.n_rows)
            });
        }
    }

    pub(crate) fn begin_publish(
        &mut self,
        task: TaskId,
        run: &str,
        started_at: Timestamp,
        planned: Vec<usize>,
        step: u32,
    ) {
        let publishing = Publishing { run: run.to_owned(), started_at, planned, from: step, to: None };
        self.publishes.insert(task, publishing);
    }

    /// A task that published can act no more.
    pub(crate) fn end_publish(&mut self, task: TaskId, step: u32) {
        if let Some(publishing) = self.publishes.get_mut(&task) {
            publishing.to = Some(step);
        }
    }

    /// A run was published. Gives how many partitions a slower publisher changed back.
    pub(crate) fn published(
        &mut self,
        dataset: &Dataset,
        task: TaskId,
        bucket: &Bucket,
        catalog: &CatalogState,
    ) -> usize {
        let (run, from) = (self.publishes[&task].run.clone(), self.publishes[&task].from);
        self.accounted(dataset, task, bucket);
        self.recorded(dataset, task, bucket);
        let mut n_overtaken = 0;
        for partition in 0..self.n_partitions {
            let (is_present, since) = self.presence[partition];
            let name = source::key_of(partition);
            let is_registered = catalog.n_rows(&name).is_some();
            if since >= from || is_registered == is_present {
                continue;
            }
            // A publisher that looked before an object vanished or came back may have acted on that since: until the
            // next run. A partition that never lost its object is not taken out, however slow the others are.
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

    /// Every record follows its object, where neither was written by others meanwhile.
    fn recorded(&mut self, dataset: &Dataset, task: TaskId, bucket: &Bucket) {
        let from = self.publishes[&task].from;
        for partition in 0..self.n_partitions {
            let is_touched = |(at, by, of): &(u32, TaskId, usize)| *of == partition && *by != task && *at >= from;
            if self.presence[partition].1 >= from
                || self.versions.iter().any(|version| version.partition == partition && version.step >= from)
                || self.record_writes.iter().any(is_touched)
            {
                continue;
            }
            let name = source::key_of(partition);
            let version = bucket.version(&keys::partition_object(dataset, &name)).map(|id| &self.versions[id]);
            let etag = version.map(|version| version.etag.clone());
            let record: Value = bucket.json(&keys::record(dataset, &name)).unwrap_or_default();
            let recorded = record["committed"]["etag"].as_str();
            self.demand(RECORDS, recorded == etag.as_deref(), || {
                format!("`{name}`: after publishing, {recorded:?} is recorded of {etag:?}")
            });
        }
    }

    /// Every planned partition left a receipt or a record, and the summary adds up.
    fn accounted(&mut self, dataset: &Dataset, task: TaskId, bucket: &Bucket) {
        let Publishing { run, started_at, planned, from, .. } = &self.publishes[&task];
        let (run, started_at, planned, from) = (run.clone(), *started_at, planned.clone(), *from);
        let summary: Value = bucket.json(&keys::summary(dataset, &run)).unwrap_or_default();
        let is_alone = !self.receipt_writes.iter().any(|(step, of)| *of == run && *step >= from);
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for partition in &planned {
            let name = source::key_of(*partition);
            let receipt: Option<Value> = bucket.json(&keys::receipt(dataset, &run, &name));
            let outcome = receipt.as_ref().and_then(|receipt| receipt["outcome"].as_str()).unwrap_or("failed");
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
            if receipt.is_some()
                || self.record_writes.iter().any(|(at, by, of)| at >= &from && *by != task && of == partition)
            {
                continue;
            }
            let record: Value = bucket.json(&keys::record(dataset, &name)).unwrap_or_default();
            let attempt = &record["last_attempt"];
            let at: Option<Timestamp> = attempt["at"].as_str().and_then(|at| at.parse().ok());
            self.demand(ACCOUNTED, at.is_some_and(|at| at >= started_at), || {
                format!("`{name}` was planned by {run} and has neither receipt nor record: {attempt}")
            });
        }
        let said: BTreeMap<String, u64> = serde_json::from_value(summary["outcomes"].clone()).unwrap_or_default();
        let is_sum = said.values().sum::<u64>() == planned.len() as u64 && summary["n_planned"] == planned.len();
        self.demand(ACCOUNTED, is_sum, || format!("{run} planned {}: {summary}", planned.len()));
        let n_failed = summary["failed"].as_array().map_or(0, Vec::len) as u64;
        let is_named = said.get("failed").copied() == Some(n_failed);
        self.demand(ACCOUNTED, is_named, || format!("{run} names {n_failed} failed partitions: {summary}"));
        let is_same = said.iter().all(|(outcome, n)| outcomes.get(outcome).copied().unwrap_or(0) == *n);
        self.demand(ACCOUNTED, is_same || !is_alone, || format!("{run} has receipts {outcomes:?} and says {said:?}"));
    }

    /// After a clean run, objects, records and catalog are what the source holds.
    pub(crate) fn converged(
        &mut self,
        dataset: &Dataset,
        run: &str,
        contents: &[Content],
        bucket: &Bucket,
        catalog: &CatalogState,
    ) {
        for (partition, content) in contents.iter().enumerate() {
            let name = source::key_of(partition);
            let object = bucket.version(&keys::partition_object(dataset, &name)).map(|id| &self.versions[id]);
            let rows = sorted(content);
            let is_latest = object.map_or(&[][..], |version| &version.rows) == rows;
            let etag = object.map(|version| version.etag.clone());
            self.demand(CONVERGES, is_latest, || format!("`{name}`: the object is not what the source holds"));
            let record: Value = bucket.json(&keys::record(dataset, &name)).unwrap_or_default();
            let is_recorded = record["committed"]["etag"].as_str() == etag.as_deref()
                && record["committed"]["n_pages"].is_u64() == etag.is_some()
                && record["last_attempt"]["run"] == *run
                && record["last_attempt"]["outcome"] != "failed";
            self.demand(CONVERGES, is_recorded, || format!("`{name}`: recorded as {record}"));
            let registered = catalog.n_rows(&name);
            let is_registered = registered == (!rows.is_empty()).then_some(rows.len() as u64);
            self.demand(CONVERGES, is_registered, || format!("`{name}`: registered with {registered:?} rows"));
        }
        let n_registered = catalog.n_registered();
        let n_full = contents.iter().filter(|content| !content.is_empty()).count();
        self.demand(CONVERGES, n_registered == n_full, || format!("{n_registered} registered, {n_full} have rows"));
    }
}
