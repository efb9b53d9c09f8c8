//! What receipts and records say, against what was served and seen.

use bytes::Bytes;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use serde_json::Value;

use super::{Auditor, Fetching, RECEIPTS, RECORDS, Session, Version};
use crate::schedule::TaskId;
use crate::source::{self, sorted};

impl Auditor {
    /// An object of the ledger was written.
    pub(crate) fn wrote(&mut self, dataset: &Dataset, task: TaskId, key: &str, bytes: &Bytes, step: u32) {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some(partition) =
            (0..self.n_partitions).find(|partition| key == keys::record(dataset, &source::key_of(*partition)))
        {
            self.record_writes.push((step, task, partition));
            self.record(task, partition, &value);
        } else if let Some(fetching) = self.fetches.get(&task) {
            let (run, partition) = (fetching.run.clone(), fetching.partition);
            let expected = keys::receipt(dataset, &run, &source::key_of(partition));
            self.demand(RECEIPTS, key == expected, || format!("t{task} wrote `{key}` and not `{expected}`"));
            self.receipt_writes.push((step, run));
            self.receipt(task, &value);
        }
    }

    /// A record says of the object what the task's last look at it found.
    fn record(&mut self, task: TaskId, partition: usize, record: &Value) {
        let name = source::key_of(partition);
        let seen = self.last_heads.get(&(task, partition)).copied();
        self.demand(RECORDS, seen.is_some(), || format!("`{name}`: t{task} wrote a record without a look"));
        let seen = seen.flatten().and_then(|id| self.versions.get(id));
        let committed = &record["committed"];
        let is_true = match seen {
            None => committed.is_null(),
            Some(version) => {
                committed["etag"] == *version.etag
                    && committed["n_rows"] == version.rows.len()
                    && committed["size_bytes"] == version.size_bytes
                    && committed["fetched_at"] == *version.stamp.fetched_at.to_string()
                    && committed["run"].as_str() == version.stamp.run.as_deref()
            }
        };
        // Pages are what the fetch says that had these very rows, written or found unchanged.
        let has_pages = |fetching: &Fetching| {
            let session = fetching.session.as_ref().filter(|_| fetching.partition == partition);
            session.zip(seen).is_some_and(|(session, version)| {
                committed["n_pages"] == session.n_pages() && sorted(&session.content) == version.rows
            })
        };
        let is_known = committed["n_pages"].is_null() || self.fetches.values().any(has_pages);
        self.demand(RECORDS, is_true, || format!("`{name}`: t{task} recorded {committed}"));
        self.demand(RECORDS, is_known, || format!("`{name}`: t{task} recorded pages of other rows: {committed}"));
    }

    fn receipt(&mut self, task: TaskId, receipt: &Value) {
        let fetching = &self.fetches[&task];
        let name = source::key_of(fetching.partition);
        let outcome = receipt["outcome"].as_str().unwrap_or_default();
        let content = fetching.session.as_ref().map(|session| session.content.clone()).unwrap_or_default();
        let received = fetching.session.as_ref().and_then(Session::last_received);
        let n_pages = fetching.session.as_ref().map_or(0, Session::n_pages);
        let rows = sorted(&content);
        let first = fetching.heads.first().copied().flatten().map(|id| &self.versions[id]);
        let is_sized = |version: &Version| receipt["size_bytes"] == version.size_bytes;
        let is_true = match outcome {
            "written" => self
                .versions
                .iter()
                .rev()
                .take_while(|version| version.step >= fetching.started_step)
                .any(|version| version.partition == fetching.partition && version.rows == rows && is_sized(version)),
            "unchanged" => first.is_some_and(|version| version.rows == rows && is_sized(version)),
            "superseded" => fetching
                .heads
                .iter()
                .flatten()
                .map(|id| &self.versions[*id])
                .any(|version| Some(version.stamp.fetched_at) > received && is_sized(version)),
            // It was absent, was removed, or was found to be gone when it should be.
            "empty" => content.is_empty() && (fetching.has_removed || fetching.heads.iter().any(Option::is_none)),
            "failed" => receipt["error"]["name"].is_string(),
            _ => false,
        };
        self.demand(RECEIPTS, is_true, || format!("`{name}`: t{task} ended as {receipt}"));
        let is_counted = outcome == "failed" || (receipt["n_rows"] == rows.len() && receipt["n_pages"] == n_pages);
        self.demand(RECEIPTS, is_counted, || format!("`{name}`: t{task} received {} rows: {receipt}", rows.len()));
    }
}
