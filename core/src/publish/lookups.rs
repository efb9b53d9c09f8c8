//! Publishes the lookup tables.

use futures::future::join_all;
use jiff::Timestamp;

use crate::commit::commit_plain;
use crate::error::Error;
use crate::file::writer::Encoded;
use crate::lookup::Lookup;
use crate::ports::catalog::Catalog;
use crate::ports::store::Store;

/// Writes the objects of the lookup tables if their content differs, and ensures that the catalog has the tables.
///
/// # Errors
/// [`Error::CatalogFailed`], [`Error::StoreFailed`].
pub async fn publish_lookups(
    store: &impl Store,
    catalog: &impl Catalog,
    now: Timestamp,
    run: &str,
) -> Result<(), Error> {
    let lookups = Lookup::built_in_encoded()?;
    let commits = lookups.iter().map(async |(lookup, Encoded { bytes, edition, n_rows, .. })| {
        if commit_plain(store, &lookup.object(), bytes.clone(), *edition, *n_rows, now, run).await? {
            tracing::info!(table = lookup.table(), n_rows, "look-up table written");
        }
        Ok(())
    });
    // All are awaited, even if one fails.
    join_all(commits).await.into_iter().collect::<Result<(), Error>>()?;
    let specs: Vec<_> = lookups.iter().map(|(lookup, _)| lookup.table_spec()).collect();
    let ensured = catalog.ensure_tables(&specs).await;
    ensured.map_err(|source| Error::CatalogFailed { table: "look-up tables".to_owned(), source })
}
