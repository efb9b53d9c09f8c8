//! Every error that a step can return, with one variant for each way in which a caller may react.

pub mod found;
pub(crate) mod mistakes;
pub mod next_step;
pub mod years;

use parquet::errors::ParquetError;

use crate::error::found::{CountFound, LockHolder, SecretFound, Shrunk};
use crate::error::mistakes::join_mistakes;
use crate::error::years::YearsUnreadable;
use crate::partition::PartitionKey;
use crate::ports::catalog::CatalogError;
use crate::ports::cause::BoxError;
use crate::ports::portal::PortalError;
use crate::ports::store::StoreError;

/// An error in a request, a descriptor or a partition.
///
/// Receipts, logs and the state machine identify an error by its variant's name ([`Error::name`]). Each variant's
/// documentation starts with the reaction: stop or retry.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[non_exhaustive]
pub enum Error {
    /// Stop: the request is invalid. Lists every mistake, not just the first.
    #[error("check request: {}", join_mistakes(mistakes))]
    InvalidRequest {
        /// One message per mistake: the field, what was expected and what was found.
        mistakes: Vec<String>,
    },
    /// Stop: a dataset descriptor is invalid.
    #[error("read descriptor `{file}`: {}", join_mistakes(mistakes))]
    InvalidDescriptor {
        /// File that contains the descriptor.
        file: String,
        /// One message per mistake, with the line and the key where known.
        mistakes: Vec<String>,
    },
    /// Stop: `all` or the `latest` years were requested, but the portal's list of years could not be read.
    #[error(
        "list years of `{dataset}`: expected the portal to list them at `{path}`, found no readable list\nhint: name the years instead of requesting `all` or `latest`"
    )]
    YearsUnknown {
        /// Dataset whose years were requested.
        dataset: String,
        /// Path of the portal's list, relative to its API root.
        path: String,
        /// Why the list could not be read.
        #[source]
        source: YearsUnreadable,
    },
    /// Retry: the portal did not respond, or responded with HTTP 429 or 5xx, on every try.
    #[error("fetch page {page} of `{partition}`: portal unavailable")]
    PortalUnavailable {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Requested page, 1-based.
        page: u32,
        /// How the portal failed.
        #[source]
        source: PortalError,
    },
    /// Stop: the portal refused the request (HTTP 3xx or 4xx), has an invalid certificate, or repeated the secret in its
    /// response.
    #[error("fetch page {page} of `{partition}`: portal refused the request{}", secret_hint(secret.as_deref(), source))]
    PortalRefused {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Requested page, 1-based.
        page: u32,
        /// Name of the secret that was sent, if the portal may have refused it (HTTP 401 or 403) or its response repeats
        /// it.
        secret: Option<String>,
        /// How the portal refused the request.
        #[source]
        source: PortalError,
    },
    /// Stop: a response body exceeds the maximum size after decompression, or has too many rows for one page.
    #[error("fetch page {page} of `{partition}`: response body too large")]
    BodyTooLarge {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Requested page, 1-based.
        page: u32,
        /// The limit that was exceeded.
        #[source]
        source: PortalError,
    },
    /// Stop: a partition takes more memory than allowed.
    #[error(
        "fetch page {page} of `{partition}`: partition too large: expected at most {limit_bytes} bytes for its file and keys, found {found_bytes} after {n_rows} rows"
    )]
    PartitionTooLarge {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Page whose rows exceeded the limit, 1-based.
        page: u32,
        /// Maximum size in bytes.
        limit_bytes: usize,
        /// Size in bytes with the rows of this page.
        found_bytes: usize,
        /// Rows received so far.
        n_rows: u64,
    },
    /// Retry once: the time limit for this partition was exceeded.
    #[error("fetch page {page} of `{partition}`: deadline exceeded")]
    DeadlineExceeded {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Requested page, 1-based.
        page: u32,
        /// The request that was cut off.
        #[source]
        source: PortalError,
    },
    /// Stop: the run was interrupted before this partition was received. The partition counts as not tried.
    #[error("fetch page {page} of `{partition}`: interrupted")]
    Interrupted {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Requested page, 1-based.
        page: u32,
    },
    /// Stop: the dataset's secret is not set, or its value is unusable.
    #[error("read secret `{secret}`: expected a value in {place}, found {found}")]
    SecretMissing {
        /// Name of the secret in the descriptor.
        secret: String,
        /// Where the value was looked up.
        place: String,
        /// What was found there.
        found: SecretFound,
    },
    /// Retry, then stop: the service that stores the dataset's secret does not respond, or throttles requests.
    #[error("read secret `{secret}`: expected a value in {place}, found the service unavailable")]
    SecretUnavailable {
        /// Name of the secret in the descriptor.
        secret: String,
        /// Where the value was looked up.
        place: String,
        /// The service's error.
        #[source]
        source: BoxError,
    },
    /// Retry: a response body is not a valid page: truncated, HTML, not UTF-8, or an error object.
    #[error(
        "decode page {page} of `{partition}`: expected a JSON object with `count`, `next` and `results`, found {found}"
    )]
    BadBody {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Page being decoded, 1-based.
        page: u32,
        /// Excerpt of the body, escaped and truncated.
        found: String,
        /// The parse error.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// Retry from page 1: rows are missing, or the portal's data changed during the fetch.
    #[error("fetch `{partition}`: expected {expected} rows, {found}")]
    CountMismatch {
        /// Partition being fetched.
        partition: PartitionKey,
        /// `count` of page 1.
        expected: u64,
        /// What was found instead.
        found: CountFound,
    },
    /// Retry from page 1: a key appears more than once, on one page or across pages.
    #[error(
        "check keys of `{partition}`: expected each key once, found {key} more than once ({n_repeated} of {n_rows} rows repeat a key)"
    )]
    DuplicateKey {
        /// Partition being fetched.
        partition: PartitionKey,
        /// One repeated key, as `column value` pairs.
        key: String,
        /// Number of rows that repeat the key of an earlier row.
        n_repeated: u64,
        /// Number of rows in the partition.
        n_rows: u64,
    },
    /// Stop: `next` does not link to the following page. The link was not followed.
    #[error("check `next` on page {page} of `{partition}`: expected {expected}, found `{found}`")]
    UntrustedNext {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Page with the link, 1-based.
        page: u32,
        /// The correct link, or a note that there should be none.
        expected: String,
        /// The link found, escaped and truncated.
        found: String,
    },
    /// Stop: a row belongs to a different partition.
    #[error("check row {row} on page {page} of `{partition}`: expected `{column}` {expected}, found {found}")]
    WrongPartition {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Page with the row, 1-based.
        page: u32,
        /// Row on that page, 1-based.
        row: u64,
        /// Axis column whose value differs.
        column: String,
        /// The partition's value.
        expected: i64,
        /// The row's value.
        found: String,
    },
    /// Stop: a column's values no longer match the type that the descriptor declares.
    #[error(
        "check column `{column}` of `{partition}`: expected {expected}, found {found} in row {row} ({n_misfits} of {n_rows} rows do not fit)\nhint: {}",
        drift_hint(key.as_deref())
    )]
    SchemaDrift {
        /// Partition being fetched.
        partition: PartitionKey,
        /// Column that drifted.
        column: Box<str>,
        /// Declared type.
        expected: Box<str>,
        /// First value that does not fit, escaped and truncated.
        found: String,
        /// Row that has this value, 1-based within the partition.
        row: u64,
        /// Number of values that do not fit.
        n_misfits: u64,
        /// Number of rows in the partition.
        n_rows: u64,
        /// The key columns, separated by commas, if this column is one of them and has no value.
        key: Option<Box<str>>,
    },
    /// Stop: the partition lost more than half of its rows, or more than half of the values in a column. It does not
    /// replace the committed one.
    #[error(
        "replace `{partition}`: expected {shrunk}\nhint: if the portal's data is right, run this partition again with `force`"
    )]
    ShrankTooMuch {
        /// Partition being fetched.
        partition: PartitionKey,
        /// What shrank.
        shrunk: Shrunk,
    },
    /// Retry: another writer replaced the object first, every time.
    #[error("write `{key}`: expected the object as last read, found it changed by another writer {tries} times")]
    WriteConflict {
        /// Key of the object.
        key: String,
        /// Number of conditional writes tried.
        tries: u32,
    },
    /// Retry, then stop: an object in the lake could not be read, written, listed or removed.
    #[error("{action} `{key}` in the lake")]
    StoreFailed {
        /// The operation: `read`, `write`, `list` or `remove`.
        action: &'static str,
        /// Key of the object.
        key: String,
        /// The store's error.
        #[source]
        source: StoreError,
    },
    /// Stop: another run is using the lake.
    #[error("lock lake: {}", _0.0)]
    LakeLocked(LockHolder),
    /// Retry, then stop: a catalog table could not be read or written.
    #[error("publish to catalog table `{table}`")]
    CatalogFailed {
        /// Table as `database.table`.
        table: String,
        /// The catalog's error.
        #[source]
        source: CatalogError,
    },
    /// Stop: the columns could not be encoded as Parquet.
    #[error("encode `{object}` as Parquet")]
    EncodeFailed {
        /// Partition or lookup table being encoded.
        object: String,
        /// The encoder's error.
        #[source]
        source: parquet::errors::ParquetError,
    },
}

impl Error {
    /// Every name that [`Error::name`] can return, in declaration order.
    pub const NAMES: &[&str] = <Self as strum::VariantNames>::VARIANTS;

    /// Returns the variant's name, which identifies the error in receipts and in the state machine.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Wraps a store error.
    #[must_use]
    pub fn store_failed(action: &'static str, key: &str, source: StoreError) -> Self {
        Self::StoreFailed { action, key: key.to_owned(), source }
    }

    /// Wraps the error about an object whose rows cannot be decoded.
    pub(crate) fn damaged(key: &str, source: ParquetError) -> Self {
        Self::store_failed("read", key, StoreError { message: "decode the rows".to_owned(), source: source.into() })
    }

    /// Returns whether fetching the same partition again, from page 1, may succeed.
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

    /// Returns whether no connection to the portal could be made, in which case other partitions will fail too.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::PortalUnavailable { source, .. } | Self::PortalRefused { source, .. } => source.is_unreachable(),
            _ => false,
        }
    }

    /// Returns the message and its causes, joined by `: `. Call it only where the error is shown.
    ///
    /// A `hint:` line in the message stays last.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// Returns the message of any error and its causes, joined by `: `. A `hint:` line in the outermost message stays last.
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

fn drift_hint(key: Option<&str>) -> String {
    match key {
        None => "if the portal's data has changed permanently, update the column in the descriptor".to_owned(),
        Some(key) => format!(
            "key columns ({key}) cannot be null or empty; if the portal has rows without them, choose another `key` in the \
             descriptor"
        ),
    }
}

fn secret_hint(name: Option<&str>, source: &PortalError) -> String {
    match (name, source) {
        (None, _) => String::new(),
        (Some(name), PortalError::RepeatsSecret { .. }) => {
            format!("\nhint: ask the portal's operator why its responses contain the value of the secret `{name}`")
        }
        (Some(name), _) => format!("\nhint: check that the value of the secret `{name}` is still valid"),
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
            "list years of `ccd_enrollment`: expected the portal to list them at `api-endpoints/`, found no readable list: \
             fetch list of endpoints: HTTP 503 after 4 tries: `busy`\nhint: name the years instead of requesting `all` or `latest`"
        );
    }
}
