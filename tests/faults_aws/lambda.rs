//! The functions' real programs: killed, short of time, memory or disk, and with duplicate or many events.

use std::collections::BTreeSet;
use std::future::ready;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use rollcall_aws::s3::S3Store;
use rollcall_aws::secret;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::Outcome;
use rollcall_core::ports::Store;
use rollcall_simulator::{Action, Config, Fault as PortalFault};
use rollcall_tests::emulator::proxy::{Fault, Rule, json_error, s3_error};
use rollcall_tests::emulator::runtime::{Function, Invocation};
use rollcall_tests::server::{Server, response};
use rollcall_tests::{TestPortal, descriptor_with_secret, partition, state_machine, workspace};
use serde_json::{Value, json};

use crate::ground::{Ground, fetch_event, finished, other_rows, plan_event, pre_k, publish_event, template};

/// Guard: a function reserves ten seconds to record a failure and to respond.
#[test]
fn l1_a_function_responds_before_lambda_kills_it() {
    let ground = Ground::new();
    ground.portal.server.set_faults(vec![PortalFault::new(Action::Delay { ms: 600_000 })]);
    let function = ground.function("page-fetch");
    function.send_within(&fetch_event(&ground, "r1", &pre_k()), Duration::from_millis(10_300));
    let (name, message) = function.result().failed();
    assert_eq!(name, "DeadlineExceeded", "{message}");
    assert_eq!(ground.receipt(&pre_k(), "r1").error.map(|error| error.name).as_deref(), Some("DeadlineExceeded"));
    // The next event gets its own deadline.
    ground.portal.server.set_faults(Vec::new());
    assert_eq!(function.call(&fetch_event(&ground, "r2", &pre_k())), finished());
    ground.assert_received(&pre_k(), "r2", Outcome::Written);
}

/// Guard: the catalog function has the same reserve. Its next call completes what it left.
#[test]
fn l1_the_catalog_function_responds_before_lambda_kills_it() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let event = publish_event(&ground, "r1", &[pre_k()]);
    ground.proxy.set([Rule::new(&ground.line("PUT", "ledger/"), Fault::Hold)]);
    let catalog = ground.function("catalog");
    catalog.send_within(&event, Duration::from_millis(10_500));
    let (name, message) = catalog.result().failed();
    assert_eq!(name, "CatalogFailed", "{message}");
    assert!(message.contains("expected to end within the time of the function"), "{message}");
    ground.proxy.set([]);
    assert_eq!(catalog.call(&event).response()["n_failed"], 0);
}

/// Guard: a call that AWS accepts but never responds to times out, long before the function does.
#[test]
fn l1_every_call_to_aws_has_a_timeout() {
    let ground = Ground::new();
    let timeouts = ground.direct.timeout_config().expect("calls have timeouts").clone();
    let (connect, read) = (timeouts.connect_timeout(), timeouts.read_timeout());
    let seconds = [connect, read].map(|timeout| timeout.map(|timeout| timeout.as_secs()));
    assert_eq!(seconds, [Some(3), Some(60)]);
    // This test uses a shorter timeout. HEAD, the first call of page-fetch, gets no response and is retried.
    let short = timeouts.to_builder().read_timeout(Duration::from_millis(500)).build();
    let config = ground.config.clone().into_builder().timeout_config(short).build();
    let store = S3Store::new(&config, &ground.bucket);
    let line = ground.line("HEAD", "data/");
    let none = s3_error(404, "NoSuchKey", "The specified key does not exist.");
    ground.proxy.set([Rule::new(&line, Fault::Hold).times(1), Rule::new(&line, none)]);
    let found = ground.runtime.block_on(store.head(&ground.object(&pre_k()))).expect("the second try succeeds");
    assert_eq!((found, ground.seen("HEAD", "data/").len()), (None, 2));
}

/// Returns a portal that responds with a gzip body of 4 GiB in few bytes.
fn portal_with_a_bomb() -> Server {
    const BLOCK: usize = 32 << 20;
    const N_BLOCKS: usize = 128;
    let mut deflate = Compress::new(Compression::fast(), false);
    // A block after a full flush does not depend on earlier ones, so it can be repeated.
    let mut flushed = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(1 << 20);
        let done = deflate.compress_vec(bytes, &mut out, FlushCompress::Full).expect("compression succeeds");
        assert_eq!(done, Status::Ok);
        out
    };
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    body.extend(flushed(b"{\"count\": 1, \"next\": null, \"previous\": null, \"results\": ["));
    let block = flushed(&vec![b' '; BLOCK]);
    (0..N_BLOCKS).for_each(|_| body.extend(&block));
    let body = Bytes::from(body);
    Server::http(move |_, _| {
        let mut gzipped = response(200, body.clone());
        gzipped.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        ready(Ok(gzipped))
    })
}

/// Guard: the limit on decompressed bytes. The process may have only as much data as the template gives page-fetch memory.
#[test]
fn l2_an_endless_body_is_rejected_within_the_memory_of_the_function() {
    let ground = Ground::new();
    let memory = template()["Parameters"]["FetchMB"]["Default"].as_u64().expect("the value is a number");
    let function = ground.command("page-fetch");
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--data={}", memory << 20)).arg(function.get_program()).env_clear();
    limited.envs(function.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let portal = portal_with_a_bomb();
    limited.env("ROLLCALL_PORTAL", format!("http://{}", portal.address()));
    let function = Function::start(limited);
    for run in ["r1", "r2"] {
        let (name, message) = function.call(&fetch_event(&ground, run, &pre_k())).failed();
        assert_eq!(name, "BodyTooLarge", "{message}");
        assert_eq!(ground.receipt(&pre_k(), run).error.map(|error| error.name).as_deref(), Some("BodyTooLarge"));
    }
    assert_eq!(ground.keys("data/"), Vec::<String>::new());
}

#[test]
fn a42_a_partition_is_refused_if_it_does_not_fit_into_the_function_beside_a_page() {
    let ground = Ground::new();
    let portal = TestPortal::start(Config { rows: Some(20_000), ..Config::default() });
    let mut command = ground.command("page-fetch");
    command.env("ROLLCALL_PORTAL", portal.origin().as_str()).env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "31");
    let (name, message) = Function::start(command).call(&fetch_event(&ground, "r1", &pre_k())).failed();
    assert_eq!(name, "PartitionTooLarge", "{message}");
    // 31 MiB are 24 for the program, an eighth for pages, and 3.1 for the partition and one more page of 10,000 rows.
    assert!(message.contains("expected at most 1083093 bytes"), "{message}");
    // The template's memory is enough.
    let mut command = ground.command("page-fetch");
    command.env("ROLLCALL_PORTAL", portal.origin().as_str());
    let fetched = Function::start(command).call(&fetch_event(&ground, "r2", &pre_k())).response();
    assert_eq!(fetched["is_finished"], true);
}

/// Guard: wherever a function is killed, the same event again leaves one object and a correct receipt.
#[test]
fn l3_the_same_event_recovers_from_a_function_killed_at_any_moment() {
    let before_put = ("PUT", "data/", Fault::Hold);
    let after_put = ("PUT", "data/", Fault::HoldResponse);
    let before_receipt = ("PUT", "ledger/ccd_enrollment/runs/", Fault::Hold);
    let before_response = ("PUT", "ledger/ccd_enrollment/runs/", Fault::HoldResponse);
    let writes = [before_put, after_put];
    let ledger = [before_receipt, before_response];
    let ground = Ground::new();
    let event = |run: &str| fetch_event(&ground, run, &pre_k());
    let key = ground.object(&pre_k());
    // The final objects of a new partition and of a changed one.
    let _ = ground.fetch(&pre_k(), "first").expect("the partition is fetched");
    let first = ground.read(&key).expect("the object exists");
    ground.portal.server.set_faults(vec![other_rows()]);
    let _ = ground.fetch(&pre_k(), "other").expect("the partition is fetched");
    let other = ground.read(&key).expect("the object exists");
    assert!(first != other);
    for (case, points) in [
        ("new", [&writes[..], &ledger].concat()),
        ("changed", [&writes[..], &ledger].concat()),
        ("unchanged", ledger.to_vec()),
    ] {
        for (number, (method, prefix, fault)) in points.into_iter().enumerate() {
            let run = format!("{case}-{number}");
            ground.proxy.set([]);
            let is_committed = fault == Fault::HoldResponse || prefix.starts_with("ledger/") || case == "unchanged";
            match case {
                "new" => ground.remove(&key),
                "changed" => {
                    ground.portal.server.set_faults(Vec::new());
                    let _ = ground.fetch(&pre_k(), "before").expect("the partition is fetched");
                    ground.portal.server.set_faults(vec![other_rows()]);
                }
                _ => {}
            }
            ground.set(method, prefix, fault.clone(), Some(1));
            let function = ground.function("page-fetch");
            function.send(&event(&run));
            ground.proxy.wait_until_held();
            function.kill();
            ground.proxy.drop_held();
            // A reader sees the old object or the new one.
            let between = ground.read(&key);
            let expected = match (is_committed, case) {
                (true, _) => Some(&other),
                (false, "new") => None,
                (false, _) => Some(&first),
            };
            assert!(between.as_ref() == expected, "{run} {method} {prefix} {fault:?}");

            let again = ground.function("page-fetch").call(&event(&run));
            assert_eq!(again, finished(), "{run}");
            // The object that the killed function committed counts as written by its run.
            let outcome = if case == "unchanged" { Outcome::Unchanged } else { Outcome::Written };
            ground.assert_received(&pre_k(), &run, outcome);
            assert!(ground.read(&key).as_ref() == Some(&other), "{run}");
            assert_eq!(ground.keys("data/"), std::slice::from_ref(&key));
        }
    }
}

/// Guard: the conditional write. The event is delivered twice, and both functions check the object before either
/// writes.
#[test]
fn l4_an_event_delivered_twice_at_once_is_written_once() {
    let ground = Ground::new();
    let event = fetch_event(&ground, "r1", &pre_k());
    let (one, other) = (ground.function("page-fetch"), ground.function("page-fetch"));
    ground.set("PUT", "data/", Fault::Hold, Some(1));
    one.send(&event);
    ground.proxy.wait_until_held();
    assert_eq!(other.call(&event), finished());
    let written = ground.head(&ground.object(&pre_k())).expect("the object exists");
    ground.proxy.open();
    assert_eq!(one.result(), finished());
    assert_eq!(ground.head(&ground.object(&pre_k())), Some(written), "the second write changes nothing");
    assert_eq!(ground.keys("data/"), [ground.object(&pre_k())]);
    ground.assert_received(&pre_k(), "r1", Outcome::Written);
}

/// Guard: throttling is retried for hours and Lambda's other errors for minutes, before our errors and independently of
/// them.
#[test]
fn l6_a_throttled_call_waits_for_hours_and_a_service_error_is_retried_for_minutes() {
    let machine = state_machine();
    let states = &machine["States"];
    let fetch = &states["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"];
    for task in [&states["PlanPartitions"], fetch, &states["PublishPartitions"]] {
        let errors = |index: usize| {
            let errors = task["Retry"][index]["ErrorEquals"].as_array().expect("the value is a list").iter();
            errors.filter_map(Value::as_str).collect::<BTreeSet<&str>>()
        };
        let mean_wait = |index: usize| {
            let number = |key: &str| task["Retry"][index][key].as_u64().expect("the value is a number");
            number("MaxAttempts") * number("MaxDelaySeconds") / 2
        };
        assert_eq!(errors(0), BTreeSet::from(["Lambda.TooManyRequestsException"]));
        assert!(errors(1).contains("Lambda.ServiceException"));
        assert!(errors(1).iter().all(|error| error.starts_with("Lambda.")), "no error of ours is counted here");
        assert!(mean_wait(0) > 4 * 3_600 && mean_wait(1) > 2 * 60, "{} {}", mean_wait(0), mean_wait(1));
        assert!((0..2).all(|index| task["Retry"][index]["JitterStrategy"] == "FULL"));
    }
}

/// Guard: required settings are read before the first event.
#[test]
fn l7_a_function_without_a_required_setting_ends_before_the_first_event_and_names_it() {
    let ground = Ground::new();
    let (bucket, in_flight) = ("the lake's bucket", "a number from 1 to 256");
    let origin = "scheme, host and optional port of the portal";
    let memory = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
    for (function, variable, value, expected) in [
        ("planner", "ROLLCALL_BUCKET", None, bucket),
        ("page-fetch", "ROLLCALL_BUCKET", None, bucket),
        ("catalog", "ROLLCALL_BUCKET", None, bucket),
        ("catalog", "ROLLCALL_BUCKET", Some(""), bucket),
        ("page-fetch", "ROLLCALL_IN_FLIGHT", Some("many"), in_flight),
        ("page-fetch", "ROLLCALL_IN_FLIGHT", Some("0"), in_flight),
        ("page-fetch", memory, Some(""), "the function's memory in MB"),
        ("page-fetch", memory, Some("much"), "at least 28 MB, as a number"),
        ("page-fetch", memory, Some("0"), "at least 28 MB, as a number"),
        ("planner", "ROLLCALL_PORTAL", Some("https://portal.invalid/api"), origin),
        ("page-fetch", "ROLLCALL_PORTAL", Some("ftp://portal.invalid"), origin),
    ] {
        let mut command = ground.command(function);
        match value {
            None => command.env_remove(variable),
            Some(value) => command.env(variable, value),
        };
        let (is_well, error_message) = Function::start(command).end();
        let found = value.filter(|value| !value.is_empty()).map_or("none".to_owned(), |value| format!("`{value}`"));
        let words = format!("Error: read environment variable `{variable}`: expected {expected}, found {found}\n");
        assert!(!is_well && error_message.ends_with(&words), "{function} {variable}: {error_message}");
    }
}

/// Guard: between events a function keeps only its clients, and page-fetch the descriptor of its last run.
#[test]
fn l8_fifty_events_of_one_process_do_not_affect_each_other() {
    let ground = Ground::new();
    let refused = Action::Status { code: 404, retry_after: None, body: None };
    let changed = Action::DropRow { index: 0 };
    ground.portal.server.set_faults(vec![
        PortalFault::new(refused).on_path("2019/"),
        PortalFault::new(changed).on_path("2018/").on_page(1),
        other_rows(),
    ]);
    let function = ground.function("page-fetch");
    let mut n_written = 0;
    for number in 0..50 {
        let run = format!("r{number}");
        let event = |year: i32| fetch_event(&ground, &run, &partition(year, "grade-pk"));
        let (event, expected) = match number % 10 {
            1 => (event(2019), Some("PortalRefused")),
            2 => (json!({"run": run}), Some("InvalidRequest")),
            3 => (event(2018), Some("CountMismatch")),
            4 => (json!("not an event"), Some("InvalidRequest")),
            5 => (json!({"dataset": "none", "run": run, "partition": {}, "force": false}), Some("StoreFailed")),
            6 => {
                ground.set("PUT", "data/", s3_error(403, "AccessDenied", "Access Denied"), None);
                ground.remove(&ground.object(&pre_k()));
                (event(2021), Some("StoreFailed"))
            }
            7 => {
                function.send_within(&event(2021), Duration::ZERO);
                assert_eq!(function.result().failed().0, "DeadlineExceeded");
                (event(2020), None)
            }
            _ => (event(2021), None),
        };
        match (function.call(&event), expected) {
            (Invocation::Responded(given), None) => {
                assert_eq!(Invocation::Responded(given), finished());
                n_written += 1;
            }
            (Invocation::Failed(name, _), Some(expected)) => assert_eq!(name, expected, "{number}"),
            (answer, expected) => panic!("{number}: expected {expected:?}, found {answer:?}"),
        }
        ground.proxy.set([]);
    }
    assert_eq!(n_written, 20);
    ground.assert_received(&pre_k(), "r49", Outcome::Unchanged);
    assert_eq!(ground.head(&ground.object(&partition(2019, "grade-pk"))), None);
}

/// Guard: a function reads the secret for each event and caches nothing. A secret that cannot be read is reported with
/// the service's error.
///
/// Found by use: W11.
#[test]
fn l9_a_rotated_secret_is_used_at_once_and_a_missing_denied_or_throttled_one_is_named() {
    const ASKED: &str = "secretsmanager.GetSecretValue";
    let ground = Ground::without_database();
    let dataset = Dataset::parse("secret.toml", &descriptor_with_secret()).expect("the descriptor is valid");
    let header = || ground.runtime.block_on(secret::header(&ground.config, "rollcall/", &dataset));
    let value = || {
        let (name, value) = header().map_err(|error| error.chain())?.expect("the dataset has a secret");
        assert_eq!((name.as_str(), value.is_sensitive()), ("x-api-key", true));
        Ok::<String, String>(value.to_str().expect("the value is text").to_owned())
    };
    let call = |operation: &str, secret: &str| {
        let (name, value) = if operation == "create_secret" { ("Name", secret) } else { ("SecretId", secret) };
        let input = json!({name: "rollcall/portal-key", "SecretString": value});
        let _ = ground.emulator.call_in(ground.region, "secretsmanager", operation, &input);
    };
    let place = "Secrets Manager under `rollcall/portal-key`";
    let missing = header().expect_err("the secret is missing");
    assert_eq!((missing.name(), missing.is_retryable()), ("SecretMissing", false));
    assert_eq!(missing.chain(), format!("read secret `portal-key`: expected a value in {place}, found none"));
    assert_eq!(ground.proxy.take_seen_of(ASKED).len(), 1);

    call("create_secret", "first-key");
    assert_eq!(value().as_deref(), Ok("first-key"));
    call("put_secret_value", "second-key");
    assert_eq!(value().as_deref(), Ok("second-key"), "a rotated secret is used at once");

    let _ = ground.proxy.take_seen();
    ground.proxy.set([Rule::new(ASKED, json_error(400, "AccessDeniedException", "User: x is not authorized"))]);
    let denied = header().expect_err("access is denied");
    assert_eq!((denied.name(), denied.is_retryable()), ("SecretMissing", false));
    let refused = format!("{place} (HTTP 400, AccessDeniedException: User: x is not authorized)");
    assert_eq!(denied.chain(), format!("read secret `portal-key`: expected a value in {refused}, found none"));
    assert_eq!(ground.proxy.take_seen_of(ASKED).len(), 1);

    for (status, code) in [(400, "ThrottlingException"), (500, "InternalServiceError")] {
        ground.proxy.set([Rule::new(ASKED, json_error(status, code, "later")).times(2)]);
        assert_eq!(value().as_deref(), Ok("second-key"));
        ground.proxy.set([Rule::new(ASKED, json_error(status, code, "later"))]);
        let _ = ground.proxy.take_seen();
        let passing = header().expect_err("every call is throttled");
        assert_eq!((passing.name(), passing.is_retryable()), ("SecretUnavailable", true));
        let expected =
            format!("expected a value in {place}, found the service unavailable: HTTP {status}, {code}: later");
        assert_eq!(passing.chain(), format!("read secret `portal-key`: {expected}"));
        assert!(!passing.chain().contains("second-key"));
        assert_eq!(ground.proxy.take_seen_of(ASKED).len(), 3);
    }
}

/// Guard: functions write nothing to disk, so a full disk does not matter. These processes may not write a byte to a
/// file.
#[test]
fn l10_a_full_disk_stops_no_function() {
    let ground = Ground::with_tables();
    let on_full_disk = |name: &str| {
        let command = ground.command(name);
        let mut limited = Command::new("prlimit");
        limited.arg("--fsize=0").arg(command.get_program()).env_clear();
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Function::start(limited)
    };
    let request = json!({"years": [2021], "grades": ["grade-pk"]});
    let planned = on_full_disk("planner").call(&plan_event("r1", &request)).response();
    assert_eq!(planned["n_planned"], 1);
    assert_eq!(on_full_disk("page-fetch").call(&fetch_event(&ground, "r1", &pre_k())), finished());
    let published = on_full_disk("catalog").call(&planned).response();
    assert_eq!((&published["n_published"], &published["n_failed"]), (&json!(1), &json!(0)));
    ground.assert_recorded(&pre_k(), "r1", Outcome::Written);
    // No line of code in the functions or in the steps writes a file. (A lake in a folder belongs to one machine.)
    let writes = ["fs::write", "File::create", "OpenOptions", "create_dir", "temp_dir", "tempfile", "::rename("];
    let mut n_files = 0;
    for folder in [
        "aws/src",
        "aws/src/step",
        "core/src",
        "core/src/page",
        "functions/planner/src",
        "functions/page-fetch/src",
        "functions/catalog/src",
    ] {
        for file in std::fs::read_dir(workspace().join(folder)).expect("the file is in the project").flatten() {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("it is readable");
            let product = text.split("\n#[cfg(test)]\nmod ").next().expect("a split has a first part");
            let found: Vec<&&str> = writes.iter().filter(|word| product.contains(**word)).collect();
            assert!(found.is_empty(), "{}: {found:?}", path.display());
            n_files += 1;
        }
    }
    assert!(n_files > 30, "{n_files}");
}
