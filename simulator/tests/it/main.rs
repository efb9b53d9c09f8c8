//! Tests the simulator from outside: over loopback, and as a process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(unix)]
mod binary;
mod datasets;
mod descriptors;
mod faults;
mod recorded;
mod responses;
mod sums;
mod support;
