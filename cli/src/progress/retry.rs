//! A request, or a partition, that is tried again after a wait.

use std::time::Duration;

use rollcall_adapters::http_portal::{NextTry, Retried};

use crate::words::duration;

/// The next try. Its time counts from the start of what is shown.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    /// Why there is one, in a word or two, such as `HTTP 503`.
    pub(super) reason: String,
    what: Retried,
    number: u32,
    limit: u32,
    at: Duration,
}

impl Retry {
    pub(super) fn new(next: NextTry<'_>, at: Duration) -> Self {
        Self { reason: next.reason.to_owned(), what: next.what, number: next.number, limit: next.limit, at }
    }

    /// Returns whether a whole partition is tried again.
    pub(super) fn is_attempt(&self) -> bool {
        self.what == Retried::Partition
    }

    /// Returns the time until then.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.at.saturating_sub(now)
    }

    /// Returns which try of a request it is, or which attempt at a partition: `try 2 of 4`.
    pub(super) fn place(&self) -> String {
        let noun = if self.is_attempt() { "attempt" } else { "try" };
        format!("{noun} {} of {}", self.number, self.limit)
    }

    /// Returns which try it is, and when: `try 2 of 4 in 12 s`.
    pub(super) fn in_words(&self, now: Duration) -> String {
        format!("{} {}", self.place(), self.when(now))
    }

    /// Returns the same in short: `2/4 in 12 s`, or `attempt 2/3 in 12 s`.
    pub(super) fn in_short(&self, now: Duration) -> String {
        let noun = if self.is_attempt() { "attempt " } else { "" };
        format!("{noun}{}/{} {}", self.number, self.limit, self.when(now))
    }

    fn when(&self, now: Duration) -> String {
        match self.wait(now) {
            Duration::ZERO => "now".to_owned(),
            wait => format!("in {}", duration(wait)),
        }
    }
}
