//! The Parquet file of a partition: encodes its rows and reads its footer.

pub mod columns;
pub mod edition;
pub mod footer;
mod held_rows;
pub(crate) mod row_hash;
pub(crate) mod row_key;
pub mod stamp;
pub mod value_counts;
pub mod writer;

pub use columns::{RESCUED, TypedColumn};
pub use edition::{Digest, ENCODING_VERSION, Edition};
pub use footer::{Footer, PARTITION_KEY};
pub use stamp::Stamp;
pub use writer::{Encoded, TableWriter};
