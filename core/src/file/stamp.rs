//! The metadata that a writer stores with a data object.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::file::edition::{Edition, FIRST_WITH_PARTITION};
use crate::partition::PartitionKey;

/// The metadata that a writer stores with a data object. The file's footer has the edition, the partition and the
/// number of rows too. The footer cannot contain the rest, because a file's bytes depend only on its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Edition of the object.
    pub edition: Edition,
    /// Hive path of its partition, such as `year=2021/grade=grade-pk`; `None` for a lookup table, and for a file with
    /// an encoding version before [`FIRST_WITH_PARTITION`].
    pub partition: Option<String>,
    /// Number of rows in it.
    pub n_rows: u64,
    /// When its oldest page was received.
    pub fetched_at: Timestamp,
    /// Run that wrote it; `None` if the store cannot record this (a folder).
    pub run: Option<String>,
}

impl Stamp {
    /// Returns whether the object can belong to `partition`: it names this partition, or names none because its
    /// encoding version is too old.
    #[must_use]
    pub fn is_of(&self, partition: &PartitionKey) -> bool {
        match &self.partition {
            Some(named) => *named == partition.to_string(),
            None => self.edition.encoding_version < FIRST_WITH_PARTITION,
        }
    }
}
