//! `rollcall status` of a lake: the grid of partitions, totals and the last run.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use rollcall_adapters::SystemClock;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ledger::{
    self, PartitionRecord, Records, Summary, follow_objects, read_records, stale_partitions, survey,
};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::lake::args::LakeArgs;
use crate::output::{self, Format};
use crate::status::grid::grids;
use crate::warnings;
use crate::words::{self, age, counted};

#[derive(Serialize)]
struct LakeStatus<'r> {
    dataset: &'r str,
    partitions: Vec<&'r PartitionRecord>,
    /// Name of the last run; `null` if there was none.
    last_run: Option<&'r str>,
    /// Whether the last run wrote its summary.
    is_last_run_finished: bool,
    /// Partitions whose schema or encoding differs from what a run would write today.
    stale: &'r [PartitionKey],
    /// Files in the table's folder that belong to no partition.
    strays: &'r [String],
    /// Partitions whose object cannot be read.
    unreadable: &'r [PartitionKey],
}

/// Prints the state of a lake.
///
/// - `dataset_arg`: the dataset as given on the command line.
pub(crate) async fn show_lake(
    store: &impl Store,
    lake: &LakeArgs,
    dataset: &Dataset,
    dataset_arg: &str,
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
        return output::print_json(&LakeStatus {
            dataset: &dataset.name,
            partitions: records.values().collect(),
            last_run: last_run.map(String::as_str),
            is_last_run_finished: summary.is_some(),
            stale: &stale,
            strays,
            unreadable: &unreadable,
        });
    }
    warnings::warn_stale(&stale, &lake.rewrite_command(dataset, Some(dataset_arg)));
    warnings::warn_strays(strays);
    warnings::warn_unreadable(&unreadable);
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
        words::size(size_bytes)
    ));
    text.push_str("cell: last outcome, committed rows, age of the commit\n");
    text.push_str("W written  R rewritten  U unchanged  E empty  S superseded\nF failed  N not tried  - unknown\n");
    text.push_str(&last_run_line);
    output::print(&text)?;
    Ok(())
}

/// Returns the run that most recently started or tried a partition.
///
/// Run names begin with the start time, except those of scheduled executions, which are found by the partitions that
/// they tried. Ignores times more than a day ahead: they come from a wrong clock.
fn last_run(runs: BTreeSet<String>, records: &Records, now: Timestamp) -> Option<String> {
    let started = runs.into_iter().filter_map(|run| Some((time_of(&run)?, run)));
    let attempts = records.values().filter_map(|record| record.last_attempt.as_ref());
    let tried = attempts.map(|attempt| (attempt.at, attempt.run.clone()));
    let until = now + SignedDuration::from_hours(24);
    started.chain(tried).filter(|(at, _)| *at <= until).max().map(|(_, run)| run)
}

/// Returns the start time in a name such as `20261123T120000-381`.
fn time_of(run: &str) -> Option<Timestamp> {
    let time = civil::DateTime::strptime("%Y%m%dT%H%M%S", run.split_once('-')?.0).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use rollcall_core::ledger::{ErrorFacts, LastAttempt, Outcome};
    use rollcall_core::partition::AxisValue;

    use super::*;

    /// Found by use: B13.
    #[test]
    fn the_last_run_is_not_one_dated_in_the_future() {
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
        // Another machine's clock may be a few hours ahead.
        assert_eq!(of(&["20261126T180000-000"], attempt("x", ahead.1)).as_deref(), Some("20261126T180000-000"));
    }
}
