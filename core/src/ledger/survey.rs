//! One look at all objects of a table: a listing, and a closer look at each object that is not as the records know it.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use crate::dataset::Dataset;
use crate::error::{Error, chain};
use crate::file::stamp::Stamp;
use crate::keys;
use crate::ledger::json::READS_AT_ONCE;
use crate::ledger::records::{Committed, Records};
use crate::partition::PartitionKey;
use crate::ports::store::{Listed, Store};

/// What there is below a table's prefix.
#[derive(Debug, Default)]
pub struct Survey {
    /// Every partition that has an object.
    pub objects: BTreeMap<PartitionKey, Object>,
    /// Keys of what is no partition's object: another name, an axis value that the descriptor does not have, a year that
    /// cannot be one.
    pub strays: Vec<String>,
}

/// A partition's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its etag.
    pub etag: String,
    /// Its size, where it could be looked at.
    pub size_bytes: u64,
    /// What it says.
    pub seen: Seen,
}

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is one of ours, of this partition.
    Readable(Stamp),
    /// It is torn, or not one of ours, or another partition's.
    NotOurs,
    /// It could not be looked at, for this reason, so what it holds is not known.
    Unknown(String),
}

impl Survey {
    /// Partitions whose object cannot be read, for whatever reason.
    #[must_use]
    pub fn unreadable(&self) -> Vec<PartitionKey> {
        let unreadable = self.objects.iter().filter(|(_, object)| !matches!(object.seen, Seen::Readable(_)));
        unreadable.map(|(partition, _)| partition.clone()).collect()
    }
}

/// Looks at every object of a dataset's table.
///
/// - `known`: records; an object that still has the etag recorded is not looked at again.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake cannot be listed. One object that cannot be looked at is no error.
pub async fn survey(store: &impl Store, dataset: &Dataset, known: &Records) -> Result<Survey, Error> {
    let prefix = keys::table_prefix(&dataset.table);
    let listed = store.list(&prefix).await.map_err(|source| Error::store_failed("list", &prefix, source))?;
    let mut survey = Survey::default();
    let mut due = Vec::new();
    for Listed { key, etag, .. } in listed {
        match keys::partition_of_object(dataset, &key) {
            None if key.ends_with('/') => {
                // A folder that could not be listed: what is known to be in it cannot be looked at.
                let below =
                    known.keys().filter(|partition| keys::partition_object(dataset, partition).starts_with(&key));
                due.extend(below.cloned());
            }
            None => survey.strays.push(key),
            Some(partition) => match known.get(&partition).and_then(|record| record.committed.as_ref()) {
                Some(committed) if committed.etag == etag && !etag.is_empty() => {
                    let object = of_record(committed, &partition);
                    survey.objects.insert(partition, object);
                }
                _ => due.push(partition),
            },
        }
    }
    let looked: Vec<(PartitionKey, Option<Object>)> = stream::iter(due)
        .map(|partition| async move {
            let object = look(store, dataset, &partition).await;
            (partition, object)
        })
        .buffer_unordered(READS_AT_ONCE)
        .collect()
        .await;
    survey.objects.extend(looked.into_iter().filter_map(|(partition, object)| Some((partition, object?))));
    Ok(survey)
}

/// Looks at one partition's object; `None` when there is none.
pub(crate) async fn look(store: &impl Store, dataset: &Dataset, partition: &PartitionKey) -> Option<Object> {
    let key = keys::partition_object(dataset, partition);
    match store.head(&key).await {
        Ok(None) => None,
        Ok(Some(facts)) => Some(Object {
            etag: facts.etag,
            size_bytes: facts.size_bytes,
            seen: match facts.stamp.filter(|stamp| stamp.is_of(partition)) {
                Some(stamp) => Seen::Readable(stamp),
                None if facts.is_readable => Seen::NotOurs,
                None => Seen::Unknown("expected a file that can be read".to_owned()),
            },
        }),
        Err(error) => {
            let why = chain(&error);
            tracing::warn!(%partition, error = why, "object not looked at");
            Some(Object { etag: String::new(), size_bytes: 0, seen: Seen::Unknown(why) })
        }
    }
}

fn of_record(committed: &Committed, partition: &PartitionKey) -> Object {
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
