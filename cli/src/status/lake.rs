//! `rollcall status` of a lake: the grid of partitions, totals and the last run.

use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::LockState;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{LastAttempt, Outcome, PartitionRecord, Records, read_current, stale_partitions};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::escape::visible;
use crate::lake::busy;
use crate::lake::offer::Offer;
use crate::output::{self, Format};
use crate::status::grid::{LEGEND, LONG_LEGEND, grids, long_grids, order};
use crate::status::last_run::{LastRun, last_run_of};
use crate::table;
use crate::warnings;
use crate::words::{self, age, counted, in_one_line};

/// Maximum number of failed partitions that are named.
const MAX_FAILURES: usize = 5;

/// Says that what is shown is no real data.
pub(super) const SAMPLE_MARK: &str = "SAMPLE DATA: the schools are invented\n";

/// What to show of a lake, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'v> {
    /// Offers runs.
    pub(super) offer: &'v Offer<'v>,
    /// Whether a cell of the grid also has the rows and the age of its partition.
    pub(super) is_long: bool,
    /// Whether the lake holds sample data.
    pub(super) is_sample: bool,
    /// Whether a process holds the lake's lock.
    pub(super) lock: LockState,
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

/// Prints the state of a lake.
pub(super) async fn show_lake(
    store: &impl Store,
    dataset: &Dataset,
    format: Format,
    view: View<'_>,
) -> anyhow::Result<()> {
    let (records, survey) = read_current(store, dataset).await?;
    let stale = stale_partitions(&records, dataset);
    let last_run = last_run_of(store, dataset, &records, view.lock).await?;
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
    output::print_long(&status.describe(dataset, &records, view, SystemClock.now()))?;
    Ok(())
}

impl LakeStatus<'_> {
    fn describe(&self, dataset: &Dataset, records: &Records, view: View<'_>, now: Timestamp) -> String {
        let lake = visible(&view.offer.lake.name()).into_owned();
        let last_run = self.last_run_in_words(view, now);
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
            text.push_str(SAMPLE_MARK);
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

    /// Returns the last run, and whether another one goes on that has no plan yet.
    fn last_run_in_words(&self, view: View<'_>, now: Timestamp) -> String {
        let mut text = self.last_run.as_ref().map_or_else(String::new, |run| run.describe(view.offer, now));
        if !self.last_run.as_ref().is_some_and(LastRun::is_running) {
            text.extend(busy::in_words(view.lock).map(|line| line + "\n"));
        }
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
        // A lake takes one run at a time, and the one that goes on may try them again.
        if self.last_run.as_ref().is_some_and(LastRun::is_running) {
            return text;
        }
        text.push_str(&format!(
            "run them again: {}\n",
            view.offer.retry_all(failed.iter().map(|(_, attempt)| attempt.run.as_str()))
        ));
        text
    }
}
