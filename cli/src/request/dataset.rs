//! Loads a dataset by name, or from a descriptor file.

use std::path::Path;

use rollcall_core::dataset::Dataset;
use rollcall_core::dataset::built_in::{built_in_paths, unknown_columns};
use rollcall_core::dataset::selection::DatasetSelection;

use crate::escape::visible;
use crate::exit::BadInput;

/// Loads a built-in dataset by name, or a descriptor file if the name ends in `.toml`.
pub(crate) fn load_dataset(name: &str) -> anyhow::Result<Dataset> {
    if is_file(name) { load_descriptor(name) } else { Ok(Dataset::built_in(name)?) }
}

/// Loads the datasets that an argument selects, be it several or one.
pub(crate) fn load_all(argument: &str) -> anyhow::Result<Vec<Dataset>> {
    match load_several(Some(argument))? {
        Some(several) => Ok(several),
        None => Ok(vec![load_dataset(argument)?]),
    }
}

/// Returns the built-in datasets that an argument such as `ccd_*`, `schools` or `all` selects, or `None` if it names one
/// dataset or a descriptor file.
///
/// # Errors
/// [`BadInput`] if no dataset matches.
pub(crate) fn load_several(argument: Option<&str>) -> anyhow::Result<Option<Vec<Dataset>>> {
    let Some(argument) = argument.filter(|argument| !is_file(argument)) else { return Ok(None) };
    let selection = DatasetSelection::parse(argument);
    if selection.is_one_name() {
        return Ok(None);
    }
    let names = built_in_paths().into_iter().filter(|(name, path)| selection.has(name, path)).map(|(name, _)| name);
    let selected = names.map(Dataset::built_in).collect::<Result<Vec<_>, _>>()?;
    if selected.is_empty() {
        if let Some(unknown) = unknown_columns().iter().find(|unknown| selection.has(unknown.name, unknown.path)) {
            // Refused, with what to do.
            Dataset::built_in(unknown.name)?;
        }
        return Err(BadInput(format!(
            "`--dataset`: expected a pattern that matches a dataset, such as ccd_*, found `{}`\nhint: `rollcall datasets \
             list` lists them",
            visible(argument)
        ))
        .into());
    }
    Ok(Some(selected))
}

/// Refuses an argument that selects several datasets.
///
/// # Errors
/// [`BadInput`] that names the command's flag or argument.
pub(crate) fn refuse_several(flag: &str, datasets: Option<&[Dataset]>) -> Result<(), BadInput> {
    match datasets {
        None => Ok(()),
        Some(datasets) => Err(BadInput(format!(
            "`{flag}`: expected `--dataset` to name one dataset, found {} of them",
            datasets.len()
        ))),
    }
}

/// Loads a descriptor file.
pub(crate) fn load_descriptor(path: &str) -> anyhow::Result<Dataset> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BadInput(format!("read descriptor `{path}`: expected a readable file: {error}")))?;
    Ok(Dataset::parse(path, &text)?)
}

/// Returns whether a dataset name refers to a descriptor file.
pub(crate) fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "toml")
}
