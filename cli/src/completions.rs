//! `rollcall completions`: scripts with which shells complete commands, flags and values.
//!
//! A script asks the program itself, so that it also completes what is known only at that time, such as the runs of a lake.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use rollcall_core::dataset::Dataset;
use rollcall_core::dataset::built_in::built_in_paths;
use rollcall_core::request::DEFAULT_DATASET;

use crate::query::shipped::SHIPPED;

/// Variable in the environment with which a script asks the program.
pub(crate) const VARIABLE: &str = "ROLLCALL_COMPLETE";

/// A shell that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Returns the script for a shell.
pub(crate) fn script(shell: Shell) -> anyhow::Result<Vec<u8>> {
    let mut script = Vec::new();
    let name = shell.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let shells = Shells::builtins();
    let completer = shells.completer(&name).ok_or_else(|| anyhow::anyhow!("complete in {name}: not supported"))?;
    completer.write_registration(VARIABLE, "rollcall", "rollcall", "rollcall", &mut script)?;
    Ok(script)
}

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

/// Completes grades of the default dataset, also after a comma.
pub(crate) fn grades() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let current = current.to_string_lossy();
        let before = current.rfind(',').map_or("", |comma| current.get(..=comma).unwrap_or_default());
        let dataset = Dataset::built_in(DEFAULT_DATASET).ok();
        let axes = dataset.into_iter().flat_map(|dataset| dataset.axes);
        let grades = axes.flat_map(|axis| axis.values).map(|coded| coded.value).chain(["all".to_owned()]);
        let candidates = grades.map(|grade| format!("{before}{grade}")).filter(|it| it.starts_with(&*current));
        candidates.map(CompletionCandidate::new).collect()
    })
}

/// Completes the runs of the lake in `ROLLCALL_LAKE`, or else of the default one, newest first.
pub(crate) fn runs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let lake = std::env::var_os("ROLLCALL_LAKE").map_or_else(|| PathBuf::from("lake"), PathBuf::from);
        let mut runs: Vec<String> = entries(lake.join("ledger"))
            .flat_map(|dataset| entries(dataset.join("runs")))
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
