//! `rollcall status --runs`: the runs of a dataset, the latest first. Those with an impossible time come last.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::LockState;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{Outcome, Summary, read_runs};
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::output::{self, Format};
use crate::status::last_run::{can_be, process_of, running, time_of};
use crate::table;
use crate::words::{counted, duration, time_between};

/// Maximum number of runs in a table.
const MAX_SHOWN: usize = 20;

/// A run in short.
#[derive(Serialize)]
struct RunLine {
    run: String,
    /// `null` if the run has neither a summary nor a time in its name.
    started_at: Option<Timestamp>,
    /// `null` if it has no summary: it goes on, or was killed.
    finished_at: Option<Timestamp>,
    /// Its process, while it is running on this machine.
    process: Option<u32>,
    /// The portal's newest release when it started, if it is known.
    release: Option<String>,
    n_planned: Option<usize>,
    /// Number of partitions by outcome.
    outcomes: Option<BTreeMap<Outcome, usize>>,
    #[serde(skip)]
    outcomes_in_words: String,
    /// That it goes on, in words, if that is known.
    #[serde(skip)]
    running: Option<String>,
}

impl RunLine {
    fn new(run: String, summary: Option<Summary>) -> Self {
        let Some(summary) = summary else {
            return Self {
                started_at: time_of(&run),
                run,
                finished_at: None,
                process: None,
                release: None,
                n_planned: None,
                outcomes: None,
                outcomes_in_words: String::new(),
                running: None,
            };
        };
        Self {
            run,
            started_at: Some(summary.started_at),
            finished_at: Some(summary.finished_at),
            process: None,
            release: summary.receipts.iter().find_map(|receipt| receipt.portal_release.clone()),
            n_planned: Some(summary.n_planned),
            outcomes_in_words: summary.outcomes_in_words(),
            outcomes: Some(summary.outcomes),
            running: None,
        }
    }

    fn took(&self) -> String {
        let times = self.started_at.zip(self.finished_at);
        times.map_or_else(|| "-".to_owned(), |(from, to)| duration(time_between(from, to)))
    }

    fn outcome(&self) -> String {
        match (&self.outcomes, &self.running) {
            (Some(_), _) if self.outcomes_in_words.is_empty() => "nothing to fetch".to_owned(),
            (Some(_), _) => self.outcomes_in_words.clone(),
            (None, Some(running)) => running.clone(),
            (None, None) => "unfinished: no summary".to_owned(),
        }
    }
}

/// Prints the runs of a dataset.
pub(super) async fn show_runs(
    store: &impl Store,
    lake: &str,
    dataset: &Dataset,
    lock: LockState,
    format: Format,
) -> anyhow::Result<()> {
    let runs = read_runs(store, dataset).await?;
    let mut runs: Vec<RunLine> = runs.into_iter().map(|(run, summary)| RunLine::new(run, summary)).collect();
    let now = SystemClock.now();
    let is_possible = |run: &RunLine| run.started_at.is_none_or(|at| can_be(at, now));
    runs.sort_by_key(|run| Reverse(run.started_at.filter(|_| is_possible(run))));
    // Only one run at a time writes to a folder, so it is the last one if it is one of these.
    let last = runs.first_mut().filter(|run| run.finished_at.is_none() && is_possible(run));
    if let Some(last) = last {
        last.process = process_of(lock, &last.run);
        last.running = running(lock, &last.run);
    }
    if format == Format::Json {
        return output::print_json(&runs);
    }
    let mut text = format!("{} in `{lake}`: {}\n", dataset.name, counted(runs.len() as u64, "run"));
    if !runs.is_empty() {
        let mut table = table::table(&["run", "started", "took", "release", "outcome"]);
        for run in runs.iter().take(MAX_SHOWN) {
            let started = run.started_at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            let (dash, release) = (|| "-".to_owned(), run.release.clone());
            let cells = [run.run.clone(), started.unwrap_or_else(dash), run.took(), release.unwrap_or_else(dash)];
            table.add_row(cells.into_iter().chain([run.outcome()]));
        }
        text.push_str(&format!("\n{}", table::render(&table)));
    }
    if let Some(n_more @ 1..) = runs.len().checked_sub(MAX_SHOWN) {
        text.push_str(&format!("and {n_more} more; --format json lists them\n"));
    }
    output::print_long(&text)?;
    Ok(())
}
