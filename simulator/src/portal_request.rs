//! A request to the simulated portal.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, HOST, HeaderMap};
use hyper::{Method, Request};

use crate::query::Query;

/// The parts of a request that its response depends on.
#[derive(Debug)]
pub(crate) struct PortalRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Query as sent.
    pub(crate) query_text: String,
    pub(crate) query: Query,
    /// Scheme, host and port that the client used.
    pub(crate) origin: String,
    pub(crate) accepts_gzip: bool,
}

impl PortalRequest {
    /// Reads a request.
    ///
    /// - `address`: address of the simulator, for requests without a valid `Host`.
    pub(crate) fn from_http(request: &Request<Incoming>, address: SocketAddr) -> PortalRequest {
        let query_text = request.uri().query().unwrap_or_default().to_owned();
        let text =
            |headers: &HeaderMap, name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let encodings = text(request.headers(), ACCEPT_ENCODING).unwrap_or_default();
        PortalRequest {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: Query::parse(&query_text),
            query_text,
            origin: origin(text(request.headers(), HOST).as_deref(), address),
            accepts_gzip: encodings.split(',').any(|encoding| encoding.trim().starts_with("gzip")),
        }
    }
}

/// Returns the origin for links, which point to the host that the client used, as Django's do.
fn origin(host: Option<&str>, address: SocketAddr) -> String {
    let is_host = |host: &&str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]_".contains(&byte))
    };
    host.filter(is_host).map_or_else(|| format!("http://{address}"), |host| format!("http://{host}"))
}
