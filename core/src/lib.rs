//! Every decision rollcall makes, with no network, environment or clock of its own.
//!
//! A run is three steps, each one function: [`plan::plan_partitions`], [`fetch::fetch_partition`] for every partition
//! of the plan, [`publish::publish_partitions`]. They reach the world through the traits in [`ports`] only.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod availability;
mod column;
pub mod dataset;
pub mod edition;
pub mod error;
pub mod fetch;
mod fit;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
pub mod keys;
pub mod ledger;
pub mod lookup;
pub mod memory;
pub mod page;
pub mod partition;
pub mod plan;
pub mod ports;
pub mod prune;
pub mod publish;
pub mod records;
pub mod request;
pub mod schema;
pub mod survey;
pub mod table;
#[cfg(test)]
mod testing;
mod unique;
pub mod values;

pub use error::Error;
