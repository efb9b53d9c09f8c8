//! The survey: one inspection of all objects in a table. It lists them, and inspects each object that does not match
//! its record.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use crate::dataset::Dataset;
use crate::error::{Error, chain};
use crate::file::stamp::Stamp;
use crate::keys;
use crate::ledger::json::READS_AT_ONCE;
use crate::ledger::listing::list;
use crate::ledger::records::{Committed, Records};
use crate::partition::PartitionKey;
use crate::ports::store::{Listed, Store};

/// What was found below a table's prefix.
#[derive(Debug, Default)]
pub struct Survey {
    /// Every partition that has an object, with that object.
    pub objects: BTreeMap<PartitionKey, Object>,
    /// Keys that belong to no partition: another file name, an axis value that the descriptor does not list, or an
    /// implausible year.
    pub strays: Vec<String>,
}

/// A partition's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its etag.
    pub etag: String,
    /// Its size in bytes; 0 if it could not be inspected.
    pub size_bytes: u64,
    /// What the inspection found.
    pub seen: Seen,
}

impl Object {
    /// Returns the stamp of a readable object.
    #[must_use]
    pub fn stamp(&self) -> Option<&Stamp> {
        match &self.seen {
            Seen::Readable(stamp) => Some(stamp),
            Seen::NotOurs | Seen::Unknown(_) => None,
        }
    }
}

/// What the inspection of an object found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A file that rollcall wrote for this partition.
    Readable(Stamp),
    /// A torn file, a file that rollcall did not write, or one of another partition.
    NotOurs,
    /// The object could not be inspected, for this reason, so its content is unknown.
    Unknown(String),
}

impl Survey {
    /// Returns the partitions whose object cannot be read, for any reason.
    #[must_use]
    pub fn unreadable(&self) -> Vec<PartitionKey> {
        let unreadable = self.objects.iter().filter(|(_, object)| !matches!(object.seen, Seen::Readable(_)));
        unreadable.map(|(partition, _)| partition.clone()).collect()
    }
}

/// Surveys the objects in a dataset's table.
///
/// - `known`: the records. An object that still has its recorded etag is not inspected again.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed. An object that cannot be inspected is not an error.
pub async fn survey(store: &impl Store, dataset: &Dataset, known: &Records) -> Result<Survey, Error> {
    let prefix = keys::table_prefix(&dataset.table);
    let listed = list(store, &prefix).await?;
    let mut survey = Survey::default();
    let mut due = Vec::new();
    for Listed { key, etag, .. } in listed {
        match keys::parse_partition_object(dataset, &key) {
            None if key.ends_with('/') => {
                // This folder could not be listed. Inspect the objects known to be in it one by one.
                let below =
                    known.keys().filter(|partition| keys::partition_object(dataset, partition).starts_with(&key));
                due.extend(below.cloned());
            }
            None => survey.strays.push(key),
            Some(partition) => match known.get(&partition).and_then(|record| record.committed.as_ref()) {
                Some(committed) if committed.etag == etag && !etag.is_empty() => {
                    let object = recorded_object(committed, &partition);
                    survey.objects.insert(partition, object);
                }
                _ => due.push(partition),
            },
        }
    }
    let inspected: Vec<(PartitionKey, Option<Object>)> = stream::iter(due)
        .map(|partition| async move {
            let object = inspect(store, dataset, &partition).await;
            (partition, object)
        })
        .buffer_unordered(READS_AT_ONCE)
        .collect()
        .await;
    survey.objects.extend(inspected.into_iter().filter_map(|(partition, object)| Some((partition, object?))));
    Ok(survey)
}

/// Inspects one partition's object. Returns `None` if there is none.
pub(crate) async fn inspect(store: &impl Store, dataset: &Dataset, partition: &PartitionKey) -> Option<Object> {
    let key = keys::partition_object(dataset, partition);
    match store.head(&key).await {
        Ok(None) => None,
        Ok(Some(facts)) => Some(Object {
            etag: facts.etag,
            size_bytes: facts.size_bytes,
            seen: match facts.stamp.filter(|stamp| stamp.is_of(partition)) {
                Some(stamp) => Seen::Readable(stamp),
                None if facts.is_readable => Seen::NotOurs,
                None => Seen::Unknown("file not readable".to_owned()),
            },
        }),
        Err(error) => {
            let why = chain(&error);
            tracing::warn!(%partition, error = why, "object not inspected");
            Some(Object { etag: String::new(), size_bytes: 0, seen: Seen::Unknown(why) })
        }
    }
}

/// Returns the object that a record describes.
fn recorded_object(committed: &Committed, partition: &PartitionKey) -> Object {
    Object {
        etag: committed.etag.clone(),
        size_bytes: committed.size_bytes,
        seen: Seen::Readable(Stamp {
            edition: committed.edition,
            partition: Some(partition.to_string()),
            n_rows: committed.n_rows,
            fetched_at: committed.fetched_at,
            run: committed.run.clone(),
        }),
    }
}
