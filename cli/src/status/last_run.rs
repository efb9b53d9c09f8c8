//! The run of a dataset that most recently started or tried a partition, and how far it is.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::{LockState, LockingProcess};
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ledger::{self, PlanItem, Records, Summary};
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::escape::visible;
use crate::lake::offer::Offer;
use crate::words::{self, age};

/// Run names have the time of their start in whole seconds.
const RUN_NAME_PRECISION: SignedDuration = SignedDuration::from_secs(1);

/// The run that most recently started or tried a partition.
#[derive(Serialize)]
pub(super) struct LastRun {
    name: String,
    /// When it wrote its summary; `null` if it has not.
    finished_at: Option<Timestamp>,
    /// Its process, while it is running on this machine.
    process: Option<u32>,
    /// What is known of the lake's lock.
    #[serde(skip)]
    lock: LockState,
    /// Its outcomes in words, once it has a summary.
    #[serde(skip)]
    outcomes: String,
    /// Partitions that it has finished, and that it planned; `null` once it has a summary.
    n_done: Option<usize>,
    n_planned: Option<usize>,
}

impl LastRun {
    /// Returns whether it is known to go on.
    pub(super) fn is_running(&self) -> bool {
        self.finished_at.is_none() && running(self.lock, &self.name).is_some()
    }

    /// Returns when it ended, or how far it is, and what to do if it was killed.
    pub(super) fn describe(&self, offer: &Offer<'_>, now: Timestamp) -> String {
        let name = visible(&self.name);
        match (self.finished_at, self.n_done, self.n_planned) {
            (Some(finished_at), ..) => {
                format!("last run {name}: finished {} ago; {}\n", age(finished_at, now), self.outcomes)
            }
            (None, Some(n_done), Some(n_planned)) => {
                let counts = format!("{} of {}", words::thousands(n_done as u64), words::thousands(n_planned as u64));
                match running(self.lock, &self.name) {
                    Some(running) => format!("last run {name}: {running}, {counts}\n"),
                    None => format!("last run {name}: unfinished, {counts}; no summary\n{}\n", self.advice(offer)),
                }
            }
            _ => format!("last run {name}: unfinished, no summary\n"),
        }
    }

    /// Returns what to do about a run that left no summary, and is not known to go on.
    fn advice(&self, offer: &Offer<'_>) -> String {
        let when = match self.lock {
            // Whoever holds it now came later.
            LockState::Free | LockState::HeldBy(_) => "it was killed",
            LockState::Held | LockState::Unknown => "if it was killed",
        };
        format!("{when}; fetch the rest: {}", offer.retry(&self.name))
    }
}

/// Returns the last run and how far it is.
pub(super) async fn last_run_of(
    store: &impl Store,
    dataset: &Dataset,
    records: &Records,
    lock: LockState,
) -> anyhow::Result<Option<LastRun>> {
    let runs = ledger::run_names(store, dataset).await?;
    let Some(name) = last_run(runs, records, SystemClock.now()) else { return Ok(None) };
    let summary: Option<Summary> = ledger::read_json(store, &keys::summary(dataset, &name)).await?;
    if let Some(summary) = summary {
        let outcomes = summary.outcomes_in_words();
        return Ok(Some(LastRun {
            name,
            finished_at: Some(summary.finished_at),
            outcomes: if outcomes.is_empty() { "nothing to fetch".to_owned() } else { outcomes },
            process: None,
            lock,
            n_done: None,
            n_planned: None,
        }));
    }
    let plan: Option<Vec<PlanItem>> = ledger::read_json(store, &keys::plan(dataset, &name)).await?;
    let receipts = ledger::read_run(store, dataset, &name).await?.receipts;
    let (n_done, n_planned) = (Some(receipts.len()), plan.map(|plan| plan.len()));
    let process = process_of(lock, &name);
    Ok(Some(LastRun { name, finished_at: None, outcomes: String::new(), process, lock, n_done, n_planned }))
}

/// Returns the process of a run without a summary, if it is known.
pub(super) fn process_of(lock: LockState, run: &str) -> Option<u32> {
    match lock {
        LockState::HeldBy(holder) if may_run(&holder, run) => Some(holder.id),
        _ => None,
    }
}

/// Returns that a run without a summary goes on; `None` if that is not known.
pub(super) fn running(lock: LockState, run: &str) -> Option<String> {
    match process_of(lock, run) {
        Some(process) => Some(format!("running (pid {process})")),
        None => (lock == LockState::Held).then(|| "running".to_owned()),
    }
}

/// Returns whether the process that holds the lake's lock may be that of a run. One that started after the run holds it for
/// another.
fn may_run(holder: &LockingProcess, run: &str) -> bool {
    time_of(run).is_none_or(|at| holder.since <= at + RUN_NAME_PRECISION)
}

/// Returns the run that most recently started or tried a partition.
///
/// Run names begin with the start time, except those of scheduled executions, which are found by the partitions that
/// they tried. Ignores times that cannot be.
fn last_run(runs: BTreeSet<String>, records: &Records, now: Timestamp) -> Option<String> {
    let started = runs.into_iter().filter_map(|run| Some((time_of(&run)?, run)));
    let attempts = records.values().filter_map(|record| record.last_attempt.as_ref());
    let tried = attempts.map(|attempt| (attempt.at, attempt.run.clone()));
    started.chain(tried).filter(|(at, _)| can_be(*at, now)).max().map(|(_, run)| run)
}

/// Returns whether a run can have started at a time. More than a day ahead, the time comes from a wrong clock.
pub(super) fn can_be(at: Timestamp, now: Timestamp) -> bool {
    at <= now + SignedDuration::from_hours(24)
}

/// Returns the start time in a name such as `20261123T120000-381`.
pub(super) fn time_of(run: &str) -> Option<Timestamp> {
    let time = civil::DateTime::strptime("%Y%m%dT%H%M%S", run.split_once('-')?.0).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use rollcall_core::ledger::{ErrorFacts, LastAttempt, Outcome, PartitionRecord};
    use rollcall_core::partition::{AxisValue, PartitionKey};

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
        let of = |lock| running(lock, run);
        assert_eq!(of(LockState::HeldBy(since("2026-11-26T09:00:00Z"))).as_deref(), Some("running (pid 1)"));
        assert_eq!(of(LockState::Held).as_deref(), Some("running"));
        for lock in [LockState::HeldBy(since("2026-11-26T12:00:02Z")), LockState::Free, LockState::Unknown] {
            assert_eq!(of(lock), None);
        }
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
