//! What was asked of the simulator, for tests to look at afterwards.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many requests are remembered; older ones are forgotten first.
const LIMIT: usize = 100_000;

/// One request as it came in, and when it was answered.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// Path without the query.
    pub path: String,
    /// Query without the question mark, undecoded.
    pub query: String,
    /// Header names in lower case, and their values.
    pub headers: Vec<(String, String)>,
    /// When the request was read.
    pub started: Instant,
    /// When its answer was ready to send; nothing while it is not, or when the client went away before.
    pub answered: Option<Instant>,
    /// HTTP status of the answer; 0 without one.
    pub status: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    requests: VecDeque<SeenRequest>,
    n_forgotten: usize,
    n_in_flight: usize,
    max_in_flight: usize,
}

impl Log {
    pub(crate) fn start(&self, request: SeenRequest) -> InFlight<'_> {
        let mut entries = self.entries();
        if entries.requests.len() == LIMIT {
            entries.requests.pop_front();
            entries.n_forgotten += 1;
        }
        entries.requests.push_back(request);
        entries.n_in_flight += 1;
        entries.max_in_flight = entries.max_in_flight.max(entries.n_in_flight);
        InFlight { log: self, number: entries.n_forgotten + entries.requests.len() - 1 }
    }

    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.entries().requests.iter().cloned().collect()
    }

    pub(crate) fn max_in_flight(&self) -> usize {
        self.entries().max_in_flight
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not answered yet; dropping it ends its time in flight.
pub(crate) struct InFlight<'a> {
    log: &'a Log,
    number: usize,
}

impl InFlight<'_> {
    /// Notes the answer; a status of 0 stands for a closed connection.
    pub(crate) fn finish(self, status: u16) {
        let mut entries = self.log.entries();
        let place = self.number.checked_sub(entries.n_forgotten);
        if let Some(request) = place.and_then(|place| entries.requests.get_mut(place)) {
            request.status = status;
            request.answered = Some(Instant::now());
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.log.entries().n_in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> SeenRequest {
        let (path, query) = (String::new(), String::new());
        SeenRequest { path, query, headers: Vec::new(), started: Instant::now(), answered: None, status: 0 }
    }

    #[test]
    fn the_log_is_bounded_and_counts_what_is_in_flight() {
        let log = Log::default();
        let oldest = log.start(request());
        for _ in 0..LIMIT {
            log.start(request()).finish(200);
        }
        oldest.finish(500);
        assert_eq!(log.requests().len(), LIMIT);
        assert!(log.requests().iter().all(|request| request.status == 200));
        assert_eq!(log.max_in_flight(), 2);
        assert_eq!(log.entries().n_in_flight, 0);
    }
}
