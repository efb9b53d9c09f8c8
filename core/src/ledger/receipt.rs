//! What fetching one partition came to in one run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::file::edition::Edition;
use crate::partition::PartitionKey;

/// What fetching one partition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A new edition was committed.
    Written,
    /// The object already is this edition.
    Unchanged,
    /// The portal has no rows for it.
    Empty,
    /// A newer write won.
    Superseded,
    /// An error, by name.
    Failed,
    /// The run ended before it was begun.
    NotTried,
}

impl Outcome {
    /// Every outcome, in the order shown to people.
    pub const ALL: [Self; 6] =
        [Self::Written, Self::Unchanged, Self::Empty, Self::Superseded, Self::Failed, Self::NotTried];

    /// Whether the partition is still to be fetched: by mode `failed`, and by `failed_of` its run.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Failed | Self::NotTried)
    }

    /// The words used on the terminal. The ledger has `_` between them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Empty => "empty",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::NotTried => "not tried",
        }
    }
}

/// An error as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFacts {
    /// [`Error::name`].
    pub name: String,
    /// [`Error::chain`].
    pub message: String,
}

impl From<&Error> for ErrorFacts {
    fn from(error: &Error) -> Self {
        Self { name: error.name().to_owned(), message: error.chain() }
    }
}

/// What fetching one partition came to in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The partition.
    pub partition: PartitionKey,
    /// What it came to.
    pub outcome: Outcome,
    /// The error of a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFacts>,
    /// Rows received (0 for a failed one).
    pub n_rows: u64,
    /// Pages received (0 for a failed one).
    pub n_pages: u32,
    /// Edition of the rows received; `None` when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<Edition>,
    /// The portal's newest release as the run read it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
    /// Size of the object, in bytes; `None` when nothing is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Rows with fields that the descriptor does not know.
    #[serde(default)]
    pub n_unknown: u64,
    /// Names of such fields, the first twenty in the alphabet, each cut at 64 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_fields: Vec<String>,
    /// Values kept in `_rescued` since they do not fit their column.
    #[serde(default)]
    pub n_misfits: u64,
    /// When fetching began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl Receipt {
    /// A receipt of a partition of which nothing was received. It failed, where there is an error; else it was not tried.
    #[must_use]
    pub fn of_nothing(
        partition: PartitionKey,
        error: Option<ErrorFacts>,
        started_at: Timestamp,
        finished_at: Timestamp,
    ) -> Self {
        Self {
            partition,
            outcome: if error.is_some() { Outcome::Failed } else { Outcome::NotTried },
            error,
            n_rows: 0,
            n_pages: 0,
            edition: None,
            portal_release: None,
            size_bytes: None,
            n_unknown: 0,
            unknown_fields: Vec::new(),
            n_misfits: 0,
            started_at,
            finished_at,
        }
    }

    /// Whether there may be an object that the run wrote or found as it was to be.
    #[must_use]
    pub(crate) fn may_be_committed(&self) -> bool {
        match self.outcome {
            Outcome::Written | Outcome::Unchanged | Outcome::Superseded => true,
            // What was killed may have committed before.
            Outcome::Failed => !self.is_of_a_try(),
            Outcome::Empty | Outcome::NotTried => false,
        }
    }

    /// Whether a try wrote it, rather than whoever published the run without one.
    #[must_use]
    pub(crate) fn is_of_a_try(&self) -> bool {
        self.outcome != Outcome::NotTried && self.error.as_ref().is_none_or(|error| error.name != NO_RECEIPT)
    }
}

/// The error of a planned partition that left no receipt.
const NO_RECEIPT: &str = "NoReceipt";

/// What is said of a planned partition that left no receipt.
pub(crate) fn no_receipt() -> ErrorFacts {
    ErrorFacts {
        name: NO_RECEIPT.to_owned(),
        message: "expected a receipt, found none: it was killed or timed out".to_owned(),
    }
}
