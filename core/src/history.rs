//! What a lake remembers about the past: under which releases of the portal its partitions were refreshed.
//!
//! It is stored beside the data and not in the ledger, because it cannot be derived from the objects.

pub mod refreshes;

pub use refreshes::{Refreshes, read_refreshes};
