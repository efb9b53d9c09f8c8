//! The descriptors and look-up tables built into the program: every file of `datasets/` and `datasets/lookups/`.

use std::sync::LazyLock;

use crate::dataset::Dataset;

// `DATASETS` and `LOOKUPS`: the stem of each file name and the text, in the order of the names. Written by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/registry.rs"));

/// The built-in datasets, unchecked, for the names and tables that they take.
pub(crate) static TAKEN: LazyLock<Vec<(&str, Dataset)>> =
    LazyLock::new(|| DATASETS.iter().filter_map(|(name, text)| Some((*name, toml::from_str(text).ok()?))).collect());

/// Name of the look-up table of a file of `datasets/lookups/`: `states` → `lookup_states`.
pub(crate) fn lookup_table(stem: &str) -> String {
    format!("lookup_{stem}")
}

/// Whether a table of this name is a look-up table.
#[must_use]
pub(crate) fn is_lookup_table(table: &str) -> bool {
    LOOKUPS.iter().any(|(stem, _)| lookup_table(stem) == table)
}
