//! Repairs the records and the catalog from the objects, without a run.

use std::collections::BTreeMap;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::ledger::read_records::read_stored;
use crate::ledger::records::stale_partitions;
use crate::ledger::survey::{Survey, survey};
use crate::ledger::update_records::update_records;
use crate::partition::PartitionKey;
use crate::ports::catalog::Catalog;
use crate::ports::clock::Clock;
use crate::ports::store::Store;
use crate::publish::converge::{CatalogChanges, converge};
use crate::publish::history::publish_history;

/// Updates the records and the catalog from the objects, without a run.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`]; [`Error::WriteConflict`] if other writers change the records on every
/// try.
pub async fn repair(
    store: &impl Store,
    catalog: &impl Catalog,
    clock: &impl Clock,
    dataset: &Dataset,
) -> Result<Repaired, Error> {
    let stored = read_stored(store, dataset).await?;
    // Inspect every object, even if it matches its record. The records only help if a folder cannot be listed.
    let mut known = stored.records.clone();
    known.values_mut().filter_map(|record| record.committed.as_mut()).for_each(|committed| committed.etag.clear());
    let survey = survey(store, dataset, &known).await?;
    let nothing = BTreeMap::new();
    let (records, n_records) = update_records(store, dataset, stored, &survey, "", &nothing, clock.now()).await?;
    if records.is_empty() && survey.objects.is_empty() && survey.strays.is_empty() && n_records == 0 {
        return Ok(Repaired::default());
    }
    let published = converge(store, catalog, dataset, &survey).await?;
    publish_history(store, catalog, dataset, &survey, clock.now(), "repair").await?;
    Ok(Repaired { stale: stale_partitions(&records, dataset), survey, n_records, published })
}

/// What [`repair`] found and changed.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The objects found.
    pub survey: Survey,
    /// Number of records changed.
    pub n_records: usize,
    /// Changes to the catalog.
    pub published: CatalogChanges,
    /// Partitions whose object has a different schema or encoding from what a run would write today.
    pub stale: Vec<PartitionKey>,
}
