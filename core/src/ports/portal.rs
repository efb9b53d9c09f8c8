//! The source API as core asks it: one page at a time.

use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;
use url::Url;

use crate::memory::{Memory, Room};
use crate::ports::cause::BoxError;

/// The source API.
///
/// Everything about a request is the adapter's: the limit of requests in flight, timeouts, retries, deadlines.
pub trait Portal: Send + Sync {
    /// Returns the API root that paths are joined to, ending in `/`, e.g. `https://educationdata.urban.org/api/v1/`.
    fn root(&self) -> &Url;

    /// GETs page `page` (from 1) of `path` below the root and reads its body. Retries transient failures, an invalid body
    /// among them.
    ///
    /// - `read`: called with each whole body, decompressed.
    ///
    /// # Errors
    /// What the portal did, once no retry is left. An invalid body is no error here: the last reading is returned.
    fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
    ) -> impl Future<Output = Result<Response<T>, PortalError>> + Send;

    /// Returns the limit that bodies and decoded pages of all partitions share.
    fn page_memory(&self) -> Memory {
        Memory::new(usize::MAX)
    }

    /// Returns the limit that all partitions share, without their pages: for unfinished files and keys.
    fn partition_memory(&self) -> Memory {
        Memory::new(usize::MAX)
    }

    /// Waits for room as [`Room::hold`] does, but no longer than for a page.
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
    /// Requests that have been made for this page before ([`Response::tries`]). They count against the adapter's limit.
    pub tries: u32,
    /// For a page requested ahead of the one due next: the room that its body and its rows may take. A larger page fails
    /// with [`PortalError::Outgrown`]. The page that is due waits for room instead.
    pub room: Option<Room>,
}

/// What was read from a body.
#[derive(Debug)]
pub enum Reading<T> {
    /// The final result.
    Done(T),
    /// The body is invalid, which may be transient: a cut response, or a proxy's error page.
    Invalid {
        /// The result if no retry is left.
        result: T,
        /// Why the body is invalid, for the log.
        reason: String,
    },
}

/// A page that was received and read.
#[derive(Debug)]
pub struct Response<T> {
    /// What was read from the body.
    pub result: T,
    /// Size of the body in bytes, decompressed.
    pub size_bytes: usize,
    /// When the last byte arrived.
    pub received_at: Timestamp,
    /// Requests made for this page so far.
    pub tries: u32,
    /// Whether the adapter would make another request for this page.
    pub has_tries_left: bool,
    /// Held until the page's rows are in its table, so that pages in memory stay within a limit over all partitions.
    pub room: Option<Room>,
}

/// What the portal did instead of serving a page.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// HTTP 429 or 5xx, each time it was tried.
    #[error("HTTP {status} after {tries} tries: `{excerpt}`")]
    Status {
        /// HTTP status.
        status: u16,
        /// Requests made.
        tries: u32,
        /// Start of the body.
        excerpt: String,
    },
    /// No answer, each time it was tried: connection refused or cut, name not found, timeout.
    #[error("no answer after {tries} tries")]
    NoAnswer {
        /// Requests made.
        tries: u32,
        /// Whether there was a connection the last time.
        is_connected: bool,
        /// The last cause.
        #[source]
        source: BoxError,
    },
    /// HTTP 3xx or 4xx, or a certificate that does not hold: asking again will not help.
    #[error("HTTP {status}: `{excerpt}`")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Start of the body, or the redirect's target.
        excerpt: String,
    },
    /// The answer repeats the secret that was sent, so nothing of it is read.
    #[error("HTTP {status}: the response repeats the secret that was sent, and was not read")]
    RepeatsSecret {
        /// HTTP status.
        status: u16,
    },
    /// The connection cannot be trusted or made at all.
    #[error("no usable connection")]
    Unusable {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// More decoded bytes than allowed.
    #[error("expected at most {limit_bytes} bytes, found more")]
    TooLarge {
        /// The cap.
        limit_bytes: usize,
    },
    /// More of something than a page may have.
    #[error("expected at most {limit} {what}, found more")]
    TooMany {
        /// The cap.
        limit: u64,
        /// Of what, such as `rows of 51 columns`.
        what: String,
    },
    /// A page that was asked for ahead is larger than the room it was given. It is asked for again when it is due.
    #[error("larger than expected after {tries} tries")]
    Outgrown {
        /// Requests made.
        tries: u32,
    },
    /// All requests that are made for a page were made, and one more would be needed.
    #[error("answered at the last of {tries} tries, and is to be asked for once more")]
    UsedUp {
        /// Requests made.
        tries: u32,
    },
    /// Whoever asked does not wait any more, since the run ends.
    #[error("interrupted")]
    Interrupted,
    /// The time allowed is used up.
    #[error("no time left after {tries} tries")]
    Deadline {
        /// Requests made.
        tries: u32,
    },
}

impl PortalError {
    /// Whether there was no connection that a request could be made on.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoAnswer { is_connected: false, .. } | Self::Unusable { .. })
    }
}
