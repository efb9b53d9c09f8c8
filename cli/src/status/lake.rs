//! `rollcall status` of a lake: the grid of partitions, totals and the last run.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::LockingProcess;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ledger::{
    self, LastAttempt, Outcome, PartitionRecord, PlanItem, Records, Summary, follow_objects, read_records,
    stale_partitions, survey,
};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::escape::visible;
use crate::lake::offer::Offer;
use crate::output::{self, Format};
use crate::status::grid::{LEGEND, LONG_LEGEND, grids, long_grids, order};
use crate::table;
use crate::warnings;
use crate::words::{self, age, counted, in_one_line};

/// Run names have the time of their start in whole seconds.
const RUN_NAME_PRECISION: SignedDuration = SignedDuration::from_secs(1);

/// Maximum number of failed partitions that are named.
const MAX_FAILURES: usize = 5;

/// What to show of a lake, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'v> {
    /// Offers runs.
    pub(super) offer: &'v Offer<'v>,
    /// Whether a cell of the grid also has the rows and the age of its partition.
    pub(super) is_long: bool,
    /// Whether the lake holds sample data.
    pub(super) is_sample: bool,
    /// The process that holds the lake's lock, if it is known.
    pub(super) lock_holder: Option<LockingProcess>,
}

impl View<'_> {
    /// Returns the command that fetches failed partitions again.
    fn retry_command(&self, failed: &[(&PartitionKey, &LastAttempt)]) -> String {
        let runs: BTreeSet<&str> = failed.iter().map(|(_, attempt)| attempt.run.as_str()).collect();
        match runs.first() {
            Some(run) if runs.len() == 1 => self.offer.retry(run),
            _ => self.offer.refresh(),
        }
    }
}

#[derive(Serialize)]
struct LakeStatus<'r> {
    dataset: &'r str,
    is_sample: bool,
    /// In the order of the grid.
    partitions: Vec<&'r PartitionRecord>,
    /// The last run; `null` if there was none.
    last_run: Option<LastRun>,
    /// Partitions whose schema or encoding differs from what a run would write today.
    stale: &'r [PartitionKey],
    /// Files in the table's folder that belong to no partition.
    strays: &'r [String],
    /// Partitions whose object cannot be read.
    unreadable: &'r [PartitionKey],
}

/// The run that most recently started or tried a partition.
#[derive(Serialize)]
struct LastRun {
    name: String,
    /// When it wrote its summary; `null` if it has not.
    finished_at: Option<Timestamp>,
    /// Its process, while it is running on this machine.
    process: Option<u32>,
    /// Partitions that it has finished, and that it planned; `null` once it has a summary.
    n_done: Option<usize>,
    n_planned: Option<usize>,
}

/// Prints the state of a lake.
pub(super) async fn show_lake(
    store: &impl Store,
    dataset: &Dataset,
    format: Format,
    view: View<'_>,
) -> anyhow::Result<()> {
    let mut records = read_records(store, dataset).await?;
    let survey = survey(store, dataset, &records).await?;
    follow_objects(&mut records, &survey);
    let stale = stale_partitions(&records, dataset);
    let last_run = last_run_of(store, dataset, &records, view.lock_holder).await?;
    let mut partitions: Vec<&PartitionRecord> = records.values().collect();
    partitions.sort_by_cached_key(|record| order(dataset, &record.partition));
    let unreadable = survey.unreadable();
    let status = LakeStatus {
        dataset: &dataset.name,
        is_sample: view.is_sample,
        partitions,
        last_run,
        stale: &stale,
        strays: &survey.strays,
        unreadable: &unreadable,
    };
    if format == Format::Json {
        return output::print_json(&status);
    }
    warnings::warn_stale(&stale, &view.offer.refresh());
    warnings::warn_strays(&survey.strays);
    warnings::warn_unreadable(&unreadable, &view.offer.refresh());
    output::print(&status.describe(dataset, &records, view, SystemClock.now()))?;
    Ok(())
}

impl LakeStatus<'_> {
    fn describe(&self, dataset: &Dataset, records: &Records, view: View<'_>, now: Timestamp) -> String {
        let lake = visible(&view.offer.lake.name()).into_owned();
        let last_run = self.last_run.as_ref().map_or_else(String::new, |run| run.describe(now));
        if self.partitions.is_empty() {
            return format!("{}: nothing fetched yet into `{lake}`\n{last_run}", dataset.name);
        }
        let committed = || self.partitions.iter().filter_map(|record| record.committed.as_ref());
        let n_rows = committed().map(|committed| committed.n_rows).sum();
        let size_bytes = committed().map(|committed| committed.size_bytes).sum();
        let mut text = format!(
            "{} in `{lake}`: {} committed, {}, {}",
            dataset.name,
            counted(committed().count() as u64, "partition"),
            counted(n_rows, "row"),
            words::size(size_bytes)
        );
        let times = || committed().map(|committed| committed.fetched_at);
        if let (Some(oldest), Some(newest)) = (times().min(), times().max()) {
            let (oldest, newest) = (age(oldest, now), age(newest, now));
            text.push_str(&if oldest == newest {
                format!("; {newest} old")
            } else {
                format!("; {newest} to {oldest} old")
            });
        }
        text.push('\n');
        if self.is_sample {
            text.push_str("SAMPLE DATA: the schools are invented\n");
        }
        text.push_str(&last_run);
        text.push_str(&format!(
            "\n{}\n",
            if view.is_long { long_grids(dataset, records, now) } else { grids(dataset, records) }
        ));
        text.push_str(if view.is_long { LONG_LEGEND } else { LEGEND });
        text.push_str(&self.failures(view, now));
        text
    }

    /// Returns the partitions that failed last, with their errors, and the command that fetches them again.
    fn failures(&self, view: View<'_>, now: Timestamp) -> String {
        let failed = self.partitions.iter().filter_map(|record| {
            let attempt = record.last_attempt.as_ref().filter(|attempt| attempt.outcome == Outcome::Failed)?;
            Some((&record.partition, attempt))
        });
        let failed: Vec<(&PartitionKey, &LastAttempt)> = failed.collect();
        if failed.is_empty() {
            return String::new();
        }
        let mut table = table::table(&["failed", "age", "error"]);
        for (partition, attempt) in failed.iter().take(MAX_FAILURES) {
            let error = attempt.error.as_ref().map_or_else(
                || "no receipt: the run was killed".to_owned(),
                |error| format!("{}: {}", error.name, in_one_line(&error.message)),
            );
            table.add_row([partition.to_string(), age(attempt.at, now), error]);
        }
        let mut text = format!("\n{}", table::render(&table));
        if let Some(n_more @ 1..) = failed.len().checked_sub(MAX_FAILURES) {
            text.push_str(&format!("and {n_more} more; --format json lists them\n"));
        }
        text.push_str(&format!("run them again: {}\n", view.retry_command(&failed)));
        text
    }
}

impl LastRun {
    fn describe(&self, now: Timestamp) -> String {
        let name = visible(&self.name);
        match (self.finished_at, self.n_done, self.n_planned) {
            (Some(finished_at), ..) => format!("last run {name}: finished {} ago\n", age(finished_at, now)),
            (None, Some(n_done), Some(n_planned)) => {
                let counts = format!("{} of {}", words::thousands(n_done as u64), words::thousands(n_planned as u64));
                match self.process {
                    Some(process) => format!("last run {name}: running (pid {process}), {counts}\n"),
                    None => format!("last run {name}: unfinished, {counts}; no summary\n"),
                }
            }
            _ => format!("last run {name}: unfinished, no summary\n"),
        }
    }
}

/// Returns the last run and how far it is.
async fn last_run_of(
    store: &impl Store,
    dataset: &Dataset,
    records: &Records,
    lock_holder: Option<LockingProcess>,
) -> anyhow::Result<Option<LastRun>> {
    let runs = ledger::run_names(store, dataset).await?;
    let Some(name) = last_run(runs, records, SystemClock.now()) else { return Ok(None) };
    let summary: Option<Summary> = ledger::read_json(store, &keys::summary(dataset, &name)).await?;
    if let Some(Summary { finished_at, .. }) = summary {
        return Ok(Some(LastRun {
            name,
            finished_at: Some(finished_at),
            process: None,
            n_done: None,
            n_planned: None,
        }));
    }
    let plan: Option<Vec<PlanItem>> = ledger::read_json(store, &keys::plan(dataset, &name)).await?;
    let receipts = ledger::read_run(store, dataset, &name).await?.receipts;
    let (n_done, n_planned) = (Some(receipts.len()), plan.map(|plan| plan.len()));
    let process = lock_holder.filter(|holder| may_run(holder, &name)).map(|holder| holder.id);
    Ok(Some(LastRun { name, finished_at: None, process, n_done, n_planned }))
}

/// Returns whether the process that holds the lake's lock may be that of a run. One that started after the run holds it for
/// another.
fn may_run(holder: &LockingProcess, run: &str) -> bool {
    time_of(run).is_none_or(|at| holder.since <= at + RUN_NAME_PRECISION)
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

    #[test]
    fn a_process_that_started_after_a_run_is_not_its_own() {
        let since = |time: &str| LockingProcess { id: 1, since: time.parse().unwrap() };
        let run = "20261126T120000-381";
        assert!(may_run(&since("2026-11-26T09:00:00Z"), run));
        // The name has no fraction of a second.
        assert!(may_run(&since("2026-11-26T12:00:00.9Z"), run));
        assert!(!may_run(&since("2026-11-26T12:00:02Z"), run));
        assert!(may_run(&since("2026-11-26T12:00:02Z"), "scheduled"));
    }

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
