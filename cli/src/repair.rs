//! `rollcall repair`: rebuilds the ledger and the catalog from the objects.

#[cfg(feature = "aws")]
mod bucket;
mod dataset;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::FolderStore;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{FromPages, Skipped, encode_kept_pages};
use rollcall_core::ledger::Outcome;
use rollcall_core::ports::Clock;
use rollcall_core::publish::publish_lookups;

use crate::completions;
use crate::exit;
#[cfg(feature = "aws")]
use crate::exit::BadInput;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::lake::offer::Offer;
use crate::lake::{self, Lake, claim};
use crate::output;
use crate::repair::dataset::repair_dataset;
use crate::request::dataset::load_dataset;
use crate::signals::Signals;
use crate::words::shell_word;

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name, or a descriptor file [default: every built-in dataset]
    #[arg(long, value_name = "NAME|FILE.toml", add = completions::datasets())]
    dataset: Option<String>,
    /// First write partitions again from pages kept with `--keep-pages`, without contacting the portal
    #[arg(long)]
    from_pages: bool,
    /// Prefix of the databases in Glue, for a lake in a bucket: the stack's parameter `DatabasePrefix`
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    database_prefix: String,
}

impl RepairArgs {
    /// Returns the command with these flags.
    fn command(&self) -> String {
        let mut words = vec!["rollcall repair".to_owned()];
        words.extend(self.dataset.as_ref().map(|named| format!("--dataset {}", shell_word(named))));
        words.extend(self.lake.flag());
        words.extend(self.from_pages.then(|| "--from-pages".to_owned()));
        #[cfg(feature = "aws")]
        if !self.database_prefix.is_empty() {
            words.push(format!("--database-prefix {}", shell_word(&self.database_prefix)));
        }
        words.join(" ")
    }
}

pub(crate) async fn run(args: RepairArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let again = args.command();
    tokio::select! {
        repaired = repair(args) => repaired,
        () = signals.stop_requested() => {
            output::print_message(&format!("interrupted: run `{again}` again"));
            Ok(ExitCode::from(exit::INTERRUPTED))
        }
    }
}

async fn repair(args: RepairArgs) -> anyhow::Result<ExitCode> {
    let names = match &args.dataset {
        Some(name) => vec![name.as_str()],
        None => Dataset::built_in_names(),
    };
    if args.from_pages {
        let hint = "on AWS, no pages are kept after the commit; run the partitions again with `rollcall run --on aws`";
        return repair_folder(&args, args.lake.existing_folder(hint).await?, names).await;
    }
    match args.lake.open_existing().await? {
        #[cfg(feature = "aws")]
        Lake::Folder(_) if !args.database_prefix.is_empty() => Err(BadInput(
            "repair a folder: expected no --database-prefix, found one\nhint: only Glue has databases".to_owned(),
        )
        .into()),
        Lake::Folder(store) => repair_folder(&args, store, names).await,
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => {
            bucket::repair(&args.lake, args.dataset.as_deref(), &args.database_prefix, &store, &names).await
        }
    }
}

async fn repair_folder(args: &RepairArgs, store: FolderStore, names: Vec<&str>) -> anyhow::Result<ExitCode> {
    let catalog = lake::catalog(&store);
    LakeMark::read(&store).await?;
    let _lock = store.lock().await?;
    let mark = LakeMark::read(&store).await?;
    let mut is_complete = true;
    for name in names {
        let dataset = load_dataset(name)?;
        mark.check_table(&dataset)?;
        if mark.has_other_schema(&dataset) {
            if args.dataset.is_none() {
                output::print_message(&format!(
                    "warning: {}: skipped, because another descriptor of that name filled its table\n\
                     hint: name the file with --dataset",
                    dataset.name
                ));
                continue;
            }
            claim::claim(&store, &mark, mark.is_sample, None, &dataset).await?;
        }
        if args.from_pages {
            is_complete &= encode_again(&store, &dataset).await?;
        }
        let has_table = catalog.has_table(&dataset).await?;
        let (dataset_arg, flags) = (args.dataset.as_deref(), mark.source_flags(&dataset));
        let offer = Offer { lake: &args.lake, dataset: &dataset, dataset_arg, flags };
        repair_dataset(&offer, &store, &catalog, has_table).await?;
    }
    publish_lookups(&store, &catalog, SystemClock.now(), "repair").await?;
    // Also reads other datasets' tables, and thus finds damaged ones.
    if let Err(error) = catalog.tables().await {
        output::print_message(&format!(
            "warning: {}\nhint: repair its dataset too: --dataset FILE.toml",
            rollcall_core::error::chain(&error)
        ));
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::from(exit::PARTIAL) })
}

/// Encodes partitions from their kept pages and prints what became of them. Returns whether none failed.
async fn encode_again(store: &FolderStore, dataset: &Dataset) -> anyhow::Result<bool> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let FromPages { encoded, skipped } = encode_kept_pages(store, dataset).await?;
    for Skipped { partition, run, reason } in skipped {
        output::print_message(&format!(
            "warning: {}: skipped the pages of `{partition}` that run {run} kept: {reason}",
            dataset.name
        ));
    }
    for encoded in encoded {
        let outcome = encoded.result.unwrap_or_else(|error| {
            output::print_message(&format!("failed: {}: {}", error.name(), error.chain()));
            Outcome::Failed
        });
        *counts.entry(outcome.as_str()).or_default() += 1;
    }
    if !counts.is_empty() {
        let counts: Vec<String> = counts.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
        output::print(&format!("{}: from pages: {}\n", dataset.name, counts.join(", ")))?;
    }
    Ok(!counts.contains_key(Outcome::Failed.as_str()))
}
