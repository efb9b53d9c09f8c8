//! `rollcall man`: manual pages, one for each command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};

use crate::exit::BadInput;

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder for the pages; it is created
    folder: PathBuf,
}

/// Writes the pages.
///
/// - `program`: the definition of the command line.
pub(crate) fn run(args: &ManArgs, program: Command) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(program, folder));
    written.map_err(|error| BadInput(format!("write `{}`: {error}", folder.display())))?;
    Ok(ExitCode::SUCCESS)
}
