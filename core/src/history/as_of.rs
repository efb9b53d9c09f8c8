//! A table as it was: at a time, or at the end of the last run under a release.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::error::Error;
use crate::file::stamp::Stamp;
use crate::history::editions::{Facts, Validity, read_editions};
use crate::history::refreshes::{Refreshes, read_refreshes};
use crate::keys;
use crate::ledger::json::READS_AT_ONCE;
use crate::ledger::listing::list;
use crate::partition::PartitionKey;
use crate::ports::store::Store;
use crate::text::excerpt;

/// A moment in the past of a lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// A time.
    At(Timestamp),
    /// The end of the last run under this release of the portal.
    EndOf(String),
}

impl Moment {
    /// Parses a date (`2026-05-01`, which means its end in UTC), a time (`2026-05-01T12:00:00Z`) or a release (`0.26.1`).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let end_of_date = || format!("{text}T23:59:59.999999999Z").parse().ok();
        let is_date = text.len() == "2026-05-01".len();
        match text.parse().ok().or_else(|| end_of_date().filter(|_| is_date)) {
            Some(at) => Self::At(at),
            None => Self::EndOf(text.to_owned()),
        }
    }

    /// Returns the time that this moment means for a table.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if no run under the release is known, or the editions of that time were pruned.
    fn resolve(&self, table: &str, refreshes: &Refreshes) -> Result<Timestamp, Error> {
        let refuse = |mistake| Err(Error::InvalidRequest { mistakes: vec![mistake] });
        let at = match self {
            Self::At(at) => *at,
            Self::EndOf(release) => match refreshes.of_release(release) {
                Some(of_release) => of_release.last_at,
                None => {
                    let known: Vec<&str> = refreshes.releases.iter().map(|known| known.release.as_str()).collect();
                    let known = if known.is_empty() { "none so far".to_owned() } else { known.join(", ") };
                    return refuse(format!(
                        "as of: expected a date such as 2026-05-01, or a release under which `{table}` was refreshed \
                         ({known}), found `{}`",
                        excerpt(release)
                    ));
                }
            },
        };
        match refreshes.kept_since {
            Some(kept_since) if at < kept_since => refuse(format!(
                "as of: expected a time since {kept_since}, found {at}: older editions of `{table}` were pruned"
            )),
            _ => Ok(at),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(f, "{at}"),
            Self::EndOf(release) => f.write_str(release),
        }
    }
}

/// A table at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableAsOf {
    /// The time that the moment means.
    pub at: Timestamp,
    /// The partitions that it had, sorted.
    pub partitions: Vec<PartitionAsOf>,
    /// Those of them that were not refreshed under the release, if the moment is one. The portal may have had other rows
    /// for them.
    pub not_refreshed: Vec<PartitionKey>,
    /// When the first of its editions that are known became valid; `None` if there is none.
    pub first_at: Option<Timestamp>,
    /// All refreshes of the table that are known.
    pub refreshes: Refreshes,
}

/// A partition at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAsOf {
    /// The partition.
    pub partition: PartitionKey,
    /// The edition that was valid.
    pub validity: Validity,
    /// Key of its object.
    pub object: String,
}

/// The editions of a partition, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionHistory {
    /// The partition.
    pub partition: PartitionKey,
    /// Its editions, oldest first.
    pub editions: Vec<Validity>,
}

impl PartitionHistory {
    /// Returns the key of an edition's object.
    #[must_use]
    pub fn object(&self, table: &str, validity: &Validity) -> String {
        let Validity { facts: Facts { edition, .. }, until, .. } = validity;
        match until {
            None => keys::table_object(table, &self.partition),
            Some(_) => keys::kept_edition(table, &self.partition, edition),
        }
    }

    /// Returns the partition as it was at a time.
    fn as_of(&self, table: &str, at: Timestamp) -> Option<PartitionAsOf> {
        let validity = self.editions.iter().find(|validity| validity.was_valid_at(at))?;
        let (partition, object) = (self.partition.clone(), self.object(table, validity));
        Some(PartitionAsOf { partition, validity: validity.clone(), object })
    }
}

/// Returns a table as it was at a moment.
///
/// - `parse`: parses the Hive path of a partition of the table.
///
/// # Errors
/// [`Error::InvalidRequest`] if the moment is not known; [`Error::StoreFailed`].
pub async fn table_as_of(
    store: &impl Store,
    table: &str,
    parse: impl Fn(&str) -> Option<PartitionKey>,
    moment: &Moment,
) -> Result<TableAsOf, Error> {
    let refreshes = read_refreshes(store, table).await?;
    let at = moment.resolve(table, &refreshes)?;
    let histories = read_histories(store, table, parse).await?;
    // Under a release, a partition was as the run left it that refreshed it last, whatever other runs did meanwhile.
    let of_release = match moment {
        Moment::At(_) => None,
        Moment::EndOf(release) => refreshes.of_release(release),
    };
    let as_of = |history: &PartitionHistory| {
        history.as_of(table, of_release.map_or(at, |of_release| of_release.moment(&history.partition)))
    };
    let partitions: Vec<PartitionAsOf> = histories.iter().filter_map(as_of).collect();
    let not_refreshed = of_release.map_or_else(Vec::new, |of_release| {
        let is_refreshed = |partition: &PartitionKey| of_release.partitions.contains_key(&partition.to_string());
        let partitions = partitions.iter().map(|as_of| &as_of.partition);
        partitions.filter(|partition| !is_refreshed(partition)).cloned().collect()
    });
    let first_at = histories.iter().flat_map(|history| &history.editions).map(|validity| validity.since).min();
    Ok(TableAsOf { at, partitions, not_refreshed, first_at, refreshes })
}

/// Returns the editions of every partition of a table, sorted by partition.
///
/// - `parse`: parses the Hive path of a partition of the table.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed or read.
pub async fn read_histories(
    store: &impl Store,
    table: &str,
    parse: impl Fn(&str) -> Option<PartitionKey>,
) -> Result<Vec<PartitionHistory>, Error> {
    let data = keys::table_prefix(table);
    let listed = list(store, &data).await?;
    let there = listed
        .iter()
        .filter_map(|listed| parse(listed.key.strip_prefix(&data)?.strip_suffix(keys::OBJECT)?.strip_suffix('/')?));
    let current = stream::iter(there)
        .map(|partition| async move {
            let stamp = current_stamp(store, table, &partition).await?;
            Ok::<_, Error>(stamp.map(|stamp| (partition, stamp)))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) });
    let current: BTreeMap<PartitionKey, Stamp> = current.try_collect().await?;
    // Lists are looked for after the objects: an object that has replaced another is in a list by then.
    let listed = list(store, &keys::history_prefix(table)).await?;
    let with_list: BTreeSet<PartitionKey> =
        listed.iter().filter_map(|listed| parse(keys::parse_editions(table, &listed.key)?)).collect();
    let all: BTreeSet<&PartitionKey> = current.keys().chain(&with_list).collect();
    let histories = stream::iter(all).map(|partition| {
        let (stamp, has_list) = (current.get(partition), with_list.contains(partition));
        async move {
            let editions = match has_list {
                false => stamp.map(Validity::of_current).into_iter().collect(),
                true => read_editions(store, table, partition, stamp).await?,
            };
            Ok::<_, Error>(PartitionHistory { partition: partition.clone(), editions })
        }
    });
    histories.buffered(READS_AT_ONCE).try_collect().await
}

/// Returns the stamp of a partition's object, unless it is unreadable or of another partition.
async fn current_stamp(store: &impl Store, table: &str, partition: &PartitionKey) -> Result<Option<Stamp>, Error> {
    let key = keys::table_object(table, partition);
    let found = store.head(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    Ok(found.and_then(|facts| facts.stamp_of(partition).cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_a_time_or_a_release() {
        let at = |text: &str| Moment::At(text.parse().unwrap());
        for (text, expected) in [
            ("2026-05-01", at("2026-05-01T23:59:59.999999999Z")),
            ("2026-12-31", at("2026-12-31T23:59:59.999999999Z")),
            ("2026-05-01T12:00:00Z", at("2026-05-01T12:00:00Z")),
            ("2026-05-01T12:00:00+02:00", at("2026-05-01T10:00:00Z")),
            ("0.26.1", Moment::EndOf("0.26.1".to_owned())),
            ("20260501", Moment::EndOf("20260501".to_owned())),
            ("0.1.0 - Beta", Moment::EndOf("0.1.0 - Beta".to_owned())),
        ] {
            assert_eq!(Moment::parse(text), expected, "{text}");
        }
    }
}
