//! The portal over HTTP: one client, one limit of requests in flight, retries inside a deadline.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::Retryable;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use rollcall_core::error::chain;
use rollcall_core::memory::{Memory, Room};
use rollcall_core::ports::{Asked, Body, BoxError, Portal, PortalError};
use rollcall_core::text::excerpt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::body::{BadBody, Unpacker};
use crate::buffers::Buffers;
use crate::redact::Forms;

/// The live portal.
pub const LIVE_ORIGIN: &str = "https://educationdata.urban.org";

/// Path of the API below the origin.
const API_PATH: &str = "/api/v1/";

/// Bytes of an error's body that are read for its excerpt.
const EXCERPT_BYTES: usize = 1024;

/// Bytes of an answer that are unpacked before memory for them is counted.
const PIECE_BYTES: usize = 1024;

/// What stands in a message for a text of the portal that repeats the secret.
const LEFT_OUT: &str = "(left out: it repeats the secret)";

/// Pages asked for ahead, for each request in flight: one on its way, one being decoded.
pub const PAGES_PER_REQUEST: usize = 2;

/// Most bytes of a body, counted after decompression. The widest page of the portal, 10,000 rows of 51 columns, has 12 MB.
const MOST_BODY_BYTES: usize = 16 << 20;

/// Memory for bodies and decoded pages, for each request in flight: a page of 10,000 rows of nine columns, and a part of one.
const PAGE_MEMORY: usize = 4 << 20;

/// Memory for partitions without their pages, for each request in flight: a partition of 100,000 rows of nine columns.
const PARTITION_MEMORY: usize = 6 << 20;

/// Bytes of memory for each byte of a body that arrives: its rows as columns take about as much as it does.
const BYTES_PER_BYTE: usize = 2;

// Else no page would be asked for ahead.
const _: () = assert!(PAGE_MEMORY >= BYTES_PER_BYTE * 1_500_000);

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
    pub most_backoff: Duration,
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
            most_backoff: Duration::from_secs(60),
        }
    }
}

/// Why an origin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadOrigin {
    /// It is no URL, or has more than a scheme, a host and a port.
    #[error(
        "expected an origin such as `{LIVE_ORIGIN}`, found `{0}`\nhint: give scheme, host and port only; `{API_PATH}` is added"
    )]
    Shape(String),
    /// A secret would be readable on the way.
    #[error(
        "send secret to `{0}`: expected https, found http\nhint: only an address of this machine may be asked in the clear"
    )]
    SecretInClear(Url),
    /// The client could not be set up.
    #[error("set up HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Reads an origin: `http` or `https`, a host, perhaps a port, nothing else.
///
/// # Errors
/// [`BadOrigin::Shape`].
pub fn parse_origin(text: &str) -> Result<Url, BadOrigin> {
    let bad = || BadOrigin::Shape(excerpt(&without_userinfo(text)));
    let url = Url::parse(text).map_err(|_| bad())?;
    let is_origin = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if is_origin { Ok(url) } else { Err(bad()) }
}

/// An origin as it was given, for a message: whatever may be a user's name and password is left out.
#[must_use]
pub fn without_userinfo(text: &str) -> String {
    // All before the last `@`, since a password may hold any sign, and a wrong one may be of no URL's shape.
    let end = [text.rfind('@').map(|at| at + 1), text.rfind("%40").map(|at| at + 3)].into_iter().flatten().max();
    let Some(rest) = end.and_then(|end| text.get(end..)) else { return text.to_owned() };
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme)).unwrap_or_default();
    format!("{scheme}…@{rest}")
}

/// The portal over HTTP. Clones share the client and the limit of requests in flight.
#[derive(Clone)]
pub struct HttpPortal {
    client: Client,
    root: Url,
    /// A request in flight each.
    permits: Arc<Semaphore>,
    buffers: Buffers,
    page_memory: Memory,
    partition_memory: Memory,
    settings: Arc<PortalSettings>,
    secret: Option<Arc<SentSecret>>,
    deadline: Option<Instant>,
}

/// What is sent in a header and shown nowhere.
struct SentSecret {
    name: HeaderName,
    value: HeaderValue,
    forms: Forms,
}

impl HttpPortal {
    /// Builds the client.
    ///
    /// - `secret`: a header sent with every request, see [`crate::secret::header`].
    ///
    /// # Errors
    /// [`BadOrigin::SecretInClear`] when there is a secret and the origin is neither `https` nor this machine;
    /// [`BadOrigin::Client`] when TLS cannot be set up.
    pub fn new(settings: PortalSettings, secret: Option<(HeaderName, HeaderValue)>) -> Result<Self, BadOrigin> {
        // The first caller's choice stands; there is one provider in the program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let mut builder = Client::builder()
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::none())
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.in_flight)
            .tcp_nodelay(true);
        let is_loopback = match settings.origin.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if secret.is_some() && settings.origin.scheme() == "http" && !is_loopback {
            return Err(BadOrigin::SecretInClear(settings.origin));
        }
        if is_loopback {
            builder = builder.no_proxy();
        }
        if let Some(roots) = &settings.roots {
            builder = builder.tls_certs_only(roots.iter().cloned());
        }
        let mut root = settings.origin.clone();
        root.set_path(API_PATH);
        Ok(Self {
            client: builder.build().map_err(BadOrigin::Client)?,
            root,
            permits: Arc::new(Semaphore::new(settings.in_flight.max(1))),
            buffers: Buffers::new(settings.in_flight.max(1)),
            page_memory: Memory::new(PAGE_MEMORY * settings.in_flight.max(1)),
            partition_memory: Memory::new(PARTITION_MEMORY * settings.in_flight.max(1)),
            settings: Arc::new(settings),
            secret: secret.map(|(name, value)| {
                let forms = Forms::of(value.as_bytes());
                Arc::new(SentSecret { name, value, forms })
            }),
            deadline: None,
        })
    }

    /// The same portal, with every wait and every request ending by `deadline`.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// Waits before something is tried again: a request, or a whole partition.
    ///
    /// - `tries`: times it was tried, at least 1.
    pub async fn pause(&self, tries: u32) {
        let wait = FullJitter::new(&self.settings, tries).draw();
        // A deadline that comes first ends the next request too, which says so.
        let _ = self.in_time(tokio::time::sleep(wait)).await;
    }

    /// Runs `work` to its end; `None` when the deadline comes first.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.time_left() {
            Some(left) => tokio::time::timeout(left, work).await.ok(),
            None => Some(work.await),
        }
    }

    /// Time left before the deadline; `None` when there is no deadline.
    fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// One page: waits for its turn, asks, asks again where that may help.
    ///
    /// A page keeps its place among the requests in flight through its retries, and gives it up with the last byte.
    async fn transfer(self, url: Url, page: u32, asked: Asked) -> Result<Body, PortalError> {
        let tries = asked.tries;
        if tries >= self.settings.tries {
            return Err(PortalError::UsedUp { tries });
        }
        let turn = self.in_time(self.permits.acquire()).await.ok_or(PortalError::Deadline { tries })?;
        let request_permit = turn.map_err(|error| PortalError::Unusable { source: error.into() })?;
        tracing::debug!(path = url.path(), page, "page requested");
        let (Received { bytes, room }, tries) = self.fetch(&url, &asked).await?;
        tracing::debug!(path = url.path(), page, size_bytes = bytes.len(), "page received");
        drop(request_permit);
        Ok(Body {
            bytes,
            received_at: Timestamp::now(),
            tries,
            may_ask_again: tries < self.settings.tries,
            permit: asked.room.or(room),
        })
    }

    /// The body of an answer, and the requests made for it so far.
    async fn fetch(&self, url: &Url, asked: &Asked) -> Result<(Received, u32), PortalError> {
        let mut n_tries = asked.tries;
        if asked.tries > 0 && !asked.was_useful {
            self.pause(asked.tries).await;
        }
        let most_bytes = asked.room.as_ref().map(Room::n_bytes);
        let waits = FullJitter::new(&self.settings, asked.tries + 1);
        let result = (|| {
            n_tries += 1;
            let url = url.clone();
            async move { self.in_time(self.attempt(url, most_bytes)).await.unwrap_or(Err(Failure::Deadline)) }
        })
        .retry(waits)
        .sleep(tokio::time::sleep)
        .when(Failure::is_retryable)
        .adjust(|failure, wait| {
            let wait = wait?;
            let wait = failure.retry_after().map_or(wait, |asked| asked.min(self.settings.most_backoff));
            // A wait past the deadline would only turn this failure into a less telling one.
            self.time_left().is_none_or(|left| wait < left).then_some(wait)
        })
        .notify(|failure, wait| {
            tracing::warn!(path = url.path(), reason = %failure, wait_ms = wait.as_millis(), "portal asked again");
        })
        .await;
        match result {
            Ok(received) => Ok((received, n_tries)),
            Err(failure) => Err(failure.after(n_tries)),
        }
    }

    /// One request, read to its end.
    ///
    /// - `most_bytes`: for a page asked for ahead, those that it may take.
    async fn attempt(&self, url: Url, most_bytes: Option<usize>) -> Result<Received, Failure> {
        let mut request = self.client.get(url);
        if let Some(secret) = &self.secret {
            request = request.header(&secret.name, &secret.value);
        }
        let mut patience = Patience { total: self.settings.total_timeout, spent: Duration::ZERO };
        let response = patience.spend(request.send()).await?.map_err(|error| self.no_answer(error))?;
        let status = response.status();
        if status == StatusCode::OK {
            let received = self.read(response, &mut patience, most_bytes).await?;
            // Before anything is read from it: what is said of a bad page, and rows, come from the body.
            if self.is_secret_in(&received.bytes) {
                return Err(Failure::RepeatsSecret { status: 200 });
            }
            return Ok(received);
        }
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| parse_retry_after(value, Timestamp::now()));
        let location = response.headers().get(LOCATION);
        let text = match location.map(|value| format!("redirect to {}", self.quote(value.as_bytes()))) {
            Some(location) => location,
            None => self.quote(&read_start(response, &mut patience).await),
        };
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            Err(Failure::Status { status: status.as_u16(), excerpt: text, retry_after })
        } else {
            Err(Failure::Refused { status: status.as_u16(), excerpt: text })
        }
    }

    /// The whole body, as long as it stays within the limit once it is unpacked. That of the page which is due waits for
    /// memory as it grows; one that was asked for ahead waits for nothing.
    async fn read(
        &self,
        mut response: Response,
        patience: &mut Patience,
        most_bytes: Option<usize>,
    ) -> Result<Received, Failure> {
        let limit_bytes = self.settings.body_limit_bytes;
        let mut room = most_bytes.is_none().then(|| self.page_memory.room());
        let bad = |error| match error {
            BadBody::TooLarge => Failure::TooLarge { limit_bytes },
            BadBody::Torn(error) => Failure::NoAnswer { is_connected: true, source: error.into() },
        };
        let mut body = Unpacker::new(response.headers(), limit_bytes, self.buffers.take()).map_err(|found| {
            Failure::Refused { status: 200, excerpt: format!("content encoding {}", self.quote(&found)) }
        })?;
        body.check_announced(response.content_length().unwrap_or(0)).map_err(bad)?;
        while let Some(chunk) = patience.spend(response.chunk()).await?.map_err(|error| self.no_answer(error))? {
            // In pieces, since a packed byte may be a thousand.
            for piece in chunk.chunks(PIECE_BYTES) {
                body.push(piece).map_err(bad)?;
                let n_bytes = body.n_bytes();
                make_room(room.as_mut(), n_bytes, most_bytes).await?;
            }
        }
        let bytes = body.finish().map_err(bad)?;
        make_room(room.as_mut(), bytes.len(), most_bytes).await?;
        Ok(Received { bytes: self.buffers.lend(bytes), room })
    }

    fn is_secret_in(&self, text: &[u8]) -> bool {
        self.secret.as_ref().is_some_and(|secret| secret.forms.are_in(text))
    }

    /// What the portal said, for a message. All of it is searched for the secret before it is cut.
    fn quote(&self, text: &[u8]) -> String {
        match self.is_secret_in(text) {
            true => LEFT_OUT.to_owned(),
            false => excerpt(String::from_utf8_lossy(text).trim()),
        }
    }

    /// Why there is no answer. A cause may quote what the portal said, such as the names in its certificate.
    fn no_answer(&self, error: reqwest::Error) -> Failure {
        // The URL is in the message that wraps this; its query stays out of logs.
        let error = error.without_url();
        let is_certificate = causes(&error)
            .any(|cause| matches!(cause.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_))));
        let (is_usable, is_connected) = (!is_certificate && !error.is_builder(), !error.is_connect());
        let is_secret_in_cause = self.is_secret_in(format!("{error:?} {}", chain(&error)).as_bytes());
        let source: BoxError = if is_secret_in_cause { LEFT_OUT.into() } else { error.into() };
        if is_usable { Failure::NoAnswer { is_connected, source } } else { Failure::Unusable(source) }
    }
}

impl Portal for HttpPortal {
    fn root(&self) -> &Url {
        &self.root
    }

    fn page_memory(&self) -> Memory {
        self.page_memory.clone()
    }

    fn partition_memory(&self) -> Memory {
        self.partition_memory.clone()
    }

    async fn hold(&self, room: &mut Room, n_bytes: usize) -> Result<(), PortalError> {
        self.in_time(room.hold(n_bytes)).await.ok_or(PortalError::Deadline { tries: 0 })
    }

    async fn get(&self, path: &str, page: u32, asked: Asked) -> Result<Body, PortalError> {
        let unusable = |source: BoxError| PortalError::Unusable { source };
        let mut url = self.root.join(path).map_err(|error| unusable(error.into()))?;
        if page > 1 {
            url.query_pairs_mut().append_pair("page", &page.to_string());
        }
        // A task of its own, so that bytes arrive and the next request leaves while the caller decodes other pages. It
        // ends with this future.
        let task = AbortOnDropHandle::new(tokio::spawn(self.clone().transfer(url, page, asked)));
        task.await.map_err(|error| unusable(error.into()))?
    }
}

/// The time that the portal may take for one request. What is spent waiting for memory is not the portal's.
struct Patience {
    total: Duration,
    spent: Duration,
}

impl Patience {
    /// What the portal says next.
    ///
    /// # Errors
    /// [`Failure::NoAnswer`] once the whole time is spent.
    async fn spend<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Failure> {
        let begun = Instant::now();
        let said = tokio::time::timeout(self.total.saturating_sub(self.spent), next).await;
        self.spent += begun.elapsed();
        said.map_err(|_| Failure::NoAnswer {
            is_connected: true,
            source: format!("expected the whole response within {} s", self.total.as_secs_f32()).into(),
        })
    }
}

/// A body, and the room that it took where none was given.
struct Received {
    bytes: Bytes,
    room: Option<Room>,
}

/// Makes room for so many bytes of a body, or finds that it has outgrown the room that it was given.
async fn make_room(room: Option<&mut Room>, n_bytes: usize, most_bytes: Option<usize>) -> Result<(), Failure> {
    if let Some(room) = room {
        room.hold(BYTES_PER_BYTE * n_bytes).await;
    }
    if most_bytes.is_some_and(|most_bytes| n_bytes > most_bytes) { Err(Failure::Outgrown) } else { Ok(()) }
}

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("HTTP {status}")]
    Status { status: u16, excerpt: String, retry_after: Option<Duration> },
    #[error("no answer")]
    NoAnswer { is_connected: bool, source: BoxError },
    #[error("HTTP {status}")]
    Refused { status: u16, excerpt: String },
    #[error("HTTP {status}, and the secret in it")]
    RepeatsSecret { status: u16 },
    #[error("no usable connection")]
    Unusable(#[source] BoxError),
    #[error("body over {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("larger than the pages before")]
    Outgrown,
    #[error("deadline")]
    Deadline,
}

impl Failure {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::NoAnswer { .. })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn after(self, tries: u32) -> PortalError {
        match self {
            Self::Status { status, excerpt, .. } => PortalError::Status { status, tries, excerpt },
            Self::NoAnswer { is_connected, source } => PortalError::NoAnswer { tries, is_connected, source },
            Self::Refused { status, excerpt } => PortalError::Refused { status, excerpt },
            Self::RepeatsSecret { status } => PortalError::RepeatsSecret { status },
            Self::Unusable(source) => PortalError::Unusable { source },
            Self::TooLarge { limit_bytes } => PortalError::TooLarge { limit_bytes },
            Self::Outgrown => PortalError::Outgrown { tries },
            Self::Deadline => PortalError::Deadline { tries },
        }
    }
}

/// An error, its source, and so on, with those that an [`io::Error`] wraps and passes over as its source.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    })
}

/// The start of a body that is only quoted, unpacked where that can be done.
async fn read_start(mut response: Response, patience: &mut Patience) -> Vec<u8> {
    let Ok(mut body) = Unpacker::new(response.headers(), EXCERPT_BYTES, Vec::new()) else { return Vec::new() };
    while let Ok(Ok(Some(chunk))) = patience.spend(response.chunk()).await {
        if body.push(&chunk).is_err() {
            break;
        }
    }
    body.so_far()
}

/// Seconds, or an HTTP date; `None` for anything else, and for dates past.
pub(crate) fn parse_retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // Digits that overflow are a very long time, which the caller cuts.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Duration::try_from(date.duration_since(now)).ok()
}

/// Waits drawn evenly between nothing and a bound that doubles with each try, so that clients spread out.
struct FullJitter {
    bound: Duration,
    most: Duration,
    n_left: u32,
}

impl FullJitter {
    /// The waits that are left after `tries` requests, at least 1.
    fn new(settings: &PortalSettings, tries: u32) -> Self {
        let n_doubled = tries.saturating_sub(1).min(16);
        Self {
            bound: settings.backoff.saturating_mul(1 << n_doubled),
            most: settings.most_backoff,
            n_left: settings.tries.saturating_sub(tries),
        }
    }

    fn draw(&mut self) -> Duration {
        let bound = self.bound.min(self.most);
        self.bound = self.bound.saturating_mul(2);
        bound.mul_f64(fastrand::f64())
    }
}

impl Iterator for FullJitter {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.n_left = self.n_left.checked_sub(1)?;
        Some(self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_retry_after_is_seconds_or_a_date_and_anything_else_is_ignored() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("7", Some(Duration::from_secs(7))),
            ("0", Some(Duration::ZERO)),
            ("1000000000", Some(Duration::from_secs(1_000_000_000))),
            ("99999999999999999999999", Some(Duration::from_secs(u64::from(u32::MAX)))),
            ("Mon, 23 Nov 2026 12:00:30 GMT", Some(Duration::from_secs(30))),
            ("Mon, 23 Nov 2026 11:00:00 GMT", None),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(text);
            assert_eq!(parse_retry_after(&value, now), expected, "{text}");
        }
    }

    #[test]
    fn waits_are_within_a_bound_that_doubles_and_end_with_the_tries() {
        let mut settings = PortalSettings::new(parse_origin(LIVE_ORIGIN).unwrap());
        settings.backoff = Duration::from_secs(1);
        settings.most_backoff = Duration::from_secs(2);
        let waits: Vec<Duration> = FullJitter::new(&settings, 1).collect();
        assert_eq!(waits.len(), 3);
        for (wait, bound) in waits.iter().zip([1, 2, 2]) {
            assert!(*wait <= Duration::from_secs(bound), "{wait:?}");
        }
    }

    #[test]
    fn an_origin_has_scheme_host_and_port_and_nothing_else() {
        for text in ["https://educationdata.urban.org", "http://127.0.0.1:8080/"] {
            parse_origin(text).unwrap();
        }
        for text in [
            "educationdata.urban.org",
            "ftp://educationdata.urban.org",
            "https://educationdata.urban.org/api/v1/",
            "https://user@educationdata.urban.org",
            "https://educationdata.urban.org/?a=1",
        ] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }

    /// Found by use: W11.
    #[test]
    fn an_origin_that_is_refused_is_shown_without_a_password() {
        for (text, expected) in [
            ("https://user:sesame@portal.test", "https://…@portal.test"),
            ("https://user:sesame@portal.test/api/", "https://…@portal.test/api/"),
            ("http://user:ses/ame?@portal.test", "http://…@portal.test"),
            ("https://user:ses@me@portal.test", "https://…@portal.test"),
            ("https://user:sesame%40portal.test", "https://…@portal.test"),
            ("https:user:sesame@portal.test", "…@portal.test"),
            ("user:sesame@portal.test", "…@portal.test"),
            ("HTTPS://sesame@portal.test", "…@portal.test"),
            ("https://portal.test/api/", "https://portal.test/api/"),
            ("portal.test", "portal.test"),
        ] {
            let error = parse_origin(text).unwrap_err();
            assert!(error.to_string().contains(&format!("found `{expected}`\n")), "{error}");
            assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
        }
    }
}
