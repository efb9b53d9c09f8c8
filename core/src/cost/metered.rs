//! What requests to the portal cost.

use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the requests of a fetch or of a run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metered {
    /// Requests for pages, those that failed included.
    pub n_requests: u64,
    /// Pages that arrived.
    pub n_received: u64,
    /// Their size in bytes, decompressed.
    pub received_bytes: u64,
    /// Time from sending their requests to the last byte of each, added up, in milliseconds. Where memory is short, it
    /// includes waiting for it.
    pub received_ms: u64,
}

impl Metered {
    /// Returns whether nothing was requested.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the mean time of a request that was answered; `None` if none was.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        let n_received = u32::try_from(self.n_received).ok().filter(|n| *n > 0)?;
        Some(Duration::from_millis(self.received_ms) / n_received)
    }
}

impl Add for Metered {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            n_requests: self.n_requests + other.n_requests,
            n_received: self.n_received + other.n_received,
            received_bytes: self.received_bytes + other.received_bytes,
            received_ms: self.received_ms + other.received_ms,
        }
    }
}

impl Sum for Metered {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
