//! The simulator as a portal for tests, and a client with near-zero retry delays.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollcall_adapters::http_portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_simulator::{Action, Config, Fault, Running, Simulator};
use tokio::runtime::Runtime;

use crate::process::{Killed, wait_until};

/// Returns a client that waits milliseconds where the real one waits seconds, after `change` has been applied to its
/// settings.
///
/// # Panics
/// If `origin` is invalid.
#[must_use]
pub fn client(origin: &str, change: impl FnOnce(&mut PortalSettings)) -> HttpPortal {
    let mut settings = PortalSettings::new(parse_origin(origin).expect("the text is an origin"));
    settings.backoff = Duration::from_millis(1);
    settings.max_backoff = Duration::from_millis(5);
    change(&mut settings);
    HttpPortal::new(settings, None).expect("the client is valid")
}

/// A portal on loopback; stopped when dropped.
pub struct TestPortal {
    /// The running simulator.
    pub server: Running,
    _runtime: Runtime,
}

impl TestPortal {
    /// Starts the simulator.
    #[must_use]
    pub fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = runtime.block_on(Simulator::start(config, address)).expect("the simulator starts");
        Self { server, _runtime: runtime }
    }

    /// Serves the sample with few schools, which is fast.
    #[must_use]
    pub fn small() -> Self {
        Self::start(Config { n_schools: 300, page_size: 100, ..Config::default() })
    }

    /// Serves the bodies of a folder unchanged.
    #[must_use]
    pub fn recorded(folder: &Path) -> Self {
        Self::start(Config { recorded: Some(folder.to_owned()), ..Config::default() })
    }

    /// Returns its origin.
    #[must_use]
    pub fn origin(&self) -> String {
        self.server.origin()
    }

    /// Returns the number of data requests so far, without those for metadata.
    #[must_use]
    pub fn n_data_requests(&self) -> usize {
        self.server.requests().iter().filter(|request| !request.path.contains("/api-")).count()
    }

    /// Starts a run, and waits until the portal has received `n` more requests for data or the run has ended.
    ///
    /// # Panics
    /// If neither happens in time.
    #[must_use]
    pub fn start_and_await_requests(&self, run: &mut Command, n: usize) -> Killed {
        let before = self.n_data_requests();
        let mut child = Killed(run.spawn().expect("the binary starts"));
        wait_until("the portal receives the requests, or the run ends", || {
            self.n_data_requests() - before >= n || child.0.try_wait().expect("the process exists").is_some()
        });
        child
    }
}

/// Writes a page's body where [`TestPortal::recorded`] serves it: `path` is below `/api/v1/`, and `page` is 1-based.
pub fn write_page(folder: &Path, path: &str, page: u32, body: &[u8]) {
    let folder = folder.join(path.trim_matches('/'));
    fs::create_dir_all(&folder).expect("a folder can be created");
    fs::write(folder.join(format!("{page}.json")), body).expect("a page can be written");
}

/// Returns a fault that delays a response until after the test.
#[must_use]
pub fn stalled(path: &str) -> Fault {
    Fault::new(Action::Delay { ms: 600_000 }).on_path(path)
}
