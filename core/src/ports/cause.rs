//! Causes of errors from outside core.

/// Any error from outside core, kept as the source of an [`Error`](crate::Error).
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
