//! What a writer says of a data object beside its bytes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::file::edition::{Edition, NAMES_PARTITION};
use crate::partition::PartitionKey;

/// What a writer says of a data object. Edition, partition and rows are in the file's footer too; the rest cannot be,
/// since a file's bytes are a function of its rows alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Edition of the object.
    pub edition: Edition,
    /// Hive path of its partition, such as `year=2021/grade=grade-pk`; `None` for a look-up table, and for a file of an
    /// encoding version before [`NAMES_PARTITION`].
    pub partition: Option<String>,
    /// Rows in it.
    pub n_rows: u64,
    /// When the last page of it was received.
    pub fetched_at: Timestamp,
    /// Run that wrote it; `None` where the store cannot remember it (a folder).
    pub run: Option<String>,
}

impl Stamp {
    /// Whether the object may be that of `partition`: it names no other one, and is old where it names none.
    #[must_use]
    pub fn is_of(&self, partition: &PartitionKey) -> bool {
        match &self.partition {
            Some(named) => *named == partition.to_string(),
            None => self.edition.encoding_version < NAMES_PARTITION,
        }
    }
}
