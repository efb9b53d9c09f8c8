//! Single requests, from connecting to the last byte of the response.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use rollcall_core::error::chain;
use rollcall_core::memory::{Memory, Room};
use rollcall_core::ports::BoxError;
use rollcall_core::text::{excerpt, web_page};
use url::Url;

use crate::http_portal::backoff::parse_retry_after;
use crate::http_portal::body::{BodyDecoder, BodyError};
use crate::http_portal::buffers::Buffers;
use crate::http_portal::origin::BadOrigin;
use crate::http_portal::request_failure::{RequestFailure, causes};
use crate::http_portal::settings::PortalSettings;
use crate::http_portal::time_limit::TimeLimit;
use crate::secret::forms::Forms;

/// Bytes of an error response's body that are read for the excerpt.
const EXCERPT_BYTES: usize = 1024;

/// In messages, replaces text from the portal that repeats the secret.
const OMITTED: &str = "(omitted: it repeats the secret)";

/// Bytes of memory counted for each byte of a body: its decoded columns take about as much memory as the body itself.
const BYTES_PER_BYTE: usize = 2;

/// Memory in bytes for bodies and decoded pages, for each request in flight: one page of 10,000 rows and nine columns,
/// and part of another.
const PAGE_MEMORY: usize = 4 << 20;

// With less, no page would be prefetched.
const _: () = assert!(PAGE_MEMORY >= BYTES_PER_BYTE * 1_500_000);

/// A body, and the room it took unless the caller provided room.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) room: Option<Room>,
}

/// Sends single requests and reads their responses. Clones share the connections.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client,
    buffers: Buffers,
    pub(super) page_memory: Memory,
    pub(super) settings: Arc<PortalSettings>,
    secret: Option<Arc<SentSecret>>,
}

/// A secret that is sent in a header and never shown.
struct SentSecret {
    name: HeaderName,
    value: HeaderValue,
    forms: Forms,
}

impl HttpClient {
    /// Builds the client.
    ///
    /// # Errors
    /// [`BadOrigin::SecretInClear`] or [`BadOrigin::Client`].
    pub(super) fn new(settings: PortalSettings, secret: Option<(HeaderName, HeaderValue)>) -> Result<Self, BadOrigin> {
        // The process has one crypto provider: the first call sets it; later calls have no effect.
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
        } else if is_loopback && settings.origin.scheme() == "http" {
            // Nothing uses TLS, not even a proxy. Reading the system's certificates takes longer than a small run.
            builder = builder.tls_certs_only([]);
        }
        let in_flight = settings.in_flight.max(1);
        Ok(Self {
            client: builder.build().map_err(BadOrigin::Client)?,
            buffers: Buffers::new(in_flight),
            page_memory: Memory::new((PAGE_MEMORY * in_flight).min(settings.max_page_memory_bytes)),
            settings: Arc::new(settings),
            secret: secret.map(|(name, value)| {
                let forms = Forms::new(value.as_bytes());
                Arc::new(SentSecret { name, value, forms })
            }),
        })
    }

    /// Sends one request and reads the whole response.
    ///
    /// - `max_bytes`: maximum size of the body, for a prefetched page.
    pub(super) async fn attempt(&self, url: Url, max_bytes: Option<usize>) -> Result<Received, RequestFailure> {
        let mut request = self.client.get(url);
        if let Some(secret) = &self.secret {
            request = request.header(&secret.name, &secret.value);
        }
        let mut time_limit = TimeLimit::new(self.settings.total_timeout);
        let response = time_limit.spend(request.send()).await?.map_err(|error| self.no_response(error))?;
        let status = response.status();
        if status == StatusCode::OK {
            let received = self.read(response, &mut time_limit, max_bytes).await?;
            // Checked before the body is decoded, because rows and messages about invalid pages quote it.
            if self.contains_secret(&received.bytes) {
                return Err(RequestFailure::RepeatsSecret { status: 200 });
            }
            return Ok(received);
        }
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| parse_retry_after(value, Timestamp::now()));
        let location = response.headers().get(LOCATION);
        let text = match location.map(|value| format!("redirect to {}", self.quote(value.as_bytes()))) {
            Some(location) => location,
            None => self.quote(&read_start(response, &mut time_limit).await),
        };
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            Err(RequestFailure::Status { status: status.as_u16(), excerpt: text, retry_after })
        } else {
            Err(RequestFailure::Refused { status: status.as_u16(), excerpt: text })
        }
    }

    /// Reads the whole body, which must stay within the limit after decompression. If the page is the next one due,
    /// waits for memory as the body grows. A prefetched page never waits for memory.
    async fn read(
        &self,
        mut response: Response,
        time_limit: &mut TimeLimit,
        max_bytes: Option<usize>,
    ) -> Result<Received, RequestFailure> {
        let limit_bytes = self.settings.body_limit_bytes;
        let mut room = max_bytes.is_none().then(|| self.page_memory.room());
        let body_error = |error| match error {
            BodyError::TooLarge => RequestFailure::TooLarge { limit_bytes },
            BodyError::Malformed(error) => RequestFailure::NoResponse { is_connected: true, source: error.into() },
        };
        let mut body = BodyDecoder::new(response.headers(), limit_bytes, self.buffers.take()).map_err(|found| {
            RequestFailure::Refused { status: 200, excerpt: format!("content encoding {}", self.quote(&found)) }
        })?;
        body.check_content_length(response.content_length().unwrap_or(0)).map_err(body_error)?;
        while let Some(chunk) = time_limit.spend(response.chunk()).await?.map_err(|error| self.no_response(error))? {
            for piece in chunk.chunks(body.piece_bytes()) {
                body.push(piece).map_err(body_error)?;
                let n_bytes = body.n_bytes();
                make_room(room.as_mut(), n_bytes, max_bytes).await?;
            }
        }
        let bytes = body.finish().map_err(body_error)?;
        make_room(room.as_mut(), bytes.len(), max_bytes).await?;
        Ok(Received { bytes: self.buffers.lend(bytes), room })
    }

    fn contains_secret(&self, text: &[u8]) -> bool {
        self.secret.as_ref().is_some_and(|secret| secret.forms.occur_in(text))
    }

    /// Quotes text from the portal for a message. The whole text is searched for the secret before it is shortened.
    fn quote(&self, text: &[u8]) -> String {
        match self.contains_secret(text) {
            true => OMITTED.to_owned(),
            false => {
                let text = String::from_utf8_lossy(text);
                web_page(&text).unwrap_or_else(|| excerpt(text.trim()))
            }
        }
    }

    /// Returns why there is no response. The cause may quote text from the portal, such as the names in its certificate.
    fn no_response(&self, error: reqwest::Error) -> RequestFailure {
        // The outer message contains the URL without its query, which stays out of logs.
        let error = error.without_url();
        let is_certificate = causes(&error)
            .any(|cause| matches!(cause.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_))));
        let (is_usable, is_connected) = (!is_certificate && !error.is_builder(), !error.is_connect());
        let is_secret_in_cause = self.contains_secret(format!("{error:?} {}", chain(&error)).as_bytes());
        let source: BoxError = match in_words(&error) {
            _ if is_secret_in_cause => OMITTED.into(),
            Some(words) => words.into(),
            None => error.into(),
        };
        if is_usable { RequestFailure::NoResponse { is_connected, source } } else { RequestFailure::Unusable(source) }
    }
}

/// Returns why there is no connection, in plain words, if the cause is a common one.
fn in_words(error: &reqwest::Error) -> Option<&'static str> {
    causes(error).find_map(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => Some("connection refused"),
            Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => Some("network unreachable"),
            // The resolver's error has no kind of its own.
            _ if cause.to_string().starts_with("failed to lookup address information") => Some("host name not found"),
            _ => None,
        }
    })
}

/// Makes room for `n_bytes` of a body. Fails if the body has outgrown the maximum set for it.
async fn make_room(room: Option<&mut Room>, n_bytes: usize, max_bytes: Option<usize>) -> Result<(), RequestFailure> {
    if let Some(room) = room {
        room.hold(BYTES_PER_BYTE * n_bytes).await;
    }
    if max_bytes.is_some_and(|max_bytes| n_bytes > max_bytes) { Err(RequestFailure::Outgrown) } else { Ok(()) }
}

/// Reads the start of a body to quote it, and decompresses it if possible.
async fn read_start(mut response: Response, time_limit: &mut TimeLimit) -> Vec<u8> {
    let Ok(mut body) = BodyDecoder::new(response.headers(), EXCERPT_BYTES, Vec::new()) else { return Vec::new() };
    while let Ok(Ok(Some(chunk))) = time_limit.spend(response.chunk()).await {
        if body.push(&chunk).is_err() {
            break;
        }
    }
    body.into_partial()
}
