//! The cause of an error from outside.

/// Any cause from outside, kept whole.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
