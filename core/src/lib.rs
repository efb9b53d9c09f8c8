//! The decisions that rollcall makes. This crate accesses no network, environment or clock on its own.
//!
//! A run has three steps, one function each: [`plan::plan_partitions`], [`fetch::fetch_partition`] for every planned
//! partition, and [`publish::publish_partitions`]. They reach the outside world only through the traits in [`ports`].
//!
//! - What can be fetched: [`dataset`], [`partition`], [`request`]. What the portal says about that: [`metadata`],
//!   [`generate`], [`drift`].
//! - The steps: [`plan`], [`fetch`], [`publish`].
//! - The parts of a fetch: [`page`] decodes a body into columns, [`file`](mod@file) writes columns as Parquet, the
//!   commit puts the file into the lake, and [`memory`] limits the memory in use.
//! - What all this costs: [`cost`].
//! - The contents of a lake: [`keys`] names its objects, [`ledger`] records runs and partitions, [`history`] remembers
//!   the past, and [`lookup`] has the code tables.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod change;
mod commit;
pub mod cost;
pub mod dataset;
pub mod drift;
pub mod error;
pub mod fetch;
pub mod figures;
pub mod file;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod generate;
pub mod history;
pub mod keys;
pub mod ledger;
pub mod lookup;
pub mod memory;
pub mod metadata;
pub mod page;
pub mod partition;
pub mod plan;
pub mod ports;
pub mod publish;
pub mod request;
#[cfg(test)]
mod testing;
pub mod text;
pub mod verify;
pub mod view;

pub use error::Error;
