//! A portal on loopback that sends scripted responses: truncated, stalled, trickling, or with a wrong length.
//!
//! It stands in front of a simulator and passes the simulator's whole response to the script. It works on raw sockets,
//! since a correct HTTP server cannot send such responses.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;

/// A step of a script. The connection closes after the last step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends the same bytes repeatedly until the client hangs up.
    Repeat {
        /// The bytes.
        bytes: Vec<u8>,
        /// Maximum number of repetitions.
        times: usize,
    },
    /// Sends one byte at a time and waits after each.
    Drip {
        /// The bytes.
        bytes: Vec<u8>,
        /// Wait after each byte.
        each: Duration,
    },
    /// Sends nothing more until the client hangs up.
    Stall,
    /// Resets the connection, as the system does when a server crashes.
    Reset,
}

/// The response of the simulator.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status line and headers, with the empty line that ends them.
    pub head: String,
    /// Uncompressed body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the head and the body.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    /// Returns the response with these headers instead of its own, each ending in CRLF. Only the content type is kept.
    #[must_use]
    pub fn with_headers(&self, headers: &str) -> Self {
        // A client that reused the connection would lose a request when the connection closes.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}\r\n");
        Self { head, body: self.body.clone() }
    }

    /// Returns the response with another body and its correct length.
    #[must_use]
    pub fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let with_length = self.with_headers(&format!("content-length: {}\r\n", body.len()));
        Self { body, ..with_length }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Request line and headers.
    pub head: String,
    /// Path and query.
    pub target: String,
    /// Number of this request among those for the same target, 1-based.
    pub n: usize,
}

/// Returns the steps for a request and the simulator's response to it.
type Script = dyn Fn(&Request, &Response) -> Vec<Step> + Send + Sync;

/// A portal that follows a script. Dropping it closes its connections.
pub struct RawPortal {
    server: Server,
    requests: Arc<Mutex<Vec<Request>>>,
}

fn lock(requests: &Mutex<Vec<Request>>) -> MutexGuard<'_, Vec<Request>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RawPortal {
    /// Listens on a free port in front of the simulator at `simulator`.
    #[must_use]
    pub fn before(
        simulator: SocketAddr,
        script: impl Fn(&Request, &Response) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let (script, requests): (Arc<Script>, Arc<Mutex<Vec<Request>>>) = (Arc::new(script), Arc::default());
        let log = requests.clone();
        let server = Server::start(move |mut connection| {
            let (script, log) = (script.clone(), log.clone());
            async move {
                // The client or the script may end the connection at any time.
                let _ = serve(&mut connection, simulator, &*script, &log).await;
            }
        });
        Self { server, requests }
    }

    /// Returns its origin, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Returns the requests so far whose target contains `text`.
    #[must_use]
    pub fn requests(&self, text: &str) -> Vec<Request> {
        lock(&self.requests).iter().filter(|request| request.target.contains(text)).cloned().collect()
    }
}

async fn serve(
    connection: &mut TcpStream,
    simulator: SocketAddr,
    script: &Script,
    log: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let head = read_head(connection).await?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let response = fetch(simulator, &target, connection.local_addr()?).await?;
    let request = {
        let mut log = lock(log);
        let n = log.iter().filter(|request| request.target == target).count() + 1;
        log.push(Request { head, target, n });
        log[log.len() - 1].clone()
    };
    for step in script(&request, &response) {
        match step {
            Step::Send(bytes) => connection.write_all(&bytes).await?,
            Step::Repeat { bytes, times } => {
                for _ in 0..times {
                    connection.write_all(&bytes).await?;
                }
            }
            Step::Drip { bytes, each } => {
                for byte in bytes {
                    connection.write_all(&[byte]).await?;
                    tokio::time::sleep(each).await;
                }
            }
            Step::Stall => drop(connection.read(&mut [0]).await?),
            // With a linger time of zero, closing a connection resets it.
            Step::Reset => return connection.set_zero_linger(),
        }
    }
    connection.shutdown().await
}

async fn read_head(connection: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Returns the simulator's response, whose links point to `host`.
async fn fetch(simulator: SocketAddr, target: &str, host: SocketAddr) -> io::Result<Response> {
    let mut connection = TcpStream::connect(simulator).await?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let head = read_head(&mut connection).await?;
    let mut body = Vec::new();
    connection.read_to_end(&mut body).await?;
    Ok(Response { head, body })
}
