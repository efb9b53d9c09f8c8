//! The state of a run as lines of text that fit a terminal.

use std::time::Duration;

use rollcall_core::partition::PartitionKey;
use unicode_width::UnicodeWidthStr;

use crate::escape::visible;
use crate::progress::Shown;
use crate::progress::state::{OpenPartition, Picture, RunState};
use crate::words::{counted, duration, rounded, short_name, size, thousands};

/// Widest bar, in terminal cells.
const MAX_BAR: usize = 24;

impl Shown for RunState {
    fn lines(&self, now: Duration, width: usize) -> Vec<String> {
        self.at(now).lines(width).into()
    }

    fn line(&self, now: Duration) -> String {
        self.at(now).line()
    }
}

impl Picture<'_> {
    /// Returns three lines of at most `width` cells each: a bar with counts, amounts with the time left, and what is being
    /// fetched.
    pub(super) fn lines(&self, width: usize) -> [String; 3] {
        let first = bar_and_counts(self.share, self.counts(), width);
        let second = joined(self.amounts(), " · ", width);
        [first, second, self.activities(width)]
    }

    /// Returns one line for a log.
    pub(super) fn line(&self) -> String {
        let share = format!("{:.0}%", (self.share * 100.0).floor());
        [vec![share], self.counts(), self.amounts()].concat().join(", ")
    }

    fn counts(&self) -> Vec<String> {
        let mut counts = vec![format!("{}/{}", thousands(self.n_done as u64), thousands(self.n_planned as u64))];
        if self.n_failed > 0 {
            counts.push(format!("{} failed", thousands(self.n_failed as u64)));
        }
        if self.n_retrying > 0 {
            counts.push(format!("{} retrying", self.n_retrying));
        }
        counts
    }

    fn amounts(&self) -> Vec<String> {
        let mut amounts = vec![duration(self.now)];
        match self.left {
            Some(left) => amounts.push(format!("about {} left", duration(left))),
            None if self.wait > Duration::ZERO => amounts.push(format!("at least {} left", duration(self.wait))),
            None => {}
        }
        amounts.extend([format!("{} rows", rounded(self.n_rows)), size(self.size_bytes)]);
        if self.rate > 0.0 {
            let digits = usize::from(self.rate < 10.0);
            amounts.push(format!("{:.digits$} pages/s", self.rate));
        }
        amounts
    }

    /// Returns what happens to the open partitions, with as much of it as fits. Why a run waits comes first.
    fn activities(&self, width: usize) -> String {
        if self.open.is_empty() {
            return String::new();
        }
        let long = self.open.iter().map(|(partition, open)| activity(partition, open, self.now));
        let long: Vec<String> = long.collect();
        let retry = self.open.first().and_then(|(partition, open)| Some((partition, open.retry.as_ref()?)));
        // Without any retry, a shorter form would say nothing that is not said above.
        let short = retry.map(|(partition, retry)| {
            let (reason, next) = (visible(&retry.reason), retry.in_short(self.now));
            [
                format!("now {} {reason}, {next}", short_name(partition)),
                format!("now {reason}, {next}"),
                format!("now {reason}"),
            ]
        });
        let n_partitions = format!("now {}", counted(self.open.len() as u64, "partition"));
        let long = joined_to("now ", &long, width);
        let forms = long.into_iter().chain(short.into_iter().flatten()).chain([n_partitions]);
        forms.into_iter().find(|form| cells(form) <= width).unwrap_or_default()
    }
}

/// Returns a line with a share, its bar and counts.
pub(super) fn bar_and_counts(share: f64, counts: Vec<String>, width: usize) -> String {
    let percent = format!("{:>3.0}%", (share * 100.0).floor());
    let left = width.saturating_sub(percent.len() + joined_width(&counts, "  ") + 3);
    let bar = bar(share, left.min(MAX_BAR));
    joined([vec![percent, bar], counts].concat(), "  ", width)
}

/// Returns a bar of `width` cells.
fn bar(share: f64, width: usize) -> String {
    let halves = (share * 2.0 * width as f64).round() as usize;
    let filled = "━".repeat(halves / 2);
    let half = if halves % 2 == 1 { "╸" } else { "" };
    let empty = "─".repeat(width.saturating_sub(halves.div_ceil(2)));
    format!("{filled}{half}{empty}")
}

/// Returns what happens to a partition: `2011/grade-4 p1/2`, `2011/grade-5 (HTTP 503, try 2 of 4 in 12 s)`.
fn activity(partition: &PartitionKey, open: &OpenPartition, now: Duration) -> String {
    let name = short_name(partition);
    match (&open.retry, open.n_pages) {
        (Some(retry), _) => {
            // Requests of another attempt begin with their first try again.
            let attempt = open.attempt.as_ref().filter(|_| !retry.is_attempt());
            let attempt = attempt.map_or_else(String::new, |attempt| format!("{attempt}, "));
            format!("{name} ({}, {attempt}{})", visible(&retry.reason), retry.in_words(now))
        }
        (None, Some(n_pages)) => format!("{name} p{}/{n_pages}", (open.n_arrived() + 1).min(n_pages.into())),
        (None, None) => format!("{name} p1"),
    }
}

/// Returns as many parts as fit, in order.
pub(super) fn joined(parts: Vec<String>, separator: &str, width: usize) -> String {
    let mut line = String::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let separator = if line.is_empty() { "" } else { separator };
        if cells(&line) + cells(separator) + cells(&part) > width {
            break;
        }
        line.push_str(separator);
        line.push_str(&part);
    }
    line
}

/// Returns a list with as many items as fit, then how many more there are. Returns `None` if not even one fits.
fn joined_to(start: &str, items: &[String], width: usize) -> Option<String> {
    let lists = (1..=items.len()).rev().map(|n| {
        let shown = items.get(..n).unwrap_or_default().join(", ");
        let more = if n < items.len() { format!(", {} more", items.len() - n) } else { String::new() };
        format!("{start}{shown}{more}")
    });
    lists.into_iter().find(|list| cells(list) <= width)
}

fn joined_width(parts: &[String], separator: &str) -> usize {
    parts.iter().map(|part| cells(part) + cells(separator)).sum()
}

/// Returns the number of terminal cells of text.
pub(super) fn cells(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_adapters::http_portal::{NextTry, Retried};
    use rollcall_core::cost::Lengths;
    use rollcall_core::partition::AxisValue;

    fn partition(year: i32, grade: &str) -> PartitionKey {
        PartitionKey::new(vec![
            ("year".to_owned(), AxisValue::Int(year)),
            ("grade".to_owned(), AxisValue::Text(grade.to_owned())),
        ])
    }

    /// A run in the middle: one partition done, one failed, two fetching, one waiting for a retry.
    fn state() -> RunState {
        let planned: Vec<PartitionKey> = (2000..2020).map(|year| partition(year, "grade-4")).collect();
        let mut lengths = Lengths::default();
        planned.iter().for_each(|partition| lengths.learn(partition, 2));
        let mut state = RunState::new(planned, lengths);
        for year in 2000..2006 {
            state.start(&partition(year, "grade-4"));
            state.pages_known(&partition(year, "grade-4"), 2);
        }
        for (year, at) in
            [(2000, 1), (2000, 1), (2000, 2), (2001, 2), (2002, 3), (2002, 3), (2002, 4), (2003, 4), (2004, 5)]
        {
            state.received(&partition(year, "grade-4"), 300_000, Duration::from_secs(at));
        }
        state.end(&partition(2000, "grade-4"), Some(15_000));
        state.end(&partition(2002, "grade-4"), Some(1_500_000));
        state.end(&partition(2001, "grade-4"), None);
        let next =
            NextTry { what: Retried::Request, reason: "HTTP 503", wait: Duration::from_secs(12), number: 2, limit: 4 };
        state.retrying(&partition(2005, "grade-4"), next, Duration::from_secs(17));
        state
    }

    #[test]
    fn a_run_is_shown_in_three_lines() {
        let state = state();
        assert_eq!(
            state.at(Duration::from_secs(6)).lines(80),
            [
                " 15%  ━━━╸────────────────────  3/20  1 failed  1 retrying",
                "6 s · about 33 s left · 1.5M rows · 2.7 MB · 1.5 pages/s",
                "now 2005/grade-4 (HTTP 503, try 2 of 4 in 11 s), 2003/grade-4 p2/2, 1 more",
            ]
        );
        assert_eq!(
            state.at(Duration::from_secs(6)).line(),
            "15%, 3/20, 1 failed, 1 retrying, 6 s, about 33 s left, 1.5M rows, 2.7 MB, 1.5 pages/s"
        );
    }

    #[test]
    fn another_attempt_at_a_partition_is_named_beside_the_tries_of_its_requests() {
        let mut state = RunState::new([partition(2005, "grade-4")], Lengths::default());
        state.start(&partition(2005, "grade-4"));
        let next = |what, number, limit| NextTry { what, reason: "HTTP 503", wait: Duration::ZERO, number, limit };
        let mut now = |next| {
            state.retrying(&partition(2005, "grade-4"), next, Duration::from_secs(9));
            state.at(Duration::from_secs(6)).lines(80)[2].clone()
        };
        assert_eq!(now(next(Retried::Request, 4, 4)), "now 2005/grade-4 (HTTP 503, try 4 of 4 in 3 s)");
        assert_eq!(now(next(Retried::Partition, 2, 3)), "now 2005/grade-4 (HTTP 503, attempt 2 of 3 in 3 s)");
        assert_eq!(now(next(Retried::Request, 2, 4)), "now 2005/grade-4 (HTTP 503, attempt 2 of 3, try 2 of 4 in 3 s)");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let state = state();
        for width in 10..250 {
            for line in state.at(Duration::from_secs(6)).lines(width) {
                assert!(cells(&line) <= width, "{width}: {line}");
            }
        }
        // A character may take two cells.
        assert_eq!(joined(vec!["\u{65e5}\u{672c}".to_owned(), "x".to_owned()], " ", 5), "\u{65e5}\u{672c}");
        let narrow = state.at(Duration::from_secs(6)).lines(40);
        assert_eq!(
            narrow,
            [
                " 15%  ━────  3/20  1 failed  1 retrying",
                "6 s · about 33 s left · 1.5M rows",
                "now 2005/grade-4 HTTP 503, 2/4 in 11 s"
            ]
        );
        assert_eq!(state.at(Duration::from_secs(6)).lines(28)[2], "now HTTP 503, 2/4 in 11 s");
        assert_eq!(state.at(Duration::from_secs(6)).lines(20)[2], "now HTTP 503");
    }
}
