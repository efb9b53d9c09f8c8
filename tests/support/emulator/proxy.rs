//! A proxy in front of an emulator. It forwards and logs requests, makes chosen ones fail as AWS and the network do,
//! and can kill the process that sent one. Unlike the emulators, it rejects a body that does not match its checksum, as
//! S3 does.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use fastrand::Rng;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::task::{spawn_blocking, yield_now};

use crate::server::{Ends, Response, Server, closed, forward, response};

/// Header with the checksum of a write.
pub const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Maximum time that a test waits until a request is held.
const LIMIT: Duration = Duration::from_secs(120);

/// What happens to a request that matches a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is forwarded.
    Pass,
    /// The proxy responds itself, and the emulator does not see the request.
    Respond {
        /// HTTP status.
        status: u16,
        /// Body; omitted in the response to a HEAD.
        body: String,
    },
    /// The request is forwarded, and the client gets this body with status 200 instead of the emulator's response.
    RespondInstead {
        /// Body.
        body: String,
    },
    /// The request is forwarded, and the connection is closed before the response.
    LoseResponse,
    /// The client's process is killed, and the request is not forwarded.
    KillBefore,
    /// The request is forwarded, and the client's process is killed before the response.
    KillAfter,
    /// The connection is closed after half of the body; the emulator receives that half.
    CutUpload,
    /// One bit of the body is flipped.
    FlipBit,
    /// The request waits for [`Proxy::open`] or [`Proxy::drop_held`] before it is forwarded.
    Hold,
    /// The request is forwarded, and its response waits in the same way.
    HoldResponse,
}

/// Which requests fail, and how.
#[derive(Debug, Clone)]
pub struct Rule {
    words: String,
    times: Option<usize>,
    chance: Option<(usize, Rng)>,
    fault: Fault,
}

impl Rule {
    /// Applies `fault` to every request whose [`Seen::line`] contains `words`.
    #[must_use]
    pub fn new(words: &str, fault: Fault) -> Self {
        Self { words: words.to_owned(), times: None, chance: None, fault }
    }

    /// Limits the rule to the first `n` requests that match.
    #[must_use]
    pub fn times(self, n: usize) -> Self {
        Self { times: Some(n), ..self }
    }

    /// Applies the rule to a random one in `n` of the requests that match.
    #[must_use]
    pub fn one_in(self, n: usize, random: &mut Rng) -> Self {
        Self { chance: Some((n, random.fork())), ..self }
    }

    /// Counts a request and returns whether the rule applies to it.
    fn hits(&mut self, line: &str) -> bool {
        if self.times == Some(0) || !line.contains(&self.words) {
            return false;
        }
        let applies = self.chance.as_mut().is_none_or(|(n, random)| random.usize(..*n) == 0);
        if applies {
            self.times = self.times.map(|left| left - 1);
        }
        applies
    }
}

/// Returns an error in the format of S3.
#[must_use]
pub fn s3_error(status: u16, code: &str, message: &str) -> Fault {
    Fault::Respond { status, body: s3_error_body(code, message) }
}

fn s3_error_body(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
}

/// Returns an error in the format of Glue and Secrets Manager.
#[must_use]
pub fn json_error(status: u16, code: &str, message: &str) -> Fault {
    Fault::Respond { status, body: json!({"__type": code, "message": message}).to_string() }
}

/// A request that the proxy received.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method, path with its query, and the operation if the service names it in a header: `PUT /lake/data/…`,
    /// `POST / AWSGlue.GetTable`. `%3D` and `%2F` are decoded.
    pub line: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// The fault that was applied to it.
    pub fault: Option<Fault>,
}

impl Seen {
    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Parses the body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    None,
    Waiting,
    Forward,
    Drop,
}

struct Shared {
    /// Host and port of the emulator.
    target: String,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// Why clients that should have been killed were not.
    not_killed: Mutex<Vec<io::Error>>,
    held: Mutex<Held>,
    changed: Condvar,
}

/// A running proxy.
pub struct Proxy {
    endpoint: String,
    shared: Arc<Shared>,
    _server: Server,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts a proxy in front of `endpoint`, such as `http://127.0.0.1:4566`.
    #[must_use]
    pub fn before(endpoint: &str) -> Self {
        let shared = Arc::new(Shared {
            target: endpoint.trim_start_matches("http://").to_owned(),
            rules: Mutex::default(),
            seen: Mutex::default(),
            not_killed: Mutex::default(),
            held: Mutex::new(Held::None),
            changed: Condvar::new(),
        });
        let of_server = shared.clone();
        let server = Server::http(move |ends, request| of_server.clone().respond(ends, request));
        Self { endpoint: format!("http://{}", server.address()), shared, _server: server }
    }

    /// Returns its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Replaces the rules. The first that applies to a request decides.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        *lock(&self.shared.rules) = rules.into_iter().collect();
    }

    /// Returns the requests since the last call, in the order in which they arrived.
    ///
    /// # Panics
    /// If a process could not be killed.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        let not_killed = lock(&self.shared.not_killed);
        assert!(not_killed.is_empty(), "{not_killed:?}");
        std::mem::take(&mut *lock(&self.shared.seen))
    }

    /// Returns the requests since the last call whose line contains `words`, and discards the others.
    #[must_use]
    pub fn take_seen_of(&self, words: &str) -> Vec<Seen> {
        self.take_seen().into_iter().filter(|seen| seen.line.contains(words)).collect()
    }

    /// Waits until a request is held.
    ///
    /// # Panics
    /// If no request is held within two minutes.
    pub fn wait_until_held(&self) {
        let held = lock(&self.shared.held);
        let waited = self.shared.changed.wait_timeout_while(held, LIMIT, |held| *held != Held::Waiting);
        let (held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(held);
        assert!(!timeout.timed_out(), "expected a request to hold, found none");
    }

    /// Lets the held request proceed.
    pub fn open(&self) {
        self.release(Held::Forward);
    }

    /// Closes the connection of the held request, as if its client or its response were lost.
    pub fn drop_held(&self) {
        self.release(Held::Drop);
    }

    fn release(&self, what: Held) {
        *lock(&self.shared.held) = what;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    async fn respond(self: Arc<Self>, ends: Ends, request: Request<Incoming>) -> io::Result<Response> {
        let (mut head, body) = request.into_parts();
        head.headers.remove(CONNECTION);
        head.headers.remove(EXPECT);
        let line = line(&head);
        let fault = self.fault_of(&line);
        let length = body.size_hint().exact().expect("clients here send the length of a body");
        let length = usize::try_from(length).expect("bodies fit into memory");
        let is_cut = fault == Some(Fault::CutUpload);
        let mut body = read(body, if is_cut { length / 2 } else { length }).await?;
        let seen = Seen { line, headers: head.headers.clone(), body: body.clone().into(), fault: fault.clone() };
        lock(&self.seen).push(seen);
        match &fault {
            Some(Fault::CutUpload) => {
                // The first half is sent while the end is pending.
                let end = stream::once(async {
                    yield_now().await;
                    Err(closed())
                });
                let half = stream::iter([Ok(Frame::data(body.into()))]).chain(end);
                return forward(&self.target, Request::from_parts(head, StreamBody::new(Box::pin(half)))).await;
            }
            Some(Fault::FlipBit) => body[length / 2] ^= 1,
            Some(Fault::KillBefore) => return self.kill(ends),
            Some(Fault::Respond { status, body }) => return Ok(answer(&head.method, *status, body)),
            _ => {}
        }
        if head.headers.get(CHECKSUM).is_some_and(|sent| *sent != BASE64_STANDARD.encode(digest(&SHA256, &body))) {
            let message = "The SHA256 you specified did not match the calculated checksum.";
            return Ok(answer(&head.method, 400, &s3_error_body("BadDigest", message)));
        }
        if fault == Some(Fault::Hold) {
            self.clone().hold().await?;
        }
        let answered = forward(&self.target, Request::from_parts(head, Full::<Bytes>::from(body))).await?;
        match fault {
            Some(Fault::LoseResponse) => Err(closed()),
            Some(Fault::KillAfter) => self.kill(ends),
            Some(Fault::HoldResponse) => self.hold().await.map(|()| answered),
            Some(Fault::RespondInstead { body }) => Ok(response(200, body)),
            _ => Ok(answered),
        }
    }

    /// Kills the client's process and closes the connection.
    fn kill(&self, ends: Ends) -> io::Result<Response> {
        if let Err(error) = kill_client(ends) {
            lock(&self.not_killed).push(error);
        }
        Err(closed())
    }

    fn fault_of(&self, line: &str) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find_map(|rule| rule.hits(line).then_some(rule))?;
        Some(rule.fault.clone())
    }

    /// Waits until the test releases the request. An `Err` closes the connection.
    async fn hold(self: Arc<Self>) -> io::Result<()> {
        let wait = move || {
            *lock(&self.held) = Held::Waiting;
            self.changed.notify_all();
            let held = self.changed.wait_while(lock(&self.held), |held| *held == Held::Waiting);
            let mut held = held.unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, Held::None)
        };
        if spawn_blocking(wait).await? == Held::Forward { Ok(()) } else { Err(closed()) }
    }
}

fn line(head: &Parts) -> String {
    let path = head.uri.to_string().replace("%3D", "=").replace("%2F", "/");
    let operation = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = operation.map(|target| format!(" {target}")).unwrap_or_default();
    format!("{} {path}{operation}", head.method)
}

fn answer(method: &Method, status: u16, body: &str) -> Response {
    response(status, if method == Method::HEAD { String::new() } else { body.to_owned() })
}

/// Reads `length` bytes of a body.
async fn read(mut body: Incoming, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let frame = body.frame().await.ok_or_else(closed)?.map_err(io::Error::other)?;
        bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Kills the process at the client's end of a connection on this machine.
fn kill_client(ends: Ends) -> io::Result<()> {
    // `/proc/net/tcp` has a line for each end of a connection. Its second word is the address of that end, such as
    // `0100007F:D431`, the third that of the other end, and the tenth the inode of the socket.
    let port = |port: u16| format!(":{port:04X}");
    let (client, server) = (port(ends.client.port()), port(ends.server.port()));
    let connections = fs::read_to_string("/proc/net/tcp")?;
    let mut rows = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_client = |words: &Vec<&str>| words.len() > 9 && words[1].ends_with(&client) && words[2].ends_with(&server);
    let row = rows.find(is_client).ok_or_else(|| io::Error::other(format!("no connection from {client}")))?;
    let socket = PathBuf::from(format!("socket:[{}]", row[9]));
    for process in fs::read_dir("/proc")?.flatten() {
        let Ok(mut files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.any(|file| file.and_then(|file| fs::read_link(file.path())).is_ok_and(|file| file == socket)) {
            let killed = Command::new("kill").arg("-9").arg(process.file_name()).status()?;
            return if killed.success() { Ok(()) } else { Err(io::Error::other("the client has already exited")) };
        }
    }
    Err(io::Error::other(format!("no process has {}", socket.display())))
}
