//! Files of the project and its Python environment.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Returns the workspace folder.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

/// Returns the names of the built-in datasets in alphabetical order: the files of `datasets/`.
///
/// # Panics
/// If the folder cannot be listed.
#[must_use]
pub fn dataset_names() -> Vec<String> {
    let files = fs::read_dir(workspace().join("datasets")).expect("the folder can be listed");
    let paths = files.map(|file| file.expect("the folder can be listed").path());
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().expect("a file has a name").to_str().expect("the name is UTF-8").to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Returns the state machine with its placeholders replaced by the template's defaults. Placeholders for numbers have
/// no quotes.
///
/// # Panics
/// If it is not JSON.
#[must_use]
pub fn state_machine() -> Value {
    let text =
        fs::read_to_string(workspace().join("statemachine/ingest.asl.json")).expect("the file is in the project");
    let text = text.replace("${MapConcurrency}", "2").replace("${ToleratedFailureCount}", "20");
    serde_json::from_str(&text).expect("the state machine is JSON")
}

/// Returns the folder with recorded responses of the real portal, which is next to the project and not part of it.
///
/// `None`, with a message on stderr, if it does not exist.
#[must_use]
pub fn recorded_bodies() -> Option<PathBuf> {
    let folder = workspace().join("../shared/recorded");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no recorded responses of the portal at ../shared/recorded");
    None
}

/// Returns the Python of the project's environment, which `make test` creates.
#[must_use]
pub fn python() -> PathBuf {
    let python = workspace().join(".venv/bin/python");
    assert!(python.exists(), "expected the Python environment that `make test` sets up at .venv");
    python
}
