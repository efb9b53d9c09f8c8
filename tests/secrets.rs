//! A secret appears only in the request header. The tests search for a canary everywhere else.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rollcall_adapters::SystemClock;
use rollcall_adapters::http_portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_aws::s3::S3Store;
use rollcall_aws::secret;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{Keep, RunFacts, fetch_partition};
use rollcall_core::ports::{Listed, Store};
use rollcall_simulator::{Action, Fault, SeenRequest};
use rollcall_tests::emulator::{Emulator, Kind};
use rollcall_tests::raw_portal::{RawPortal, Response, Step};
use rollcall_tests::{TestLake, TestPortal, descriptor_with_secret};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// Contains characters that must be percent-encoded in a URL.
const CANARY: &str = "can+ary/4f 1b=7d";
/// The canary in base64, at each offset in a longer text and without the ends that depend on adjacent characters; and
/// percent-encoded.
const ENCODED: [&str; 12] = [
    "Y2FuK2FyeS80ZiAxYj03Z",
    "NhbithcnkvNGYgMWI9N2",
    "jYW4rYXJ5LzRmIDFiPTdk",
    "can%2Bary%2F4f%201b%3D7d",
    "can%2Bary%2F4f+1b%3D7d",
    // The canary as escaped in JSON, HTML and source code, and in hexadecimal.
    "\\u0063\\u0061\\u006e\\u002b\\u0061",
    "can+ary\\/4f 1b=7d",
    "can&#43;ary",
    "63616e2b6172792f34662031623d3764",
    "63616E2B6172792F34662031623D3764",
    // A truncated canary.
    "can+ary",
    // The canary as it may appear in a header name.
    "can-ary",
];

fn assert_absent(place: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for form in [CANARY].iter().chain(&ENCODED) {
        assert!(!text.contains(form), "{place} holds the secret as `{form}`");
    }
}

/// Checks that the portal received the secret, so that its absence elsewhere means something.
fn assert_sent(portal: &TestPortal, paths: &[&str]) {
    let is_sent = |(name, value): &(String, String)| name == "x-api-key" && value == CANARY;
    let is_of_paths = |request: &SeenRequest| paths.iter().any(|path| request.path.contains(path));
    let data = portal.server.requests().into_iter().filter(is_of_paths);
    let sent: Vec<bool> = data.map(|request| request.headers.iter().any(is_sent)).collect();
    assert!(!sent.is_empty() && sent.iter().all(|sent| *sent), "{sent:?}");
}

/// Returns faults that fail a partition in various ways, some with an excerpt of the response.
fn faults() -> Vec<Fault> {
    let refused = Action::Status { code: 403, retry_after: None, body: Some("no such key".to_owned()) };
    vec![
        Fault::new(refused).on_path("2020/"),
        Fault::new(Action::Html).on_path("2019/"),
        Fault::new(Action::Disconnect).on_path("2018/").times(2),
    ]
}

/// Writes a descriptor with a secret to its own folder.
fn guarded() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let file = folder.path().join("guarded.toml");
    fs::write(&file, descriptor_with_secret()).expect("writing succeeds");
    let file = file.to_str().expect("the text is UTF-8").to_owned();
    (folder, file)
}

#[test]
fn a_dataset_with_an_unset_secret_is_rejected_by_name_before_any_request() {
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
    // The portal may have rejected the secret, so the hint names it.
    let hint = "hint: check that the value of the secret `portal-key` is still valid";
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
    assert_sent(&portal, &["/ccd/enrollment/"]);
    let requests = portal.server.requests();
    assert!(requests.iter().all(|request| request.headers.iter().any(|(name, _)| name == "x-api-key")));
    let is_in_url = |request: &SeenRequest| request.query.contains(CANARY) || request.path.contains(CANARY);
    assert!(!requests.iter().any(is_in_url));
    assert_eq!(other.server.requests().len(), 0);
    for run in runs {
        assert!(run.stderr.contains("TRACE"), "expected a log at trace level");
        assert_absent("stdout", run.stdout.as_bytes());
        assert_absent("stderr", run.stderr.as_bytes());
    }
    let files = lake.files("");
    assert!(files.len() > 10);
    for (path, (bytes, _)) in files {
        assert_absent(&path, &bytes);
    }
}

/// Forms in which a portal repeats the secret. All but the first are invalid header values.
const REPEATED: [&str; 13] = [
    "can+ary/4f 1b=7d",
    "can+ary\\/4f 1b=7d",
    "\\u0063\\u0061\\u006e\\u002b\\u0061\\u0072\\u0079\\u002F\\u0034\\u0066\\u0020\\u0031\\u0062\\u003d\\u0037\\u0064",
    "can\\u002Bary/4f\\u00201b=7d",
    "Y2FuK2FyeS80ZiAxYj03ZA==",
    "Y2FuK2FyeS80ZiAxYj03ZA",
    // Preceded by `user:` and by `us:`, the latter in the URL-safe alphabet.
    "dXNlcjpjYW4rYXJ5LzRmIDFiPTdk",
    "dXM6Y2FuK2FyeS80ZiAxYj03ZCE_",
    "dTpjYW4rYXJ5LzRmIDFiPTdkPz8-",
    "can%2Bary%2F4f%201b%3D7d",
    "can%2bary%2f4f+1b%3d7d",
    "can&#43;ary&#x2F;4f 1b&#61;7d",
    "63616E2B6172792F34662031623D3764",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compression succeeds");
    encoder.finish().expect("compression succeeds")
}

fn say(head: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n");
    let length = format!("content-length: {}\r\n\r\n", body.as_ref().len());
    vec![Step::Send([head.as_bytes(), length.as_bytes(), body.as_ref()].concat())]
}

/// Returns the steps, given the original response and a string with the secret.
type Repeat = fn(&Response, &str) -> Vec<Step>;

/// Responses that repeat a string in a part that is read, each with the name of that part.
const IN_WHAT_IS_READ: [(&str, Repeat); 14] = [
    ("refusal", |_, it| say("401 Unauthorized", format!(r#"{{"error": "Incorrect API key: {it}"}}"#))),
    ("fault", |_, it| say("503 Service Unavailable", format!("<p>{it} is busy</p>"))),
    ("at the end of an excerpt", |_, it| say("400 Bad Request", format!("{}{it}", ".".repeat(190)))),
    ("at the end of what is read", |_, it| say("400 Bad Request", format!("{}{it}", ".".repeat(1010)))),
    ("compressed refusal", |_, it| say("403 Forbidden\r\ncontent-encoding: GZIP", gzip(it.as_bytes()))),
    ("truncated refusal", |_, it| {
        let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 1000\r\n\r\nno key ";
        // Without the text before the secret in base64, and without the end of the secret.
        vec![Step::Send([head, &it[..it.len() - 3]].concat().into_bytes())]
    }),
    ("value", |response, it| change(response, r#"{"year""#, &format!(r#"{{"note":"{it}","year""#))),
    ("name of a field", |response, it| change(response, r#"{"year""#, &format!(r#"{{"{it}":1,"year""#))),
    ("link", |response, it| {
        change(response, r#""next":"#, &format!(r#""next":"http://127.0.0.1/?key={it}","other":"#))
    }),
    ("number of rows", |response, it| change(response, r#""count":"#, &format!(r#""count":"{it}","other":"#))),
    ("invalid page", |_, it| say("200 OK", format!("<html>{it}</html>"))),
    ("truncated page", |_, it| say("200 OK", format!(r#"{{"count":1,"next":"{}"#, &it[..it.len() - 3]))),
    ("compressed page", |_, it| say("200 OK\r\ncontent-encoding: x-gzip", gzip(format!("[{it}]").as_bytes()))),
    ("chunked page", |_, it| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunks: String = it.chars().map(|c| format!("{:x}\r\n{c}\r\n", c.len_utf8())).collect();
        vec![Step::Send([head, &chunks, "0\r\n\r\n"].concat().into_bytes())]
    }),
];

/// Responses that repeat the plain secret in a part that is not read, or is read only partly.
const ELSEWHERE: [(&str, Repeat); 8] = [
    ("reason", |_, it| say(&format!("401 {it}"), "no")),
    ("redirect", |_, it| say(&format!("302 Found\r\nlocation: https://portal.test/{it}"), "")),
    ("encoding", |response, it| say(&format!("200 OK\r\ncontent-encoding: {it}"), &response.body)),
    ("wait", |_, it| say(&format!("429 Too Many Requests\r\nretry-after: {it}"), "slow")),
    ("header", |_, it| say(&format!("404 Not Found\r\nx-echo: {it}\r\n{}: 1", it.replace(['/', ' ', '='], "-")), "no")),
    ("invalid header", |_, it| say(&format!("404 Not Found\r\n{it}"), "no")),
    ("invalid status", |_, it| say(it, "no")),
    ("long header", |_, it| {
        say(&format!("404 No\r\n{}{}: 1", "x".repeat(70_000), it.replace(['/', ' ', '='], "-")), "")
    }),
];

fn change(response: &Response, from: &str, to: &str) -> Vec<Step> {
    let body = String::from_utf8_lossy(&response.body).replacen(from, to, 1);
    assert!(body.contains(to), "{body}");
    say("200 OK", body)
}

/// Returns a portal that repeats the secret in a different way for each partition, and the partitions.
fn repeating(portal: &TestPortal) -> (RawPortal, Vec<String>) {
    let cases = IN_WHAT_IS_READ.iter().flat_map(|case| REPEATED.map(|text| (*case, text)));
    let cases: Vec<_> = cases.chain(ELSEWHERE.map(|case| (case, CANARY))).collect();
    let partition = |n: usize| format!("{}/grade-{}", 1990 + n / 12, n % 12 + 1);
    let partitions: Vec<String> = (0..cases.len()).map(partition).collect();
    let paths = partitions.clone();
    let repeating = RawPortal::before(portal.server.address(), move |request, response| {
        let of_path = |path: &String| request.target.contains(&format!("/ccd/enrollment/{path}/"));
        match paths.iter().position(of_path).map(|n| cases[n]) {
            Some(((_, repeat), text)) => repeat(response, text),
            None => vec![Step::Send(response.bytes())],
        }
    });
    (repeating, partitions)
}

/// Found by use: H2.
#[test]
fn a35_a_portal_that_repeats_the_secret_in_any_form_is_rejected_and_no_output_log_or_file_contains_it() {
    let portal = TestPortal::small();
    let (repeating, partitions) = repeating(&portal);
    let (_folder, file) = guarded();
    let lake = TestLake::new();
    let origin = repeating.origin();
    let mut args = vec!["--portal", &origin, "--retry-wait", "0", "--dataset", &file, "--tolerated-failures", "1000"];
    args.extend(partitions.iter().flat_map(|partition| ["--partition", partition]));
    let found = lake.rollcall_with("run", &args, |command| {
        command.env("ROLLCALL_SECRET_PORTAL_KEY", CANARY).env("ROLLCALL_LOG", "trace");
    });
    let found = found.expect(3);
    assert!(found.stdout.contains(&format!("{0} partitions: {0} failed", partitions.len())), "{}", found.stdout);
    assert!(found.stderr.contains("TRACE hyper"), "expected a log at trace level");
    let n_refused = found
        .stderr
        .matches("portal refused the request: HTTP 200: the response repeats the secret that was sent")
        .count();
    assert_eq!(n_refused, 8 * REPEATED.len());
    let hint = "hint: ask the portal's operator why its responses contain the value of the secret `portal-key`";
    assert!(found.stderr.contains(hint));
    assert!(found.stderr.contains("portal refused the request: HTTP 401: `(omitted: it repeats the secret)`"));
    assert_absent("stdout", found.stdout.as_bytes());
    assert_absent("stderr", found.stderr.as_bytes());
    let files = lake.files("");
    let summary = files.iter().find(|(path, _)| path.ends_with("/summary.json")).expect("the run has a summary");
    assert!(String::from_utf8_lossy(&summary.1.0).matches("\"outcome\": \"failed\"").count() == partitions.len());
    for (path, (bytes, _)) in files {
        assert_absent(&path, &bytes);
    }
    assert_eq!(lake.files("data").keys().filter(|path| path.contains("enrollment")).count(), 0);
    assert!(repeating.requests("/ccd/enrollment/").iter().all(|request| request.head.contains(CANARY)));
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

/// Covers what page-fetch does for a dataset with a secret, since no built-in dataset has one.
///
/// Found by use: H2.
#[test]
fn a35_a_canary_from_secrets_manager_is_in_no_log_error_or_object_of_a_bucket() {
    let (emulator, portal) = (Emulator::start(Kind::MiniStack), TestPortal::small());
    let (repeating, partitions) = repeating(&portal);
    // With one thread, this thread's log has the lines of all tasks.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(fetch_with_a_canary(&emulator, &portal, &repeating, &partitions));
}

async fn fetch_with_a_canary(emulator: &Emulator, portal: &TestPortal, repeating: &RawPortal, partitions: &[String]) {
    portal.server.set_faults(faults());
    let config = emulator.config().await;
    let created = json!({"Name": "rollcall/portal-key", "SecretString": CANARY});
    let _ = emulator.call("secretsmanager", "create_secret", &created);
    let _ = emulator.call("s3", "create_bucket", &json!({"Bucket": "lake"}));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::TRACE).json();
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let dataset = Dataset::parse("secret.toml", &descriptor_with_secret()).expect("the descriptor is valid");
    let header = secret::header(&config, "rollcall/", &dataset).await.expect("it exists");
    assert_absent("debug text", format!("{header:?}").as_bytes());
    let client = |origin: &str| {
        let mut settings = PortalSettings::new(parse_origin(origin).expect("the text is an origin"));
        settings.backoff = Duration::ZERO;
        HttpPortal::new(settings, header.clone())
            .expect("the client is valid")
            .until(Instant::now() + Duration::from_secs(600))
    };
    let (client, repeating) = (client(&portal.origin()), client(&repeating.origin()));
    let store = S3Store::new(&config, "lake");
    let run = RunFacts {
        run: "r1".to_owned(),
        portal_release: None,
        force: false,
        in_flight: 1,
        keep: Keep::default(),
        max_partition_bytes: None,
    };
    let mut n_failed = 0;
    let sound = ["2018/grade-pk", "2019/grade-pk", "2020/grade-pk", "2021/grade-pk"].map(|path| (&client, path));
    // Each part of the response is tested with the next form in turn.
    let repeated = partitions.iter().step_by(REPEATED.len() + 1).map(|path| (&repeating, path.as_str()));
    let n_repeated = repeated.clone().count();
    for (client, path) in sound.into_iter().chain(repeated) {
        let (year, grade) = path.split_once('/').expect("the path has two parts");
        let partition =
            dataset.parse_partition(&format!("year={year}/grade={grade}")).expect("the text is a partition");
        if let Err(error) = fetch_partition(client, &store, &SystemClock, &dataset, &partition, &run).await {
            n_failed += 1;
            assert_absent("error", error.chain().as_bytes());
            assert_absent("error as debug text", format!("{error:?}").as_bytes());
        }
    }
    assert_eq!(n_failed, 2 + n_repeated);
    assert_sent(portal, sound.map(|(_, path)| path).as_slice());
    let listed = store.list("").await.expect("the bucket can be listed");
    assert!(listed.len() > 5, "{listed:?}");
    for Listed { key, .. } in listed {
        assert_absent(&key, &store.read(&key).await.expect("it is readable").expect("it exists").bytes);
    }
    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(String::from_utf8_lossy(&log).contains("\"level\":\"TRACE\""), "expected a log at trace level");
    // Only the response of Secrets Manager contains the secret, and the client must not log it.
    assert_absent("log", &log);
}
