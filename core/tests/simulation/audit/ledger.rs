//! Checks receipts and records against what was served and seen, and checks that none is lost.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use serde_json::Value;

use super::{
    ACCOUNTED, ATTEMPTS, Auditor, Fetching, Landed, Look, NO_OUTCOME_LOST, RECEIPTS, RECORDS, Session, Version,
};
use crate::schedule::TaskId;
use crate::source;
use crate::store::Bucket;

/// Parses a time from JSON.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Checks whether a receipt or an attempt comes from an actual try, not from a missing receipt.
pub(super) fn is_of_a_try(message: &Value) -> bool {
    message["outcome"] != "not_tried" && message["error"]["name"] != "NoReceipt"
}

/// Returns a partition's item in an array of records or receipts.
pub(super) fn item_of(items: &Value, partition: usize) -> Option<&Value> {
    let name = serde_json::to_value(source::key_of(partition)).ok()?;
    items.as_array()?.iter().find(|item| item["partition"] == name)
}

/// Returns a partition's record in the ledger, in either layout.
pub(super) fn record_of(dataset: &Dataset, bucket: &Bucket, partition: usize) -> Value {
    let found = match bucket.json(&keys::records(dataset)) {
        Some(records) => item_of(&records, partition).cloned(),
        None => {
            let name = source::key_of(partition);
            bucket.json(&format!("{}{name}.json", keys::older_records_prefix(dataset)))
        }
    };
    found.unwrap_or_default()
}

impl Auditor {
    /// Records that a task read a ledger object.
    pub(crate) fn read(&mut self, task: TaskId, key: &str, etag: &str) {
        self.reads.insert((task, key.to_owned()), etag.to_owned());
    }

    /// Returns the run and the partition in a receipt's key.
    fn of_receipt(&self, dataset: &Dataset, key: &str) -> Option<(String, usize)> {
        let (run, name) = keys::parse_receipt(dataset, key)?;
        Some((run, (0..self.n_partitions).find(|partition| source::key_of(*partition) == name)?))
    }

    /// Checks a ledger object that is about to replace the one in `bucket`.
    pub(crate) fn wrote(
        &mut self,
        dataset: &Dataset,
        task: TaskId,
        key: &str,
        bytes: &Bytes,
        step: u32,
        bucket: &Bucket,
    ) {
        *self.ledger_writes.entry(key.to_owned()).or_default() += 1;
        if key.starts_with(keys::PAGES_PREFIX) {
            return self.page_kept(dataset, task, key);
        }
        if key.starts_with(keys::HISTORY_PREFIX) {
            return self.remembers(dataset, task, key);
        }
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some(fetching) = self.fetches.get(&task) {
            let (run, partition) = (fetching.run.clone(), fetching.partition);
            let expected = keys::receipt(dataset, &run, &source::key_of(partition));
            self.demand(RECEIPTS, key == expected, || format!("t{task} wrote `{key}` and not `{expected}`"));
            self.receipt(task, &value);
            self.deleted_unread.remove(&(run.clone(), partition));
            self.receipts.entry((run, partition)).or_default().push(Landed { step, receipt: value });
        } else if key == keys::records(dataset) {
            self.record_writes.push((step, task));
            for partition in 0..self.n_partitions {
                let before = record_of(dataset, bucket, partition);
                let record = item_of(&value, partition).cloned().unwrap_or_default();
                self.record(task, partition, &before, &record);
                self.attempt(task, partition, &before["last_attempt"], &record["last_attempt"]);
            }
        } else if key == keys::known_editions(dataset) {
            // Only a copy of what is in the history.
        } else if let Some(run) = self.publishes.get(&task).map(|publishing| publishing.run.clone()) {
            let expected = keys::summary(dataset, &run);
            self.demand(ACCOUNTED, key == expected, || format!("t{task} wrote `{key}` and not `{expected}`"));
            self.summary(task, &value);
        }
    }

    /// Checks a deletion of a ledger object. Returns whether it deletes a receipt that replaced the one that the task
    /// had read.
    pub(crate) fn deletes(&mut self, dataset: &Dataset, task: TaskId, key: &str, bucket: &Bucket) -> bool {
        self.count_deleted(dataset, task, key);
        let (Some(of), Some(etag)) = (self.of_receipt(dataset, key), bucket.etag(key)) else { return false };
        let is_unread = self.reads.get(&(task, key.to_owned())).is_some_and(|read| read != etag);
        if is_unread {
            self.deleted_unread.insert(of);
        }
        is_unread
    }

    /// Checks after a write or deletion in a run that the last receipt of each partition exists, or that the summary
    /// contains it or a later one.
    pub(crate) fn check_outcomes_kept(&mut self, dataset: &Dataset, key: &str, bucket: &Bucket) {
        let Some(run) = keys::parse_run(dataset, key) else { return };
        let summary = bucket.json(&keys::summary(dataset, &run)).unwrap_or_default();
        for partition in 0..self.n_partitions {
            let of = (run.clone(), partition);
            let Some(Landed { receipt, .. }) = self.receipts.get(&of).and_then(|receipts| receipts.last()) else {
                continue;
            };
            let name = source::key_of(partition);
            let is_there = bucket.etag(&keys::receipt(dataset, &run, &name)).is_some();
            let folded = item_of(&summary["partitions"], partition);
            // The summary has the receipt that was read. A receipt that replaced it may be lost.
            let is_unread = self.deleted_unread.contains(&of);
            let is_folded = folded.is_some_and(|folded| {
                is_of_a_try(folded) && (is_unread || time(&folded["finished_at"]) >= time(&receipt["finished_at"]))
            });
            if !is_there && !is_folded {
                let found = format!("`{name}`: {receipt} of {run} is gone, and the summary says {folded:?}");
                self.demand(NO_OUTCOME_LOST, false, || found);
            }
        }
    }

    /// Checks that a record has the metadata that the task found in its last inspection, or the metadata recorded
    /// before if the inspection failed.
    fn record(&mut self, task: TaskId, partition: usize, before: &Value, record: &Value) {
        let name = source::key_of(partition);
        let committed = &record["committed"];
        let seen = match self.last_looks.get(&(task, partition)) {
            Some(Look::Found(seen)) => seen.and_then(|id| self.versions.get(id)),
            Some(Look::Failed) => {
                // A receipt may have added the pages in the meantime.
                let fields = ["etag", "edition", "n_rows", "size_bytes", "fetched_at", "run"];
                let is_same = fields.iter().all(|field| committed[field] == before["committed"][field]);
                self.demand(RECORDS, is_same, || format!("`{name}`: t{task} could not look and recorded {committed}"));
                return;
            }
            None => {
                self.demand(RECORDS, false, || format!("`{name}`: t{task} wrote a record without a look"));
                return;
            }
        };
        let is_true = match seen {
            None => committed.is_null(),
            Some(version) => {
                committed["etag"] == *version.etag
                    && committed["edition"] == *version.stamp.edition.to_string()
                    && committed["n_rows"] == version.rows.len()
                    && committed["size_bytes"] == version.size_bytes
                    && committed["fetched_at"] == *version.stamp.fetched_at.to_string()
                    && committed["run"].as_str() == version.stamp.run.as_deref()
            }
        };
        // The page count comes from a fetch that received exactly these rows, whether it wrote the object or found it
        // unchanged.
        let has_pages = |fetching: &Fetching| {
            let session = fetching.session.as_ref().filter(|_| fetching.partition == partition);
            session.zip(seen).is_some_and(|(session, version)| {
                committed["n_pages"] == session.n_pages() && session.rows() == version.rows
            })
        };
        let is_known = committed["n_pages"].is_null() || self.fetches.values().any(has_pages);
        self.demand(RECORDS, is_true, || format!("`{name}`: t{task} recorded {committed}"));
        self.demand(RECORDS, is_known, || format!("`{name}`: t{task} recorded pages of other rows: {committed}"));
    }

    /// Checks that the last attempt was recorded before, is a receipt, or states that the publisher's run has no
    /// receipt; and that it is no older than the one recorded before.
    fn attempt(&mut self, task: TaskId, partition: usize, before: &Value, attempt: &Value) {
        let name = source::key_of(partition);
        let is_kept = before.is_null() || !is_of_a_try(before) || time(&attempt["at"]) >= time(&before["at"]);
        self.demand(ATTEMPTS, is_kept, || format!("`{name}`: t{task} replaced {before} by {attempt}"));
        if attempt.is_null() || attempt == before {
            return;
        }
        let run = attempt["run"].as_str().unwrap_or_default().to_owned();
        let is_own = self.publishes.get(&task).is_some_and(|publishing| publishing.run == run);
        let is_true = if is_of_a_try(attempt) {
            self.receipts.get(&(run, partition)).is_some_and(|receipts| {
                receipts.iter().any(|Landed { receipt, .. }| {
                    attempt["at"] == receipt["finished_at"]
                        && attempt["outcome"] == receipt["outcome"]
                        && attempt["error"] == receipt["error"]
                })
            })
        } else {
            true
        };
        self.demand(RECORDS, is_own && is_true, || format!("`{name}`: t{task} recorded the attempt {attempt}"));
    }

    /// Checks that a summary has one receipt for each planned partition, in the plan's order, and that its counts add
    /// up. Each receipt was written, or says why there is none.
    fn summary(&mut self, task: TaskId, summary: &Value) {
        let publishing = &self.publishes[&task];
        let (run, planned, from) = (publishing.run.clone(), publishing.planned.clone(), publishing.from);
        let not_tried = publishing.not_tried.clone();
        let receipts = summary["partitions"].as_array().cloned().unwrap_or_default();
        let named: Vec<&Value> = receipts.iter().map(|receipt| &receipt["partition"]).collect();
        let expected: Vec<Value> =
            planned.iter().map(|partition| serde_json::to_value(source::key_of(*partition)).unwrap()).collect();
        let is_whole = named == expected.iter().collect::<Vec<&Value>>();
        self.demand(ACCOUNTED, is_whole, || format!("{run} planned {expected:?} and summarized {named:?}"));
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for (partition, receipt) in planned.iter().zip(&receipts) {
            let name = source::key_of(*partition);
            *outcomes.entry(receipt["outcome"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            let of = (run.clone(), *partition);
            let landed = self.receipts.get(&of).map_or(&[][..], Vec::as_slice);
            let is_true = if is_of_a_try(receipt) {
                landed.iter().any(|landed| landed.receipt == *receipt)
            } else {
                // A publisher must see what existed when it started.
                let is_expected = (receipt["outcome"] == "not_tried") == not_tried.contains(partition);
                let is_missed = landed.iter().any(|landed| landed.step < from) && !self.deleted_unread.contains(&of);
                is_expected && !is_missed
            };
            self.demand(ACCOUNTED, is_true, || format!("`{name}`: {run} summed up {receipt}"));
        }
        let message: BTreeMap<String, u64> = serde_json::from_value(summary["outcomes"].clone()).unwrap_or_default();
        let is_sum = message.iter().all(|(outcome, n)| outcomes.get(outcome).copied().unwrap_or(0) == *n)
            && message.values().sum::<u64>() == planned.len() as u64
            && summary["n_planned"] == planned.len();
        self.demand(ACCOUNTED, is_sum, || format!("{run} has receipts {outcomes:?} and says {message:?}"));
        let n_failed = summary["failed"].as_array().map_or(0, Vec::len) as u64;
        let is_named = message.get("failed").copied() == Some(n_failed);
        self.demand(ACCOUNTED, is_named, || format!("{run} names {n_failed} failed partitions: {summary}"));
    }

    fn receipt(&mut self, task: TaskId, receipt: &Value) {
        let fetching = &self.fetches[&task];
        let name = source::key_of(fetching.partition);
        let outcome = receipt["outcome"].as_str().unwrap_or_default();
        let is_empty = fetching.session.as_ref().is_some_and(|session| session.content.is_empty());
        let received = fetching.session.as_ref().and_then(Session::oldest_received);
        let n_pages = fetching.session.as_ref().map_or(0, Session::n_pages);
        let rows = fetching.session.as_ref().map(Session::rows).unwrap_or_default();
        let mut found = fetching.heads.iter().flatten().map(|id| &self.versions[*id]);
        let is_sized = |version: &Version| receipt["size_bytes"] == version.size_bytes;
        let is_edition = |version: &Version| {
            version.partition == fetching.partition
                && version.rows == rows
                && version.stamp.edition.schema_id == fetching.schema_id
        };
        let is_own = |version: &Version| version.stamp.run.as_ref() == Some(&fetching.run);
        let is_true = match outcome {
            // Written since the fetch started, or by an earlier try in its run.
            "written" | "rewritten" => self.versions.iter().any(|version| {
                (version.step >= fetching.started_step || is_own(version))
                    && is_edition(version)
                    && is_sized(version)
                    && self.is_change(version, receipt)
            }),
            "unchanged" => found.any(|version| is_edition(version) && is_sized(version) && !is_own(version)),
            "superseded" => found.any(|version| Some(version.stamp.fetched_at) > received && is_sized(version)),
            // The task removed the object, or found none.
            "empty" => is_empty && (fetching.has_removed || fetching.heads.iter().any(Option::is_none)),
            "failed" => receipt["error"]["name"].is_string(),
            _ => false,
        };
        self.demand(RECEIPTS, is_true, || format!("`{name}`: t{task} ended as {receipt}"));
        let is_counted = outcome == "failed" || (receipt["n_rows"] == rows.len() && receipt["n_pages"] == n_pages);
        self.demand(RECEIPTS, is_counted, || format!("`{name}`: t{task} received {} rows: {receipt}", rows.len()));
    }
}
