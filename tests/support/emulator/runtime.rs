//! A small Lambda: a function's real program as a process, and the Runtime API that gives it events.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::emulator::stack::FUNCTIONS;
use crate::executables;
use crate::server::{Response, Server, closed, response};

/// Timeout of page-fetch in the template.
const LIMIT: Duration = Duration::from_secs(840);

/// Variable with the memory of a function in MB.
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// How long to wait for the report of a function whose time is already up.
const MIN_WAIT: Duration = Duration::from_secs(30);

/// Result of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Invocation {
    /// The function's response.
    Responded(Value),
    /// The name of its error, and the message.
    Failed(String, String),
    /// The process ended before it responded.
    Ended,
}

impl Invocation {
    /// Returns the function's response.
    ///
    /// # Panics
    /// If it failed.
    #[must_use]
    pub fn response(self) -> Value {
        match self {
            Self::Responded(value) => value,
            other => panic!("expected a response, found {other:?}"),
        }
    }

    /// Returns the name and the message of the error.
    ///
    /// # Panics
    /// If it succeeded.
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
    /// Pending events, each with the time at which the function is killed.
    events: VecDeque<(String, SystemTime)>,
    /// The time at which the function is killed for the latest event.
    limit: Option<SystemTime>,
    results: VecDeque<Invocation>,
    n_asked: usize,
    n_handed_out: usize,
    output: String,
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
    _server: Server,
}

/// Returns the program of the function in `functions/<name>`.
///
/// # Panics
/// If there is no such function.
#[must_use]
pub fn command(name: &str) -> Command {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let programs =
        PROGRAMS.get_or_init(|| executables(&["rollcall-planner", "rollcall-page-fetch", "rollcall-catalog"]));
    let at = FUNCTIONS.iter().position(|function| *function == name).expect("the function exists");
    let mut command = Command::new(&programs[at]);
    command.env_clear();
    command
}

impl Function {
    /// Starts a function's program in its own environment, with 256 MB unless that says otherwise.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let shared = Arc::new(Shared::default());
        let of_server = shared.clone();
        let server = Server::http(move |_, request| of_server.clone().respond(request));
        if !command.get_envs().any(|(name, _)| name == MEMORY) {
            command.env(MEMORY, "256");
        }
        let (reader, writer) = io::pipe().expect("a pipe can be created");
        let process = command
            .env("AWS_LAMBDA_RUNTIME_API", server.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "rollcall-test")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
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
                state.output.push_str(&line);
                state.output.push('\n');
            }
            of_reader.lock().has_ended = true;
            of_reader.changed.notify_all();
        });
        Self { process: Mutex::new(process), shared, _server: server }
    }

    /// Sends an event with the template's timeout.
    pub fn send(&self, event: &Value) {
        self.send_within(event, LIMIT);
    }

    /// Sends an event with another timeout.
    pub fn send_within(&self, event: &Value, limit: Duration) {
        let limit = SystemTime::now() + limit;
        let mut state = self.shared.lock();
        state.events.push_back((event.to_string(), limit));
        state.limit = Some(limit);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits for the oldest result. Kills the process when its time is up, as Lambda does.
    #[must_use]
    pub fn result(&self) -> Invocation {
        let state = self.shared.lock();
        let limit = state.limit.unwrap_or_else(SystemTime::now);
        let left = limit.duration_since(SystemTime::now()).unwrap_or(MIN_WAIT);
        let is_waiting = |state: &mut State| state.results.is_empty() && !state.has_ended;
        let waited = self.shared.changed.wait_timeout_while(state, left, is_waiting);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let _ = self.process().kill();
        }
        state.results.pop_front().unwrap_or(Invocation::Ended)
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event and waits for its result.
    #[must_use]
    pub fn call(&self, event: &Value) -> Invocation {
        self.send(event);
        self.result()
    }

    /// Kills the process, as Lambda does at its time or memory limit, and waits for its end.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(self) {
        let mut process = self.process();
        process.kill().expect("the process can be killed");
        let _ = process.wait().expect("the process ends");
    }

    /// Waits until the process ends by itself. Returns whether it succeeded, and its output.
    ///
    /// # Panics
    /// If it requests an event instead.
    #[must_use]
    pub fn end(self) -> (bool, String) {
        let state = self.shared.wait_while(self.shared.lock(), |state| !state.has_ended && state.n_asked == 0);
        assert_eq!(state.n_asked, 0, "expected the process to end, found a request for an event");
        let output = state.output.clone();
        drop(state);
        (self.process().wait().expect("the process ends").success(), output)
    }

    /// Returns its output and log so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.shared.lock().output.clone()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let mut process = self.process();
        let _ = process.kill();
        let _ = process.wait();
        drop(process);
        if thread::panicking() {
            eprintln!("the function's output:\n{}", self.output());
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

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response> {
        if request.method() == Method::GET {
            return spawn_blocking(move || self.hand_out()).await?;
        }
        let has_succeeded = request.uri().path().ends_with("/response");
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (name, message) = (text("errorType"), text("errorMessage"));
        let result = if has_succeeded { Invocation::Responded(body) } else { Invocation::Failed(name, message) };
        self.lock().results.push_back(result);
        self.changed.notify_all();
        Ok(response(202, ""))
    }

    /// Waits for an event and returns it.
    fn hand_out(&self) -> io::Result<Response> {
        self.lock().n_asked += 1;
        self.changed.notify_all();
        let mut state = self.wait_while(self.lock(), |state| state.events.is_empty() && !state.has_ended);
        let (event, limit) = state.events.pop_front().ok_or_else(closed)?;
        state.n_handed_out += 1;
        let deadline = limit.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        hyper::Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", state.n_handed_out)
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:000000000000:function:rollcall-test",
            )
            .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700")
            .body(Full::from(event))
            .map_err(io::Error::other)
    }
}
