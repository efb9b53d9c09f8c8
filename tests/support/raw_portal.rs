//! A portal on loopback that says bytes as a script has them: torn, stalled, dripping, or lying about their length.
//!
//! It stands before a simulator, whose whole answer the script is given to spoil.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a script may do, in order; after the last step the connection is closed.
#[derive(Debug, Clone)]
pub enum Step {
    /// Says bytes.
    Say(Vec<u8>),
    /// Says bytes again and again until the client hangs up, at most so many times.
    Repeat {
        /// The bytes.
        bytes: Vec<u8>,
        /// How often.
        times: usize,
    },
    /// Says one byte, waits, says the next.
    Drip {
        /// The bytes.
        bytes: Vec<u8>,
        /// The wait.
        each: Duration,
    },
    /// Says nothing more until the client hangs up.
    Stall,
    /// Closes the connection with a reset, as a crashed server's machine does.
    Reset,
}

/// An answer as it would have been.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status line and headers, with the empty line after them.
    pub head: String,
    /// Body, not compressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// Head and body.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    /// The answer with other headers than those of its body's type and length; each ends in CRLF.
    #[must_use]
    pub fn with_headers(&self, headers: &str) -> Self {
        // A client that took the connection for one to use again would lose a request to its end.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}\r\n");
        Self { head, body: self.body.clone() }
    }

    /// The answer with another body of the length that it says.
    #[must_use]
    pub fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let with_length = self.with_headers(&format!("content-length: {}\r\n", body.len()));
        Self { body, ..with_length }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Request line and headers.
    pub head: String,
    /// Path and query.
    pub target: String,
    /// Which of the requests for this target it is, from 1.
    pub n: usize,
}

/// The steps for a request and its whole answer.
type Script = dyn Fn(&Asked, &Answer) -> Vec<Step> + Send + Sync;

/// A portal that follows a script. Dropping it closes all connections.
pub struct RawPortal {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    behind: SocketAddr,
    script: Box<Script>,
    is_over: AtomicBool,
    asked: Mutex<Vec<Asked>>,
    /// Those that may have to be woken.
    connections: Mutex<Vec<TcpStream>>,
}

impl RawPortal {
    /// Listens, on a port that is free, before the simulator at `behind`.
    ///
    /// # Panics
    /// When no port can be had.
    #[must_use]
    pub fn before(behind: SocketAddr, script: impl Fn(&Asked, &Answer) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("it has an address"),
            behind,
            script: Box::new(script),
            is_over: AtomicBool::new(false),
            asked: Mutex::default(),
            connections: Mutex::default(),
        });
        let for_thread = shared.clone();
        let accepting = std::thread::spawn(move || accept(&listener, &for_thread));
        Self { shared, accepting: Some(accepting) }
    }

    /// Such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// The requests seen so far whose target holds `text`.
    #[must_use]
    pub fn asked(&self, text: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| asked.target.contains(text)).cloned().collect()
    }
}

impl Drop for RawPortal {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for connection in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            break;
        }
        let Ok(connection) = connection else { continue };
        if let Ok(clone) = connection.try_clone() {
            shared.connections.lock().unwrap_or_else(PoisonError::into_inner).push(clone);
        }
        let shared = shared.clone();
        std::thread::spawn(move || {
            // How a client or a script ends a connection is no matter here.
            let _ = serve(&connection, &shared);
            forget(&connection, &shared);
        });
    }
}

/// The clone that is kept would hold a connection open that is over.
fn forget(connection: &TcpStream, shared: &Shared) {
    let client = connection.peer_addr().ok();
    let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
    connections.retain(|kept| kept.peer_addr().ok() != client);
}

fn serve(mut connection: &TcpStream, shared: &Shared) -> io::Result<()> {
    let _ = connection.set_nodelay(true);
    let head = read_head(connection)?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = ask(shared.behind, &target, shared.address)?;
    let asked = {
        let mut all = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let n = all.iter().filter(|asked| asked.target == target).count() + 1;
        all.push(Asked { head, target, n });
        all[all.len() - 1].clone()
    };
    for step in (shared.script)(&asked, &answer) {
        match step {
            Step::Say(bytes) => connection.write_all(&bytes)?,
            Step::Repeat { bytes, times } => {
                for _ in 0..times {
                    connection.write_all(&bytes)?;
                }
            }
            Step::Drip { bytes, each } => {
                for byte in bytes {
                    connection.write_all(&[byte])?;
                    std::thread::sleep(each);
                }
            }
            Step::Stall => {
                finish_reading(connection)?;
                let _ = connection.read(&mut [0])?;
            }
            // The last byte of the request is still unread, and the system answers that with a reset.
            Step::Reset => return Ok(()),
        }
    }
    finish_reading(connection)?;
    connection.shutdown(Shutdown::Write)
}

/// The head of a request, of which the last byte is left to be read.
fn read_head(mut connection: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let n_bytes = connection.peek(&mut buffer)?;
        if n_bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let seen = [&head[..], &buffer[..n_bytes]].concat();
        let is_whole = seen.ends_with(b"\r\n\r\n");
        let n_taken = if is_whole { n_bytes - 1 } else { n_bytes };
        connection.read_exact(&mut buffer[..n_taken])?;
        if is_whole {
            return Ok(String::from_utf8_lossy(&seen).into_owned());
        }
        head = seen;
    }
}

fn finish_reading(mut connection: &TcpStream) -> io::Result<()> {
    connection.read_exact(&mut [0])
}

/// What the simulator says, its links naming the portal that stands before it.
fn ask(behind: SocketAddr, target: &str, host: SocketAddr) -> io::Result<Answer> {
    let mut connection = TcpStream::connect(behind)?;
    write!(connection, "GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)? + 4;
    let body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer { head, body })
}
