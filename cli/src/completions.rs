//! `rollcall completions`: shells complete commands, flags and values.
//!
//! A script asks the program itself, so that it also completes what is known only at that time, such as the runs of a lake.

pub(crate) mod script;

use std::ffi::OsStr;
use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use rollcall_adapters::folder::FolderStore;
use rollcall_core::dataset::built_in::built_in_paths;
use rollcall_core::dataset::{Axis, Dataset};
use rollcall_core::request::DEFAULT_DATASET;

use crate::lake;
use crate::query::shipped::SHIPPED;
use crate::request::dataset::load_dataset;

/// Variable in the environment with which a script asks the program.
pub(crate) const VARIABLE: &str = "ROLLCALL_COMPLETE";

/// Completes the names of datasets.
pub(crate) fn datasets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names =
            built_in_paths().into_iter().map(|(name, path)| CompletionCandidate::new(name).help(Some(path.into())));
        names.collect::<Vec<_>>()
    })
}

/// Completes the names of shipped queries.
pub(crate) fn queries() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let queries = SHIPPED.iter();
        queries.map(|it| CompletionCandidate::new(it.name).help(Some(it.question().into()))).collect::<Vec<_>>()
    })
}

/// Completes grades of the dataset of the command line, also after a comma.
pub(crate) fn grades() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let axes = dataset().into_iter().flat_map(|dataset| dataset.axes);
        let grades = axes.filter(|axis| axis.name.starts_with("grade")).flat_map(|axis| values(&axis));
        listed("", &current.to_string_lossy(), grades)
    })
}

/// Completes an axis of the dataset of the command line and its values: `grade_edfacts=grade-8,grade-99`.
pub(crate) fn axes() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let current = current.to_string_lossy();
        let axes = dataset().map(|dataset| dataset.axes).unwrap_or_default();
        match current.split_once('=') {
            None => {
                let names = axes.iter().map(|axis| format!("{}=", axis.name));
                names.filter(|name| name.starts_with(&*current)).map(CompletionCandidate::new).collect()
            }
            Some((name, current)) => {
                let values = axes.iter().filter(|axis| axis.name == name).flat_map(values);
                listed(&format!("{name}="), current, values)
            }
        }
    })
}

/// Completes the tables and views of the lake, with their databases once there is a dot.
pub(crate) fn tables() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let current = current.to_string_lossy();
        let store = FolderStore::new(lake());
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
        let tables = runtime.block_on(async { lake::catalog(&store).tables().await }).unwrap_or_default();
        let names = tables.iter().flat_map(|table| {
            let database = if current.contains('.') { format!("{}.", table.database) } else { String::new() };
            table.names().map(move |name| format!("{database}{name}")).collect::<Vec<_>>()
        });
        names.filter(|name| name.starts_with(&*current)).map(CompletionCandidate::new).collect()
    })
}

/// Completes the runs of the dataset of the command line, newest first.
pub(crate) fn runs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let folder = dataset().map(|dataset| lake().join("ledger").join(dataset.name).join("runs"));
        let mut runs: Vec<String> = folder
            .into_iter()
            .flat_map(entries)
            .filter_map(|run| Some(run.file_name()?.to_str()?.to_owned()))
            .collect();
        runs.sort_unstable_by(|one, other| other.cmp(one));
        runs.into_iter()
            .enumerate()
            .map(|(i, run)| CompletionCandidate::new(run).display_order(Some(i)))
            .collect::<Vec<_>>()
    })
}

fn entries(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// Returns the values of an axis that a flag accepts.
fn values(axis: &Axis) -> Vec<String> {
    axis.values.iter().map(|coded| coded.value.clone()).chain(["all".to_owned()]).collect()
}

/// Completes the last of values that are separated by commas.
///
/// - `start`: what stands before the values.
fn listed(start: &str, current: &str, values: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let before = current.rfind(',').map_or("", |comma| current.get(..=comma).unwrap_or_default());
    let candidates = values.into_iter().map(|value| format!("{before}{value}"));
    let candidates = candidates.filter(|candidate| candidate.starts_with(current));
    candidates.map(|candidate| CompletionCandidate::new(format!("{start}{candidate}"))).collect()
}

/// Returns the dataset that the command line names, or else the default one. Returns `None` for several.
fn dataset() -> Option<Dataset> {
    load_dataset(flag("--dataset").as_deref().unwrap_or(DEFAULT_DATASET)).ok()
}

/// Returns the folder of the lake that the command line names, or else the variable, or else the default one.
fn lake() -> PathBuf {
    let named = flag("--lake").map(PathBuf::from).or_else(|| std::env::var_os(lake::VARIABLE).map(PathBuf::from));
    let lake = named.unwrap_or_else(|| PathBuf::from(lake::DEFAULT));
    // The shell has not expanded it yet.
    match (lake.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => lake,
    }
}

/// Returns the value of a flag in the command line that is completed, which the shell passes after `--`.
fn flag(name: &str) -> Option<String> {
    // A word that is not UTF-8 names no dataset.
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let is_named = |word: &String| word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
    let i = words.iter().rposition(is_named)?;
    let value = match words.get(i)?.split_once('=') {
        Some((_, value)) => value,
        None => words.get(i + 1)?,
    };
    // Words come with the quotes that were typed.
    shlex::split(value).and_then(|words| words.into_iter().next())
}
