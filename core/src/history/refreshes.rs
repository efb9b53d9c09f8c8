//! Which partitions were refreshed under which release of the portal: fetched and committed, or found to be unchanged or
//! empty. One object per dataset, which publishing writes.
//!
//! Between releases, the portal's data does not change, so the release is the watermark of mode `stale`. Records only
//! have the last attempt of each partition, and are deleted with the ledger.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::{parse_exactly, to_json};
use crate::ledger::receipt::Receipt;
use crate::partition::PartitionKey;
use crate::ports::store::{Condition, Content, Put, Store};

/// Maximum number of conditional writes of the refreshes.
const MAX_TRIES: u32 = 8;

/// The refreshes of a dataset, by release, in the order in which the releases were first seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Refreshes {
    /// Start of the time whose editions are all kept. `None` if none was ever pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<Timestamp>,
    /// The releases. The portal's names, such as `0.26.1`, have no order of their own.
    pub releases: Vec<ReleaseRefreshes>,
}

/// The refreshes under one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRefreshes {
    /// Name of the release.
    pub release: String,
    /// When the first run started that refreshed a partition under this release.
    pub first_at: Timestamp,
    /// When the last partition was refreshed under it.
    pub last_at: Timestamp,
    /// When each partition was last refreshed under this release, by its Hive path.
    pub partitions: BTreeMap<String, Timestamp>,
}

/// The last refresh of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRefresh<'r> {
    /// The release at that time.
    pub release: &'r str,
    /// When it ended.
    pub at: Timestamp,
}

impl ReleaseRefreshes {
    /// Returns when a partition was as it was under this release: when it was last refreshed, or else at the end.
    #[must_use]
    pub fn moment(&self, partition: &PartitionKey) -> Timestamp {
        self.partitions.get(&partition.to_string()).copied().unwrap_or(self.last_at)
    }
}

impl Refreshes {
    /// Returns the refreshes under a release.
    #[must_use]
    pub fn of_release(&self, release: &str) -> Option<&ReleaseRefreshes> {
        self.releases.iter().find(|known| known.release == release)
    }

    /// Returns the last refresh of a partition, if any is known.
    #[must_use]
    pub fn last(&self, partition: &PartitionKey) -> Option<LastRefresh<'_>> {
        let path = partition.to_string();
        let refreshes = self.releases.iter().filter_map(|of_release| {
            Some(LastRefresh { release: &of_release.release, at: *of_release.partitions.get(&path)? })
        });
        refreshes.max_by_key(|refresh| refresh.at)
    }

    /// Returns what a run's receipts add.
    fn of_run<'r>(receipts: impl IntoIterator<Item = &'r Receipt>, started_at: Timestamp) -> Self {
        let mut refreshes = Self::default();
        for receipt in receipts.into_iter().filter(|receipt| receipt.is_refresh()) {
            let Some(release) = &receipt.portal_release else { continue };
            let partitions = BTreeMap::from([(receipt.partition.to_string(), receipt.finished_at)]);
            let release = release.clone();
            let last_at = receipt.finished_at;
            let of_release = ReleaseRefreshes { release, first_at: started_at, last_at, partitions };
            refreshes.merge(Self { kept_since: None, releases: vec![of_release] });
        }
        refreshes
    }

    /// Adds refreshes. The result does not depend on the order of additions, and adding the same ones again changes
    /// nothing.
    fn merge(&mut self, others: Self) {
        self.kept_since = self.kept_since.max(others.kept_since);
        for other in others.releases {
            match self.releases.iter_mut().find(|known| known.release == other.release) {
                None => self.releases.push(other),
                Some(known) => {
                    known.first_at = known.first_at.min(other.first_at);
                    known.last_at = known.last_at.max(other.last_at);
                    for (partition, at) in other.partitions {
                        let known = known.partitions.entry(partition).or_insert(at);
                        *known = at.max(*known);
                    }
                }
            }
        }
        self.releases.sort_by(|a, b| (a.first_at, &a.release).cmp(&(b.first_at, &b.release)));
    }

    /// Renders one release per line.
    fn render(&self) -> Result<Bytes, Error> {
        let lines: Vec<String> = self.releases.iter().map(to_json).collect::<Result<_, _>>()?;
        let kept_since = self.kept_since.map_or_else(String::new, |at| format!("\"kept_since\": \"{at}\", "));
        Ok(format!("{{{kept_since}\"releases\": [\n{}\n]}}\n", lines.join(",\n")).into())
    }
}

/// Reads the refreshes of a table.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub async fn read_refreshes(store: &impl Store, table: &str) -> Result<Refreshes, Error> {
    Ok(read_stored(store, table).await?.0)
}

async fn read_stored(store: &impl Store, table: &str) -> Result<(Refreshes, Condition), Error> {
    let key = keys::refreshes(table);
    let found = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    let Some(Content { bytes, etag }) = found else { return Ok((Refreshes::default(), Condition::Absent)) };
    // One that cannot be parsed is an error: nothing else knows which releases there were.
    Ok((parse_exactly(&key, &bytes)?, Condition::Matches(etag)))
}

/// Records the partitions that a run refreshed. If another publisher writes at the same time, keeps what it added.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the object on every try.
pub(crate) async fn record_refreshes(
    store: &impl Store,
    dataset: &Dataset,
    receipts: impl IntoIterator<Item = &Receipt>,
    started_at: Timestamp,
) -> Result<(), Error> {
    let of_run = Refreshes::of_run(receipts, started_at);
    if of_run.releases.is_empty() {
        return Ok(());
    }
    add(store, &dataset.table, &of_run).await
}

/// Records that editions that ended before a time may be deleted.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the object on every try.
pub(crate) async fn keep_since(store: &impl Store, table: &str, at: Timestamp) -> Result<(), Error> {
    add(store, table, &Refreshes { kept_since: Some(at), releases: Vec::new() }).await
}

/// Adds refreshes to the stored ones.
async fn add(store: &impl Store, table: &str, others: &Refreshes) -> Result<(), Error> {
    let key = keys::refreshes(table);
    for _ in 0..MAX_TRIES {
        let (stored, condition) = read_stored(store, table).await?;
        let mut refreshes = stored.clone();
        refreshes.merge(others.clone());
        if refreshes == stored {
            return Ok(());
        }
        let put = store.replace(&key, refreshes.render()?, &condition).await;
        if put.map_err(|source| Error::store_failed("write", &key, source))? != Put::Lost {
            return Ok(());
        }
    }
    Err(Error::WriteConflict { key, tries: MAX_TRIES })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::receipt::{ErrorFacts, Outcome};
    use crate::testing::{MemoryStore, enrollment, partition, time};
    use futures::executor::block_on;

    fn receipt(outcome: Outcome, release: &str, at: &str) -> Receipt {
        let error = Some(ErrorFacts { name: "BadBody".into(), message: String::new() });
        Receipt {
            outcome,
            portal_release: Some(release.to_owned()),
            ..Receipt::without_rows(partition(), error, time(at), time(at))
        }
    }

    fn record(store: &MemoryStore, receipt: &Receipt) {
        let at = receipt.finished_at;
        block_on(record_refreshes(store, &enrollment(), [receipt], at)).unwrap();
    }

    #[test]
    fn a_refresh_counts_under_its_release_whatever_came_of_it() {
        let store = MemoryStore::default();
        for (outcome, is_refresh) in [
            (Outcome::Written, true),
            (Outcome::Rewritten, true),
            (Outcome::Unchanged, true),
            (Outcome::Empty, true),
            (Outcome::Superseded, true),
            (Outcome::Failed, false),
            (Outcome::NotTried, false),
        ] {
            let release = format!("0.1.{}", outcome as u8);
            record(&store, &receipt(outcome, &release, "2026-01-01T00:00:00Z"));
            let refreshes = block_on(read_refreshes(&store, &enrollment().table)).unwrap();
            assert_eq!(refreshes.releases.iter().any(|known| known.release == release), is_refresh, "{outcome:?}");
        }
    }

    #[test]
    fn the_last_refresh_is_the_latest_of_all_releases_and_writers_keep_each_others_additions() {
        let (store, partition) = (MemoryStore::default(), partition());
        // A run that began under the release before is published while this one is.
        let other = MemoryStore::default();
        record(&other, &receipt(Outcome::Unchanged, "0.25.0", "2026-02-01T00:00:00Z"));
        let key = keys::refreshes(&enrollment().table);
        let bytes = other.bytes(&key).unwrap();
        store.before_next(Box::new(move |store| store.set(&key, &bytes, None)));
        record(&store, &receipt(Outcome::Written, "0.26.1", "2026-03-01T00:00:00Z"));
        record(&store, &receipt(Outcome::Unchanged, "0.26.1", "2026-04-01T00:00:00Z"));
        let refreshes = block_on(read_refreshes(&store, &enrollment().table)).unwrap();
        let last = refreshes.last(&partition).unwrap();
        assert_eq!(last, LastRefresh { release: "0.26.1", at: time("2026-04-01T00:00:00Z") });
        let releases: Vec<(&str, String, String)> = refreshes
            .releases
            .iter()
            .map(|known| (known.release.as_str(), known.first_at.to_string(), known.last_at.to_string()))
            .collect();
        assert_eq!(
            releases,
            [
                ("0.25.0", "2026-02-01T00:00:00Z".to_owned(), "2026-02-01T00:00:00Z".to_owned()),
                ("0.26.1", "2026-03-01T00:00:00Z".to_owned(), "2026-04-01T00:00:00Z".to_owned()),
            ]
        );
        // Publishing the same run again writes nothing.
        let n_writes = store.calls.lock().unwrap()["write"];
        record(&store, &receipt(Outcome::Unchanged, "0.26.1", "2026-04-01T00:00:00Z"));
        assert_eq!(store.calls.lock().unwrap()["write"], n_writes);
    }
}
