//! What a lake says of its data beside the objects: whether the sample filled it, and which dataset each table holds.
//!
//! Nothing in a row would tell invented schools from real ones, or one descriptor's rows from another's. Unlike the
//! ledger it cannot be derived from the objects: a mark that cannot be read is an error.

use std::collections::BTreeMap;

use rollcall_adapters::folder::FolderStore;
use rollcall_core::dataset::Dataset;
use rollcall_core::ports::Store;
use rollcall_core::{Error, keys, ledger};
use serde::{Deserialize, Serialize};

use crate::exit::BadInput;

/// The mark of a lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LakeMark {
    pub(crate) is_sample: bool,
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
    /// The mark of a lake; `None` when it has none.
    ///
    /// # Errors
    /// [`BadInput`] when it cannot be read as one.
    pub(crate) async fn read(store: &FolderStore) -> anyhow::Result<Option<Self>> {
        let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
        let Some(bytes) = store.read(keys::MARK).await.map_err(failed)? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&bytes).map_err(|error| {
            BadInput(format!(
                "read `{}`: expected {{\"is_sample\": true}} or false, found otherwise: {error}\nhint: it says whether the \
                 lake's schools are the sample's invented ones; write it anew, or name another folder with --lake",
                store.root().join(keys::MARK).display(),
            ))
        })?))
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
            _ => match self
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

/// Refuses to add data to a lake that holds the other kind, or another dataset in the same table. Gives the mark found.
///
/// # Errors
/// [`BadInput`] with a hint.
pub(crate) async fn check(store: &FolderStore, is_sample: bool, dataset: &Dataset) -> anyhow::Result<Option<LakeMark>> {
    let words = |is_sample| if is_sample { "sample data" } else { "data of the portal" };
    let mark = LakeMark::read(store).await?;
    if let Some(mark) = &mark {
        if mark.is_sample != is_sample {
            return Err(BadInput(format!(
                "open lake `{}`: expected one of {}, found {}\n\
                 hint: name another folder with --lake, or remove this one",
                store.root().display(),
                words(is_sample),
                words(mark.is_sample)
            ))
            .into());
        }
        mark.check_table(dataset)?;
    }
    Ok(mark)
}

/// Marks the lake as holding `dataset`, where it does not say so yet.
///
/// - `before`: the mark that [`check`] found.
///
/// # Errors
/// A lake that cannot be written to.
pub(crate) async fn claim(
    store: &FolderStore,
    before: Option<LakeMark>,
    is_sample: bool,
    dataset: &Dataset,
) -> anyhow::Result<()> {
    let mut mark = before.clone().unwrap_or(LakeMark { is_sample, tables: BTreeMap::new() });
    mark.tables.insert(dataset.table.clone(), Holder::of(dataset));
    if before.as_ref() != Some(&mark) {
        ledger::write_json(store, keys::MARK, &mark).await?;
    }
    Ok(())
}
