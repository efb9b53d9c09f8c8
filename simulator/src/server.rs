//! The server: starts and stops the simulator, and accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Config;
use crate::connection::{Shared, serve_connection};
use crate::fault::Fault;
use crate::fault::script::Script;
use crate::request_log::{RequestLog, SeenRequest};
use crate::responder::Responder;

/// Starts the simulated portal.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Listens on `address` (port 0 picks a free one) and serves from tasks of the current tokio runtime.
    ///
    /// # Errors
    /// Fails if the simulator cannot listen on the address, and with `InvalidData` if a descriptor of the configuration
    /// cannot be parsed.
    pub async fn start(mut config: Config, address: SocketAddr) -> io::Result<Running> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let script = Mutex::new(Script::new(std::mem::take(&mut config.faults)));
        let responder = tokio::task::spawn_blocking(|| Responder::new(config)).await.map_err(io::Error::other)?;
        let responder = responder.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let shared = Arc::new(Shared { responder: Arc::new(responder), address, script, log: RequestLog::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Running { shared, task })
    }
}

/// A running simulator, which stops when dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Running {
    /// Returns the address on which the simulator listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Returns the scheme, host and port, such as `http://127.0.0.1:8080`. The API is served under `/api/v1/`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Returns the last 100,000 requests, oldest first.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.log.requests()
    }

    /// Replaces all fault rules. The new rules count requests from now on.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Script::new(faults);
    }

    /// Replaces the further releases of [`Config::releases`].
    pub fn set_releases(&self, releases: Vec<String>) {
        self.shared.responder.set_releases(releases);
    }

    /// Returns the maximum number of requests that were in flight at one time.
    pub fn max_in_flight(&self) -> usize {
        self.shared.log.max_in_flight()
    }

    /// Stops listening and closes every connection.
    pub async fn stop(mut self) {
        self.task.abort();
        // Always an error, because the task was aborted.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves each connection in its own task. These tasks end with this one.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&shared)));
            }
            // For example, the process may be out of file handles. A connection that closes frees one.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}
