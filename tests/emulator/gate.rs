//! A gate before an emulator: it lets everything through, but holds one write back until it is opened.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// How far the one write is that is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Held,
    Opened,
}

/// A running gate.
pub struct Gate {
    endpoint: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Gate {
    /// Stands before `endpoint`, such as `http://127.0.0.1:4566`, and will hold the first PUT whose path holds `path`.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn before(endpoint: &str, path: &'static str) -> Self {
        let target = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        let own = format!("http://{}", listener.local_addr().expect("it has an address"));
        let state = Arc::new((Mutex::new(State::Waiting), Condvar::new()));
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (target, state) = (target.clone(), shared.clone());
                thread::spawn(move || pass(client, &target, path, &state));
            }
        });
        Self { endpoint: own, state }
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Waits until the write is held.
    ///
    /// # Panics
    /// When a thread of the gate panicked.
    pub fn wait_until_held(&self) {
        let (state, changed) = &*self.state;
        let state = state.lock().expect("no thread panicked");
        drop(changed.wait_while(state, |state| *state == State::Waiting).expect("no thread panicked"));
    }

    /// Lets the write through.
    ///
    /// # Panics
    /// When a thread of the gate panicked.
    pub fn open(&self) {
        let (state, changed) = &*self.state;
        *state.lock().expect("no thread panicked") = State::Opened;
        changed.notify_all();
    }
}

/// Passes one connection on, both ways.
fn pass(client: TcpStream, target: &str, path: &str, state: &(Mutex<State>, Condvar)) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let (Ok(mut back), Ok(mut from)) = (client.try_clone(), server.try_clone()) else { return };
    let answers = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let (mut client, mut server) = (client, server);
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n) = client.read(&mut bytes) {
        if n == 0 {
            break;
        }
        if is_held(&bytes[..n], path) {
            hold(state);
        }
        if server.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
}

/// Whether these bytes begin a PUT whose path holds `path`. A client sends a request's head in one piece.
fn is_held(bytes: &[u8], path: &str) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.starts_with(b"PUT ") && String::from_utf8_lossy(line).contains(path)
}

/// Waits until the gate is open, if this write is the first.
fn hold((state, changed): &(Mutex<State>, Condvar)) {
    let mut state = state.lock().expect("no thread panicked");
    if *state == State::Waiting {
        *state = State::Held;
        changed.notify_all();
        drop(changed.wait_while(state, |state| *state == State::Held).expect("no thread panicked"));
    }
}
