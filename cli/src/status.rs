//! `rollcall status`: prints the lake as a grid, or the outcome of one run.

mod as_of;
mod grid;
mod lake;
mod run;
mod several;

use std::process::ExitCode;

use clap::Args;
use rollcall_core::dataset::Dataset;
use rollcall_core::history::Moment;
use rollcall_core::ports::Store;

use crate::lake::Lake;
use crate::lake::args::LakeArgs;
use crate::output::Format;
use crate::request::dataset::{load_dataset, load_several, refuse_several};
use crate::status::as_of::show_as_of;
use crate::status::lake::show_lake;
use crate::status::run::show_run;
use crate::status::several::show_several;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name or descriptor file, or several: 'ccd_*', schools, all
    #[arg(long, value_name = "NAME|FILE.toml|PATTERN", default_value = rollcall_core::request::DEFAULT_DATASET)]
    dataset: String,
    /// Show the outcome of this run instead of the lake
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Show the lake as it was: at the end of a date (UTC), at a time, or after the last run under a release
    #[arg(long, value_name = "DATE|TIME|RELEASE", conflicts_with = "run")]
    as_of: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    if let Some(datasets) = load_several(Some(&args.dataset))? {
        for (flag, is_set) in [("--run", args.run.is_some()), ("--as-of", args.as_of.is_some())] {
            if is_set {
                refuse_several(flag, Some(&datasets))?;
            }
        }
        let lake = args.lake.name();
        match args.lake.open_existing().await? {
            Lake::Folder(store) => show_several(&store, &lake, &datasets, args.format).await?,
            #[cfg(feature = "aws")]
            Lake::Bucket(store) => show_several(&store, &lake, &datasets, args.format).await?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let dataset = load_dataset(&args.dataset)?;
    match args.lake.open_existing().await? {
        Lake::Folder(store) => show(&args, &store, &dataset).await?,
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => show(&args, &store, &dataset).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &StatusArgs, store: &impl Store, dataset: &Dataset) -> anyhow::Result<()> {
    if let Some(as_of) = &args.as_of {
        return show_as_of(store, dataset, &Moment::parse(as_of), args.format).await;
    }
    match &args.run {
        Some(run) => show_run(store, &args.lake.name(), dataset, run, args.format).await,
        None => show_lake(store, &args.lake, dataset, &args.dataset, args.format).await,
    }
}
