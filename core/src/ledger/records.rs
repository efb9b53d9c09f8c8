//! What the ledger knows of every partition of a dataset: one object, derived from the data objects and from receipts.
//!
//! A commit never asks it. It says what planning and `status` would otherwise ask each object for, and since it remembers
//! each object's etag, publishing finds in one listing which objects changed, whoever changed them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::file::edition::{ENCODING_VERSION, Edition};
use crate::file::stamp::Stamp;
use crate::ledger::plan::Reason;
use crate::ledger::receipt::{ErrorFacts, Outcome};
use crate::partition::PartitionKey;

/// What is committed of a partition, as its object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Edition of the object.
    pub edition: Edition,
    /// Rows in it.
    pub n_rows: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its etag when it was last seen.
    pub etag: String,
    /// When its last page was received.
    pub fetched_at: Timestamp,
    /// Run that wrote it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Pages it came in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_pages: Option<u32>,
    /// The portal's newest release that gave these rows, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
}

impl Committed {
    /// What the object with this stamp says of itself.
    #[must_use]
    pub(crate) fn new(stamp: &Stamp, etag: &str, size_bytes: u64) -> Self {
        Self {
            edition: stamp.edition,
            n_rows: stamp.n_rows,
            size_bytes,
            etag: etag.to_owned(),
            fetched_at: stamp.fetched_at,
            run: stamp.run.clone(),
            n_pages: None,
            portal_release: None,
        }
    }

    /// Why the object should be written anew by this descriptor and program; `None` when it is current.
    #[must_use]
    pub fn staleness(&self, dataset: &Dataset) -> Option<Reason> {
        staleness(&self.edition, dataset)
    }
}

/// Why an object of `edition` should be written anew; `None` when it is current.
pub(crate) fn staleness(edition: &Edition, dataset: &Dataset) -> Option<Reason> {
    if edition.schema_id != dataset.schema_id() {
        Some(Reason::OtherSchema)
    } else {
        (edition.encoding_version != ENCODING_VERSION).then_some(Reason::OtherEncoding)
    }
}

/// The last time a partition was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// Run.
    pub run: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The error of a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFacts>,
    /// When it ended; for one that left no receipt, when its run began.
    pub at: Timestamp,
    /// The portal's newest release then, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
}

/// What the ledger knows of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The partition.
    pub partition: PartitionKey,
    /// What is committed; `None` when nothing is.
    pub committed: Option<Committed>,
    /// The last attempt; `None` when the record was made from the object alone.
    pub last_attempt: Option<LastAttempt>,
}

/// Records by partition.
pub type Records = BTreeMap<PartitionKey, PartitionRecord>;

/// Partitions whose object is of another schema or encoding than a run would write today.
#[must_use]
pub fn stale_partitions(records: &Records, dataset: &Dataset) -> Vec<PartitionKey> {
    let committed = records.iter().filter_map(|(partition, record)| Some((partition, record.committed.as_ref()?)));
    let stale = committed.filter(|(_, committed)| committed.staleness(dataset).is_some());
    stale.map(|(partition, _)| partition.clone()).collect()
}
