//! What a lake says of its data beside the objects: that it is a lake, whether the sample filled it, and which dataset each
//! table holds.
//!
//! The mark is the first file of a lake: a folder that holds other things and no mark is not one, and is left as it is.
//! Nothing in a row would tell invented schools from real ones, or one descriptor's rows from another's. Unlike the
//! ledger it cannot be derived from the objects: a mark that cannot be read is an error.

use std::collections::BTreeMap;

use bytes::Bytes;
use rollcall_adapters::folder::{FolderState, FolderStore, LakeLock};
use rollcall_core::dataset::Dataset;
use rollcall_core::{Error, keys, ledger};
use serde::{Deserialize, Serialize};

use crate::exit::BadInput;

/// The mark of a lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LakeMark {
    pub(crate) is_sample: bool,
    /// Whether no run has had a plan for it yet: until then it may become a lake of the sample or of a portal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_new: bool,
    /// What each table of `data/` holds, by the table's name.
    #[serde(default)]
    tables: BTreeMap<String, Holder>,
}

/// The descriptor that filled a table last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    dataset: String,
    /// [`Dataset::schema_id`] in hex.
    schema: String,
}

impl Holder {
    fn of(dataset: &Dataset) -> Self {
        Self { dataset: dataset.name.clone(), schema: format!("{:016x}", dataset.schema_id()) }
    }
}

impl LakeMark {
    /// The mark of a lake; `None` when the folder is empty or not there, and so may become one.
    ///
    /// # Errors
    /// [`BadInput`] when the folder is not a lake, which is all that is done about it.
    pub(crate) async fn find(store: &FolderStore) -> anyhow::Result<Option<Self>> {
        let folder = store.root().display();
        let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
        match store.inspect().await.map_err(failed)? {
            FolderState::Missing | FolderState::Empty => Ok(None),
            FolderState::Marked(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(|error| {
                BadInput(format!(
                    "read `{}`: expected {{\"is_sample\": true}} or false, found otherwise: {error}\nhint: it says whether \
                     the lake's schools are the sample's invented ones; write it anew, or name another folder with --lake",
                    store.root().join(keys::MARK).display(),
                ))
            })?)),
            FolderState::Other => Err(BadInput(format!(
                "open lake `{folder}`: expected a lake or an empty folder, found other things and no file `{}`; nothing was \
                 changed\nhint: name another folder with --lake; a lake that lost its mark is one again with \
                 {{\"is_sample\": false}} in that file",
                keys::MARK
            ))
            .into()),
        }
    }

    /// The mark of a lake that is there.
    ///
    /// # Errors
    /// [`BadInput`] when there is none.
    pub(crate) async fn of_lake(store: &FolderStore) -> anyhow::Result<Self> {
        Ok(Self::find(store).await?.ok_or_else(|| {
            BadInput(format!(
                "open lake `{}`: expected a lake, found an empty folder\nhint: name it with --lake",
                store.root().display()
            ))
        })?)
    }

    /// Refuses data of the sample in a lake of a portal's, and the other way round.
    ///
    /// # Errors
    /// [`BadInput`] with a hint.
    pub(crate) fn check_kind(&self, store: &FolderStore, is_sample: bool) -> Result<(), BadInput> {
        if self.is_new || self.is_sample == is_sample {
            return Ok(());
        }
        let words = |is_sample| if is_sample { "sample data" } else { "data of the portal" };
        Err(BadInput(format!(
            "open lake `{}`: expected a lake for {}, found one of {}\nhint: keep each in a folder of its own: name another \
             with --lake",
            store.root().display(),
            words(is_sample),
            words(self.is_sample)
        )))
    }

    /// Refuses a dataset whose table holds another dataset's rows, or that has another table in this lake.
    ///
    /// # Errors
    /// [`BadInput`] with a hint.
    pub(crate) fn check_table(&self, dataset: &Dataset) -> Result<(), BadInput> {
        match self.tables.get(&dataset.table) {
            Some(holder) if holder.dataset != dataset.name => Err(BadInput(format!(
                "open table `{}` for dataset `{}`: expected one of its own, found that of dataset `{}` in this lake\n\
                 hint: give the descriptor another `table`",
                dataset.table, dataset.name, holder.dataset
            ))),
            // Its own, whatever an older program let its name fill beside it.
            Some(_) => Ok(()),
            None => match self
                .tables
                .iter()
                .find(|(table, holder)| holder.dataset == dataset.name && **table != dataset.table)
            {
                // They would share a ledger: what is done for the one would count for the other.
                Some((table, _)) => Err(BadInput(format!(
                    "open table `{}` for dataset `{}`: expected its table `{table}` of this lake, found another\n\
                     hint: give the descriptor another `name`, or the table it had",
                    dataset.table, dataset.name
                ))),
                None => Ok(()),
            },
        }
    }

    /// Whether the table was filled by a descriptor that shapes its files otherwise.
    pub(crate) fn is_of_another_schema(&self, dataset: &Dataset) -> bool {
        self.tables.get(&dataset.table).is_some_and(|holder| *holder != Holder::of(dataset))
    }
}

/// Locks the lake of a run, which is made in a folder that is empty or not there. Refuses to add data to a lake that holds
/// the other kind, or another dataset in the same table. Gives the mark found.
///
/// # Errors
/// [`BadInput`] with a hint; [`Error::LakeLocked`]; a lake that cannot be written to.
pub(crate) async fn lock(
    store: &FolderStore,
    is_sample: bool,
    dataset: &Dataset,
) -> anyhow::Result<(LakeLock, LakeMark)> {
    if LakeMark::find(store).await?.is_none() {
        let mark = LakeMark { is_sample, is_new: true, tables: BTreeMap::new() };
        store.create(Bytes::from(serde_json::to_vec(&mark)?)).await?;
        // Another may have been put there first.
        LakeMark::of_lake(store).await?;
    }
    let lock = store.lock().await?;
    tracing::debug!(lake = %store.root().display(), "lake locked");
    let mark = LakeMark::of_lake(store).await?;
    mark.check_kind(store, is_sample)?;
    mark.check_table(dataset)?;
    Ok((lock, mark))
}

/// Marks the lake as holding `dataset`, where it does not say so yet.
///
/// - `before`: the mark that [`lock`] found.
///
/// # Errors
/// A lake that cannot be written to.
pub(crate) async fn claim(
    store: &FolderStore,
    before: LakeMark,
    is_sample: bool,
    dataset: &Dataset,
) -> anyhow::Result<()> {
    let mut mark = LakeMark { is_sample, is_new: false, tables: before.tables.clone() };
    mark.tables.insert(dataset.table.clone(), Holder::of(dataset));
    if before != mark {
        ledger::write_json(store, keys::MARK, &mark).await?;
    }
    Ok(())
}
