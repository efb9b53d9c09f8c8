//! What the behaviour tests share: the real binary, a portal on loopback, a lake in a temporary folder.

pub mod chance;
pub mod emulator;
pub mod https;
pub mod raw_portal;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rollcall_adapters::http_portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::PartitionRecord;
use rollcall_core::partition::{AxisValue, PartitionKey};
use rollcall_core::ports::CatalogPartition;
use rollcall_simulator::{Action, Config, Fault, Running, Simulator};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A hundred partitions, as arguments of `rollcall run`.
pub const HUNDRED: [&str; 4] = [
    "--years",
    "2012-2021",
    "--grades",
    "grade-pk,grade-k,grade-1,grade-2,grade-3,grade-4,grade-5,grade-6,grade-7,grade-8",
];

/// Folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace holds this package").to_owned()
}

/// The binary, built by cargo if it is not up to date, so that a test never runs an old one.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| executables(&["rollcall"]).remove(0))
}

/// The programs of packages, in their order, built by cargo if they are not up to date: `rollcall` with its part for AWS.
#[must_use]
pub fn executables(packages: &[&str]) -> Vec<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    // All packages, as the tests themselves are built: for fewer, cargo would build dependencies with fewer features anew.
    cargo.args(["build", "--locked", "--workspace", "--features", "rollcall/aws", "--message-format", "json"]);
    cargo.current_dir(workspace());
    // What cargo tells this test about its own package would look like a change to build scripts that ask for it,
    // and every crate above them would be built again at every change between a test and a build.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let built: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let executable = |package: &&str| {
        // Such as `path+file:///…/cli#rollcall@0.1.0` and `path+file:///…/functions/catalog#rollcall-catalog@0.1.0`.
        let is_of_package = |message: &&Value| {
            let id = message["package_id"].as_str().unwrap_or_default();
            id.contains(&format!("#{package}@")) && message["executable"].is_string()
        };
        let message =
            built.iter().find(is_of_package).unwrap_or_else(|| panic!("cargo names the program of {package}"));
        PathBuf::from(message["executable"].as_str().expect("it is text"))
    };
    packages.iter().map(executable).collect()
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Words.
    pub stderr: String,
}

impl Outcome {
    /// What a finished process printed.
    #[must_use]
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }

    /// Fails the test, with everything printed, unless the exit code is `code`.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Stdout as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }
}

/// A command line of the binary, with no setting of the machine's environment in it.
#[must_use]
pub fn rollcall(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_remove("ROLLCALL_LAKE").env_remove("ROLLCALL_LOG");
    command
}

/// What a script of the shell came to in namespaces of its own, where it may mount what it likes.
///
/// - `namespaces`: flags of `unshare`, such as `--mount`.
/// - `settings`: variables of the script; `ROLLCALL` is the binary.
///
/// # Panics
/// Where namespaces cannot be made.
#[must_use]
pub fn in_namespaces(namespaces: &[&str], script: &str, settings: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").args(namespaces).args(["sh", "-uc"]);
    command.arg(format!("echo in namespaces; {script}"));
    command.env("ROLLCALL", binary()).envs(settings.iter().copied());
    command.env_remove("ROLLCALL_LAKE").env_remove("ROLLCALL_LOG");
    let outcome = Outcome::of(command.output().expect("the system has `unshare`, of util-linux"));
    let Some(stdout) = outcome.stdout.strip_prefix("in namespaces\n") else {
        panic!(
            "expected a system on which `unshare --map-root-user {}` works, found:\n{}",
            namespaces.join(" "),
            outcome.stderr
        );
    };
    Outcome { stdout: stdout.to_owned(), ..outcome }
}

/// A client of a portal that waits milliseconds where the real one waits seconds, with what a test changes.
///
/// # Panics
/// When `origin` is none.
#[must_use]
pub fn client(origin: &str, change: impl FnOnce(&mut PortalSettings)) -> HttpPortal {
    let mut settings = PortalSettings::new(parse_origin(origin).expect("an origin"));
    settings.backoff = Duration::from_millis(1);
    settings.max_backoff = Duration::from_millis(5);
    change(&mut settings);
    HttpPortal::new(settings, None).expect("it is set up")
}

/// A portal on loopback that stops when dropped.
pub struct TestPortal {
    /// The server.
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

    /// Serves the sample with few schools, quickly.
    #[must_use]
    pub fn small() -> Self {
        Self::start(Config { n_schools: 300, page_size: 100, ..Config::default() })
    }

    /// Serves the bodies of a folder as they are.
    #[must_use]
    pub fn recorded(folder: &Path) -> Self {
        Self::start(Config { recorded: Some(folder.to_owned()), ..Config::default() })
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> String {
        self.server.origin()
    }

    /// Requests seen for data, not for metadata.
    #[must_use]
    pub fn n_data_requests(&self) -> usize {
        self.server.requests().iter().filter(|request| !request.path.contains("/api-")).count()
    }
}

/// Writes the body of a page where [`TestPortal::recorded`] serves it: `path` below `/api/v1/`, `page` from 1.
pub fn write_page(folder: &Path, path: &str, page: u32, body: &[u8]) {
    let folder = folder.join(path.trim_matches('/'));
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::write(folder.join(format!("{page}.json")), body).expect("a page can be written");
}

/// A lake in a temporary folder.
pub struct TestLake {
    folder: TempDir,
}

/// A file's bytes and modification time.
pub type Seen = (Vec<u8>, SystemTime);

impl Default for TestLake {
    fn default() -> Self {
        Self::new()
    }
}

impl TestLake {
    /// An empty lake.
    #[must_use]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    /// A lake that holds nothing but the mark of one.
    #[must_use]
    pub fn marked() -> Self {
        let lake = Self::new();
        fs::write(lake.path().join("lake.json"), "{\"is_sample\": false}").expect("a mark can be written");
        lake
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `rollcall <command> --lake <this> <args>`.
    #[must_use]
    pub fn rollcall(&self, command: &str, args: &[&str]) -> Outcome {
        self.rollcall_with(command, args, |_| {})
    }

    /// The same, with the command changed before it runs.
    #[must_use]
    pub fn rollcall_with(&self, command: &str, args: &[&str], change: impl FnOnce(&mut Command)) -> Outcome {
        let lake = self.path().to_str().expect("temporary folders have UTF-8 names");
        let mut all = vec![command, "--lake", lake];
        all.extend(args);
        let mut process = rollcall(&all);
        change(&mut process);
        Outcome::of(process.output().expect("the binary starts"))
    }

    /// Runs `rollcall run` against a portal, without waits before what is asked again.
    #[must_use]
    pub fn run(&self, portal: &TestPortal, args: &[&str]) -> Outcome {
        let origin = portal.origin();
        let mut all = vec!["--portal", origin.as_str(), "--retry-wait", "0"];
        all.extend(args);
        self.rollcall("run", &all)
    }

    /// Every file below `prefix` (`data`, `ledger`, …), by its path in the lake.
    #[must_use]
    pub fn files(&self, prefix: &str) -> BTreeMap<String, Seen> {
        let seen = |(path, bytes): (String, Vec<u8>)| {
            let metadata = self.path().join(&path).metadata().expect("the file is still there");
            (path, (bytes, metadata.modified().expect("a file has a time")))
        };
        files_below(self.path(), prefix).into_iter().map(seen).collect()
    }

    /// The ledger's records of a dataset, by Hive path.
    #[must_use]
    pub fn records(&self, dataset: &str) -> BTreeMap<String, Value> {
        records(self.path(), dataset)
    }

    /// What the ledger holds as committed, by dataset and Hive path, without the last attempts: what a failed run must not
    /// change.
    #[must_use]
    pub fn committed(&self) -> BTreeMap<String, Value> {
        let files = self.files("ledger").into_keys();
        let datasets =
            files.filter_map(|path| Some(path.strip_prefix("ledger/")?.strip_suffix("/records.json")?.to_owned()));
        datasets
            .flat_map(|dataset| {
                let records = self.records(&dataset).into_iter();
                records.map(move |(partition, mut record)| {
                    let mut committed = record["committed"].take();
                    // Of a file only the process that wrote it knows its run.
                    committed.as_object_mut().map(|committed| committed.remove("run"));
                    (format!("{dataset}/{partition}"), committed)
                })
            })
            .filter(|(_, committed)| !committed.is_null())
            .collect()
    }
}

/// The ledger's records of a dataset in a lake's folder, by Hive path; none where there are none yet.
///
/// # Panics
/// When they are no records.
#[must_use]
pub fn records(lake: &Path, dataset: &str) -> BTreeMap<String, Value> {
    fs::read(lake.join(format!("ledger/{dataset}/records.json"))).map(|text| by_path(&text)).unwrap_or_default()
}

/// The ledger's records as they are written, by Hive path.
///
/// # Panics
/// When they are no records.
#[must_use]
pub fn by_path(records: &[u8]) -> BTreeMap<String, Value> {
    // A value forgets the order of the axes.
    let named: Vec<PartitionRecord> = serde_json::from_slice(records).expect("they are records");
    let records: Vec<Value> = serde_json::from_slice(records).expect("records are JSON");
    named.iter().map(|record| record.partition.to_string()).zip(records).collect()
}

/// Bytes of every file below a folder of a lake, by its path in the lake. What is replaced or removed meanwhile is read as
/// it was, or left out; so are links that lead nowhere.
///
/// # Panics
/// When something there cannot be read.
#[must_use]
pub fn files_below(lake: &Path, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![lake.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => panic!("{}: {error}", folder.display()),
        };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) => {
                    let name = path.strip_prefix(lake).expect("files are in the lake").to_string_lossy().into_owned();
                    found.insert(name, bytes);
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}: {error}", path.display()),
            }
        }
    }
    found
}

/// Folder of the enrollment dataset's objects in a lake.
pub const ENROLLMENT: &str = "data/us_education_ccd_enrollment_data";

/// Bytes of the enrollment dataset's objects in a lake, which are a function of its rows, by their path.
#[must_use]
pub fn data(lake: &Path) -> BTreeMap<String, Vec<u8>> {
    files_below(lake, ENROLLMENT)
}

/// A partition of the enrollment dataset.
#[must_use]
pub fn partition(year: i32, grade: &str) -> PartitionKey {
    PartitionKey::new(vec![
        ("year".to_owned(), AxisValue::Int(year)),
        ("grade".to_owned(), AxisValue::Text(grade.to_owned())),
    ])
}

/// That partition as a catalog holds it.
#[must_use]
pub fn registered(year: i32, grade: &str, n_rows: u64) -> CatalogPartition {
    let partition = partition(year, grade);
    let location = format!("data/us_education_ccd_enrollment_data/{partition}/");
    let columns = Dataset::built_in("ccd_enrollment").expect("it is built in").typed_columns();
    CatalogPartition { partition, location, n_rows, columns: Arc::new(columns) }
}

/// The state machine, its placeholders filled in with the template's defaults. Those of numbers stand without quotes.
///
/// # Panics
/// When it is no JSON.
#[must_use]
pub fn state_machine() -> Value {
    let text = fs::read_to_string(workspace().join("statemachine/ingest.asl.json")).expect("the project has it");
    let text = text.replace("${MapConcurrency}", "4").replace("${ToleratedFailureCount}", "20");
    serde_json::from_str(&text).expect("it is JSON once it is filled in")
}

/// A program under way; killed when its test ends before it.
pub struct Killed(pub Child);

impl Killed {
    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(status.expect("the system has `kill`").success());
    }

    /// Waits for the end. What it printed is there where it was piped.
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
        // At once, since a program waits while one of them is full.
        let (stdout, stderr) = std::thread::scope(|scope| {
            let stderr = scope.spawn(|| read(stderr));
            (read(stdout), stderr.join().expect("a pipe can be read"))
        });
        Outcome::of(Output { status: self.0.wait().expect("it can be waited for"), stdout, stderr })
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a fact; fails when it has not come true in two minutes.
pub fn wait_until(fact: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_true() {
        assert!(Instant::now() < deadline, "expected within two minutes: {fact}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An answer that comes after every test has ended.
#[must_use]
pub fn stalled(path: &str) -> Fault {
    Fault::new(Action::Delay { ms: 600_000 }).on_path(path)
}

/// Folder of recorded answers of the real portal, kept beside the project and not in it.
///
/// `None`, with a word on stderr, where it is absent.
#[must_use]
pub fn recorded_bodies() -> Option<PathBuf> {
    let folder = workspace().join("../shared/recorded");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no recorded answers of the portal at ../shared/recorded");
    None
}

/// Python of the project's own environment, which `make test` sets up.
#[must_use]
pub fn python() -> PathBuf {
    let python = workspace().join(".venv/bin/python");
    assert!(python.exists(), "expected the Python environment that `make test` sets up at .venv");
    python
}

/// The descriptor of the default dataset, with a secret `portal-key` in header `x-api-key`.
#[must_use]
pub fn descriptor_with_secret() -> String {
    let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).expect("the project has it");
    text.replacen("[[axis]]", "[secret]\nheader = \"x-api-key\"\nname = \"portal-key\"\n\n[[axis]]", 1)
}

/// The ranking as it was first asked for, with neither a filter on the grade nor a look-up table: right only while
/// pre-kindergarten is the one grade loaded.
pub const SEED_RANKING: &str = include_str!("fixtures/seed_ranking.sql");

/// The ten states with the most pre-kindergarten students in 2021-22, as published from the live portal.
const PUBLISHED: [(u64, &str, u64); 10] = [
    (1, "Texas", 245_135),
    (2, "Illinois", 71_078),
    (3, "Florida", 58_900),
    (4, "New York", 56_452),
    (5, "Wisconsin", 51_159),
    (6, "Georgia", 46_841),
    (7, "New Jersey", 43_884),
    (8, "Ohio", 39_632),
    (9, "Oklahoma", 37_733),
    (10, "Virginia", 30_979),
];

/// The published ranking as rows whose state is in column `state`.
#[must_use]
pub fn published_top_ten(state: &str) -> Value {
    PUBLISHED.iter().map(|(rnk, name, total)| json!({"rnk": rnk, state: name, "total_enrollments": total})).collect()
}

/// Names of the built-in datasets, in the order of the alphabet: the files of `datasets/`.
pub fn dataset_names() -> Vec<String> {
    let files = std::fs::read_dir(workspace().join("datasets")).expect("the folder can be listed");
    let paths = files.map(|file| file.expect("the folder can be listed").path());
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().expect("files have names").to_str().expect("names are text").to_owned())
        .collect();
    names.sort_unstable();
    names
}
