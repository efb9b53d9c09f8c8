//! Serves the requests of one connection, with the faults that delay, cut or close it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::fault::Action;
use crate::fault::script::Script;
use crate::portal_request::PortalRequest;
use crate::request_log::{RequestLog, SeenRequest};
use crate::responder::Responder;
use crate::response_body::ResponseBody;

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) responder: Arc<Responder>,
    pub(crate) address: SocketAddr,
    pub(crate) script: Mutex<Script>,
    pub(crate) log: RequestLog,
}

/// Serves one connection until it closes.
pub(crate) async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    // Both results are irrelevant: the option is an optimization, and clients and faults drop connections.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(Arc::clone(&shared), request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Disconnected> {
    let in_flight = shared.log.start(seen_request(&request));
    let request = PortalRequest::from_http(&request, shared.address);
    let actions = {
        let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.next_actions(&request.path, request.query.page())
    };
    let mut cut_at = None;
    for action in &actions {
        match action {
            Action::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Action::Truncate { bytes, keep_length: false } => cut_at = Some(*bytes),
            _ => {}
        }
    }
    match shared.responder.respond(request, actions).await {
        Some(response) => {
            in_flight.finish(response.status.as_u16());
            Ok(response.into_http(cut_at))
        }
        None => {
            in_flight.finish(0);
            Err(Disconnected)
        }
    }
}

/// Returns the log entry for a request.
fn seen_request(request: &Request<Incoming>) -> SeenRequest {
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    SeenRequest {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request.headers().iter().map(header).collect(),
        started: Instant::now(),
        answered: None,
        status: 0,
    }
}

/// The error that makes hyper close a connection.
#[derive(Debug)]
struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("close the connection for a fault")
    }
}

impl std::error::Error for Disconnected {}
