//! The time.

use jiff::Timestamp;

/// The time.
pub trait Clock: Send + Sync {
    /// Returns the current time, in UTC.
    fn now(&self) -> Timestamp;
}
