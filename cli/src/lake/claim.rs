//! Locks a lake for a run, and records in its mark what the run writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use rollcall_adapters::folder::{FolderStore, LakeLock};
use rollcall_core::dataset::Dataset;
use rollcall_core::{keys, ledger};

use crate::lake::mark::{LakeMark, TableDataset};

/// Locks the lake for a run, and returns its mark. An empty or missing folder becomes a lake.
///
/// # Errors
/// - [`BadInput`](crate::exit::BadInput) if the lake holds the other kind of data, or another dataset in the same table.
/// - [`Error::LakeLocked`](rollcall_core::Error::LakeLocked) if another run holds the lock.
/// - Fails if the lake cannot be written to.
pub(crate) async fn lock(
    store: &FolderStore,
    is_sample: bool,
    dataset: &Dataset,
) -> anyhow::Result<(LakeLock, LakeMark)> {
    if LakeMark::find(store).await?.is_none() {
        let mark = LakeMark { is_sample, is_new: true, tables: BTreeMap::new() };
        store.create(Bytes::from(serde_json::to_vec(&mark)?)).await?;
        // Another process may have written its mark first.
        LakeMark::read(store).await?;
    }
    let lock = store.lock().await?;
    tracing::debug!(lake = %store.root().display(), "lake locked");
    let mark = LakeMark::read(store).await?;
    mark.check_kind(store, is_sample)?;
    mark.check_table(dataset)?;
    Ok((lock, mark))
}

/// Records in the mark that the lake holds `dataset`, and from where, unless it already says so.
///
/// - `before`: the mark that [`lock`] returned.
/// - `portal`: the portal if it is neither the live one nor the sample.
///
/// # Errors
/// Fails if the lake cannot be written to.
pub(crate) async fn claim(
    store: &FolderStore,
    before: LakeMark,
    is_sample: bool,
    portal: Option<&str>,
    dataset: &Dataset,
) -> anyhow::Result<()> {
    let mut mark = LakeMark { is_sample, is_new: false, tables: before.tables.clone() };
    mark.tables.insert(dataset.table.clone(), TableDataset::new(dataset, portal));
    if before != mark {
        ledger::write_json(store, keys::MARK, &mark).await?;
    }
    Ok(())
}
