//! Repairs one dataset of a lake, in a folder or in a bucket.

use rollcall_adapters::SystemClock;
use rollcall_core::ports::{Catalog, Store};
use rollcall_core::publish::{self, Repaired};

use crate::lake::offer::Offer;
use crate::output;
use crate::warnings;
use crate::words;

/// Rebuilds records and catalog of a dataset, and prints what was found and changed.
///
/// - `has_table`: whether the catalog is known to have its table. If not, a dataset without objects is not mentioned.
pub(super) async fn repair_dataset(
    offer: &Offer<'_>,
    store: &impl Store,
    catalog: &impl Catalog,
    has_table: bool,
) -> anyhow::Result<()> {
    let dataset = offer.dataset;
    let repaired = publish::repair(store, catalog, &SystemClock, dataset).await?;
    let Repaired { survey, n_records, published, stale } = &repaired;
    if survey.objects.is_empty() && survey.strays.is_empty() && *n_records == 0 && !has_table {
        return Ok(());
    }
    warnings::warn_unreadable(&survey.unreadable(), &offer.refresh());
    warnings::warn_stale(stale, &offer.refresh());
    warnings::warn_strays(&survey.strays);
    output::print(&format!(
        "{}: {}; ledger: {} written; catalog: {} registered, {} removed\n",
        dataset.name,
        words::counted(survey.objects.len() as u64, "object"),
        words::counted(*n_records as u64, "record"),
        published.n_put,
        published.n_removed
    ))?;
    Ok(())
}
