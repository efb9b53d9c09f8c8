//! Pages over HTTP/1.1, without a library: connections that stay open, and bodies that go straight from the socket into
//! buffers that are used again.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use rollcall_limit::{Columns, scan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Size of the buffer that the start of a response is read into.
const HEAD_BYTES: usize = 1024;

/// The columns of a page, and the number of rows of its partition.
pub(crate) struct Page {
    pub(crate) columns: Columns,
    pub(crate) count: usize,
}

/// Things to use again, most recently used first, because their memory is most likely still in the processor's cache.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pool<T> {
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn put_back(&self, thing: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
    }
}

/// Requests pages. The caller limits how many at once.
pub(crate) struct Client {
    authority: String,
    /// One permit for each body that may be received at once.
    receiving: Semaphore,
    connections: Pool<TcpStream>,
    bodies: Pool<Vec<u8>>,
    pub(crate) columns: Pool<Columns>,
}

impl Client {
    /// Returns a client without connections.
    ///
    /// - `n_bodies`: how many bodies it receives at once. Further responses wait in the system's buffers, which keeps
    ///   memory small and in the processor's cache.
    pub(crate) fn new(origin: &str, n_bodies: usize) -> anyhow::Result<Self> {
        let authority = origin.strip_prefix("http://").context("expected an origin that starts with http://")?;
        Ok(Self {
            authority: authority.trim_end_matches('/').to_owned(),
            receiving: Semaphore::new(n_bodies),
            connections: Pool::default(),
            bodies: Pool::default(),
            columns: Pool::default(),
        })
    }

    /// Requests one page, receives it as a whole, and scans it.
    pub(crate) async fn page(&self, year: u16, grade: &str, page: usize) -> anyhow::Result<Page> {
        let path = format!("/api/v1/schools/ccd/enrollment/{year}/{grade}/?page={page}");
        let mut stream = match self.connections.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.authority);
        stream.write_all(request.as_bytes()).await?;
        // The first byte of the response. `readable` alone may still report the end of the previous one.
        stream.peek(&mut [0]).await?;
        let _permit = self.receiving.acquire().await?;
        let mut body = self.bodies.take().unwrap_or_default();
        receive(&mut stream, &mut body).await.with_context(|| format!("receive {path}"))?;
        self.connections.put_back(stream);
        let mut columns = self.columns.take().unwrap_or_default();
        let count = scan(&body, &mut columns).with_context(|| format!("scan {path}: expected another form of page"))?;
        self.bodies.put_back(body);
        Ok(Page { columns, count: usize::try_from(count)? })
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Receives the body of one response.
async fn receive(stream: &mut TcpStream, body: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let (head, start) = loop {
        if stream.read_buf(&mut head).await? == 0 {
            bail!("expected a response, found the end of the connection");
        }
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break head.split_at(end + 4);
        }
    };
    let length = content_length(head).context("expected HTTP 200 and the length of the body")?;
    body.clear();
    body.reserve_exact(length);
    body.extend_from_slice(start);
    while body.len() < length {
        // Straight into the body: the portal sends nothing after it before the next request.
        if stream.read_buf(body).await? == 0 {
            bail!("expected {length} bytes, received {}", body.len());
        }
    }
    Ok(())
}

/// Returns the length of a successful response's body.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    lines.next()?.strip_prefix("HTTP/1.1 200 ")?;
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.trim().parse().ok()
}
