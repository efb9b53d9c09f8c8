//! A table as it was: at a time, or at the end of the last run under a release.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::error::Error;
use crate::file::stamp::Stamp;
use crate::history::editions::{Facts, Standing, read_editions};
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
}

/// A partition at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAsOf {
    /// The partition.
    pub partition: PartitionKey,
    /// The edition that stood.
    pub standing: Standing,
    /// Key of its object.
    pub object: String,
}

/// The editions of a partition, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionHistory {
    /// The partition.
    pub partition: PartitionKey,
    /// Its editions, oldest first.
    pub editions: Vec<Standing>,
}

impl PartitionHistory {
    /// Returns the key of an edition's object.
    #[must_use]
    pub fn object(&self, table: &str, standing: &Standing) -> String {
        let Standing { facts: Facts { edition, .. }, until, .. } = standing;
        match until {
            None => keys::table_object(table, &self.partition),
            Some(_) => keys::kept_edition(table, &self.partition, edition),
        }
    }

    /// Returns the partition as it was at a time.
    fn as_of(&self, table: &str, at: Timestamp) -> Option<PartitionAsOf> {
        let standing = self.editions.iter().find(|standing| standing.stood_at(at))?;
        let (partition, object) = (self.partition.clone(), self.object(table, standing));
        Some(PartitionAsOf { partition, standing: standing.clone(), object })
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
    let partitions: Vec<PartitionAsOf> = histories.iter().filter_map(|history| history.as_of(table, at)).collect();
    let not_refreshed = match moment {
        Moment::At(_) => Vec::new(),
        Moment::EndOf(release) => {
            let refreshed = refreshes.of_release(release);
            let is_refreshed = |partition: &PartitionKey| {
                refreshed.is_some_and(|of_release| of_release.partitions.contains_key(&partition.to_string()))
            };
            let partitions = partitions.iter().map(|as_of| &as_of.partition);
            partitions.filter(|partition| !is_refreshed(partition)).cloned().collect()
        }
    };
    Ok(TableAsOf { at, partitions, not_refreshed })
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
    let (data, history) = (keys::table_prefix(table), keys::history_prefix(table));
    let current = list(store, &data).await?;
    let current: BTreeSet<PartitionKey> = current
        .iter()
        .filter_map(|listed| parse(listed.key.strip_prefix(&data)?.strip_suffix(keys::OBJECT)?.strip_suffix('/')?))
        .collect();
    let listed = list(store, &history).await?;
    let with_list: BTreeSet<PartitionKey> =
        listed.iter().filter_map(|listed| parse(keys::parse_editions(table, &listed.key)?)).collect();
    let all: BTreeMap<PartitionKey, (bool, bool)> = current
        .union(&with_list)
        .map(|partition| (partition.clone(), (current.contains(partition), with_list.contains(partition))))
        .collect();
    let histories = stream::iter(all).map(|(partition, (is_there, has_list))| async move {
        let stamp = if is_there { current_stamp(store, table, &partition).await? } else { None };
        let editions = match (has_list, &stamp) {
            (false, None) => Vec::new(),
            (false, Some(stamp)) => vec![Standing::of_current(stamp)],
            (true, stamp) => read_editions(store, table, &partition, stamp.as_ref()).await?,
        };
        Ok::<_, Error>(PartitionHistory { partition, editions })
    });
    histories.buffered(READS_AT_ONCE).try_collect().await
}

/// Returns the stamp of a partition's object, unless it is unreadable or of another partition.
async fn current_stamp(store: &impl Store, table: &str, partition: &PartitionKey) -> Result<Option<Stamp>, Error> {
    let key = keys::table_object(table, partition);
    let found = store.head(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    Ok(found.and_then(|facts| facts.stamp).filter(|stamp| stamp.is_of(partition)))
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
