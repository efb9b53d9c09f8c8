//! The records: what the ledger knows about every partition of a dataset. One object, derived from the data objects and
//! from receipts.
//!
//! Commits do not consult the records. Planning and `status` read them instead of inspecting each object. They also contain
//! each object's etag, so that publishing finds all changed objects with one listing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::file::edition::{ENCODING_VERSION, Edition};
use crate::file::stamp::Stamp;
use crate::ledger::plan::Reason;
use crate::ledger::receipt::{ErrorFacts, Outcome};
use crate::partition::PartitionKey;

/// What is known about a partition's committed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Edition of the object.
    pub edition: Edition,
    /// Number of rows.
    pub n_rows: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Its etag when it was last listed.
    pub etag: String,
    /// When its last page was received.
    pub fetched_at: Timestamp,
    /// Run that wrote it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Number of pages that it was fetched in, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_pages: Option<u32>,
    /// The latest portal release known to have these rows, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
}

impl Committed {
    /// Describes the object with this stamp.
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

    /// Returns why the object is stale for this descriptor, or `None` if it is up to date.
    #[must_use]
    pub fn staleness(&self, dataset: &Dataset) -> Option<Reason> {
        staleness(&self.edition, dataset)
    }
}

/// Returns why an object with this edition is stale, or `None` if it is up to date.
pub(crate) fn staleness(edition: &Edition, dataset: &Dataset) -> Option<Reason> {
    if edition.schema_id != dataset.schema_id() {
        Some(Reason::OtherSchema)
    } else {
        (edition.encoding_version != ENCODING_VERSION).then_some(Reason::OtherEncoding)
    }
}

/// The last attempt to fetch a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// Its run.
    pub run: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its error, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFacts>,
    /// When it ended. If it left no receipt, when its run started.
    pub at: Timestamp,
    /// The portal's latest release at that time, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
}

/// What the ledger knows about one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The partition.
    pub partition: PartitionKey,
    /// The committed object, if there is one.
    pub committed: Option<Committed>,
    /// The last attempt. `None` if the record was derived from the object alone.
    pub last_attempt: Option<LastAttempt>,
}

/// Records by partition.
pub type Records = BTreeMap<PartitionKey, PartitionRecord>;

/// Returns the partitions whose object has a different schema or encoding from what a run would write today.
#[must_use]
pub fn stale_partitions(records: &Records, dataset: &Dataset) -> Vec<PartitionKey> {
    let committed = records.iter().filter_map(|(partition, record)| Some((partition, record.committed.as_ref()?)));
    let stale = committed.filter(|(_, committed)| committed.staleness(dataset).is_some());
    stale.map(|(partition, _)| partition.clone()).collect()
}
