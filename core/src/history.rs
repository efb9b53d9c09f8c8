//! What a lake remembers about the past: the editions of each partition that were replaced or removed, and under which
//! releases of the portal its partitions were refreshed.
//!
//! It is stored beside the data and not in the ledger, because it cannot be derived from the objects.

pub mod as_of;
pub mod diff;
pub mod editions;
pub mod refreshes;
pub mod tables;

pub use as_of::{Moment, PartitionAsOf, PartitionHistory, TableAsOf, read_histories, table_as_of};
pub use editions::{Validity, read_editions};
pub use refreshes::{Refreshes, read_refreshes};
