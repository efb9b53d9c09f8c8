//! The server: connections in, answers out, and what a test may ask of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, HOST, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::answer::AnswerBody;
use crate::config::Config;
use crate::fault::{Action, Fault, Script};
use crate::log::{Log, SeenRequest};
use crate::query::Query;
use crate::responder::{PageRequest, Portal};

/// The simulated portal, not yet running.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Listens on `address` (port 0 takes a free one) and serves from tasks of the current tokio runtime.
    ///
    /// # Errors
    /// What the system says when it cannot listen there.
    pub async fn start(mut config: Config, address: SocketAddr) -> io::Result<Running> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let script = Mutex::new(Script::new(std::mem::take(&mut config.faults)));
        let portal = tokio::task::spawn_blocking(|| Portal::new(config)).await.map_err(io::Error::other)?;
        let shared = Arc::new(Shared { portal: Arc::new(portal), address, script, log: Log::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Running { shared, task })
    }
}

/// A simulator at work; dropping it stops it.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Scheme, host and port, as in `http://127.0.0.1:8080`; the API begins at `/api/v1/` below it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// The requests seen so far, oldest first; the last 100,000 of them.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.log.requests()
    }

    /// Replaces all fault rules; the new ones count requests from here on.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Script::new(faults);
    }

    /// Most requests that were read and not yet answered at one time.
    pub fn max_in_flight(&self) -> usize {
        self.shared.log.max_in_flight()
    }

    /// Stops listening and closes every connection.
    pub async fn stop(mut self) {
        self.task.abort();
        // The only result is that it was aborted.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Shared {
    portal: Arc<Portal>,
    address: SocketAddr,
    script: Mutex<Script>,
    log: Log,
}

/// Serves each connection from a task of its own; they end with this one.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&shared)));
            }
            // No more file handles, say: a connection that ends gives one back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    // Neither matters to the simulator: an option of the socket, and how a client or a fault ends a connection.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(Arc::clone(&shared), request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<AnswerBody>, Disconnected> {
    let seen = seen(&request);
    let in_flight = shared.log.start(seen);
    let asked = asked(&request, shared.address);
    let actions = {
        let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.next_actions(&asked.path, asked.query.page())
    };
    let mut cut_at = None;
    for action in &actions {
        match action {
            Action::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Action::Truncate { bytes, keep_length: false } => cut_at = Some(*bytes),
            _ => {}
        }
    }
    match shared.portal.answer(asked, actions).await {
        Some(answer) => {
            in_flight.finish(answer.status.as_u16());
            Ok(answer.into_response(cut_at))
        }
        None => {
            in_flight.finish(0);
            Err(Disconnected)
        }
    }
}

fn seen(request: &Request<Incoming>) -> SeenRequest {
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

fn asked(request: &Request<Incoming>, address: SocketAddr) -> PageRequest {
    let query_text = request.uri().query().unwrap_or_default().to_owned();
    let text = |headers: &HeaderMap, name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let encodings = text(request.headers(), ACCEPT_ENCODING).unwrap_or_default();
    PageRequest {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: Query::parse(&query_text),
        query_text,
        origin: origin(text(request.headers(), HOST).as_deref(), address),
        accepts_gzip: encodings.split(',').any(|encoding| encoding.trim().starts_with("gzip")),
    }
}

/// Links name the host that the client used, as Django's do.
fn origin(host: Option<&str>, address: SocketAddr) -> String {
    let is_host = |host: &&str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]_".contains(&byte))
    };
    host.filter(is_host).map_or_else(|| format!("http://{address}"), |host| format!("http://{host}"))
}

/// A connection closed on purpose.
#[derive(Debug)]
struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("close the connection: a fault asks for it")
    }
}

impl std::error::Error for Disconnected {}
