//! A small HTTP client that shares no code with the server.

use std::io::{self, Read};
use std::net::SocketAddr;

use flate2::read::GzDecoder;
use rollcall_simulator::{Config, Fault, Running, Simulator};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Path of the partition that most tests request.
pub(crate) const PREK: &str = "/api/v1/schools/ccd/enrollment/2021/grade-pk/";

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// Everything after the head, as received.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        self.json()["results"].as_array().unwrap().clone()
    }

    pub(crate) fn unzipped(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain).unwrap();
        plain
    }
}

/// Starts a simulator on a free port.
pub(crate) async fn start(config: Config) -> Running {
    Simulator::start(config, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

/// Returns a configuration with few schools and small pages.
pub(crate) fn small() -> Config {
    Config { n_schools: 600, page_size: 100, ..Config::default() }
}

pub(crate) async fn start_with(fault: Fault) -> Running {
    start(Config { faults: vec![fault], ..small() }).await
}

pub(crate) async fn get(portal: &Running, path: &str) -> Reply {
    ask(portal, "GET", path, "").await.unwrap()
}

/// Sends one request, and reads until the connection closes.
///
/// # Errors
/// `UnexpectedEof` if the connection closes before the end of the head.
pub(crate) async fn ask(portal: &Running, method: &str, path: &str, headers: &str) -> io::Result<Reply> {
    let address = portal.address();
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    Ok(Reply { status, headers: lines.map(header).collect(), body: bytes[end + 4..].to_vec() })
}

/// Follows `next` from page 1. Returns the `count` of page 1 and the rows of all pages.
pub(crate) async fn all_rows(portal: &Running, path: &str) -> (u64, Vec<Value>) {
    let (mut rows, mut path, mut count) = (Vec::new(), path.to_owned(), None);
    loop {
        let page = get(portal, &path).await.json();
        let of_page = page["count"].as_u64().unwrap();
        assert_eq!(*count.get_or_insert(of_page), of_page);
        rows.extend(page["results"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => path = next.strip_prefix(&portal.origin()).unwrap().to_owned(),
            None => return (count.unwrap(), rows),
        }
    }
}
