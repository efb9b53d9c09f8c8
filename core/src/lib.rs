//! Every decision rollcall makes, with no network, environment or clock of its own.
//!
//! A run is three steps, each one function: [`plan::plan_partitions`], [`fetch::fetch_partition`] for every partition
//! of the plan, [`publish::publish_partitions`]. They reach the world through the traits in [`ports`] only.
//!
//! - What can be fetched: [`dataset`], [`partition`], [`request`].
//! - The steps: [`plan`], [`fetch`], [`publish`].
//! - What a fetch is made of: [`page`] decodes a body into columns, [`file`] writes columns as Parquet, the commit puts
//!   the file in place, [`memory`] bounds what is held meanwhile.
//! - What is in a lake: [`keys`] names its objects, [`ledger`] keeps what is known of them, [`lookup`] the tables of codes.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod commit;
pub mod dataset;
pub mod error;
pub mod fetch;
pub mod file;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod keys;
pub mod ledger;
pub mod lookup;
pub mod memory;
pub mod page;
pub mod partition;
pub mod plan;
pub mod ports;
pub mod publish;
pub mod request;
#[cfg(test)]
mod testing;
pub mod text;

pub use error::Error;
