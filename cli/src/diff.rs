//! `rollcall diff`: what differs between two releases, two dates or two lakes.

mod differences;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rollcall_adapters::SystemClock;
use rollcall_core::change::Change;
use rollcall_core::dataset::Dataset;
use rollcall_core::history::diff::{PartitionDiff, diff_partition, differing};
use rollcall_core::history::{Moment, table_as_of};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::changes;
use crate::completions;
use crate::diff::differences::Differences;
use crate::exit::{self, BadInput};
use crate::lake::Lake;
use crate::lake::args::LakeArgs;
use crate::output::{self, Format};
use crate::request::dataset::load_dataset;
use crate::rows::file::RowsPath;
use crate::signals::Signals;
use crate::table;
use crate::warnings;
use crate::words::{counted, thousands};

/// Exit code if something differs, as that of `diff`.
const DIFFERS: u8 = 1;
/// Exit code if the comparison failed, as that of `diff`.
const TROUBLE: u8 = 2;

/// Compare the lake at two moments, or two lakes. Exits with 0 if nothing differs, with 1 if something does, and with 2
/// after an error.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// First moment: a release, a date (its end in UTC) or a time
    #[arg(value_name = "FROM", required_unless_present = "other")]
    from: Option<String>,
    /// Second moment [default: now]
    #[arg(value_name = "TO")]
    to: Option<String>,
    #[command(flatten)]
    lake: LakeArgs,
    /// Compare with this lake, at the second moment or now
    #[arg(long, value_name = "DIR")]
    other: Option<PathBuf>,
    /// Dataset by name, or a descriptor file
    #[arg(long, value_name = "NAME|FILE.toml", default_value = rollcall_core::request::DEFAULT_DATASET, add = completions::datasets())]
    dataset: String,
    /// Write each changed cell and row to a file: .csv, .json or .parquet
    #[arg(long, value_name = "FILE", value_parser = RowsPath::parse)]
    rows: Option<RowsPath>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct DiffReport<'r> {
    dataset: &'r str,
    /// Partitions that differ.
    partitions: Vec<PartitionReport<'r>>,
    /// All changes together.
    change: &'r Change,
}

#[derive(Serialize)]
struct PartitionReport<'r> {
    partition: &'r PartitionKey,
    /// Rows in the first version; `null` if it lacks the partition.
    n_before: Option<u64>,
    /// Rows in the second version; `null` if it lacks the partition.
    n_after: Option<u64>,
    change: &'r Change,
}

pub(crate) async fn run(args: DiffArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    // An unfinished file of rows is removed when it is dropped.
    let compared = tokio::select! {
        compared = compare_lakes(&args) => compared,
        () = signals.stop_requested() => return Ok(ExitCode::from(exit::INTERRUPTED)),
    };
    match compared {
        Ok(false) => Ok(ExitCode::SUCCESS),
        Ok(true) => Ok(ExitCode::from(DIFFERS)),
        Err(error) => {
            exit::report(&error);
            Ok(ExitCode::from(TROUBLE))
        }
    }
}

async fn compare_lakes(args: &DiffArgs) -> anyhow::Result<bool> {
    let dataset = load_dataset(&args.dataset)?;
    let rows = args.rows.as_ref().map(|path| Differences::create(path, &dataset)).transpose()?;
    let before = args.lake.open_existing().await?;
    let after = match &args.other {
        Some(other) => LakeArgs::of(other.clone()).open_existing().await?,
        None => args.lake.open_existing().await?,
    };
    match (&before, &after) {
        (Lake::Folder(before), Lake::Folder(after)) => compare(args, &dataset, before, after, rows).await,
        #[cfg(feature = "aws")]
        (Lake::Folder(before), Lake::Bucket(after)) => compare(args, &dataset, before, after, rows).await,
        #[cfg(feature = "aws")]
        (Lake::Bucket(before), Lake::Folder(after)) => compare(args, &dataset, before, after, rows).await,
        #[cfg(feature = "aws")]
        (Lake::Bucket(before), Lake::Bucket(after)) => compare(args, &dataset, before, after, rows).await,
    }
}

/// Compares the table of a dataset in two lakes, and prints what differs. Returns whether anything does.
async fn compare(
    args: &DiffArgs,
    dataset: &Dataset,
    old_store: &impl Store,
    new_store: &impl Store,
    mut rows: Option<Differences>,
) -> anyhow::Result<bool> {
    let now = Moment::At(SystemClock.now());
    let moment = |text: Option<&String>| text.map_or_else(|| now.clone(), |text| Moment::parse(text));
    let (from, to) = (moment(args.from.as_ref()), moment(args.to.as_ref()));
    let parse = |path: &str| dataset.parse_partition(path);
    let before = table_as_of(old_store, &dataset.table, parse, &from).await?;
    let after = table_as_of(new_store, &dataset.table, parse, &to).await?;
    if before.partitions.is_empty() && after.partitions.is_empty() {
        return Err(
            BadInput(format!("compare `{}`: expected partitions at either moment, found none", dataset.name)).into()
        );
    }
    for (found, moment) in [(&before, &from), (&after, &to)] {
        warnings::warn_not_refreshed(&found.not_refreshed, &dataset.table, moment);
    }
    let mut diffs: Vec<PartitionDiff> = Vec::new();
    for (old, new) in differing(&before, &after) {
        let diff = diff_partition(dataset, (old_store, old), (new_store, new), rows.is_some()).await?;
        if let Some(mut diff) = diff {
            if let Some(rows) = &mut rows {
                rows.add(&diff.partition, &std::mem::take(&mut diff.details))?;
            }
            diffs.push(diff);
        }
    }
    if let Some(rows) = rows {
        rows.finish()?;
    }
    let sum = diffs.iter().fold(Change::default(), |sum, diff| sum.plus(&diff.change));
    match args.format {
        Format::Json => {
            let partitions = diffs.iter().map(|diff| PartitionReport {
                partition: &diff.partition,
                n_before: diff.n_before,
                n_after: diff.n_after,
                change: &diff.change,
            });
            let report = DiffReport { dataset: &dataset.name, partitions: partitions.collect(), change: &sum };
            output::print_json(&report)?;
        }
        Format::Table => output::print(&describe(dataset, &diffs, &sum))?,
    }
    Ok(!diffs.is_empty())
}

fn describe(dataset: &Dataset, diffs: &[PartitionDiff], sum: &Change) -> String {
    if diffs.is_empty() {
        return format!("{}: no differences\n", dataset.name);
    }
    let mut table = table::table(&["partition", "before", "after", "change"]);
    let n_rows = |n_rows: Option<u64>| n_rows.map_or_else(|| "-".to_owned(), thousands);
    for diff in diffs {
        table.add_row([
            diff.partition.to_string(),
            n_rows(diff.n_before),
            n_rows(diff.n_after),
            diff.change.in_words(dataset),
        ]);
    }
    table::align_right(&mut table, &[1, 2]);
    let mut text = table::render(&table);
    text.push_str(&format!("{}: {}\n", counted(diffs.len() as u64, "partition"), sum.in_words(dataset)));
    if !sum.columns.is_empty() {
        text.push('\n');
        text.push_str(&changes::columns(sum));
    }
    text
}
