//! One request, from its first byte to the last of its response.

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
use rollcall_core::text::excerpt;
use url::Url;

use crate::http_portal::backoff::parse_retry_after;
use crate::http_portal::body::{BadBody, Unpacker};
use crate::http_portal::buffers::Buffers;
use crate::http_portal::origin::BadOrigin;
use crate::http_portal::request_failure::{RequestFailure, causes};
use crate::http_portal::settings::PortalSettings;
use crate::http_portal::time_limit::TimeLimit;
use crate::secret::forms::Forms;

/// Bytes of an error's body that are read for its excerpt.
const EXCERPT_BYTES: usize = 1024;

/// Bytes of an answer that are unpacked before memory for them is counted.
const PIECE_BYTES: usize = 1024;

/// What stands in a message for a text of the portal that repeats the secret.
const LEFT_OUT: &str = "(left out: it repeats the secret)";

/// Bytes of memory for each byte of a body that arrives: its rows as columns take about as much as it does.
const BYTES_PER_BYTE: usize = 2;

/// Memory for bodies and decoded pages, for each request in flight: a page of 10,000 rows of nine columns, and a part of one.
const PAGE_MEMORY: usize = 4 << 20;

// Else no page would be asked for ahead.
const _: () = assert!(PAGE_MEMORY >= BYTES_PER_BYTE * 1_500_000);

/// A body, and the room that it took where none was given.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) room: Option<Room>,
}

/// Makes single requests and reads their responses. Clones share the connections.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client,
    buffers: Buffers,
    pub(super) page_memory: Memory,
    pub(super) settings: Arc<PortalSettings>,
    secret: Option<Arc<SentSecret>>,
}

/// What is sent in a header and shown nowhere.
struct SentSecret {
    name: HeaderName,
    value: HeaderValue,
    forms: Forms,
}

impl HttpClient {
    /// Builds the client.
    ///
    /// # Errors
    /// [`BadOrigin::SecretInClear`], [`BadOrigin::Client`].
    pub(super) fn new(settings: PortalSettings, secret: Option<(HeaderName, HeaderValue)>) -> Result<Self, BadOrigin> {
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
        let in_flight = settings.in_flight.max(1);
        Ok(Self {
            client: builder.build().map_err(BadOrigin::Client)?,
            buffers: Buffers::new(in_flight),
            page_memory: Memory::new(PAGE_MEMORY * in_flight),
            settings: Arc::new(settings),
            secret: secret.map(|(name, value)| {
                let forms = Forms::of(value.as_bytes());
                Arc::new(SentSecret { name, value, forms })
            }),
        })
    }

    /// One request, read to its end.
    ///
    /// - `most_bytes`: for a page asked for ahead, those that it may take.
    pub(super) async fn attempt(&self, url: Url, most_bytes: Option<usize>) -> Result<Received, RequestFailure> {
        let mut request = self.client.get(url);
        if let Some(secret) = &self.secret {
            request = request.header(&secret.name, &secret.value);
        }
        let mut time_limit = TimeLimit::new(self.settings.total_timeout);
        let response = time_limit.spend(request.send()).await?.map_err(|error| self.no_answer(error))?;
        let status = response.status();
        if status == StatusCode::OK {
            let received = self.read(response, &mut time_limit, most_bytes).await?;
            // Before anything is read from it: what is said of a bad page, and rows, come from the body.
            if self.is_secret_in(&received.bytes) {
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

    /// The whole body, as long as it stays within the limit once it is unpacked. That of the page which is due waits for
    /// memory as it grows; one that was asked for ahead waits for nothing.
    async fn read(
        &self,
        mut response: Response,
        time_limit: &mut TimeLimit,
        most_bytes: Option<usize>,
    ) -> Result<Received, RequestFailure> {
        let limit_bytes = self.settings.body_limit_bytes;
        let mut room = most_bytes.is_none().then(|| self.page_memory.room());
        let bad = |error| match error {
            BadBody::TooLarge => RequestFailure::TooLarge { limit_bytes },
            BadBody::Torn(error) => RequestFailure::NoAnswer { is_connected: true, source: error.into() },
        };
        let mut body = Unpacker::new(response.headers(), limit_bytes, self.buffers.take()).map_err(|found| {
            RequestFailure::Refused { status: 200, excerpt: format!("content encoding {}", self.quote(&found)) }
        })?;
        body.check_announced(response.content_length().unwrap_or(0)).map_err(bad)?;
        while let Some(chunk) = time_limit.spend(response.chunk()).await?.map_err(|error| self.no_answer(error))? {
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
    fn no_answer(&self, error: reqwest::Error) -> RequestFailure {
        // The URL is in the message that wraps this; its query stays out of logs.
        let error = error.without_url();
        let is_certificate = causes(&error)
            .any(|cause| matches!(cause.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_))));
        let (is_usable, is_connected) = (!is_certificate && !error.is_builder(), !error.is_connect());
        let is_secret_in_cause = self.is_secret_in(format!("{error:?} {}", chain(&error)).as_bytes());
        let source: BoxError = if is_secret_in_cause { LEFT_OUT.into() } else { error.into() };
        if is_usable { RequestFailure::NoAnswer { is_connected, source } } else { RequestFailure::Unusable(source) }
    }
}

/// Makes room for so many bytes of a body, or finds that it has outgrown the room that it was given.
async fn make_room(room: Option<&mut Room>, n_bytes: usize, most_bytes: Option<usize>) -> Result<(), RequestFailure> {
    if let Some(room) = room {
        room.hold(BYTES_PER_BYTE * n_bytes).await;
    }
    if most_bytes.is_some_and(|most_bytes| n_bytes > most_bytes) { Err(RequestFailure::Outgrown) } else { Ok(()) }
}

/// The start of a body that is only quoted, unpacked where that can be done.
async fn read_start(mut response: Response, time_limit: &mut TimeLimit) -> Vec<u8> {
    let Ok(mut body) = Unpacker::new(response.headers(), EXCERPT_BYTES, Vec::new()) else { return Vec::new() };
    while let Ok(Ok(Some(chunk))) = time_limit.spend(response.chunk()).await {
        if body.push(&chunk).is_err() {
            break;
        }
    }
    body.so_far()
}
