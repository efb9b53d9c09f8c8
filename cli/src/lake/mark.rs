//! The mark of a lake: a file that says that the folder is a lake, whether it holds sample data, and which dataset each
//! table holds.
//!
//! The mark is the first file of a lake. A folder with other files and no mark is not a lake, and is left unchanged.
//! Rows do not show whether their schools are invented or real, or which descriptor they were written with. Unlike the
//! ledger, the mark therefore cannot be rebuilt from the objects, and an unreadable mark is an error.

use std::collections::BTreeMap;
use std::path::Path;

use rollcall_adapters::folder::{FolderState, FolderStore};
use rollcall_adapters::http_portal::parse_origin;
use rollcall_core::dataset::Dataset;
use rollcall_core::{Error, keys};
use serde::{Deserialize, Serialize};

use crate::exit::BadInput;
use crate::lake::lake_flag;
use crate::words::shell_word;

/// Returns how a lake comes into being.
pub(super) fn how_to_fetch(folder: &Path) -> String {
    let lake = lake_flag(folder).map_or_else(String::new, |flag| format!(" {flag}"));
    format!(
        "fetch a first one: rollcall run --sample --years latest --grades grade-pk{lake}; or name another folder with --lake"
    )
}

/// The contents of the mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// Versions of rollcall without a field refuse a lake whose mark has it here. In a table, they ignore it, and drop it when
// they fetch into the table.
#[serde(deny_unknown_fields)]
pub(crate) struct LakeMark {
    pub(crate) is_sample: bool,
    /// Whether no run has made a plan yet. Until then `is_sample` may still change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_new: bool,
    /// The dataset of each table in `data/`, by table name.
    #[serde(default)]
    pub(super) tables: BTreeMap<String, TableDataset>,
}

/// The descriptor that last filled a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableDataset {
    dataset: String,
    /// [`Dataset::schema_id`] in hex.
    schema: String,
    /// The portal that its rows came from last, or that the first run asked if no run got any; `None` for the live one, and
    /// for the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    portal: Option<String>,
}

impl TableDataset {
    pub(super) fn new(dataset: &Dataset, portal: Option<&str>) -> Self {
        let (dataset, schema) = (dataset.name.clone(), schema_of(dataset));
        Self { dataset, schema, portal: portal.map(str::to_owned) }
    }
}

fn schema_of(dataset: &Dataset) -> String {
    format!("{:016x}", dataset.schema_id())
}

impl LakeMark {
    /// Reads the mark of a lake; `None` if the folder is empty or missing, and may therefore become a lake.
    ///
    /// # Errors
    /// [`BadInput`] if the folder is not a lake, or its mark is unreadable.
    pub(crate) async fn find(store: &FolderStore) -> anyhow::Result<Option<Self>> {
        let folder = store.root().display();
        let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
        match store.inspect().await.map_err(failed)? {
            FolderState::Missing | FolderState::Empty => Ok(None),
            FolderState::Marked(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(|error| {
                BadInput(format!(
                    "read `{}`: expected {{\"is_sample\": true}} or {{\"is_sample\": false}}, found invalid JSON: \
                     {error}\nhint: `true` means that the lake holds the sample's invented schools; rewrite the file, or \
                     name another folder with --lake",
                    store.root().join(keys::MARK).display(),
                ))
            })?)),
            FolderState::File => {
                Err(BadInput(format!("open lake `{folder}`: expected a folder, found a file\nhint: --lake names a folder"))
                    .into())
            }
            FolderState::Other => Err(BadInput(format!(
                "open lake `{folder}`: expected a lake or an empty folder, found other files and no `{}`; nothing was \
                 changed\nhint: name another folder with --lake; if this is a lake that lost its mark, write \
                 {{\"is_sample\": false}} to that file",
                keys::MARK
            ))
            .into()),
        }
    }

    /// Returns whether a folder is a lake of sample data.
    ///
    /// # Errors
    /// Same as [`LakeMark::find`].
    pub(crate) async fn is_of_sample(store: &FolderStore) -> anyhow::Result<bool> {
        Ok(Self::find(store).await?.is_some_and(|mark| mark.is_sample))
    }

    /// Reads the mark of an existing lake.
    ///
    /// # Errors
    /// [`BadInput`] if the folder is empty, missing or not a lake, or its mark is unreadable.
    pub(crate) async fn read(store: &FolderStore) -> anyhow::Result<Self> {
        Ok(Self::find(store).await?.ok_or_else(|| {
            BadInput(format!(
                "open lake `{}`: expected a lake, found an empty folder\nhint: {}",
                store.root().display(),
                how_to_fetch(store.root())
            ))
        })?)
    }

    /// Checks that sample data is written only to a lake of sample data, and portal data only to other lakes.
    ///
    /// # Errors
    /// [`BadInput`] with a hint.
    pub(crate) fn check_kind(&self, store: &FolderStore, is_sample: bool) -> Result<(), BadInput> {
        if self.is_new || self.is_sample == is_sample {
            return Ok(());
        }
        let kind = |is_sample| if is_sample { "sample data" } else { "portal data" };
        Err(BadInput(format!(
            "open lake `{}`: expected a lake of {}, found one of {}\nhint: keep the two in separate folders; name another \
             one with --lake",
            store.root().display(),
            kind(is_sample),
            kind(self.is_sample)
        )))
    }

    /// Checks that the table of `dataset` holds no other dataset, and that the dataset has no other table in this lake.
    ///
    /// # Errors
    /// [`BadInput`] with a hint.
    pub(crate) fn check_table(&self, dataset: &Dataset) -> Result<(), BadInput> {
        match self.tables.get(&dataset.table) {
            Some(holder) if holder.dataset != dataset.name => Err(BadInput(format!(
                "open table `{}` for dataset `{}`: expected an unused table, found one that holds dataset `{}`\n\
                 hint: give the descriptor another `table`",
                dataset.table, dataset.name, holder.dataset
            ))),
            // An older version of rollcall may have let the dataset fill another table too. That table does not matter.
            Some(_) => Ok(()),
            None => match self
                .tables
                .iter()
                .find(|(table, holder)| holder.dataset == dataset.name && **table != dataset.table)
            {
                // Both tables would share one ledger, and a partition of one would count for the other.
                Some((table, _)) => Err(BadInput(format!(
                    "open table `{}` for dataset `{}`: expected `{table}`, the dataset's table in this lake\n\
                     hint: give the descriptor another `name`, or `table = \"{table}\"`",
                    dataset.table, dataset.name
                ))),
                None => Ok(()),
            },
        }
    }

    /// Checks whether a descriptor with a different schema filled the dataset's table.
    pub(crate) fn has_other_schema(&self, dataset: &Dataset) -> bool {
        let is_other = |holder: &TableDataset| holder.dataset != dataset.name || holder.schema != schema_of(dataset);
        self.tables.get(&dataset.table).is_some_and(is_other)
    }

    /// Returns the portal that the rows of a dataset came from last; `None` for the live one, and for the sample.
    pub(super) fn portal(&self, dataset: &Dataset) -> Option<&str> {
        self.tables.get(&dataset.table)?.portal.as_deref()
    }

    /// Returns the mark of a lake into which a dataset is fetched from a portal.
    pub(super) fn with_dataset(&self, is_sample: bool, dataset: &Dataset, portal: Option<&str>) -> Self {
        let mut tables = self.tables.clone();
        tables.insert(dataset.table.clone(), TableDataset::new(dataset, portal));
        Self { is_sample, is_new: false, tables }
    }

    /// Returns whether the lake has a table of the dataset.
    pub(super) fn has_table(&self, dataset: &Dataset) -> bool {
        self.tables.contains_key(&dataset.table)
    }

    /// Returns the portal from which to fetch into a table: that of its rows, or that of all tables if it has none yet.
    fn portal_for(&self, table: &str) -> Option<&str> {
        if let Some(table) = self.tables.get(table) {
            return table.portal.as_deref();
        }
        let mut portals = self.tables.values().map(|table| table.portal.as_deref());
        let first = portals.next()?;
        first.filter(|_| portals.all(|other| other == first))
    }

    /// Returns the flags with which a run gets data from where the rows of a dataset came from, quoted for a shell.
    pub(crate) fn source_flags(&self, dataset: &Dataset) -> Vec<String> {
        self.source_flags_of(&dataset.table)
    }

    /// Same as [`Self::source_flags`], for the dataset in a table.
    pub(crate) fn source_flags_of(&self, table: &str) -> Vec<String> {
        // Whoever wrote the mark may have written anything; what is offered to be pasted is an address and nothing else.
        let portal = self.portal_for(table).and_then(|portal| parse_origin(portal).ok());
        let portal = portal.map(|portal| format!("--portal {}", shell_word(portal.as_str().trim_end_matches('/'))));
        if self.is_sample { vec!["--sample".to_owned()] } else { portal.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_although_a_newer_version_says_more_about_a_table() {
        let table = r#"{"dataset": "ccd_directory", "schema": "00", "newer": {"any": 1}}"#;
        let mark: LakeMark =
            serde_json::from_str(&format!(r#"{{"is_sample": false, "tables": {{"t": {table}}}}}"#)).unwrap();
        assert_eq!(mark.tables["t"].dataset, "ccd_directory");
        assert!(serde_json::from_str::<LakeMark>(r#"{"is_sample": false, "newer": 1}"#).is_err());
    }

    #[test]
    fn a_lake_is_fetched_again_from_where_its_data_came_from() {
        let dataset = Dataset::built_in("ccd_directory").unwrap();
        let flags = |is_sample, portal: Option<&str>| {
            let tables = BTreeMap::from([(dataset.table.clone(), TableDataset::new(&dataset, portal))]);
            LakeMark { is_sample, is_new: false, tables }.source_flags(&dataset)
        };
        assert_eq!(flags(false, None), [""; 0]);
        assert_eq!(flags(true, None), ["--sample"]);
        assert_eq!(flags(false, Some("http://127.0.0.1:8000")), ["--portal http://127.0.0.1:8000"]);
        let other = Dataset::built_in("ccd_enrollment").unwrap();
        let portals = |portals: &[Option<&str>]| {
            let tables = portals.iter().enumerate();
            let tables = tables.map(|(i, portal)| (format!("t{i}"), TableDataset::new(&dataset, *portal)));
            LakeMark { is_sample: false, is_new: false, tables: tables.collect() }.source_flags(&other)
        };
        assert_eq!(portals(&[]), [""; 0]);
        assert_eq!(portals(&[Some("http://a"), Some("http://a")]), ["--portal http://a"]);
        assert_eq!(portals(&[Some("http://a"), Some("http://b")]), [""; 0]);
        assert_eq!(portals(&[None, Some("http://a")]), [""; 0]);
        for forged in ["x; rm -rf .", "http://h/?q=$(id)", "http://user:word@host"] {
            assert_eq!(flags(false, Some(forged)), [""; 0], "{forged}");
        }
    }
}
