//! Locks a lake for a run, and records in its mark what the run writes, and from where.

use std::collections::BTreeMap;

use bytes::Bytes;
use rollcall_adapters::folder::{FolderStore, LakeLock};
use rollcall_core::dataset::Dataset;
use rollcall_core::{Error, keys, ledger};
use tokio::sync::OnceCell;

use crate::lake::mark::LakeMark;

/// Locks the lake for a run, and returns its mark. An empty or missing folder becomes a lake.
///
/// # Errors
/// - [`BadInput`](crate::exit::BadInput) if the lake holds the other kind of data, or another dataset in the same table.
/// - [`Error::LakeLocked`] if another run holds the lock.
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

/// Records in the mark that the lake holds `dataset`, unless it already says so. Where its rows came from stays as it is:
/// see [`Source::record`].
///
/// - `before`: the mark that [`lock`] returned.
/// - `portal`: the portal if it is neither the live one nor the sample. Recorded only if nothing else is known of the
///   dataset.
///
/// # Errors
/// Fails if the lake cannot be written to.
pub(crate) async fn claim(
    store: &FolderStore,
    before: &LakeMark,
    is_sample: bool,
    portal: Option<&str>,
    dataset: &Dataset,
) -> anyhow::Result<LakeMark> {
    let portal = if before.has_table(dataset) { before.portal(dataset) } else { portal };
    let mark = before.with_dataset(is_sample, dataset, portal);
    write_if_changed(store, before, &mark).await?;
    Ok(mark)
}

async fn write_if_changed(store: &FolderStore, before: &LakeMark, mark: &LakeMark) -> Result<(), Error> {
    if before == mark { Ok(()) } else { ledger::write_json(store, keys::MARK, mark).await }
}

/// Where a run that holds the lake's lock gets its data from.
pub(crate) struct Source {
    /// The mark that [`claim`] returned.
    pub(crate) mark: LakeMark,
    /// The portal if it is neither the live one nor the sample.
    pub(crate) portal: Option<String>,
    pub(crate) is_recorded: OnceCell<()>,
}

impl Source {
    /// Records in the mark that the portal has sent rows of `dataset`, so that further runs are offered with it. Does so
    /// once; a run that got nothing thus leaves it as it was.
    pub(crate) async fn record(&self, store: &FolderStore, dataset: &Dataset) -> Result<(), Error> {
        let record = async || {
            let mark = self.mark.with_dataset(self.mark.is_sample, dataset, self.portal.as_deref());
            write_if_changed(store, &self.mark, &mark).await
        };
        self.is_recorded.get_or_try_init(record).await?;
        Ok(())
    }
}
