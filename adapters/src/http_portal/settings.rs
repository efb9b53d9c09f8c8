//! How the portal is requested: limits, timeouts, retries.

use std::time::Duration;

use reqwest::Certificate;
use url::Url;

/// The live portal.
pub const LIVE_ORIGIN: &str = "https://educationdata.urban.org";

/// Most bytes of a body, counted after decompression. The widest page of the portal, 10,000 rows of 51 columns, has 12 MB.
const MOST_BODY_BYTES: usize = 16 << 20;

/// How the portal is asked.
#[derive(Debug, Clone)]
pub struct PortalSettings {
    /// Scheme, host and port.
    pub origin: Url,
    /// Certificates that are trusted; `None`: those of the system.
    pub roots: Option<Vec<Certificate>>,
    /// Requests in flight at once, over all partitions.
    pub in_flight: usize,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time without a byte.
    pub idle_timeout: Duration,
    /// Time for one try, from its start to the last byte.
    pub total_timeout: Duration,
    /// Most bytes of a body, counted after decompression.
    pub body_limit_bytes: usize,
    /// Requests made for one page before it fails.
    pub tries: u32,
    /// Upper bound of the wait before the second try; it doubles with each further one.
    pub backoff: Duration,
    /// Upper bound of any wait, also of one that the portal asks for.
    pub max_backoff: Duration,
}

impl PortalSettings {
    /// The settings for an origin.
    ///
    /// Timeouts: the portal takes 0.1 to 29 s for the same request, and its own client waits up to 180 s.
    #[must_use]
    pub fn new(origin: Url) -> Self {
        Self {
            origin,
            roots: None,
            in_flight: 8,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(180),
            body_limit_bytes: MOST_BODY_BYTES,
            tries: 4,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
        }
    }
}
