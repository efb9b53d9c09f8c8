//! Counts what requests cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rollcall_core::cost::Metered;

use crate::http_portal::client::Received;

/// What the requests of one partition, or of one list, have cost so far.
#[derive(Debug, Default)]
pub(super) struct Meter {
    n_requests: AtomicU64,
    n_received: AtomicU64,
    received_bytes: AtomicU64,
    received_us: AtomicU64,
}

impl Meter {
    /// Counts a request.
    ///
    /// - `received`: its response; `None` if it failed.
    pub(super) fn count(&self, took: Duration, received: Option<&Received>) {
        self.n_requests.fetch_add(1, Ordering::Relaxed);
        if let Some(received) = received {
            self.n_received.fetch_add(1, Ordering::Relaxed);
            self.received_bytes.fetch_add(received.bytes.len() as u64, Ordering::Relaxed);
            self.received_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Metered {
        Metered {
            n_requests: self.n_requests.load(Ordering::Relaxed),
            n_received: self.n_received.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            received_ms: self.received_us.load(Ordering::Relaxed).div_ceil(1_000),
        }
    }
}
