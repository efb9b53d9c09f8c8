//! `rollcall status`: prints the lake as a grid, or the outcome of one run.

mod as_of;
pub(crate) mod grid;
mod lake;
mod last_run;
mod run;
mod runs;
mod several;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rollcall_adapters::folder::LockState;
use rollcall_core::dataset::Dataset;
use rollcall_core::history::Moment;
use rollcall_core::ports::Store;

use crate::completions;
use crate::escape::visible;
use crate::exit::BadInput;
use crate::lake::Lake;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::lake::offer::Offer;
use crate::output::{self, Format};
use crate::request::dataset::{load_dataset, load_several, refuse_several};
use crate::status::as_of::show_as_of;
use crate::status::lake::{SAMPLE_MARK, View, show_lake};
use crate::status::run::show_run;
use crate::status::runs::show_runs;
use crate::status::several::show_several;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name or descriptor file, or several: 'ccd_*', schools, all
    #[arg(long, value_name = "NAME|FILE.toml|PATTERN", default_value = rollcall_core::request::DEFAULT_DATASET, add = completions::datasets())]
    dataset: String,
    /// Show the outcome of this run instead of the lake
    #[arg(long, value_name = "RUN", add = completions::runs())]
    run: Option<String>,
    /// List the runs of the dataset instead of showing the lake, the latest first
    #[arg(long, conflicts_with_all = ["run", "as_of", "long"])]
    runs: bool,
    /// Show the lake as it was: at the end of a date (UTC), at a time, or after the last run under a release
    #[arg(long, value_name = "DATE|TIME|RELEASE", conflicts_with = "run")]
    as_of: Option<String>,
    /// Show rows and age in each cell of the grid too
    #[arg(long, conflicts_with_all = ["run", "as_of"])]
    long: bool,
    /// Show the status again every two seconds, until Ctrl-C
    #[arg(long, conflicts_with = "format")]
    watch: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Time between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    if !args.watch {
        return show_once(&args).await;
    }
    if !std::io::stdout().is_terminal() {
        let what = "`--watch`: expected a terminal, found a file or a pipe\nhint: leave it out, or use --format json";
        return Err(BadInput(what.to_owned()).into());
    }
    loop {
        output::compose();
        let shown = if args.lake.is_missing() {
            output::print(&format!("no lake at `{}` yet\n", visible(&args.lake.name())))?;
            Ok(ExitCode::SUCCESS)
        } else {
            show_once(&args).await
        };
        let screen = output::end_composing();
        shown?;
        output::show_screen(&screen, "without --watch for all")?;
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn show_once(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    if let Some(datasets) = load_several(Some(&args.dataset))? {
        for (flag, is_set) in [("--run", args.run.is_some()), ("--runs", args.runs), ("--as-of", args.as_of.is_some())]
        {
            if is_set {
                refuse_several(flag, Some(&datasets))?;
            }
        }
        let lake = args.lake.name();
        match args.lake.open_existing().await? {
            Lake::Folder(store) => {
                let is_sample = LakeMark::is_of_sample(&store).await?;
                show_several(&store, &lake, &datasets, is_sample, args.format).await?;
                mark_sample(is_sample, args.format)?;
            }
            #[cfg(feature = "aws")]
            Lake::Bucket(store) => show_several(&store, &lake, &datasets, false, args.format).await?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let dataset = load_dataset(&args.dataset)?;
    match args.lake.open_existing().await? {
        Lake::Folder(store) => {
            let mark = LakeMark::find(&store).await?;
            let lock = store.lock_state().await;
            show(args, &store, &dataset, mark.as_ref(), lock).await?;
        }
        // Runs on AWS use no sample data. Nothing tells whether one goes on.
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => show(args, &store, &dataset, None, LockState::Unknown).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(
    args: &StatusArgs,
    store: &impl Store,
    dataset: &Dataset,
    mark: Option<&LakeMark>,
    lock: LockState,
) -> anyhow::Result<()> {
    let is_sample = mark.is_some_and(|mark| mark.is_sample);
    if let Some(as_of) = &args.as_of {
        show_as_of(store, dataset, &Moment::parse(as_of), args.format).await?;
        return mark_sample(is_sample, args.format);
    }
    if args.runs {
        show_runs(store, &args.lake.name(), dataset, lock, args.format).await?;
        return mark_sample(is_sample, args.format);
    }
    let flags = mark.map(|mark| mark.source_flags(dataset)).unwrap_or_default();
    let offer = Offer { lake: &args.lake, dataset, dataset_arg: Some(&args.dataset), flags };
    match &args.run {
        Some(run) => {
            show_run(store, &offer, run, args.format).await?;
            mark_sample(is_sample, args.format)
        }
        None => {
            let view = View { offer: &offer, is_long: args.long, is_sample, lock };
            show_lake(store, dataset, args.format, view).await
        }
    }
}

/// Says below a table that it shows no real data, if that is so.
fn mark_sample(is_sample: bool, format: Format) -> anyhow::Result<()> {
    if is_sample && format == Format::Table {
        output::print(SAMPLE_MARK)?;
    }
    Ok(())
}
