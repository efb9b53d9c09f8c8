//! Whether a lake holds sample data. Invented and real schools never share a lake: nothing in a row would tell them apart.

use rollcall_adapters::folder::FolderStore;
use rollcall_core::{keys, ledger};
use serde::{Deserialize, Serialize};

use crate::exit::BadInput;

/// What a lake says of its data.
#[derive(Debug, Serialize, Deserialize)]
struct Source {
    is_sample: bool,
}

/// Whether the lake was filled from the sample.
pub(crate) async fn holds_sample(store: &FolderStore) -> anyhow::Result<bool> {
    let source: Option<Source> = ledger::read_json(store, keys::SOURCE).await?;
    Ok(source.is_some_and(|source| source.is_sample))
}

/// Refuses to add data of the one kind to a lake that holds the other.
///
/// # Errors
/// [`BadInput`] with a hint.
pub(crate) async fn check(store: &FolderStore, is_sample: bool) -> anyhow::Result<()> {
    let source: Option<Source> = ledger::read_json(store, keys::SOURCE).await?;
    let words = |is_sample| if is_sample { "sample data" } else { "data of the portal" };
    match source {
        Some(source) if source.is_sample != is_sample => Err(BadInput(format!(
            "open lake `{}`: expected one of {}, found {}\nhint: name another folder with --lake, or remove this one",
            store.root().display(),
            words(is_sample),
            words(source.is_sample)
        ))
        .into()),
        _ => Ok(()),
    }
}

/// Marks a lake that says nothing yet.
///
/// # Errors
/// A lake that cannot be read or written to.
pub(crate) async fn claim(store: &FolderStore, is_sample: bool) -> anyhow::Result<()> {
    let source: Option<Source> = ledger::read_json(store, keys::SOURCE).await?;
    if source.is_none() {
        ledger::write_json(store, keys::SOURCE, &Source { is_sample }).await?;
    }
    Ok(())
}
