//! AWS emulators on loopback, from the tests' Python environment.

pub mod proxy;
pub mod runtime;
pub mod stack;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use rollcall_core::ports::TableSpec;
use serde_json::Value;
use tempfile::TempDir;

use crate::{python, workspace};

/// The Region in which everything is emulated.
pub const REGION: &str = "us-east-1";

/// The emulators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Also runs functions, state machines and templates.
    MiniStack,
    /// Closer to S3 and Glue in which requests it rejects.
    Moto,
}

/// A running emulator; stopped when dropped.
pub struct Emulator {
    process: Child,
    endpoint: String,
    /// Lines that it has printed.
    output: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Emulator {
    /// Starts an emulator and waits until it is ready.
    ///
    /// # Panics
    /// If the tests' Python environment does not exist: `make .venv/ready` creates it.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let port = free_port();
        let bin = |name: &str| workspace().join(".venv/bin").join(name);
        let (program, ready) = match kind {
            Kind::MiniStack => (bin("python"), "Ready"),
            Kind::Moto => (bin("moto_server"), "Running on"),
        };
        let mut command = Command::new(&program);
        match kind {
            Kind::MiniStack => command
                .arg(workspace().join("tests/support/emulator/start_ministack.py"))
                .env("GATEWAY_PORT", port.to_string())
                // Every call is recorded, for a test that compares the calls with the roles.
                .env("CLOUDTRAIL_RECORDING", "1")
                .env("CLOUDTRAIL_MAX_EVENTS", "1000000")
                // Functions call the emulator too.
                .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
                .env("TMPDIR", folder.path()),
            Kind::Moto => command.args(["-H", "127.0.0.1", "-p", &port.to_string()]),
        };
        let (reader, writer) = std::io::pipe().expect("a pipe can be created");
        let process = command
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(writer.try_clone().expect("a pipe can be shared"))
            .stderr(writer)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}; `make .venv/ready` installs it", program.display()));
        drop(command);
        let mut lines = BufReader::new(reader);
        let mut output = String::new();
        while !output.contains(ready) {
            assert!(lines.read_line(&mut output).expect("it is readable") > 0, "the emulator ended early:\n{output}");
        }
        // Keep reading its output, so that it never blocks on a full pipe.
        let output = Arc::new(Mutex::new(Vec::new()));
        let heard = output.clone();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { process, endpoint: format!("http://127.0.0.1:{port}"), output, _folder: folder }
    }

    /// Returns a Moto server that the running tests of a program share. It stops when the last of them ends.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Emulator>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start(Kind::Moto));
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// Returns its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the environment variables through which AWS tools find it.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }

    /// Calls an operation of a service with the AWS SDK for Python, for services without a client here.
    #[must_use]
    pub fn call(&self, service: &str, operation: &str, input: &Value) -> Value {
        self.python("call.py", &[service, operation], &input.to_string())
    }

    /// Same as [`Self::call`], but in another Region.
    #[must_use]
    pub fn call_in(&self, region: &str, service: &str, operation: &str, input: &Value) -> Value {
        self.python_with("call.py", &[service, operation], &input.to_string(), |command| {
            command.env("AWS_DEFAULT_REGION", region);
        })
    }

    /// Returns the output of a script in `tests/support/emulator` for this input.
    ///
    /// # Panics
    /// If the script fails.
    #[must_use]
    pub fn python(&self, script: &str, args: &[&str], input: &str) -> Value {
        self.python_with(script, args, input, |_| {})
    }

    fn python_with(&self, script: &str, args: &[&str], input: &str, change: impl FnOnce(&mut Command)) -> Value {
        let mut command = Command::new(python());
        command.arg(workspace().join("tests/support/emulator").join(script)).args(args).envs(self.environment());
        change(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(input.as_bytes()).expect("the script reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("the process ends");
        assert!(output.status.success(), "{script} {args:?}");
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }

    /// Returns the settings for its clients.
    pub async fn config(&self) -> SdkConfig {
        config_of(&self.endpoint, REGION).await
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("the emulator's last output:\n{}", output[output.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// Returns the settings for clients of `endpoint`.
pub async fn config_of(endpoint: &str, region: &'static str) -> SdkConfig {
    rollcall_aws::client::loader(None)
        .endpoint_url(endpoint)
        .region(Region::new(region))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await
}

/// Returns the same settings for another endpoint, with as many tries but almost no wait before them.
///
/// # Panics
/// If the settings have no retries.
#[must_use]
pub fn hasty(config: &SdkConfig, endpoint: &str) -> SdkConfig {
    let retries = config.retry_config().expect("calls are retried").clone();
    let retries = retries.with_initial_backoff(Duration::from_millis(1));
    config.to_builder().endpoint_url(endpoint).retry_config(retries).build()
}

/// Returns a table as the template declares it, with `managed_by`.
///
/// # Panics
/// Never, since every required name is set.
#[must_use]
pub fn table_input(spec: &TableSpec, bucket: &str) -> aws_sdk_glue::types::TableInput {
    use aws_sdk_glue::types::{Column, StorageDescriptor, TableInput};
    let columns = |columns: &[(String, String, String)]| -> Vec<Column> {
        let column = |(name, kind, comment): &(String, String, String)| {
            Column::builder().name(name).r#type(kind).comment(comment).build().expect("the name is set")
        };
        columns.iter().map(column).collect()
    };
    let storage = StorageDescriptor::builder()
        .location(format!("s3://{bucket}/{}", spec.location))
        .set_columns(Some(columns(&spec.columns)))
        .build();
    TableInput::builder()
        .name(&spec.table)
        .description(&spec.comment)
        .table_type("EXTERNAL_TABLE")
        .parameters("EXTERNAL", "TRUE")
        .parameters("classification", "parquet")
        .parameters("managed_by", "template")
        .storage_descriptor(storage)
        .set_partition_keys(Some(columns(&spec.partition_keys)))
        .build()
        .expect("the name is set")
}

/// Returns a port that is currently free.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
    listener.local_addr().expect("a bound socket has an address").port()
}
