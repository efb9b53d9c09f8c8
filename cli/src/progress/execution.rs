//! What is known of an execution on AWS while it goes on: the counts of its map run, and its finished receipts.

use std::time::Duration;

use rollcall_aws::execution::Counts;
use rollcall_core::ledger::Receipt;

use crate::escape::visible;
use crate::progress::lines::{bar_and_counts, joined};
use crate::progress::{Progress, Shown};
use crate::words::{counted, duration, rounded, short_name, size, thousands};

/// Share of the partitions from which on the time left is estimated.
const MIN_SHARE: f64 = 0.05;

/// An execution while it goes on.
#[derive(Debug, Default)]
pub(crate) struct ExecutionState {
    /// `None` while it is planning.
    counts: Option<Counts>,
    /// When the first partition was being fetched.
    since: Duration,
    n_receipts: u64,
    n_rows: u64,
    size_bytes: u64,
    /// The last partition that failed, with the name of its error.
    last_failed: Option<String>,
}

impl ExecutionState {
    /// The map run has these counts.
    fn counted(&mut self, counts: Counts, now: Duration) {
        if self.counts.is_none() {
            self.since = now;
        }
        self.counts = Some(counts);
    }

    /// A partition has left a receipt.
    pub(crate) fn received(&mut self, receipt: &Receipt) {
        self.n_receipts += 1;
        self.n_rows += receipt.n_rows;
        self.size_bytes += receipt.size_bytes.unwrap_or_default();
        if let Some(error) = &receipt.error {
            self.last_failed = Some(format!("{} ({})", short_name(&receipt.partition), visible(&error.name)));
        }
    }

    fn share(&self) -> f64 {
        match self.counts {
            Some(counts) if counts.n_planned > 0 => counts.n_done as f64 / counts.n_planned as f64,
            _ => 0.0,
        }
    }

    fn counts(&self) -> Vec<String> {
        let Some(counts) = self.counts else { return vec!["planning".to_owned()] };
        let mut words = vec![format!("{}/{}", thousands(counts.n_done), thousands(counts.n_planned))];
        match counts.n_planned > 0 && counts.n_done == counts.n_planned {
            true => words.push("publishing".to_owned()),
            false => words.push(format!("{} running", thousands(counts.n_running))),
        }
        if counts.n_failed > 0 {
            words.push(format!("{} failed", thousands(counts.n_failed)));
        }
        words
    }

    fn amounts(&self, now: Duration) -> Vec<String> {
        let mut words = vec![duration(now)];
        let share = self.share();
        if (MIN_SHARE..1.0).contains(&share) {
            let elapsed = now.saturating_sub(self.since).as_secs_f64();
            words.push(format!("about {} left", duration(Duration::from_secs_f64(elapsed * (1.0 - share) / share))));
        }
        if self.n_receipts > 0 {
            let receipts = counted(self.n_receipts, "receipt");
            words.push(format!("{receipts}: {} rows, {}", rounded(self.n_rows), size(self.size_bytes)));
        }
        words
    }
}

impl Progress<ExecutionState> {
    /// The map run has these counts.
    pub(crate) fn counted(&self, counts: Counts) {
        self.state().counted(counts, self.started.elapsed());
    }
}

impl Shown for ExecutionState {
    fn lines(&self, now: Duration, width: usize) -> Vec<String> {
        let failed = self.last_failed.iter().map(|failed| format!("failed {failed}")).collect();
        vec![
            bar_and_counts(self.share(), self.counts(), width),
            joined(self.amounts(now), " · ", width),
            joined(failed, " ", width),
        ]
    }

    fn line(&self, now: Duration) -> String {
        [self.counts(), self.amounts(now)].concat().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::lines::cells;

    #[test]
    fn an_execution_is_shown_by_its_counts_and_receipts() {
        let mut state = ExecutionState::default();
        let at = Duration::from_secs;
        assert_eq!(state.line(at(1)), "planning, 1 s");
        state.counted(Counts { n_planned: 120, n_done: 0, n_failed: 0, n_running: 4 }, at(10));
        assert_eq!(state.line(at(11)), "0/120, 4 running, 11 s");
        state.counted(Counts { n_planned: 120, n_done: 30, n_failed: 2, n_running: 4 }, at(40));
        let receipt: Receipt = serde_json::from_str(
            r#"{"partition": {"year": 2021}, "outcome": "written", "n_rows": 1500, "n_pages": 1, "size_bytes": 2000,
                "started_at": "2026-11-23T12:00:00Z", "finished_at": "2026-11-23T12:00:01Z"}"#,
        )
        .unwrap();
        state.received(&receipt);
        assert_eq!(
            state.lines(at(40), 80),
            [
                " 25%  ━━━━━━──────────────────  30/120  4 running  2 failed",
                "40 s · about 90 s left · 1 receipt: 1.5k rows, 2.0 kB",
                ""
            ]
        );
        state.received(&Receipt {
            error: Some(rollcall_core::ledger::ErrorFacts { name: "BadBody".to_owned(), message: String::new() }),
            ..receipt
        });
        assert_eq!(state.lines(at(40), 80)[2], "failed 2021 (BadBody)");
        for width in 10..100 {
            assert!(state.lines(at(40), width).iter().all(|line| cells(line) <= width), "{width}");
        }
        state.counted(Counts { n_planned: 120, n_done: 120, n_failed: 2, n_running: 0 }, at(130));
        assert_eq!(state.line(at(131)), "120/120, publishing, 2 failed, 3 min, 2 receipts: 3.0k rows, 4.0 kB");
    }
}
