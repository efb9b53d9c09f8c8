//! A secret stays where it belongs: in the request's header. A canary is looked for in everything else.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rollcall_adapters::SystemClock;
use rollcall_adapters::portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_aws::s3::S3Store;
use rollcall_aws::secret;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{RunFacts, fetch_partition};
use rollcall_core::ports::{Listed, Store};
use rollcall_simulator::{Action, Fault, SeenRequest};
use rollcall_tests::emulator::{Emulator, Kind};
use rollcall_tests::{TestLake, TestPortal, descriptor_with_secret};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// With signs that a URL would write otherwise.
const CANARY: &str = "can+ary/4f 1b=7d";
/// The same in base64, at each offset in a longer text, without the ends that depend on what is around it; and as a URL
/// writes it.
const ENCODED: [&str; 5] = [
    "Y2FuK2FyeS80ZiAxYj03Z",
    "NhbithcnkvNGYgMWI9N2",
    "jYW4rYXJ5LzRmIDFiPTdk",
    "can%2Bary%2F4f%201b%3D7d",
    "can%2Bary%2F4f+1b%3D7d",
];

fn assert_absent(place: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for form in [CANARY].iter().chain(&ENCODED) {
        assert!(!text.contains(form), "{place} holds the secret as `{form}`");
    }
}

/// Whether the portal was sent the secret, so that its absence elsewhere means something.
fn assert_sent(portal: &TestPortal) {
    let is_sent = |(name, value): &(String, String)| name == "x-api-key" && value == CANARY;
    let data = portal.server.requests().into_iter().filter(|request| request.path.contains("/ccd/enrollment/"));
    let sent: Vec<bool> = data.map(|request| request.headers.iter().any(is_sent)).collect();
    assert!(!sent.is_empty() && sent.iter().all(|sent| *sent), "{sent:?}");
}

/// Answers that end a partition in various ways, some with an excerpt of what came.
fn faults() -> Vec<Fault> {
    let refused = Action::Status { code: 403, retry_after: None, body: Some("no such key".to_owned()) };
    vec![
        Fault::new(refused).on_path("2020/"),
        Fault::new(Action::Html).on_path("2019/"),
        Fault::new(Action::Disconnect).on_path("2018/").times(2),
    ]
}

/// A descriptor with a secret, in a folder of its own.
fn guarded() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("guarded.toml");
    fs::write(&file, descriptor_with_secret()).expect("it can be written");
    let file = file.to_str().expect("it is UTF-8").to_owned();
    (folder, file)
}

#[test]
fn a_dataset_whose_secret_is_not_set_is_refused_by_name_and_nothing_is_asked() {
    let portal = TestPortal::small();
    let (_folder, file) = guarded();
    let origin = portal.origin();
    let args = ["--portal", &origin, "--dataset", &file, "--years", "2021", "--grades", "grade-pk"];
    for command in ["run", "plan"] {
        for value in [None, Some("")] {
            let found = TestLake::new().rollcall_with(command, &args, |process| {
                process.env_remove("ROLLCALL_SECRET_PORTAL_KEY");
                process.envs(value.map(|value| ("ROLLCALL_SECRET_PORTAL_KEY", value)));
            });
            assert_eq!(
                found.expect(2).stderr,
                "error: SecretMissing: read secret `portal-key`: \
                 expected a value in the environment variable `ROLLCALL_SECRET_PORTAL_KEY`, found none\n"
            );
        }
    }
    assert_eq!(portal.server.requests().len(), 0);
}

#[test]
fn a5_a_canary_is_in_no_output_log_or_file_of_a_local_run_and_reaches_no_other_portal() {
    let (portal, other) = (TestPortal::small(), TestPortal::small());
    let (_folder, file) = guarded();
    let lake = TestLake::new();
    let origin = portal.origin();
    let run = |format: &str| {
        let args = ["--portal", &origin, "--retry-wait", "0", "--years", "2018-2021", "--grades", "grade-pk"];
        let args = [args.as_slice(), &["--dataset", &file, "--format", format]].concat();
        lake.rollcall_with("run", &args, |command| {
            command.env("ROLLCALL_SECRET_PORTAL_KEY", CANARY).env("ROLLCALL_LOG", "trace");
        })
    };
    portal.server.set_faults(faults());
    let mut runs = vec![run("table").expect(3)];
    // What the portal refused may be the secret, which is told by its name.
    let hint = "hint: see that the value of the secret `portal-key` still holds";
    assert!(runs[0].stderr.contains(hint), "{}", runs[0].stderr);
    let location = format!("{}/api/v1/schools/ccd/enrollment/2021/grade-pk/", other.origin());
    for (action, error) in [
        (Action::Redirect { location: location.clone() }, "PortalRefused"),
        (Action::Next { url: Some(location) }, "UntrustedNext"),
        (Action::Status { code: 401, retry_after: None, body: Some("who are you?".to_owned()) }, "PortalRefused"),
    ] {
        portal.server.set_faults(vec![Fault::new(action).on_path("2021/grade-pk").times(1)]);
        let found = run("json").expect(3);
        assert!(found.stdout.contains(error), "{}", found.stdout);
        runs.push(found);
    }
    assert_sent(&portal);
    let requests = portal.server.requests();
    assert!(requests.iter().all(|request| request.headers.iter().any(|(name, _)| name == "x-api-key")));
    let is_in_url = |request: &SeenRequest| request.query.contains(CANARY) || request.path.contains(CANARY);
    assert!(!requests.iter().any(is_in_url));
    assert_eq!(other.server.requests().len(), 0);
    for run in runs {
        assert!(run.stderr.contains("TRACE"), "the log is written at its finest level");
        assert_absent("stdout", run.stdout.as_bytes());
        assert_absent("stderr", run.stderr.as_bytes());
    }
    let files = lake.files("");
    assert!(files.len() > 10);
    for (path, (bytes, _)) in files {
        assert_absent(&path, &bytes);
    }
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Log;

    fn make_writer(&'w self) -> Log {
        self.clone()
    }
}

/// What page-fetch does for a dataset with a secret; those built in have none.
#[test]
fn a_canary_from_secrets_manager_is_in_no_log_error_or_object_of_a_bucket() {
    let (emulator, portal) = (Emulator::start(Kind::MiniStack), TestPortal::small());
    // One thread, so that the log of this thread is that of all tasks.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(fetch_with_a_canary(&emulator, &portal));
}

async fn fetch_with_a_canary(emulator: &Emulator, portal: &TestPortal) {
    portal.server.set_faults(faults());
    let config = emulator.config().await;
    let created = json!({"Name": "rollcall/portal-key", "SecretString": CANARY});
    let _ = emulator.call("secretsmanager", "create_secret", &created);
    let _ = emulator.call("s3", "create_bucket", &json!({"Bucket": "lake"}));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::TRACE).json();
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let dataset = Dataset::parse("secret.toml", &descriptor_with_secret()).expect("it is valid");
    let header = secret::header(&config, "rollcall/", &dataset).await.expect("it is there");
    assert_absent("debug text", format!("{header:?}").as_bytes());
    let mut settings = PortalSettings::new(parse_origin(&portal.origin()).expect("an origin"));
    settings.backoff = Duration::ZERO;
    let client = HttpPortal::new(settings, header).expect("it is set up");
    let store = S3Store::new(&config, "lake");
    let run = RunFacts { run: "r1".to_owned(), portal_release: None, force: false, pages_at_once: 2 };
    let mut n_failed = 0;
    for year in [2018, 2019, 2020, 2021] {
        let partition = dataset.parse_partition(&format!("year={year}/grade=grade-pk")).expect("a partition");
        let client = client.until(Instant::now() + Duration::from_secs(60));
        if let Err(error) = fetch_partition(&client, &store, &SystemClock, &dataset, &partition, &run).await {
            n_failed += 1;
            assert_absent("error", error.chain().as_bytes());
            assert_absent("error as debug text", format!("{error:?}").as_bytes());
        }
    }
    assert_eq!(n_failed, 2);
    assert_sent(portal);
    let listed = store.list("").await.expect("the bucket can be listed");
    assert!(listed.len() > 5, "{listed:?}");
    for Listed { key, .. } in listed {
        assert_absent(&key, &store.read(&key).await.expect("it can be read").expect("it is there").bytes);
    }
    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(String::from_utf8_lossy(&log).contains("\"level\":\"TRACE\""), "the log is written at its finest level");
    // The answer of Secrets Manager is the one place where it must be; the client must not log that.
    assert_absent("log", &log);
}
