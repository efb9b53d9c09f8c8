//! The real binary as a process: how tests build, run, signal and wait for it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::workspace;

/// Returns the binary. Cargo builds it first if it is out of date.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| executables(&["rollcall"]).remove(0))
}

/// Returns the programs of packages in order, with `rollcall` built for AWS. Cargo builds them first if they are out of
/// date.
#[must_use]
pub fn executables(packages: &[&str]) -> Vec<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    // The same selection as for the tests. With another one, Cargo would rebuild dependencies with fewer features.
    cargo.args(["build", "--locked", "--workspace", "--features", "rollcall/aws", "--message-format", "json"]);
    cargo.current_dir(workspace());
    // Cargo sets these for this test's package. Build scripts that read them would see a change, and Cargo would
    // rebuild everything that depends on them after each switch between a test and a build.
    for (name, _) in std::env::vars_os() {
        let reported = name.to_string_lossy();
        if reported.starts_with("CARGO_PKG_") || reported.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let built: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let executable = |package: &&str| {
        // Package ids look like `path+file:///…/cli#rollcall@0.1.0` and
        // `path+file:///…/functions/catalog#rollcall-catalog@0.1.0`.
        let is_of_package = |message: &&Value| {
            let id = message["package_id"].as_str().unwrap_or_default();
            id.contains(&format!("#{package}@")) && message["executable"].is_string()
        };
        let message = built
            .iter()
            .find(is_of_package)
            .unwrap_or_else(|| panic!("expected cargo to name the program of {package}"));
        PathBuf::from(message["executable"].as_str().expect("the value is text"))
    };
    packages.iter().map(executable).collect()
}

/// Output and exit code of a command.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error, without the line that opens a run.
    pub stderr: String,
    /// The line that opens a run: what it fetches from where. Empty for other commands.
    pub opening: String,
}

impl Outcome {
    /// Converts the output of a finished process.
    #[must_use]
    pub fn from_output(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).expect("stderr is UTF-8");
        let (opening, stderr): (Vec<&str>, Vec<&str>) =
            stderr.split_inclusive('\n').partition(|line| line.starts_with("fetching ") && line.contains(" into `"));
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: stderr.concat(),
            opening: opening.concat(),
        }
    }

    /// Fails the test and prints all output unless the exit code is `code`.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Parses stdout as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }
}

/// Returns a command line of the binary, without settings from this machine's environment.
#[must_use]
pub fn rollcall(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_remove("ROLLCALL_LAKE").env_remove("ROLLCALL_LOG");
    command
}

/// Runs a shell script in its own Linux namespaces, where it may mount file systems.
///
/// - `namespaces`: flags of `unshare`, such as `--mount`.
/// - `settings`: environment variables of the script; `ROLLCALL` is the binary.
///
/// # Panics
/// If the system does not allow namespaces.
#[must_use]
pub fn in_namespaces(namespaces: &[&str], script: &str, settings: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").args(namespaces).args(["sh", "-uc"]);
    command.arg(format!("echo in namespaces; {script}"));
    command.env("ROLLCALL", binary()).envs(settings.iter().copied());
    command.env_remove("ROLLCALL_LAKE").env_remove("ROLLCALL_LOG");
    let outcome = Outcome::from_output(command.output().expect("the system has `unshare`, of util-linux"));
    let Some(stdout) = outcome.stdout.strip_prefix("in namespaces\n") else {
        panic!(
            "expected a system on which `unshare --map-root-user {}` works, found:\n{}",
            namespaces.join(" "),
            outcome.stderr
        );
    };
    Outcome { stdout: stdout.to_owned(), ..outcome }
}

/// A running program; killed when dropped.
pub struct Killed(pub Child);

impl Killed {
    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(status.expect("the system has `kill`").success());
    }

    /// Waits for the end and returns the piped output.
    #[must_use]
    pub fn wait(mut self) -> Outcome {
        fn read(pipe: Option<impl Read>) -> Vec<u8> {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes).expect("a pipe can be read");
            }
            bytes
        }
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        // Read both at once, since the program blocks while either pipe is full.
        let (stdout, stderr) = std::thread::scope(|scope| {
            let stderr = scope.spawn(|| read(stderr));
            (read(stdout), stderr.join().expect("a pipe can be read"))
        });
        Outcome::from_output(Output { status: self.0.wait().expect("the process can be waited for"), stdout, stderr })
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a condition is true, and fails after two minutes.
pub fn wait_until(fact: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_true() {
        assert!(Instant::now() < deadline, "expected within two minutes: {fact}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
