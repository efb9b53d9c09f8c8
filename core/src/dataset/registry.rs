//! The descriptors and look-up tables built into the program: every file in `datasets/` and `datasets/lookups/`.

use std::sync::LazyLock;

use crate::dataset::Dataset;

// `DATASETS` and `LOOKUPS`: the stem and the text of each file, sorted by name. Written by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/registry.rs"));

/// The built-in datasets, not validated: only their names and tables are needed.
pub(crate) static TAKEN: LazyLock<Vec<(&str, Dataset)>> =
    LazyLock::new(|| DATASETS.iter().filter_map(|(name, text)| Some((*name, toml::from_str(text).ok()?))).collect());

/// Returns the name of the look-up table in a file of `datasets/lookups/`: `states` → `lookup_states`.
pub(crate) fn lookup_table(stem: &str) -> String {
    format!("lookup_{stem}")
}

/// Returns whether the name is that of a look-up table.
#[must_use]
pub(crate) fn is_lookup_table(table: &str) -> bool {
    LOOKUPS.iter().any(|(stem, _)| lookup_table(stem) == table)
}
