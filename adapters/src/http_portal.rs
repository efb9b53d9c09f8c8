//! The portal over HTTP: one client, one limit on requests in flight, and retries within a deadline.

pub(crate) mod backoff;
mod body;
mod buffers;
mod client;
mod meter;
mod origin;
mod request_failure;
mod settings;
mod time_limit;

use std::sync::Arc;
use std::time::Duration;

use backon::Retryable;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use rollcall_core::cost::Metered;
use rollcall_core::memory::{Memory, Room};
use rollcall_core::ports::{BoxError, PageRequest, Portal, PortalError, Reading, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

pub use crate::http_portal::origin::{BadOrigin, parse_origin, without_userinfo};
pub use crate::http_portal::settings::{LIVE_ORIGIN, PortalSettings};

use crate::http_portal::backoff::FullJitter;
use crate::http_portal::client::{HttpClient, Received};
use crate::http_portal::meter::Meter;
use crate::http_portal::origin::API_PATH;
use crate::http_portal::request_failure::RequestFailure;

/// Memory in bytes for partitions, excluding their pages, per request in flight: one partition of 100,000 rows and nine
/// columns.
const PARTITION_MEMORY: usize = 6 << 20;

/// The portal over HTTP. Clones share the client and the limit on requests in flight.
#[derive(Clone)]
pub struct HttpPortal {
    client: HttpClient,
    root: Url,
    /// One permit for each request in flight.
    permits: Arc<Semaphore>,
    partition_memory: Memory,
    deadline: Option<Instant>,
    on_retry: Option<OnRetry>,
    meter: Arc<Meter>,
}

/// Learns that a request, or a whole partition, is tried again.
pub type OnRetry = Arc<dyn Fn(NextTry<'_>) + Send + Sync>;

/// What is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// A request.
    Request,
    /// A whole partition, with new requests for its pages.
    Partition,
}

/// The next try of something that failed.
#[derive(Debug, Clone, Copy)]
pub struct NextTry<'r> {
    /// What is tried again.
    pub what: Retried,
    /// Why there is another try, in a few words.
    pub reason: &'r str,
    /// Time until then.
    pub wait: Duration,
    /// Its number; the first try has number 1.
    pub number: u32,
    /// Maximum number of tries.
    pub limit: u32,
}

impl HttpPortal {
    /// Builds the client.
    ///
    /// - `secret`: a header sent with every request, see [`crate::secret::header`].
    ///
    /// # Errors
    /// [`BadOrigin::SecretInClear`] if there is a secret and the origin neither uses `https` nor is this machine;
    /// [`BadOrigin::Client`] if TLS cannot be set up.
    pub fn new(settings: PortalSettings, secret: Option<(HeaderName, HeaderValue)>) -> Result<Self, BadOrigin> {
        let mut root = settings.origin.clone();
        root.set_path(API_PATH);
        let in_flight = settings.in_flight.max(1);
        Ok(Self {
            client: HttpClient::new(settings, secret)?,
            root,
            permits: Arc::new(Semaphore::new(in_flight)),
            partition_memory: Memory::new(PARTITION_MEMORY * in_flight),
            deadline: None,
            on_retry: None,
            meter: Arc::default(),
        })
    }

    /// Returns the same portal with a deadline: every wait and every request ends by then. What it costs is counted anew.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), meter: Arc::default(), ..self.clone() }
    }

    /// Returns the same portal, which reports each retry.
    #[must_use]
    pub fn reporting_retries(&self, on_retry: OnRetry) -> Self {
        Self { on_retry: Some(on_retry), ..self.clone() }
    }

    fn report_retry(&self, next: NextTry<'_>) {
        if let Some(on_retry) = &self.on_retry {
            on_retry(next);
        }
    }

    /// Waits before the next try of a whole partition.
    ///
    /// - `tries`: tries so far, at least 1.
    /// - `limit`: maximum number of tries.
    /// - `reason`: why there is another try, in a few words.
    pub async fn pause(&self, tries: u32, limit: u32, reason: &str) {
        let wait = FullJitter::new(&self.client.settings, tries).draw();
        self.report_retry(NextTry { what: Retried::Partition, reason, wait, number: tries + 1, limit });
        // If the deadline cuts this wait short, the next request reports it.
        let _ = self.before_deadline(tokio::time::sleep(wait)).await;
    }

    /// Awaits `work`. Returns `None` if the deadline passes first.
    async fn before_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.time_left() {
            // `timeout` would start the work first, and so send a request.
            Some(Duration::ZERO) => None,
            Some(left) => tokio::time::timeout(left, work).await.ok(),
            None => Some(work.await),
        }
    }

    /// Returns the time left before the deadline, or `None` without a deadline.
    fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for a permit, then requests one page and reads its body, retrying transient failures and invalid bodies.
    ///
    /// The page keeps its permit until it is read, so that no more bodies wait to be read than requests are allowed in
    /// flight.
    async fn transfer<T>(
        self,
        url: Url,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T>,
    ) -> Result<Response<T>, PortalError> {
        let PageRequest { mut tries, room: page_room } = request;
        let limit = self.client.settings.tries;
        if tries >= limit {
            return Err(PortalError::UsedUp { n_requests: tries, last_failure: None });
        }
        let max_bytes = page_room.as_ref().map(Room::n_bytes);
        let permit = self.before_deadline(self.permits.acquire()).await.ok_or(PortalError::Deadline { tries })?;
        let _permit = permit.map_err(|error| PortalError::Unusable { source: error.into() })?;
        loop {
            // An invalid page, or the wait after it, may have taken the rest of the time.
            if self.time_left() == Some(Duration::ZERO) {
                return Err(PortalError::Deadline { tries });
            }
            tracing::debug!(path = url.path(), page, "page requested");
            let received;
            (received, tries) = self.attempts(&url, tries, max_bytes).await?;
            let Received { bytes, room } = received;
            let (size_bytes, received_at, has_tries_left) = (bytes.len(), Timestamp::now(), tries < limit);
            tracing::debug!(path = url.path(), page, size_bytes, "page received");
            match read(&bytes) {
                Reading::Invalid { reason, .. } if has_tries_left => {
                    tracing::warn!(path = url.path(), page, tries, reason, "retrying invalid page");
                    drop((bytes, room));
                    self.pause(tries, limit, "invalid page").await;
                }
                Reading::Done(result) | Reading::Invalid { result, .. } => {
                    let room = page_room.or(room);
                    return Ok(Response { result, size_bytes, received_at, tries, has_tries_left, room });
                }
            }
        }
    }

    /// Sends requests until one succeeds, one fails permanently, or no try is left. Returns the response and the number of
    /// requests made so far.
    async fn attempts(
        &self,
        url: &Url,
        mut tries: u32,
        max_bytes: Option<usize>,
    ) -> Result<(Received, u32), PortalError> {
        let waits = FullJitter::new(&self.client.settings, tries + 1);
        let (limit, mut number) = (self.client.settings.tries, tries + 1);
        let result = (|| {
            tries += 1;
            let url = url.clone();
            async move {
                let sent = Instant::now();
                let attempt = self.before_deadline(self.client.attempt(url, max_bytes)).await;
                self.meter.count(sent.elapsed(), attempt.as_ref().and_then(|attempt| attempt.as_ref().ok()));
                attempt.unwrap_or(Err(RequestFailure::Deadline))
            }
        })
        .retry(waits)
        .sleep(tokio::time::sleep)
        .when(RequestFailure::is_retryable)
        .adjust(|failure, wait| {
            let wait = wait?;
            let wait = failure.retry_after().map_or(wait, |requested| requested.min(self.client.settings.max_backoff));
            // Waiting past the deadline would only replace this failure with a less informative one.
            self.time_left().is_none_or(|left| wait < left).then_some(wait)
        })
        .notify(|failure, wait| {
            tracing::warn!(path = url.path(), reason = %failure, wait_ms = wait.as_millis(), "retrying request");
            number += 1;
            let reason = &failure.to_string();
            self.report_retry(NextTry { what: Retried::Request, reason, wait, number, limit });
        })
        .await;
        match result {
            Ok(received) => Ok((received, tries)),
            Err(failure) => Err(failure.into_portal_error(tries)),
        }
    }
}

impl Portal for HttpPortal {
    fn root(&self) -> &Url {
        &self.root
    }

    fn metered(&self) -> Metered {
        self.meter.read()
    }

    fn page_memory(&self) -> Memory {
        self.client.page_memory.clone()
    }

    fn partition_memory(&self) -> Memory {
        self.partition_memory.clone()
    }

    async fn hold(&self, room: &mut Room, n_bytes: usize) -> Result<(), PortalError> {
        self.before_deadline(room.hold(n_bytes)).await.ok_or(PortalError::Deadline { tries: 0 })
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let unusable = |source: BoxError| PortalError::Unusable { source };
        let mut url = self.root.join(path).map_err(|error| unusable(error.into()))?;
        if page > 1 {
            url.query_pairs_mut().append_pair("page", &page.to_string());
        }
        // In a task of its own, so that bytes keep arriving, pages are read and the next requests are sent while the
        // caller works on an earlier page, on another core if there is one. Dropping this future aborts the task.
        let transfer = self.clone().transfer(url, page, request, read);
        let transfer = AbortOnDropHandle::new(tokio::spawn(transfer)).await;
        transfer.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(unusable(error.into())),
        })
    }
}
