//! `rollcall datasets generate`: writes descriptors from the portal's metadata.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rollcall_core::dataset::selection::DatasetSelection;
use rollcall_core::error::chain;
use rollcall_core::generate::{Generated, built_in_lists, dataset_name, generate, lists, to_csv};

use crate::completions;
use crate::datasets::source::SourceArgs;
use crate::exit::{self, BadInput};
use crate::output;
use crate::words::counted;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Dataset by name, names such as 'ccd_*', a section (schools, school-districts, college-university), or all
    #[arg(add = completions::datasets())]
    selection: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Folder to write NAME.toml to [default: print the descriptors]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write all lists of codes to this CSV file, instead of those that are not built in to the descriptors
    #[arg(long, value_name = "FILE")]
    codes: Option<PathBuf>,
}

pub(crate) async fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let metadata = args.source.read().await?;
    let selection = DatasetSelection::parse(&args.selection);
    let of_metadata = lists(&metadata);
    let known = if args.codes.is_some() { &of_metadata } else { &built_in_lists() };
    let selected = metadata.endpoints.iter().filter(|endpoint| selection.has(&dataset_name(endpoint), &endpoint.path));
    let (generated, failed): (Vec<_>, Vec<_>) =
        selected.map(|endpoint| generate(&metadata, endpoint, known)).partition(Result::is_ok);
    if generated.is_empty() && failed.is_empty() {
        return Err(BadInput(format!(
            "generate `{}`: expected a dataset among the {} of the metadata, found none",
            args.selection,
            counted(metadata.endpoints.len() as u64, "endpoint")
        ))
        .into());
    }
    if let Some(file) = &args.codes {
        write(file, &to_csv(&of_metadata))?;
    }
    let mut generated: Vec<Generated> = generated.into_iter().filter_map(Result::ok).collect();
    generated.sort_by(|one, other| one.dataset.name.cmp(&other.dataset.name));
    match &args.out {
        None => {
            let texts: Vec<&str> = generated.iter().map(|one| one.text.as_str()).collect();
            output::print_data(&texts.join("\n"))?;
        }
        Some(folder) => {
            let mut n_changed = 0;
            for one in &generated {
                n_changed += u64::from(write(&folder.join(format!("{}.toml", one.dataset.name)), &one.text)?);
            }
            output::print(&format!(
                "{} in {}, {n_changed} written, {} unchanged\n",
                counted(generated.len() as u64, "descriptor"),
                crate::escape::visible(&folder.display().to_string()),
                generated.len() as u64 - n_changed
            ))?;
        }
    }
    for error in failed.iter().filter_map(|result| result.as_ref().err()) {
        output::print_message(&format!("error: {}", chain(error)));
    }
    Ok(ExitCode::from(if failed.is_empty() { exit::OK } else { exit::BAD_INPUT }))
}

/// Writes a file, unless it has this text. Returns whether it was written.
fn write(path: &Path, text: &str) -> Result<bool, BadInput> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(false);
    }
    let created = path.parent().map_or(Ok(()), fs::create_dir_all);
    match created.and_then(|()| fs::write(path, text)) {
        Ok(()) => Ok(true),
        Err(error) => Err(BadInput(format!("write `{}`: expected a writable file: {error}", path.display()))),
    }
}
