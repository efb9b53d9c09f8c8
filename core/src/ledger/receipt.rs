//! The receipt: the outcome of fetching one partition in one run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::change::Change;
use crate::cost::Metered;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::file::edition::Edition;
use crate::partition::PartitionKey;

/// The outcome of fetching one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum Outcome {
    /// A new edition was committed, with other rows than before or for the first time.
    Written,
    /// A new edition was committed, with the same rows in another schema or encoding.
    Rewritten,
    /// The committed object already has this edition.
    Unchanged,
    /// The portal has no rows for the partition.
    Empty,
    /// A newer write won.
    Superseded,
    /// Fetching failed.
    Failed,
    /// The run ended before trying the partition.
    #[strum(serialize = "not tried")]
    NotTried,
}

impl Outcome {
    /// Every outcome, in display order.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Returns whether the partition still has to be fetched. Mode `failed` and `failed_of` fetch such partitions.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Failed | Self::NotTried)
    }

    /// Returns the outcome as shown on the terminal. In the ledger, its words are joined by `_`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An error as the ledger records it.
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

/// The outcome of fetching one partition in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The partition.
    pub partition: PartitionKey,
    /// The outcome.
    pub outcome: Outcome,
    /// The error, if the partition failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFacts>,
    /// Rows received (0 if the partition failed).
    pub n_rows: u64,
    /// Pages received (0 if the partition failed).
    pub n_pages: u32,
    /// Edition of the rows received. `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<Edition>,
    /// The portal's latest release at the start of the run, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_release: Option<String>,
    /// Size of the object in bytes. `None` if nothing is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What changed, if the committed object replaced a readable one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Box<Change>>,
    /// Rows with fields that the descriptor does not declare.
    #[serde(default)]
    pub n_unknown: u64,
    /// Names of undeclared fields: the first twenty in alphabetical order, each truncated to 64 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_fields: Vec<String>,
    /// Values kept in `_rescued` because they do not fit their column.
    #[serde(default)]
    pub n_misfits: u64,
    /// Rows that repeat the key of an earlier row, of a dataset that keeps them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_repeated_keys: u64,
    /// Rows with a null or an empty text in a key column, of a dataset that keeps them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_empty_keys: u64,
    /// What its requests cost, in all calls of a partition that took several on AWS, except for calls that were killed.
    /// Receipts of older versions do not say.
    #[serde(default, skip_serializing_if = "Metered::is_none")]
    pub cost: Metered,
    /// When fetching started.
    pub started_at: Timestamp,
    /// When fetching ended.
    pub finished_at: Timestamp,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Receipt {
    /// Creates the receipt for a partition without rows: failed if there is an error, otherwise not tried.
    #[must_use]
    pub fn without_rows(
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
            change: None,
            n_unknown: 0,
            unknown_fields: Vec::new(),
            n_misfits: 0,
            n_repeated_keys: 0,
            n_empty_keys: 0,
            cost: Metered::default(),
            started_at,
            finished_at,
        }
    }

    /// Returns whether the partition may have an object that the run wrote, or found to be up to date.
    #[must_use]
    pub(crate) fn may_be_committed(&self) -> bool {
        match self.outcome {
            Outcome::Written | Outcome::Rewritten | Outcome::Unchanged | Outcome::Superseded => true,
            // A killed task may have committed the object first.
            Outcome::Failed => !self.is_from_attempt(),
            Outcome::Empty | Outcome::NotTried => false,
        }
    }

    /// Returns whether the lake has other rows than before.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        match &self.change {
            Some(change) => !change.is_empty(),
            None => self.outcome == Outcome::Written,
        }
    }

    /// Returns which rows changed: `3 schools revised, 1 added`, or `first load`. `None` if none did.
    #[must_use]
    pub fn change_in_words(&self, dataset: &Dataset) -> Option<String> {
        let change = self.change.as_ref().map(|change| change.in_words(dataset));
        self.has_changed().then(|| change.unwrap_or_else(|| "first load".to_owned()))
    }

    /// Returns whether the attempt found out which rows the portal has, and the lake has them too.
    #[must_use]
    pub(crate) fn is_refresh(&self) -> bool {
        !self.outcome.is_open()
    }

    /// Returns whether the receipt comes from an attempt. If not, publishing added it for a partition that left none.
    #[must_use]
    pub(crate) fn is_from_attempt(&self) -> bool {
        self.outcome != Outcome::NotTried && self.error.as_ref().is_none_or(|error| error.name != NO_RECEIPT)
    }
}

/// Name of the error for a planned partition that left no receipt.
const NO_RECEIPT: &str = "NoReceipt";

/// Returns the error for a planned partition that left no receipt.
///
/// - `cause`: how its task ended, if known.
pub(crate) fn no_receipt(cause: Option<&String>) -> ErrorFacts {
    let cause = cause.map_or("the task was killed or timed out", String::as_str);
    ErrorFacts { name: NO_RECEIPT.to_owned(), message: format!("expected a receipt, found none: {cause}") }
}
