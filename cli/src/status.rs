//! `rollcall status`: what is in the lake as a grid, or what one run came to.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Args;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use rollcall_adapters::SystemClock;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ledger::PlanItem;
use rollcall_core::ledger::stale_partitions;
use rollcall_core::ledger::survey;
use rollcall_core::ledger::{self, Outcome, Receipt, Summary};
use rollcall_core::ledger::{PartitionRecord, Records, follow_objects, read_records};
use rollcall_core::partition::{AxisValue, PartitionKey};
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::exit::BadInput;
use crate::lake::{Lake, LakeArgs, anew};
use crate::output::{self, Format, age, counted, rounded};
use crate::report;
use crate::request::load_dataset;

/// Width that a grid keeps to; more columns go into a further grid below.
const WIDTH: usize = 80;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name, or a descriptor file
    #[arg(long, value_name = "NAME|FILE.toml", default_value = rollcall_core::request::DEFAULT_DATASET)]
    dataset: String,
    /// Show what this run came to
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let dataset = load_dataset(&args.dataset)?;
    match args.lake.open_existing().await? {
        Lake::Folder(store) => show(&args, &store, &dataset).await?,
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => show(&args, &store, &dataset).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &StatusArgs, store: &impl Store, dataset: &Dataset) -> anyhow::Result<()> {
    match &args.run {
        Some(run) => show_run(store, &args.lake.name(), dataset, run, args.format).await,
        None => show_lake(store, &args.lake, dataset, &args.dataset, args.format).await,
    }
}

#[derive(Serialize)]
struct LakeReport<'r> {
    dataset: &'r str,
    partitions: Vec<&'r PartitionRecord>,
    /// The last run's name; `null` when there was none.
    last_run: Option<&'r str>,
    /// Whether the last run left a summary.
    is_last_run_finished: bool,
    /// Partitions of another schema or encoding than a run would write today.
    stale: &'r [PartitionKey],
    /// Files among the partitions that are none.
    strays: &'r [String],
    /// Partitions whose object cannot be read.
    unreadable: &'r [PartitionKey],
}

async fn show_lake(
    store: &impl Store,
    lake: &LakeArgs,
    dataset: &Dataset,
    named: &str,
    format: Format,
) -> anyhow::Result<()> {
    let mut records = read_records(store, dataset).await?;
    let survey = survey(store, dataset, &records).await?;
    follow_objects(&mut records, &survey);
    let (strays, unreadable) = (&survey.strays, survey.unreadable());
    let listed = store.list(&keys::runs_prefix(dataset)).await?;
    let runs: BTreeSet<String> = listed.iter().filter_map(|listed| keys::parse_run(dataset, &listed.key)).collect();
    let stale = stale_partitions(&records, dataset);
    let last_run = last_run(runs, &records, SystemClock.now());
    let last_run = last_run.as_ref();
    let summary: Option<Summary> = match last_run {
        Some(run) => ledger::read_json(store, &keys::summary(dataset, run)).await?,
        None => None,
    };
    if format == Format::Json {
        return output::print_json(&LakeReport {
            dataset: &dataset.name,
            partitions: records.values().collect(),
            last_run: last_run.map(String::as_str),
            is_last_run_finished: summary.is_some(),
            stale: &stale,
            strays,
            unreadable: &unreadable,
        });
    }
    output::warn_stale(&stale, &anew(dataset, Some(named), lake));
    output::warn_strays(strays);
    output::warn_unreadable(&unreadable);
    let now = SystemClock.now();
    let last_run_line = last_run.map_or_else(String::new, |run| {
        let state = match &summary {
            Some(summary) => format!("finished {} ago", age(summary.finished_at, now)),
            None => "unfinished: no summary".to_owned(),
        };
        format!("last run {run}: {state}\n")
    });
    if records.is_empty() {
        let nothing = format!("{}: nothing fetched yet into `{}`\n", dataset.name, lake.name());
        output::print(&(nothing + &last_run_line))?;
        return Ok(());
    }
    let mut text = grids(dataset, &records, now);
    let committed = records.values().filter_map(|record| record.committed.as_ref());
    let (n_committed, n_rows, size_bytes) =
        committed.fold((0, 0, 0), |(n, rows, size), one| (n + 1, rows + one.n_rows, size + one.size_bytes));
    text.push_str(&format!(
        "\n{} committed, {}, {}\n",
        counted(n_committed, "partition"),
        counted(n_rows, "row"),
        output::size(size_bytes)
    ));
    text.push_str("cell: last outcome, rows committed, age of the commit\n");
    text.push_str("W written  U unchanged  E empty  S superseded  F failed  N not tried  - unknown\n");
    text.push_str(&last_run_line);
    output::print(&text)?;
    Ok(())
}

/// The run that began last or tried a partition last. Names that this program gives begin with their time; those of
/// scheduled executions do not, and are known by what they tried. A time that is not yet is that of a clock once wrong.
fn last_run(runs: BTreeSet<String>, records: &Records, now: Timestamp) -> Option<String> {
    let begun = runs.into_iter().filter_map(|run| Some((time_of(&run)?, run)));
    let attempts = records.values().filter_map(|record| record.last_attempt.as_ref());
    let tried = attempts.map(|attempt| (attempt.at, attempt.run.clone()));
    let until = now + SignedDuration::from_hours(24);
    begun.chain(tried).filter(|(at, _)| *at <= until).max().map(|(_, run)| run)
}

/// When a run began, by a name such as `20261123T120000-381`.
fn time_of(run: &str) -> Option<Timestamp> {
    let time = civil::DateTime::strptime("%Y%m%dT%H%M%S", run.split_once('-')?.0).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

/// The first axis down, the second across; as many grids as it takes to keep to the width.
fn grids(dataset: &Dataset, records: &Records, now: Timestamp) -> String {
    let first = |key: &PartitionKey| key.axes().first().map(|(_, value)| value.clone());
    let rest =
        |key: &PartitionKey| -> Vec<AxisValue> { key.axes().iter().skip(1).map(|(_, value)| value.clone()).collect() };
    let rows: BTreeSet<AxisValue> = records.keys().filter_map(first).collect();
    let mut columns: Vec<Vec<AxisValue>> = records.keys().map(rest).collect::<BTreeSet<_>>().into_iter().collect();
    columns.sort_by_key(|column| order_of(dataset, column));
    let cells: BTreeMap<(AxisValue, Vec<AxisValue>), String> =
        records.iter().filter_map(|(key, record)| Some(((first(key)?, rest(key)), cell(record, now)))).collect();
    let row_name = dataset.axes.first().map_or("", |axis| axis.name.as_str());
    let name = |column: &[AxisValue]| {
        let words: Vec<String> = column.iter().map(ToString::to_string).collect();
        if words.is_empty() { "rows".to_owned() } else { words.join("/") }
    };
    let width_of = |column: &Vec<AxisValue>| {
        let widest = cells.iter().filter(|((_, found), _)| found == column).map(|(_, cell)| cell.len()).max();
        widest.unwrap_or(0).max(name(column).len()) + 2
    };
    let mut blocks: Vec<Vec<&Vec<AxisValue>>> = Vec::new();
    let mut used = WIDTH;
    for column in &columns {
        let width = width_of(column);
        if used + width > WIDTH {
            blocks.push(Vec::new());
            used = 6;
        }
        used += width;
        if let Some(block) = blocks.last_mut() {
            block.push(column);
        }
    }
    let mut text = String::new();
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        let names: Vec<String> = block.iter().map(|column| name(column)).collect();
        let header: Vec<&str> = std::iter::once(row_name).chain(names.iter().map(String::as_str)).collect();
        let mut table = output::table(&header);
        // Newest first, as runs fetch them.
        for row in rows.iter().rev() {
            let mut line = vec![row.to_string()];
            line.extend(
                block.iter().map(|column| {
                    cells.get(&(row.clone(), (*column).clone())).cloned().unwrap_or_else(|| ".".to_owned())
                }),
            );
            table.add_row(line);
        }
        text.push_str(&output::render(&table));
    }
    text
}

/// Position of axis values in the descriptor, so that grade-10 comes after grade-9.
fn order_of(dataset: &Dataset, values: &[AxisValue]) -> Vec<usize> {
    dataset
        .axes
        .iter()
        .skip(1)
        .zip(values)
        .map(|(axis, value)| {
            axis.values.iter().position(|coded| coded.value == value.to_string()).unwrap_or(usize::MAX)
        })
        .collect()
}

fn cell(record: &PartitionRecord, now: Timestamp) -> String {
    let outcome = match record.last_attempt.as_ref().map(|attempt| attempt.outcome) {
        Some(Outcome::Written) => "W",
        Some(Outcome::Unchanged) => "U",
        Some(Outcome::Empty) => "E",
        Some(Outcome::Superseded) => "S",
        Some(Outcome::Failed) => "F",
        Some(Outcome::NotTried) => "N",
        None => "-",
    };
    match &record.committed {
        Some(committed) => format!("{outcome} {} {}", rounded(committed.n_rows), age(committed.fetched_at, now)),
        None => outcome.to_owned(),
    }
}

/// A message and its hint, or its list, as one row of a table.
fn in_one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[derive(Serialize)]
struct RunReport<'r> {
    run: &'r str,
    is_finished: bool,
    summary: &'r Option<Summary>,
    partitions: &'r [RunRow],
}

#[derive(Serialize)]
struct RunRow {
    #[serde(flatten)]
    item: PlanItem,
    /// `null` while the run is under way, and for what was killed.
    receipt: Option<Receipt>,
}

async fn show_run(store: &impl Store, lake: &str, dataset: &Dataset, run: &str, format: Format) -> anyhow::Result<()> {
    let plan: Option<Vec<PlanItem>> = if rollcall_core::request::is_run_name(run) {
        ledger::read_json(store, &keys::plan(dataset, run)).await?
    } else {
        None
    };
    let Some(plan) = plan else {
        return Err(BadInput(format!(
            "show run: expected a run of `{}` in `{lake}`, found none named `{}`",
            dataset.name,
            rollcall_core::text::excerpt(run)
        ))
        .into());
    };
    let summary: Option<Summary> = ledger::read_json(store, &keys::summary(dataset, run)).await?;
    let mut receipts = ledger::read_run(store, dataset, run).await?.receipts;
    let rows: Vec<RunRow> =
        plan.into_iter().map(|item| RunRow { receipt: receipts.remove(&item.partition), item }).collect();
    if format == Format::Json {
        output::print_json(&RunReport { run, is_finished: summary.is_some(), summary: &summary, partitions: &rows })?;
        report::warn_unknown(rows.iter().filter_map(|row| row.receipt.as_ref()));
        return Ok(());
    }
    let mut table = output::table(&["partition", "outcome", "rows", "error"]);
    for row in &rows {
        let receipt = row.receipt.as_ref();
        let error = receipt.and_then(|receipt| receipt.error.as_ref());
        table.add_row([
            row.item.partition.to_string(),
            receipt.map_or("no receipt", |receipt| receipt.outcome.as_str()).to_owned(),
            receipt.map_or_else(String::new, |receipt| output::thousands(receipt.n_rows)),
            error.map_or_else(String::new, |error| format!("{}: {}", error.name, in_one_line(&error.message))),
        ]);
    }
    output::align_right(&mut table, &[2]);
    let mut text = output::render(&table);
    text.push_str(&match &summary {
        Some(summary) => {
            format!("{}: {}\n", counted(summary.n_planned as u64, "partition"), summary.outcomes_in_words())
        }
        None => format!("unfinished: no summary; {} planned\n", counted(rows.len() as u64, "partition")),
    });
    output::print(&text)?;
    report::warn_unknown(rows.iter().filter_map(|row| row.receipt.as_ref()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use rollcall_core::ledger::ErrorFacts;
    use rollcall_core::ledger::LastAttempt;

    use super::*;

    /// Found by use: B13.
    #[test]
    fn the_last_run_is_not_one_of_a_clock_that_was_ahead() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let partition = PartitionKey::new(vec![("year".into(), AxisValue::Int(2021))]);
        let attempt = |run: &str, at: &str| LastAttempt {
            run: run.to_owned(),
            outcome: Outcome::Failed,
            error: None::<ErrorFacts>,
            at: at.parse().unwrap(),
            portal_release: None,
        };
        let of = |runs: &[&str], tried: LastAttempt| {
            let record = PartitionRecord { partition: partition.clone(), committed: None, last_attempt: Some(tried) };
            let runs = runs.iter().map(|run| (*run).to_owned()).collect();
            last_run(runs, &Records::from([(partition.clone(), record)]), now)
        };
        let ahead = ("20461126T120000-000", "2046-11-26T12:00:01Z");
        let (earlier, scheduled) = ("20261125T120000-000", attempt("scheduled", "2026-11-25T13:00:00Z"));
        assert_eq!(of(&[earlier, ahead.0], attempt(ahead.0, ahead.1)).as_deref(), Some(earlier));
        assert_eq!(of(&[earlier, ahead.0], scheduled.clone()).as_deref(), Some("scheduled"));
        assert_eq!(of(&[], scheduled).as_deref(), Some("scheduled"));
        // A clock some hours ahead of ours is one of another machine.
        assert_eq!(of(&["20261126T180000-000"], attempt("x", ahead.1)).as_deref(), Some("20261126T180000-000"));
    }
}
