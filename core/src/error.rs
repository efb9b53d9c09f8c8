//! Everything that can go wrong, one variant per reaction of whoever runs the steps.

pub mod found;
pub(crate) mod mistakes;
pub mod years;

use crate::error::found::{CountFound, LockHolder, SecretFound, Shrunk};
use crate::error::mistakes::join_mistakes;
use crate::error::years::YearsUnreadable;
use crate::partition::PartitionKey;
use crate::ports::catalog::CatalogError;
use crate::ports::cause::BoxError;
use crate::ports::portal::PortalError;
use crate::ports::store::StoreError;

/// Everything that can go wrong with a request, a descriptor or a partition.
///
/// The variant's name ([`Error::name`]) is what receipts, logs and the state machine know the error by.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[non_exhaustive]
pub enum Error {
    /// Stop: the request cannot be run as it was given. Holds every mistake found, not just the first.
    #[error("check request: {}", join_mistakes(mistakes))]
    InvalidRequest {
        /// One sentence a mistake: the field, what was found, what was expected.
        mistakes: Vec<String>,
    },
    /// Stop: a dataset descriptor cannot be used.
    #[error("read descriptor `{file}`: {}", join_mistakes(mistakes))]
    InvalidDescriptor {
        /// File the descriptor came from.
        file: String,
        /// One sentence a mistake, with the line and the key where they are known.
        mistakes: Vec<String>,
    },
    /// Stop: `all` years were asked for and the portal's list of years could not be read.
    #[error(
        "list years of `{dataset}`: expected the portal's list at `{path}` to name the years, found none that can be read\nhint: name the years instead of `all`"
    )]
    YearsUnknown {
        /// Dataset whose years were asked for.
        dataset: String,
        /// Path of the portal's list below its API root.
        path: String,
        /// Why the list could not be read.
        #[source]
        source: YearsUnreadable,
    },
    /// Retry: the portal gave no answer, HTTP 429 or HTTP 5xx, again and again.
    #[error("fetch page {page} of `{partition}`: portal unavailable")]
    PortalUnavailable {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page that was asked for, from 1.
        page: u32,
        /// What the portal did.
        #[source]
        source: PortalError,
    },
    /// Stop: the portal answered that it will not serve this (HTTP 3xx or 4xx, or a certificate that does not hold).
    #[error("fetch page {page} of `{partition}`: portal refused{}", hint_of_secret(secret.as_deref(), source))]
    PortalRefused {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page that was asked for, from 1.
        page: u32,
        /// Name of the secret that was sent, where that may be what the portal refused (HTTP 401 or 403), or where the
        /// answer repeats it.
        secret: Option<String>,
        /// What the portal said.
        #[source]
        source: PortalError,
    },
    /// Stop: a body is larger than the cap, counted after decompression, or has more rows than a page may have.
    #[error("fetch page {page} of `{partition}`: body too large")]
    BodyTooLarge {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page that was asked for, from 1.
        page: u32,
        /// The cap.
        #[source]
        source: PortalError,
    },
    /// Stop: a partition takes more memory than the cap.
    #[error(
        "fetch page {page} of `{partition}`: partition too large: expected at most {limit_bytes} bytes for its file and keys, found {found_bytes} after {n_rows} rows"
    )]
    PartitionTooLarge {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page whose rows made it too large, from 1.
        page: u32,
        /// The cap.
        limit_bytes: usize,
        /// Bytes that it takes with these rows.
        found_bytes: usize,
        /// Rows so far.
        n_rows: u64,
    },
    /// Retry once: the time allowed for this partition is used up.
    #[error("fetch page {page} of `{partition}`: deadline exceeded")]
    DeadlineExceeded {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page that was asked for, from 1.
        page: u32,
        /// What was under way.
        #[source]
        source: PortalError,
    },
    /// Stop: the run was asked to end before this partition was received. It counts as not tried.
    #[error("fetch page {page} of `{partition}`: interrupted")]
    Interrupted {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page that was asked for, from 1.
        page: u32,
    },
    /// Stop: the dataset names a secret that is not set, or whose value cannot be used.
    #[error("read secret `{secret}`: expected a value in {place}, found {found}")]
    SecretMissing {
        /// Name of the secret, as the descriptor gives it.
        secret: String,
        /// Where it was looked for.
        place: String,
        /// What was found there.
        found: SecretFound,
    },
    /// Retry, then stop: whoever keeps the dataset's secret does not answer, or is asked too much.
    #[error("read secret `{secret}`: expected a value in {place}, found no answer")]
    SecretUnavailable {
        /// Name of the secret, as the descriptor gives it.
        secret: String,
        /// Where it was looked for.
        place: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Retry: a body is not a page of the portal (truncated, HTML, not UTF-8, an error object).
    #[error(
        "decode page {page} of `{partition}`: expected a JSON object with `count`, `next` and `results`, found {found}"
    )]
    BadBody {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page that was decoded, from 1.
        page: u32,
        /// What was found instead, escaped and cut.
        found: String,
        /// Where the JSON stopped making sense.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// Retry from page 1: the portal changed while it was read, or lost rows.
    #[error("fetch `{partition}`: expected {expected} rows, {found}")]
    CountMismatch {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Rows that page 1 promised in `count`.
        expected: u64,
        /// What came instead.
        found: CountFound,
    },
    /// Retry from page 1: a key came twice, on one page or across pages.
    #[error(
        "check keys of `{partition}`: expected every key once, found {key} more than once ({n_repeated} repeated of {n_rows} rows)"
    )]
    DuplicateKey {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// One repeated key, as `column value` pairs.
        key: String,
        /// Rows whose key was there before.
        n_repeated: u64,
        /// Rows of the partition.
        n_rows: u64,
    },
    /// Stop: `next` is not the page that follows. It was not asked for.
    #[error("check `next` on page {page} of `{partition}`: expected {expected}, found `{found}`")]
    UntrustedNext {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page that carried the link, from 1.
        page: u32,
        /// The link that would have been right, or its absence.
        expected: String,
        /// The link found, escaped and cut.
        found: String,
    },
    /// Stop: a row belongs to another partition than the one asked for.
    #[error("check row {row} on page {page} of `{partition}`: expected `{column}` {expected}, found {found}")]
    WrongPartition {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Page of the row, from 1.
        page: u32,
        /// Row on that page, from 1.
        row: u64,
        /// Axis column that differs.
        column: String,
        /// Value of the partition.
        expected: i64,
        /// Value of the row.
        found: String,
    },
    /// Stop: a column no longer holds what the descriptor declares.
    #[error(
        "check column `{column}` of `{partition}`: expected {expected}, found {found} in row {row} ({n_misfits} of {n_rows} rows do not fit)\nhint: {}",
        hint_of_drift(key.as_deref())
    )]
    SchemaDrift {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// Column that drifted.
        column: Box<str>,
        /// Type declared.
        expected: Box<str>,
        /// First value that does not fit, escaped and cut.
        found: String,
        /// Row of that value in the partition, from 1.
        row: u64,
        /// Values that do not fit.
        n_misfits: u64,
        /// Rows of the partition.
        n_rows: u64,
        /// The columns of the key with commas, where this is one of them and has no value.
        key: Option<Box<str>>,
    },
    /// Stop: the partition lost more than half of its rows, or of a column's values, so it does not replace the fuller one.
    #[error(
        "replace `{partition}`: expected {shrunk}\nhint: if the portal is right, run this partition again with force"
    )]
    ShrankTooMuch {
        /// Partition that was fetched.
        partition: PartitionKey,
        /// What there is less of.
        shrunk: Shrunk,
    },
    /// Retry: another writer was faster every time.
    #[error("write `{key}`: expected to replace the object last seen, found another one {tries} times")]
    WriteConflict {
        /// Key of the object.
        key: String,
        /// Conditional writes that were refused.
        tries: u32,
    },
    /// Retry, then stop: the lake refused an object.
    #[error("{action} `{key}`: lake refused")]
    StoreFailed {
        /// What was tried: `read`, `write`, `list` or `remove`.
        action: &'static str,
        /// Key of the object.
        key: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Stop: the lake is in use by another run.
    #[error("lock lake: {}", _0.0)]
    LakeLocked(LockHolder),
    /// Retry, then stop: the catalog refused a table or a partition.
    #[error("publish to table `{table}`: catalog refused")]
    CatalogFailed {
        /// Table as `database.table`.
        table: String,
        /// Why.
        #[source]
        source: CatalogError,
    },
    /// Stop: columns could not be written as Parquet.
    #[error("encode `{object}` as Parquet")]
    EncodeFailed {
        /// Partition or look-up table that was encoded.
        object: String,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
}

impl Error {
    /// Every name that [`Error::name`] can return, in the order of the enum.
    pub const NAMES: &[&str] = <Self as strum::VariantNames>::VARIANTS;

    /// The variant's name, as receipts and the state machine know it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// The error of an object that the store could not read, write, list or remove.
    pub(crate) fn store_failed(action: &'static str, key: &str, source: StoreError) -> Self {
        Self::StoreFailed { action, key: key.to_owned(), source }
    }

    /// Whether fetching the same partition again, from page 1, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::PortalUnavailable { .. }
                | Self::DeadlineExceeded { .. }
                | Self::SecretUnavailable { .. }
                | Self::BadBody { .. }
                | Self::CountMismatch { .. }
                | Self::DuplicateKey { .. }
                | Self::WriteConflict { .. }
                | Self::StoreFailed { .. }
                | Self::CatalogFailed { .. }
        )
    }

    /// Whether the portal could not be connected to, in which case other partitions are no better off.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::PortalUnavailable { source, .. } | Self::PortalRefused { source, .. } => source.is_unreachable(),
            _ => false,
        }
    }

    /// The message and its causes, joined by `: `, for the one place where an error is shown.
    ///
    /// A `hint:` line of the message stays last.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// The message of any error and its causes, joined by `: `, with a `hint:` line of the outermost message last.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let message = error.to_string();
    let (head, hint) = match message.split_once("\nhint:") {
        Some((head, hint)) => (head.to_owned(), Some(hint.to_owned())),
        None => (message, None),
    };
    let mut text = head;
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if let Some(hint) = hint {
        text.push_str("\nhint:");
        text.push_str(&hint);
    }
    text
}

fn hint_of_drift(key: Option<&str>) -> String {
    match key {
        None => "if the portal changed for good, change the column in the descriptor".to_owned(),
        Some(key) => format!(
            "the columns of the key ({key}) are never null or empty; if the portal has rows without them, give the descriptor \
             another `key`"
        ),
    }
}

fn hint_of_secret(name: Option<&str>, source: &PortalError) -> String {
    match (name, source) {
        (None, _) => String::new(),
        (Some(name), PortalError::RepeatsSecret { .. }) => {
            format!("\nhint: ask who runs the portal why its responses hold the value of the secret `{name}`")
        }
        (Some(name), _) => format!("\nhint: see that the value of the secret `{name}` still holds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_stays_last_when_causes_are_joined() {
        let error = Error::YearsUnknown {
            dataset: "ccd_enrollment".into(),
            path: "api-endpoints/".into(),
            source: YearsUnreadable::Portal(PortalError::Status { status: 503, tries: 4, excerpt: "busy".into() }),
        };
        assert_eq!(
            error.chain(),
            "list years of `ccd_enrollment`: expected the portal's list at `api-endpoints/` to name the years, \
             found none that can be read: portal did not list its endpoints: HTTP 503 after 4 tries: `busy`\nhint: name the years instead of `all`"
        );
    }
}
