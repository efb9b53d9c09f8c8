//! The time that one request may take.

use std::time::Duration;

use tokio::time::Instant;

use crate::http_portal::request_failure::RequestFailure;

/// The time that the portal may take for one request. What is spent waiting for memory is not the portal's.
pub(super) struct TimeLimit {
    total: Duration,
    spent: Duration,
}

impl TimeLimit {
    pub(super) fn new(total: Duration) -> Self {
        Self { total, spent: Duration::ZERO }
    }

    /// What the portal says next.
    ///
    /// # Errors
    /// [`RequestFailure::NoAnswer`] once the whole time is spent.
    pub(super) async fn spend<T>(&mut self, next: impl Future<Output = T>) -> Result<T, RequestFailure> {
        let begun = Instant::now();
        let said = tokio::time::timeout(self.total.saturating_sub(self.spent), next).await;
        self.spent += begun.elapsed();
        said.map_err(|_| RequestFailure::NoAnswer {
            is_connected: true,
            source: format!("expected the whole response within {} s", self.total.as_secs_f32()).into(),
        })
    }
}
