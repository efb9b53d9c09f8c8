//! A log of the requests, for tests.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Maximum number of requests in the log. The oldest ones are dropped.
const LIMIT: usize = 100_000;

/// A request, with the time and status of its response.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// Path without the query.
    pub path: String,
    /// Query without the question mark, not decoded.
    pub query: String,
    /// Header names in lower case, and their values.
    pub headers: Vec<(String, String)>,
    /// When the request was read.
    pub started: Instant,
    /// When the response was ready to send; `None` before that, and if the client disconnected first.
    pub answered: Option<Instant>,
    /// HTTP status of the response; 0 if there is none.
    pub status: u16,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    requests: VecDeque<SeenRequest>,
    n_dropped: usize,
    n_in_flight: usize,
    max_in_flight: usize,
}

impl RequestLog {
    pub(crate) fn start(&self, request: SeenRequest) -> InFlight<'_> {
        let mut entries = self.entries();
        if entries.requests.len() == LIMIT {
            entries.requests.pop_front();
            entries.n_dropped += 1;
        }
        entries.requests.push_back(request);
        entries.n_in_flight += 1;
        entries.max_in_flight = entries.max_in_flight.max(entries.n_in_flight);
        InFlight { log: self, number: entries.n_dropped + entries.requests.len() - 1 }
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

/// A request in flight, until dropped.
pub(crate) struct InFlight<'a> {
    log: &'a RequestLog,
    number: usize,
}

impl InFlight<'_> {
    /// Records the response. A status of 0 means that the connection was closed.
    pub(crate) fn finish(self, status: u16) {
        let mut entries = self.log.entries();
        let place = self.number.checked_sub(entries.n_dropped);
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
    fn the_log_is_bounded_and_counts_requests_in_flight() {
        let log = RequestLog::default();
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
