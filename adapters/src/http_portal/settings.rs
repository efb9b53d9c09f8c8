//! Settings of the portal client: limits, timeouts, retries.

use std::time::Duration;

use reqwest::Certificate;
use url::Url;

/// The live portal.
pub const LIVE_ORIGIN: &str = "https://educationdata.urban.org";

/// Maximum size of a body in bytes after decompression. A page of 10,000 rows of the portal's widest dataset, the finances
/// of school districts with 134 fields, is about 40 MB.
const MAX_BODY_BYTES: usize = 44 << 20;

/// Settings of the portal client.
#[derive(Debug, Clone)]
pub struct PortalSettings {
    /// Scheme, host and port.
    pub origin: Url,
    /// Trusted root certificates; `None` for the system's.
    pub roots: Option<Vec<Certificate>>,
    /// Maximum number of requests in flight, across all partitions.
    pub in_flight: usize,
    /// Maximum time to connect.
    pub connect_timeout: Duration,
    /// Maximum time without receiving a byte.
    pub idle_timeout: Duration,
    /// Maximum time for one try, from its start to the last byte.
    pub total_timeout: Duration,
    /// Maximum size of a body in bytes after decompression.
    pub body_limit_bytes: usize,
    /// Maximum memory in bytes for bodies and decoded pages. A single page may exceed it. The number of requests in flight
    /// may limit them further.
    pub max_page_memory_bytes: usize,
    /// Maximum number of requests for one page.
    pub tries: u32,
    /// Upper bound of the wait before the second try. It doubles with each subsequent try.
    pub backoff: Duration,
    /// Upper bound of any wait, including one requested by the portal.
    pub max_backoff: Duration,
}

impl PortalSettings {
    /// Returns the default settings for an origin.
    ///
    /// The timeouts allow for a portal that takes 0.1 to 29 s for the same request, and whose own client waits up to 180 s.
    #[must_use]
    pub fn new(origin: Url) -> Self {
        Self {
            origin,
            roots: None,
            in_flight: 8,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(180),
            body_limit_bytes: MAX_BODY_BYTES,
            max_page_memory_bytes: usize::MAX,
            tries: 4,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
        }
    }
}
