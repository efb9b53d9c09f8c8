//! The time limit of one request.

use std::time::Duration;

use tokio::time::Instant;

use crate::http_portal::request_failure::RequestFailure;

/// The time that the portal may take for one request. Time spent waiting for memory does not count.
pub(super) struct TimeLimit {
    total: Duration,
    spent: Duration,
}

impl TimeLimit {
    pub(super) fn new(total: Duration) -> Self {
        Self { total, spent: Duration::ZERO }
    }

    /// Awaits `work` and counts the time it takes.
    ///
    /// # Errors
    /// [`RequestFailure::NoResponse`] once the total time is used up.
    pub(super) async fn spend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, RequestFailure> {
        let started = Instant::now();
        let result = tokio::time::timeout(self.total.saturating_sub(self.spent), work).await;
        self.spent += started.elapsed();
        result.map_err(|_| RequestFailure::NoResponse {
            is_connected: true,
            source: format!("expected the whole response within {} s", self.total.as_secs_f32()).into(),
        })
    }
}
