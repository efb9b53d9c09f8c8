//! The current time.

use jiff::Timestamp;

/// A clock.
pub trait Clock: Send + Sync {
    /// Returns the current time, in UTC.
    fn now(&self) -> Timestamp;
}
