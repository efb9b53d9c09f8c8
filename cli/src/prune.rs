//! `rollcall prune`: deletes the ledger files of old runs, and old editions.

use std::process::ExitCode;

use clap::Args;
use jiff::SignedDuration;
use rollcall_adapters::SystemClock;
use rollcall_core::ledger::{old_runs, prune_runs};
use rollcall_core::ports::Clock;
use rollcall_core::publish::prune_history;

use crate::completions;
use crate::lake;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::output;
use crate::request::dataset::load_dataset;
use crate::words::counted;

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name, or a descriptor file [default: every built-in dataset]
    #[arg(long, value_name = "NAME|FILE.toml", add = completions::datasets())]
    dataset: Option<String>,
    /// Keep runs that wrote to the ledger in the last DAYS days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    keep_days: u16,
    /// Delete editions that were replaced more than DAYS days ago [default: keep all]
    #[arg(long, value_name = "DAYS")]
    keep_history_days: Option<u16>,
    /// Print what would be deleted without deleting anything
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: PruneArgs) -> anyhow::Result<ExitCode> {
    let names = match &args.dataset {
        Some(name) => vec![name.as_str()],
        None => rollcall_core::dataset::Dataset::built_in_names(),
    };
    let store = args.lake.existing_folder("in a bucket, the lifecycle rule deletes old runs by their tag").await?;
    LakeMark::read(&store).await?;
    let _lock = store.lock().await?;
    let days_ago = |days: u16| SystemClock.now() - SignedDuration::from_hours(24 * i64::from(days));
    let before = days_ago(args.keep_days);
    let done = if args.dry_run { "would be deleted" } else { "deleted" };
    let mut is_empty = true;
    for name in names {
        let dataset = load_dataset(name)?;
        let old = match args.dry_run {
            true => old_runs(&store, &dataset, before).await?,
            false => prune_runs(&store, &dataset, before).await?,
        };
        if !old.keys.is_empty() {
            is_empty = false;
            let (files, runs) = (counted(old.keys.len() as u64, "file"), counted(old.runs.len() as u64, "run"));
            output::print(&format!("{}: {files} from {runs} {done}\n", dataset.name))?;
        }
        if let Some(days) = args.keep_history_days {
            let (catalog, before) = (lake::catalog(&store), days_ago(days));
            let editions = prune_history(&store, &catalog, &SystemClock, &dataset, before, args.dry_run).await?;
            if !editions.is_empty() {
                is_empty = false;
                output::print(&format!("{}: {} {done}\n", dataset.name, counted(editions.len() as u64, "edition")))?;
            }
        }
    }
    if is_empty {
        output::print(&format!("0 files from 0 runs {done}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
