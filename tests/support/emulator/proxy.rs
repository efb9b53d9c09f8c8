//! A proxy before an emulator: it passes requests on, keeps a log of them, and makes chosen ones go wrong in the ways
//! that AWS and the network between do, or kills who sends them. It also refuses a body that is not what its checksum says, as S3 does and the
//! emulators do not.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// Header of the checksum that writes are sent with.
pub const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Time that a request to hold may take to come before the test gives it up.
const LIMIT: Duration = Duration::from_secs(120);

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// None: it is passed on.
    Pass,
    /// It is answered with this; the emulator does not hear of it.
    Answer {
        /// HTTP status.
        status: u16,
        /// Body; left out of the answer to a HEAD.
        body: String,
    },
    /// It is passed on, and this is answered instead of what the emulator says, with status 200.
    AnswerInstead {
        /// Body.
        body: String,
    },
    /// It is passed on, and the connection cut before an answer.
    LoseAnswer,
    /// Whoever sent it is killed, and it is not passed on.
    KillBefore,
    /// It is passed on, and whoever sent it killed before an answer.
    KillAfter,
    /// The connection is cut when half of the body was read; the emulator has what came until then.
    CutUpload,
    /// One bit of the body is turned round on its way.
    FlipBit,
    /// It waits for [`Proxy::open`] or [`Proxy::drop_held`] before it is passed on.
    Hold,
    /// It is passed on, and its answer waits likewise.
    HoldAnswer,
}

/// Which requests go wrong, and how.
#[derive(Debug, Clone)]
pub struct Rule {
    words: String,
    times: Option<usize>,
    chance: Option<(usize, Rng)>,
    fault: Fault,
}

impl Rule {
    /// Makes every request go wrong whose [`Seen::line`] holds `words`.
    #[must_use]
    pub fn new(words: &str, fault: Fault) -> Self {
        Self { words: words.to_owned(), times: None, chance: None, fault }
    }

    /// Makes only the first `n` of them go wrong.
    #[must_use]
    pub fn times(self, n: usize) -> Self {
        Self { times: Some(n), ..self }
    }

    /// Makes one in `n` of them go wrong, by chance.
    #[must_use]
    pub fn one_in(self, n: usize, random: &mut Rng) -> Self {
        Self { chance: Some((n, random.fork())), ..self }
    }

    /// Counts a request, and gives whether it is one to make go wrong.
    fn hits(&mut self, line: &str) -> bool {
        if self.times == Some(0) || !line.contains(&self.words) {
            return false;
        }
        let is_meant = self.chance.as_mut().is_none_or(|(n, random)| random.usize(..*n) == 0);
        if is_meant {
            self.times = self.times.map(|left| left - 1);
        }
        is_meant
    }
}

/// An error as S3 answers it.
#[must_use]
pub fn s3_error(status: u16, code: &str, message: &str) -> Fault {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>4442587FB7D0A2F9</RequestId></Error>"
    );
    Fault::Answer { status, body }
}

/// An error as Glue and Secrets Manager answer it.
#[must_use]
pub fn json_error(status: u16, code: &str, message: &str) -> Fault {
    Fault::Answer { status, body: json!({"__type": code, "message": message}).to_string() }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method, path with its query, and operation of a service that names it in a header: `PUT /lake/data/…`,
    /// `POST / AWSGlue.GetTable`. Signs that a path writes otherwise are written plainly.
    pub line: String,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// How it was made to go wrong.
    pub fault: Option<Fault>,
}

impl Seen {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    None,
    Waiting,
    PassOn,
    Drop,
}

struct Shared {
    target: String,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// Senders that were to be killed and were not.
    spared: Mutex<Vec<io::Error>>,
    held: Mutex<Held>,
    changed: Condvar,
}

/// A running proxy.
pub struct Proxy {
    endpoint: String,
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Stands before `endpoint`, such as `http://127.0.0.1:4566`.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn before(endpoint: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        let own = format!("http://{}", listener.local_addr().expect("it has an address"));
        let shared = Arc::new(Shared {
            target: endpoint.trim_start_matches("http://").to_owned(),
            rules: Mutex::default(),
            seen: Mutex::default(),
            spared: Mutex::default(),
            held: Mutex::new(Held::None),
            changed: Condvar::new(),
        });
        let of_threads = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = of_threads.clone();
                thread::spawn(move || {
                    // A client that goes away is no fault of the proxy's.
                    let _ = shared.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { endpoint: own, shared }
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Replaces the rules; the first that holds of a request decides.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        *lock(&self.shared.rules) = rules.into_iter().collect();
    }

    /// Requests seen since the last time that this was asked, in the order in which they came.
    ///
    /// # Panics
    /// When a sender was not killed that should have been.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        let spared = lock(&self.shared.spared);
        assert!(spared.is_empty(), "{spared:?}");
        std::mem::take(&mut *lock(&self.shared.seen))
    }

    /// Those of them whose line holds `words`.
    #[must_use]
    pub fn take_seen_of(&self, words: &str) -> Vec<Seen> {
        self.take_seen().into_iter().filter(|seen| seen.line.contains(words)).collect()
    }

    /// Waits until a request is held.
    ///
    /// # Panics
    /// When none is for a long time.
    pub fn wait_until_held(&self) {
        let held = lock(&self.shared.held);
        let waited = self.shared.changed.wait_timeout_while(held, LIMIT, |held| *held != Held::Waiting);
        let (held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(held);
        assert!(!timeout.timed_out(), "expected a request to hold, found none");
    }

    /// Lets the held request go on.
    pub fn open(&self) {
        self.release(Held::PassOn);
    }

    /// Drops the held request, or its answer, with its connection, as when whoever sent it is gone.
    pub fn drop_held(&self) {
        self.release(Held::Drop);
    }

    fn release(&self, what: Held) {
        *lock(&self.shared.held) = what;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Answers the one request of a connection.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
        let line = head.line();
        let fault = self.fault_of(&line);
        if head.header("expect").is_some() {
            (&*client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let announced: usize = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let cut_at = if fault == Some(Fault::CutUpload) { announced / 2 } else { announced };
        let mut body = vec![0; cut_at];
        reader.read_exact(&mut body)?;
        lock(&self.seen).push(Seen { line, headers: head.headers.clone(), body: body.clone(), fault: fault.clone() });
        if fault == Some(Fault::FlipBit) {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        if fault == Some(Fault::CutUpload) {
            let mut server = TcpStream::connect(&self.target)?;
            server.write_all(&head.bytes())?;
            server.write_all(&body)?;
            return server.shutdown(Shutdown::Both);
        }
        if fault == Some(Fault::KillBefore) {
            self.kill_sender(client);
            return Ok(());
        }
        if let Some(Fault::Answer { status, body }) = &fault {
            return (&*client).write_all(&answer(*status, if head.method == "HEAD" { None } else { Some(body) }));
        }
        if let Some(said) = head.header(CHECKSUM)
            && said != base64(digest(&SHA256, &body).as_ref())
        {
            let Fault::Answer { status, body } =
                s3_error(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")
            else {
                return Ok(());
            };
            return (&*client).write_all(&answer(status, Some(&body)));
        }
        if fault == Some(Fault::Hold) && !self.hold() {
            return Ok(());
        }
        let mut server = TcpStream::connect(&self.target)?;
        server.write_all(&head.bytes())?;
        server.write_all(&body)?;
        let mut answered = Vec::new();
        server.read_to_end(&mut answered)?;
        match &fault {
            Some(Fault::LoseAnswer) => Ok(()),
            Some(Fault::KillAfter) => {
                self.kill_sender(client);
                Ok(())
            }
            Some(Fault::HoldAnswer) if !self.hold() => Ok(()),
            Some(Fault::AnswerInstead { body }) => (&*client).write_all(&answer(200, Some(body))),
            _ => (&*client).write_all(&answered),
        }
    }

    fn kill_sender(&self, client: &TcpStream) {
        if let Err(error) = kill_other_end(client) {
            lock(&self.spared).push(error);
        }
    }

    fn fault_of(&self, line: &str) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find_map(|rule| rule.hits(line).then_some(rule))?;
        Some(rule.fault.clone())
    }

    /// Waits until the request is released; gives whether it goes on.
    fn hold(&self) -> bool {
        *lock(&self.held) = Held::Waiting;
        self.changed.notify_all();
        let held = self.changed.wait_while(lock(&self.held), |held| *held == Held::Waiting);
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, Held::None) == Held::PassOn
    }
}

/// The head of a request.
struct Head {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// `None` when the connection ended before a request.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut head = Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new() };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            head.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        assert!(head.header("transfer-encoding").is_none(), "clients here announce the length of what they send");
        Ok(Some(head))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn line(&self) -> String {
        let path = self.path.replace("%3D", "=").replace("%2F", "/");
        let operation = self.header("x-amz-target").map(|target| format!(" {target}")).unwrap_or_default();
        format!("{} {path}{operation}", self.method)
    }

    /// The head for a connection of its own.
    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "connection" && name != "expect") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("connection: close\r\n\r\n");
        text.into_bytes()
    }
}

/// An answer as bytes; `None` for the body of one that has none.
fn answer(status: u16, body: Option<&str>) -> Vec<u8> {
    let (length, body) = body.map_or((0, ""), |body| (body.len(), body));
    format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

/// Kills the process at the other end of a connection on this machine.
fn kill_other_end(client: &TcpStream) -> io::Result<()> {
    // A line for each end of a connection. Its second word is that end's address, such as `0100007F:D431`, the third the
    // other's, the tenth the inode of its socket.
    let end = |port: u16| format!(":{port:04X}");
    let (sender, own) = (end(client.peer_addr()?.port()), end(client.local_addr()?.port()));
    let connections = fs::read_to_string("/proc/net/tcp")?;
    let mut rows = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_sender = |words: &Vec<&str>| words.len() > 9 && words[1].ends_with(&sender) && words[2].ends_with(&own);
    let row = rows.find(is_sender).ok_or_else(|| io::Error::other(format!("no connection from {sender}")))?;
    let socket = PathBuf::from(format!("socket:[{}]", row[9]));
    for process in fs::read_dir("/proc")?.flatten() {
        let Ok(mut files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.any(|file| file.and_then(|file| fs::read_link(file.path())).is_ok_and(|file| file == socket)) {
            let killed = Command::new("kill").arg("-9").arg(process.file_name()).status()?;
            return if killed.success() { Ok(()) } else { Err(io::Error::other("the sender is gone")) };
        }
    }
    Err(io::Error::other(format!("no process has {}", socket.display())))
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for bytes in bytes.chunks(3) {
        let all = (0..3).fold(0, |all, at| all << 8 | usize::from(bytes.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            text.push(if at <= bytes.len() { char::from(SIGNS[all >> (18 - 6 * at) & 63]) } else { '=' });
        }
    }
    text
}
