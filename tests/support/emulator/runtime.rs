//! A small Lambda: the real program of a function as a process, and the Runtime API that it asks for events.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::emulator::stack::FUNCTIONS;
use crate::executables;

/// Time that the template gives page-fetch for an event.
const LIMIT: Duration = Duration::from_secs(840);

/// Time to say that there was none left.
const LEAST_WAIT: Duration = Duration::from_secs(30);

/// What an event came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// What the function gave.
    Given(Value),
    /// It failed, by name, and what it said.
    Failed(String, String),
    /// The process ended before it answered.
    Ended,
}

impl Answer {
    /// What the function gave.
    ///
    /// # Panics
    /// When it failed.
    #[must_use]
    pub fn given(self) -> Value {
        match self {
            Self::Given(value) => value,
            other => panic!("expected an answer, found {other:?}"),
        }
    }

    /// The name of the error and what it says.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn failed(self) -> (String, String) {
        match self {
            Self::Failed(name, message) => (name, message),
            other => panic!("expected a failure, found {other:?}"),
        }
    }
}

#[derive(Default)]
struct State {
    /// Events to hand out, each with the time at which its function is killed.
    events: VecDeque<(String, SystemTime)>,
    /// That time of the newest event.
    limit: Option<SystemTime>,
    answers: VecDeque<Answer>,
    n_asked: usize,
    n_handed_out: usize,
    said: String,
    has_ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A function's process; killed when dropped.
pub struct Function {
    process: Mutex<Child>,
    shared: Arc<Shared>,
}

/// The program of the function in folder `name` of `functions/`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn command(name: &str) -> Command {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let programs =
        PROGRAMS.get_or_init(|| executables(&["rollcall-planner", "rollcall-page-fetch", "rollcall-catalog"]));
    let at = FUNCTIONS.iter().position(|function| *function == name).expect("there is the function");
    let mut command = Command::new(&programs[at]);
    command.env_clear();
    command
}

impl Function {
    /// Starts a function's program, in an environment of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        let address = listener.local_addr().expect("it has an address").to_string();
        let shared = Arc::new(Shared::default());
        let of_server = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = of_server.clone();
                thread::spawn(move || {
                    // A process that is killed leaves its connections.
                    let _ = shared.serve(&client);
                });
            }
        });
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let process = command
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "rollcall-test")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "test")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
            .stdin(Stdio::null())
            .stdout(writer.try_clone().expect("a pipe can be shared"))
            .stderr(writer)
            .spawn()
            .expect("the program starts");
        drop(command);
        let of_reader = shared.clone();
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let mut state = of_reader.lock();
                state.said.push_str(&line);
                state.said.push('\n');
            }
            of_reader.lock().has_ended = true;
            of_reader.changed.notify_all();
        });
        Self { process: Mutex::new(process), shared }
    }

    /// Hands out an event, to be answered within the time that the template gives.
    pub fn send(&self, event: &Value) {
        self.send_within(event, LIMIT);
    }

    /// The same, with another limit.
    pub fn send_within(&self, event: &Value, limit: Duration) {
        let limit = SystemTime::now() + limit;
        let mut state = self.shared.lock();
        state.events.push_back((event.to_string(), limit));
        state.limit = Some(limit);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits for the answer to the oldest event that has none. As Lambda does, kills the process when its time is up.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let state = self.shared.lock();
        let limit = state.limit.unwrap_or_else(SystemTime::now);
        let left = limit.duration_since(SystemTime::now()).unwrap_or(LEAST_WAIT);
        let is_waiting = |state: &mut State| state.answers.is_empty() && !state.has_ended;
        let waited = self.shared.changed.wait_timeout_while(state, left, is_waiting);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let _ = self.process().kill();
        }
        state.answers.pop_front().unwrap_or(Answer::Ended)
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out an event and waits for its answer.
    #[must_use]
    pub fn call(&self, event: &Value) -> Answer {
        self.send(event);
        self.answer()
    }

    /// Kills the process, as Lambda does at the limit of time or memory, and waits for its end.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(self) {
        let mut process = self.process();
        process.kill().expect("it can be killed");
        let _ = process.wait().expect("it ends");
    }

    /// Waits until the process has ended by itself; gives whether it ended well, and what it said.
    ///
    /// # Panics
    /// When it asks for an event instead.
    #[must_use]
    pub fn end(self) -> (bool, String) {
        let state = self.shared.wait_while(self.shared.lock(), |state| !state.has_ended && state.n_asked == 0);
        assert_eq!(state.n_asked, 0, "expected an end, found a function that asks for an event");
        let said = state.said.clone();
        drop(state);
        (self.process().wait().expect("it ends").success(), said)
    }

    /// What it said so far, and the log of it.
    #[must_use]
    pub fn said(&self) -> String {
        self.shared.lock().said.clone()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let mut process = self.process();
        let _ = process.kill();
        let _ = process.wait();
        drop(process);
        if thread::panicking() {
            eprintln!("the function's words:\n{}", self.said());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'s>(
        &self,
        state: MutexGuard<'s, State>,
        is_waiting: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'s, State> {
        self.changed.wait_while(state, is_waiting).unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the requests of one connection.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        loop {
            let mut head = String::new();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let Some((name, value)) = line.trim_end().split_once(':') else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            if head.starts_with("GET ") {
                self.hand_out(client)?;
            } else {
                self.take(&head, &body);
                (&*client).write_all(b"HTTP/1.1 202 -\r\ncontent-length: 0\r\n\r\n")?;
            }
        }
    }

    /// Waits for an event and hands it out.
    fn hand_out(&self, mut client: &TcpStream) -> io::Result<()> {
        self.lock().n_asked += 1;
        self.changed.notify_all();
        let mut state = self.wait_while(self.lock(), |state| state.events.is_empty() && !state.has_ended);
        let Some((event, limit)) = state.events.pop_front() else { return Ok(()) };
        state.n_handed_out += 1;
        let id = state.n_handed_out;
        drop(state);
        let limit = limit.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let head = format!(
            "HTTP/1.1 200 -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             lambda-runtime-aws-request-id: {id}\r\nlambda-runtime-deadline-ms: {limit}\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:rollcall-test\r\n\
             lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700\r\n\r\n",
            event.len()
        );
        client.write_all(head.as_bytes())?;
        client.write_all(event.as_bytes())
    }

    /// Takes an answer or an error.
    fn take(&self, head: &str, body: &[u8]) {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let answer = match head.split_whitespace().nth(1).unwrap_or_default().rsplit('/').next() {
            Some("response") => Answer::Given(body),
            _ => Answer::Failed(text("errorType"), text("errorMessage")),
        };
        self.lock().answers.push_back(answer);
        self.changed.notify_all();
    }
}
