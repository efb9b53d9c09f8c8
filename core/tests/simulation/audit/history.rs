//! Judges what the lake remembers: every object that was replaced by other rows, or removed, is kept, and the list of
//! editions has all of them in order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use serde_json::Value;

use crate::audit::{Auditor, REMEMBERED, Version};
use crate::schedule::TaskId;
use crate::source::{self, Row};
use crate::store::Bucket;

/// What happened to a partition's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// The auditor's number of the version that was written.
    Written(usize),
    Removed,
    ByHand,
}

impl Auditor {
    /// Checks that a fetch adds to the list of its own partition, and a publisher to the refreshes.
    pub(super) fn remembers(&mut self, dataset: &Dataset, task: TaskId, key: &str) {
        let expected = match self.fetches.get(&task) {
            Some(fetching) => keys::editions(&dataset.table, &source::key_of(fetching.partition)),
            None => keys::refreshes(&dataset.table),
        };
        self.demand(REMEMBERED, key == expected, || format!("t{task} wrote `{key}` and not `{expected}`"));
    }

    /// Checks that a version is kept, just before other rows replace it or it is removed.
    pub(super) fn check_kept(&mut self, dataset: &Dataset, version: usize, bucket: &Bucket) {
        let version = &self.versions[version];
        let partition = source::key_of(version.partition);
        let (key, object) = (
            keys::kept_edition(&dataset.table, &partition, &version.stamp.edition),
            keys::partition_object(dataset, &partition),
        );
        let is_kept = bucket.bytes(&key).is_some_and(|kept| bucket.bytes(&object) == Some(kept));
        self.demand(REMEMBERED, is_kept, || format!("`{partition}`: its object went without a copy at `{key}`"));
    }

    /// Returns whether a receipt tells how a version differs from one that was there before it.
    pub(super) fn is_change(&self, version: &Version, receipt: &Value) -> bool {
        let is_rewritten = receipt["outcome"] == "rewritten";
        let Some(change) = receipt.get("change") else { return !is_rewritten };
        let mut before = self.versions.iter().filter(|before| {
            before.partition == version.partition
                && before.step < version.step
                && change["replaced"] == before.stamp.edition.to_string()
        });
        before.any(|before| {
            let (old, new) = (by_school(&before.rows), by_school(&version.rows));
            let n_added = new.keys().filter(|school| !old.contains_key(*school)).count();
            let n_removed = old.keys().filter(|school| !new.contains_key(*school)).count();
            let n_revised =
                new.iter().filter(|(school, n)| old.get(*school).is_some_and(|before| before != *n)).count();
            let counts = [("added", n_added), ("removed", n_removed), ("revised", n_revised), ("recoded", 0)];
            counts.iter().all(|(name, n)| change["rows"][name].as_u64().unwrap_or(0) == *n as u64)
                && is_rewritten == counts.iter().all(|(_, n)| *n == 0)
        })
    }

    /// Checks the lists of editions after everything has ended. A partition that was changed by hand is left out.
    pub(crate) fn check_editions(
        &mut self,
        dataset: &Dataset,
        n_partitions: usize,
        bucket: &Bucket,
        registered: &[&str],
    ) {
        for partition in 0..n_partitions {
            let past: Vec<Past> = self.past.iter().filter(|(of, _)| *of == partition).map(|(_, past)| *past).collect();
            if past.contains(&Past::ByHand) {
                continue;
            }
            let expected: Vec<Option<u128>> = past
                .iter()
                .map(|past| match past {
                    Past::Written(version) => Some(self.versions[*version].stamp.edition.digest.0),
                    Past::Removed | Past::ByHand => None,
                })
                .collect();
            let name = source::key_of(partition);
            let list = bucket.json(&keys::editions(&dataset.table, &name)).unwrap_or_default();
            let digest = |entry: &Value| {
                let edition = entry["edition"].as_str()?.split('-').next()?;
                u128::from_str_radix(edition, 16).ok()
            };
            let listed: Vec<&Value> = list["starts"].as_array().into_iter().flatten().collect();
            let mut found: Vec<Option<u128>> = listed.iter().map(|entry| digest(entry)).collect();
            if let Some(current) = bucket.version(&keys::partition_object(dataset, &name)) {
                found.push(Some(self.versions[current].stamp.edition.digest.0));
            }
            let (expected, found) = (collapse(&expected), collapse(&found));
            self.demand(REMEMBERED, expected == found, || {
                format!("`{name}`: its editions were {expected:x?}, the list has {found:x?}")
            });
            let sinces: Vec<Timestamp> =
                listed.iter().map(|entry| entry["since"].as_str().unwrap().parse().unwrap()).collect();
            self.demand(REMEMBERED, sinces.is_sorted(), || format!("`{name}`: editions out of order: {listed:?}"));
            // Each edition in the list that is no longer valid can be read, unless its rows are as old as those of the next
            // one: both were made from the same kept page.
            let current = bucket.version(&keys::partition_object(dataset, &name));
            let current = current.map(|version| self.versions[version].stamp.fetched_at);
            let was_valid = |i: usize| sinces.get(i + 1).copied().or(current).is_none_or(|next| sinces[i] < next);
            let entries = listed.iter().enumerate().filter(|(i, entry)| digest(entry).is_some() && was_valid(*i));
            for (_, entry) in entries {
                let edition = entry["edition"].as_str().unwrap().parse().unwrap();
                let is_current = found.last().copied() == digest(entry);
                let key = keys::kept_edition(&dataset.table, &name, &edition);
                let is_there =
                    bucket.bytes(&key).is_some() && registered.iter().any(|location| key.starts_with(location));
                self.demand(REMEMBERED, is_current || is_there, || format!("`{key}` is missing or not registered"));
            }
        }
    }
}

fn by_school(rows: &[Row]) -> BTreeMap<i64, i32> {
    rows.iter().copied().collect()
}

/// Removes repetitions, and removals after which the same rows are back. The list may have a removal that then did not
/// take place.
fn collapse(digests: &[Option<u128>]) -> Vec<u128> {
    let mut collapsed: Vec<u128> = digests.iter().flatten().copied().collect();
    collapsed.dedup();
    collapsed
}
