//! The portal: the source API, fetched page by page.

use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;
use url::Url;

use crate::cost::Metered;
use crate::memory::{Memory, Room};
use crate::ports::cause::BoxError;

/// The source API.
///
/// The adapter is responsible for everything about requests: concurrency, timeouts, retries and deadlines.
pub trait Portal: Send + Sync {
    /// Returns the API root, ending in `/`, e.g. `https://educationdata.urban.org/api/v1/`. Paths are relative to it.
    fn root(&self) -> &Url;

    /// Fetches page `page` (1-based) of `path` and reads its body. Retries transient failures, including invalid
    /// bodies.
    ///
    /// - `read`: called with each complete body, decompressed. An adapter may call it on a thread other than
    ///   the caller's.
    ///
    /// # Errors
    /// The last failure, once no retry is left. An invalid body is not an error: the result of the last read is
    /// returned.
    fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> impl Future<Output = Result<Response<T>, PortalError>> + Send;

    /// Returns the memory limit for the bodies and decoded pages of all partitions.
    fn page_memory(&self) -> Memory {
        Memory::new(usize::MAX)
    }

    /// Returns the memory limit for the unfinished files and the keys of all partitions.
    fn partition_memory(&self) -> Memory {
        Memory::new(usize::MAX)
    }

    /// Learns how many pages a partition has, once its page 1 says so. For adapters that report progress.
    fn expect_pages(&self, n_pages: u32) {
        let _ = n_pages;
    }

    /// Learns that a page was not requested, because the lake has kept it. For adapters that report progress.
    fn skip_page(&self) {}

    /// Returns what the requests through this portal have cost so far. An adapter counts them for each partition.
    fn metered(&self) -> Metered {
        Metered::default()
    }

    /// Waits for room like [`Room::hold`], but no longer than a page may take.
    ///
    /// # Errors
    /// [`PortalError::Deadline`], [`PortalError::Interrupted`].
    fn hold(&self, room: &mut Room, n_bytes: usize) -> impl Future<Output = Result<(), PortalError>> + Send {
        async move {
            room.hold(n_bytes).await;
            Ok(())
        }
    }
}

/// How to request a page.
#[derive(Debug, Default)]
pub struct PageRequest {
    /// Number of earlier requests for this page ([`Response::tries`]). They count towards the adapter's limit.
    pub tries: u32,
    /// For a prefetched page: the memory that its body and rows may take. A larger page fails with
    /// [`PortalError::Outgrown`]. The page that is due next waits for room instead.
    pub room: Option<Room>,
}

/// The result of reading a body.
#[derive(Debug)]
pub enum Reading<T> {
    /// The final result.
    Done(T),
    /// The body is invalid, which may be transient: a truncated response, or a proxy's error page.
    Invalid {
        /// The result if no retry is left.
        result: T,
        /// Why the body is invalid, for the log.
        reason: String,
    },
}

/// A page after receiving and reading it.
#[derive(Debug)]
pub struct Response<T> {
    /// The result of reading the body.
    pub result: T,
    /// Size of the body in bytes, decompressed.
    pub size_bytes: usize,
    /// When the last byte arrived.
    pub received_at: Timestamp,
    /// Number of requests for this page so far.
    pub tries: u32,
    /// Whether the adapter allows another request for this page.
    pub has_tries_left: bool,
    /// Held until the page's rows are in the table, so that the pages of all partitions in memory stay within the limit.
    pub room: Option<Room>,
}

/// How a request to the portal failed.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// HTTP 429 or 5xx on every try.
    #[error("HTTP {status} after {}: `{excerpt}`", count_tries(*tries))]
    Status {
        /// HTTP status.
        status: u16,
        /// Number of requests made.
        tries: u32,
        /// Start of the body.
        excerpt: String,
    },
    /// No response on any try: connection refused or closed, host name not found, or timeout.
    #[error("no response after {}", count_tries(*tries))]
    NoAnswer {
        /// Number of requests made.
        tries: u32,
        /// Whether the last try had a connection.
        is_connected: bool,
        /// Cause of the last try's failure.
        #[source]
        source: BoxError,
    },
    /// HTTP 3xx or 4xx, which a retry would not change.
    #[error("HTTP {status}: `{excerpt}`")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Start of the body, or the redirect's target.
        excerpt: String,
    },
    /// The response repeats the secret that was sent, so it is not read.
    #[error("HTTP {status}: the response repeats the secret that was sent, so it was not read")]
    RepeatsSecret {
        /// HTTP status.
        status: u16,
    },
    /// No trusted connection is possible, for example because of an invalid certificate.
    #[error("no usable connection")]
    Unusable {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The decompressed body is too large.
    #[error("expected at most {limit_bytes} bytes, found more")]
    TooLarge {
        /// Maximum size in bytes.
        limit_bytes: usize,
    },
    /// The page has too many rows or fields.
    #[error("expected at most {limit} {what}, found more")]
    TooMany {
        /// Maximum number.
        limit: u64,
        /// What is limited, such as `rows of 51 columns`.
        what: String,
    },
    /// A prefetched page does not fit in its room. It is requested again when it is due.
    #[error("page larger than expected after {}", count_tries(*tries))]
    Outgrown {
        /// Number of requests made.
        tries: u32,
    },
    /// The page must be requested once more, but no request is left.
    #[error("page must be requested again, but all {n_requests} requests for it are used{}", after_failure(last_failure.as_deref()))]
    UsedUp {
        /// Maximum number of requests.
        n_requests: u32,
        /// How the last fetch failed that used them, if it was another one.
        last_failure: Option<String>,
    },
    /// The run is ending, so the request was abandoned.
    #[error("interrupted")]
    Interrupted,
    /// The time limit was exceeded.
    #[error("no time left after {}", count_tries(*tries))]
    Deadline {
        /// Number of requests made.
        tries: u32,
    },
}

fn after_failure(failure: Option<&str>) -> String {
    failure.map_or_else(String::new, |failure| format!("; the last fetch ended with: {failure}"))
}

fn count_tries(tries: u32) -> String {
    format!("{tries} {}", if tries == 1 { "try" } else { "tries" })
}

impl PortalError {
    /// Returns whether no connection could be made.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoAnswer { is_connected: false, .. } | Self::Unusable { .. })
    }
}
