//! Loads a dataset by name, or from a descriptor file.

use std::path::Path;

use rollcall_core::dataset::Dataset;

use crate::exit::BadInput;

/// Loads a built-in dataset by name, or a descriptor file if the name ends in `.toml`.
pub(crate) fn load_dataset(name: &str) -> anyhow::Result<Dataset> {
    if is_file(name) { load_descriptor(name) } else { Ok(Dataset::built_in(name)?) }
}

/// Loads a descriptor file.
pub(crate) fn load_descriptor(path: &str) -> anyhow::Result<Dataset> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BadInput(format!("read descriptor `{path}`: expected a readable file: {error}")))?;
    Ok(Dataset::parse(path, &text)?)
}

/// Checks whether a dataset name refers to a descriptor file.
pub(crate) fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "toml")
}
