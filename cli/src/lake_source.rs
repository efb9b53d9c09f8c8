//! Whether a lake was filled by `--sample`. Its invented schools share a lake with no others: nothing in a row would tell
//! them apart.

use rollcall_adapters::folder::FolderStore;
use rollcall_core::ports::Store;
use rollcall_core::{Error, keys, ledger};
use serde::{Deserialize, Serialize};

use crate::exit::BadInput;

/// What a lake says of its data.
#[derive(Debug, Serialize, Deserialize)]
struct Source {
    is_sample: bool,
}

/// Unlike the ledger it cannot be derived from the objects: one that cannot be read is an error.
async fn read(store: &FolderStore) -> anyhow::Result<Option<Source>> {
    let failed = |source| Error::StoreFailed { action: "read", key: keys::SOURCE.to_owned(), source };
    let Some(bytes) = store.read(keys::SOURCE).await.map_err(failed)? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&bytes).map_err(|error| {
        BadInput(format!(
            "read `{}`: expected {{\"is_sample\": true}} or false, found otherwise: {error}\nhint: it says whether the \
             lake's schools are the sample's invented ones; write it anew, or name another folder with --lake",
            store.root().join(keys::SOURCE).display(),
        ))
    })?))
}

/// Whether the lake was filled from the sample.
pub(crate) async fn holds_sample(store: &FolderStore) -> anyhow::Result<bool> {
    Ok(read(store).await?.is_some_and(|source| source.is_sample))
}

/// Refuses to add data of the one kind to a lake that holds the other. Gives whether the lake says what it holds.
///
/// # Errors
/// [`BadInput`] with a hint.
pub(crate) async fn check(store: &FolderStore, is_sample: bool) -> anyhow::Result<bool> {
    let source = read(store).await?;
    let words = |is_sample| if is_sample { "sample data" } else { "data of the portal" };
    match source {
        Some(source) if source.is_sample != is_sample => Err(BadInput(format!(
            "open lake `{}`: expected one of {}, found {}\nhint: name another folder with --lake, or remove this one",
            store.root().display(),
            words(is_sample),
            words(source.is_sample)
        ))
        .into()),
        source => Ok(source.is_some()),
    }
}

/// Marks a lake that says nothing yet.
///
/// # Errors
/// A lake that cannot be written to.
pub(crate) async fn claim(store: &FolderStore, is_sample: bool) -> anyhow::Result<()> {
    Ok(ledger::write_json(store, keys::SOURCE, &Source { is_sample }).await?)
}
