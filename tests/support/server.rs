//! Servers on loopback, and requests that a proxy forwards.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};

/// Runs every server, so that tests without a runtime can start one.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime starts"));

/// A response whose body is in memory.
pub type Response = hyper::Response<Full<Bytes>>;

/// Addresses of both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The client's.
    pub client: SocketAddr,
    /// The server's.
    pub server: SocketAddr,
}

/// A server on a free port of loopback. Dropping it closes its connections.
pub struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Hands every connection to `serve`.
    ///
    /// # Panics
    /// If no port can be bound.
    pub fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = RUNTIME.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("the runtime takes the socket");
            // Dropping the set ends the connections along with this task.
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let _ = connection.set_nodelay(true);
                connections.spawn(serve(connection));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, accepting }
    }

    /// Serves one request per connection. An `Err` of `respond` closes the connection without a response.
    pub fn http<F>(respond: impl Fn(Ends, Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Response>> + Send + 'static,
    {
        let respond = Arc::new(respond);
        Self::start(move |connection| {
            let respond = respond.clone();
            async move {
                let (Ok(client), Ok(server)) = (connection.peer_addr(), connection.local_addr()) else { return };
                let service = service_fn(|request| respond(Ends { client, server }, request));
                // As in AWS, a request has its effect even when its client is gone.
                let mut http = server::conn::http1::Builder::new();
                let http = http.keep_alive(false).half_close(true);
                // The client may close the connection at any time.
                let _ = http.serve_connection(TokioIo::new(connection), service).await;
            }
        })
    }

    /// Returns the address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Returns a response with a body.
///
/// # Panics
/// If `status` is not an HTTP status.
pub fn response(status: u16, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a valid status");
    response
}

/// Returns the error that closes a connection.
pub fn closed() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// Sends a request to `target`, such as `127.0.0.1:4566`, over a new connection and returns the whole response.
///
/// # Errors
/// If the connection fails or is dropped before the response is complete.
pub async fn forward<B>(target: &str, request: Request<B>) -> io::Result<Response>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let connection = TokioIo::new(TcpStream::connect(target).await?);
    let (mut sender, connection) = client::conn::http1::handshake(connection).await.map_err(io::Error::other)?;
    let _connection = tokio::spawn(connection);
    let (mut head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    // These describe the connection to the target.
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    Ok(Response::from_parts(head, Full::new(body)))
}
