//! The difference between two versions of a table: of one lake at two moments, or of two lakes.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::change::{CellDetail, Change, RowChanges, compare_with_details, rows_as_details};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::file::edition::Edition;
use crate::file::footer::Footer;
use crate::history::as_of::{PartitionAsOf, TableAsOf};
use crate::keys;
use crate::partition::PartitionKey;
use crate::ports::store::{Store, StoreError};

/// A partition that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDiff {
    /// The partition.
    pub partition: PartitionKey,
    /// Number of rows in the first version; `None` if it lacks the partition.
    pub n_before: Option<u64>,
    /// Number of rows in the second version; `None` if it lacks the partition.
    pub n_after: Option<u64>,
    /// What differs.
    pub change: Change,
    /// The differences one by one, if requested.
    pub details: Vec<CellDetail>,
}

/// A partition in either version.
pub type Pair<'t> = (Option<&'t PartitionAsOf>, Option<&'t PartitionAsOf>);

/// Returns the partitions of two versions whose rows may differ, sorted. Those with equal digests are left out.
#[must_use]
pub fn differing<'t>(before: &'t TableAsOf, after: &'t TableAsOf) -> Vec<Pair<'t>> {
    let mut pairs: BTreeMap<&PartitionKey, Pair<'t>> = BTreeMap::new();
    for as_of in &before.partitions {
        pairs.entry(&as_of.partition).or_default().0 = Some(as_of);
    }
    for as_of in &after.partitions {
        pairs.entry(&as_of.partition).or_default().1 = Some(as_of);
    }
    let digest = |as_of: Option<&PartitionAsOf>| as_of.map(|as_of| as_of.validity.facts.edition.digest);
    pairs.into_values().filter(|(before, after)| digest(*before) != digest(*after)).collect()
}

/// Compares two versions of a partition. Returns `None` if their rows do not differ, such as after a change of columns.
///
/// - `with_details`: whether to list each difference.
///
/// # Errors
/// [`Error::StoreFailed`] if an object cannot be read or is damaged.
pub async fn diff_partition(
    dataset: &Dataset,
    (old_store, before): (&impl Store, Option<&PartitionAsOf>),
    (new_store, after): (&impl Store, Option<&PartitionAsOf>),
    with_details: bool,
) -> Result<Option<PartitionDiff>, Error> {
    let Some(partition) = before.or(after).map(|as_of| as_of.partition.clone()) else { return Ok(None) };
    let n_rows = |as_of: Option<&PartitionAsOf>| as_of.map(|as_of| as_of.validity.facts.n_rows);
    let (n_before, n_after) = (n_rows(before), n_rows(after));
    let (change, details) = match (before, after) {
        (Some(before), Some(after)) => {
            let (old, new) = (read(dataset, old_store, before).await?, read(dataset, new_store, after).await?);
            compare_with_details(dataset, old, new, with_details)
                .map_err(|error| Error::damaged(&after.object, error))?
        }
        (Some(gone), None) => {
            let rows = RowChanges { removed: gone.validity.facts.n_rows, ..RowChanges::default() };
            (Change { rows, ..Change::default() }, all_rows(dataset, old_store, gone, "removed", with_details).await?)
        }
        (None, Some(new)) => {
            let rows = RowChanges { added: new.validity.facts.n_rows, ..RowChanges::default() };
            (Change { rows, ..Change::default() }, all_rows(dataset, new_store, new, "added", with_details).await?)
        }
        (None, None) => return Ok(None),
    };
    Ok((!change.is_empty()).then_some(PartitionDiff { partition, n_before, n_after, change, details }))
}

/// Lists every row of a partition that only one version has, if requested.
async fn all_rows(
    dataset: &Dataset,
    store: &impl Store,
    as_of: &PartitionAsOf,
    row: &'static str,
    with_details: bool,
) -> Result<Vec<CellDetail>, Error> {
    if !with_details {
        return Ok(Vec::new());
    }
    let file = read(dataset, store, as_of).await?;
    rows_as_details(dataset, file, row).map_err(|error| Error::damaged(&as_of.object, error))
}

/// Reads the object of a partition. If a run has replaced it since it was found, the edition is read from the history,
/// where the run has copied it first.
async fn read(dataset: &Dataset, store: &impl Store, as_of: &PartitionAsOf) -> Result<Bytes, Error> {
    let edition = &as_of.validity.facts.edition;
    let kept = keys::kept_edition(&dataset.table, &as_of.partition, edition);
    for key in [&as_of.object, &kept] {
        let found = store.read(key).await.map_err(|source| Error::store_failed("read", key, source))?;
        if let Some(content) = found
            && edition_of(&content.bytes).is_none_or(|found| found.digest == edition.digest)
        {
            return Ok(content.bytes);
        }
    }
    let message = "expected the kept edition".to_owned();
    let source = "found none; restore it from a backup, or from an older version of the object in S3".into();
    Err(Error::store_failed("read", &kept, StoreError { message, source }))
}

/// Returns the edition of a file; `None` if it is damaged.
fn edition_of(bytes: &Bytes) -> Option<Edition> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes).ok()?;
    Footer::from_metadata(&metadata).map(|footer| footer.edition)
}
