//! Machine faults during a run on a folder, by their ids in SEMANTICS.md, with what the user sees.
//!
//! Some tests need their own mounts or network. They create them in namespaces, which any Linux user may create with
//! `unshare --map-root-user`. Where this is not allowed, the test fails with a message that says so.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rollcall_simulator::Config;
use rollcall_tests::raw_portal::{RawPortal, Step};
use rollcall_tests::server::{Server, response};
use rollcall_tests::{
    ENROLLMENT, Killed, Outcome, TestLake, TestPortal, binary, data, in_namespaces, rollcall, stalled, wait_until,
};
use serde_json::Value;
use tempfile::TempDir;

const TWO_GRADES: [&str; 4] = ["--years", "2021", "--grades", "grade-pk,grade-k"];
/// Time within which a fault must be reported.
const SOON: Duration = Duration::from_secs(10);

fn is_part_of(found: &BTreeMap<String, Vec<u8>>, all: &BTreeMap<String, Vec<u8>>) -> bool {
    found.iter().all(|(path, bytes)| all.get(path) == Some(bytes))
}

fn temporary_files(lake: &Path) -> Vec<String> {
    let entries = fs::read_dir(lake.join(".tmp")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Runs under a shell limit, such as `ulimit -n 16`.
fn run_limited(limit: &str, lake: &TestLake, portal: &TestPortal, args: &[&str]) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", &format!(r#"{limit} || exit 99; exec "$0" "$@""#)]).arg(binary());
    command.args(["run", "--retry-wait", "0", "--portal", &portal.origin()]).args(args);
    command.env("ROLLCALL_LAKE", lake.path()).env_remove("ROLLCALL_LOG");
    Outcome::from_output(command.output().unwrap())
}

/// Guard: an object is renamed into place after it is completely on disk. A partial file is removed and the failure
/// reported.
#[test]
fn d1_a_full_disk_is_named_leaves_no_partial_file_and_a_larger_disk_completes_the_lake() {
    // 17 partitions of about 100 kB.
    let portal = TestPortal::start(Config::default());
    let reference = TestLake::new();
    let args = ["--years", "2021", "--grades", "all"];
    let _ = reference.run(&portal, &args).expect(0);
    let expected = data(reference.path());
    assert!(expected.len() == 17 && expected.values().map(Vec::len).sum::<usize>() > 1 << 20);

    let (lake, moved) = (TestLake::new(), TestLake::new());
    let script = r#"
        mount -t tmpfs -o size=1m none "$LAKE" || exit 99
        "$ROLLCALL" run --lake "$LAKE" --portal "$PORTAL" --retry-wait 0 --years 2021 --grades all
        code=$?
        cp -a "$LAKE/." "$MOVED"
        exit $code
    "#;
    let (folder, moved_to) = (lake.path().to_str().unwrap(), moved.path().to_str().unwrap());
    let settings = [("LAKE", folder), ("MOVED", moved_to), ("PORTAL", &portal.origin())];
    let found = in_namespaces(&["--mount"], script, &settings);
    // There may have been no space for the ledger either.
    assert!(matches!(found.code, Some(1 | 3)), "{found:?}");
    let named = format!("{folder}/.tmp`: No space left on device (os error 28)");
    let is_reported = |line: &str| line.contains("StoreFailed: write `data/") && line.contains(&named);
    assert!(found.stderr.lines().any(is_reported), "{}", found.stderr);
    let written = data(moved.path());
    assert!(!written.is_empty() && written.len() < 17 && is_part_of(&written, &expected), "{:?}", written.keys());
    assert_eq!(temporary_files(moved.path()), Vec::<String>::new());
    let _ = moved.run(&portal, &[&args[..], &["--mode", "missing"]].concat()).expect(0);
    assert!(data(moved.path()) == expected);
    assert_eq!(temporary_files(moved.path()), Vec::<String>::new());
}

/// Guard: the run takes the lock, which writes to the lake, before its first request to the portal.
#[test]
fn d3_a_folder_that_is_not_writable_is_named_before_any_request() {
    let portal = TestPortal::small();
    let script = r#"
        mount --bind "$LAKE" "$LAKE" && mount -o remount,bind,ro "$LAKE" || exit 99
        exec "$ROLLCALL" run --lake "$LAKE" --portal "$PORTAL" --retry-wait 0 --years 2021 --grades grade-pk
    "#;
    let (new, filled) = (TestLake::new(), TestLake::new());
    let _ = filled.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    let n_before = portal.server.requests().len();
    for lake in [new, filled] {
        let before = lake.files("");
        let folder = lake.path().to_str().unwrap();
        let found = in_namespaces(&["--mount"], script, &[("LAKE", folder), ("PORTAL", &portal.origin())]).expect(1);
        // The first file of a new lake is its mark.
        let first =
            if before.is_empty() { "write `lake.json` in the lake: write" } else { "write `.lock` in the lake: open" };
        let file = if before.is_empty() { "lake.json" } else { ".lock" };
        let expected = format!("error: StoreFailed: {first} `{folder}/{file}`: Read-only file system (os error 30)");
        assert!(found.stdout.is_empty() && found.stderr.starts_with(&expected), "{found:?}");
        assert!(lake.files("") == before);
    }
    assert_eq!(portal.server.requests().len(), n_before);
}

/// Guard: exceeding a file size limit is an error that names the file and does not kill the process.
#[test]
fn d4_a_file_size_limit_fails_only_the_partitions_that_exceed_it() {
    let portal = TestPortal::start(Config::default());
    let reference = TestLake::new();
    let _ = reference.run(&portal, &TWO_GRADES).expect(0);
    let expected = data(reference.path());
    let lake = TestLake::new();
    // In blocks of 512 bytes or 1 KiB. A ledger fits within both limits; the two files of about 100 kB exceed both.
    let found = run_limited("ulimit -f 40", &lake, &portal, &TWO_GRADES).expect(3);
    let is_reported = |line: &&str| {
        line.starts_with("failed: StoreFailed: write `data/") && line.contains("File too large (os error 27)")
    };
    assert_eq!(found.stderr.lines().filter(is_reported).count(), 2, "{}", found.stderr);
    assert!(found.stdout.contains("2 partitions: 2 failed;"), "{}", found.stdout);
    assert_eq!((data(lake.path()).len(), temporary_files(lake.path()).len()), (0, 0));
    let again = lake.run(&portal, &[&TWO_GRADES[..], &["--mode", "failed"]].concat()).expect(0);
    assert!(again.stdout.contains("2 partitions: 2 written"), "{}", again.stdout);
    assert!(data(lake.path()) == expected);
}

/// Guard: with too few file descriptors, a run ends with a message and leaves only complete files.
#[test]
fn d4_too_few_file_handles_are_reported_and_leave_no_partial_file() {
    let portal = TestPortal::small();
    let reference = TestLake::new();
    let args = ["--years", "2021", "--grades", "all"];
    let _ = reference.run(&portal, &args).expect(0);
    let expected = data(reference.path());
    // The lower limits are always too low. Whether the highest is too low depends on how many files are open at once.
    for (limit, may_do) in [("ulimit -n 8", false), ("ulimit -n 12", false), ("ulimit -n 16", true)] {
        let lake = TestLake::new();
        let found = run_limited(limit, &lake, &portal, &args);
        if !may_do || found.code != Some(0) {
            assert!(matches!(found.code, Some(1 | 3 | 4)), "{limit}: {found:?}");
            assert!(found.stderr.contains("Too many open files (os error 24)"), "{limit}: {}", found.stderr);
        }
        assert!(!found.stderr.contains("panicked"), "{limit}: {}", found.stderr);
        assert!(is_part_of(&data(lake.path()), &expected), "{limit}");
        let _ = lake.run(&portal, &args).expect(0);
        assert!(data(lake.path()) == expected, "{limit}");
        assert_eq!(temporary_files(lake.path()).len(), 0);
    }
}

/// Guard: a closed stdout does not fail a run, and a report that cannot be written is an error.
#[test]
fn d7_a_run_with_a_closed_or_full_stdout_still_completes_the_lake() {
    let portal = TestPortal::small();
    let reference = TestLake::new();
    let _ = reference.run(&portal, &TWO_GRADES).expect(0);
    for (stdout, code, told_text) in [
        (Stdio::piped(), 0, ""),
        (
            fs::File::options().write(true).open("/dev/full").unwrap().into(),
            1,
            "error: write the result to standard output: no space left on device\n",
        ),
    ] {
        let lake = TestLake::new();
        let mut run = rollcall(&["run", "--retry-wait", "0", "--portal", &portal.origin()]);
        run.args(TWO_GRADES).env("ROLLCALL_LAKE", lake.path());
        let mut run = run.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        // Close the reading end.
        drop(run.stdout.take());
        let found = Outcome::from_output(run.wait_with_output().unwrap()).expect(code);
        assert_eq!(found.stderr, told_text);
        assert!(data(lake.path()) == data(reference.path()));
        let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
        assert!(status["last_run"]["finished_at"].is_string(), "{status}");
    }
    // The other commands print in the same way.
    let origin = portal.origin();
    let plan = ["plan", "--years", "2021", "--grades", "all", "--portal", &origin];
    for args in [&["status"][..], &plan, &["datasets", "list"]] {
        let mut command = rollcall(args);
        if args[0] != "datasets" {
            command.env("ROLLCALL_LAKE", reference.path());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let found = Outcome::from_output(child.wait_with_output().unwrap()).expect(0);
        assert!(!found.stderr.contains("panicked") && !found.stderr.contains("error"), "{args:?}: {}", found.stderr);
    }
}

/// Guard: a name that could lead out of the lake is invalid.
#[test]
fn d8_a_name_that_leads_out_of_the_lake_is_rejected_and_creates_nothing() {
    let portal = TestPortal::small();
    let outside = tempfile::tempdir().unwrap();
    let lake = outside.path().join("lake");
    for args in [
        &["--years", "2021", "--grades", "a/b"][..],
        &["--years", "2021", "--grades", "../../x"],
        &["--years", "2021", "--grades", "grade-pk/../../../x"],
        &["--years", "../x", "--grades", "grade-pk"],
        &["--partition", "2021/../x"],
        &["--partition", "../../x/grade-pk"],
        &["--partition", "2021/grade-pk/.."],
        &["--failed-of", "../../x"],
        &["--failed-of", "/etc"],
        &["--years", "2021", "--grades", "grade-pk", "--dataset", "../../x"],
        &["--years", "2021", "--grades", "grade-pk", "--dataset", "ccd_enrollment/../x"],
    ] {
        let mut run = rollcall(&["run", "--portal", &portal.origin(), "--lake", lake.to_str().unwrap()]);
        let found = Outcome::from_output(run.args(args).output().unwrap()).expect(2);
        assert!(found.stderr.starts_with("error: "), "{args:?}: {}", found.stderr);
        let made: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(made.iter().all(|name| name == "lake"), "{args:?}: {made:?}");
        assert!(data(&lake).is_empty());
    }
    assert_eq!(portal.n_data_requests(), 0);
}

/// Returns the names of a folder's entries.
fn names_in(folder: &TempDir) -> Vec<String> {
    fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Guard: writes do not follow links. A link at a file's path is itself replaced.
#[test]
fn d8_writes_never_follow_a_link_inside_the_lake() {
    let portal = TestPortal::small();
    let object = format!("{ENROLLMENT}/year=2021/grade=grade-pk/part-00000.parquet");
    let args = ["--years", "2021", "--grades", "grade-pk"];
    // A link where each folder belongs on the path to the object.
    for link in
        ["data", ENROLLMENT, &format!("{ENROLLMENT}/year=2021"), &format!("{ENROLLMENT}/year=2021/grade=grade-pk")]
    {
        let (lake, outside) = (TestLake::marked(), tempfile::tempdir().unwrap());
        let link = lake.path().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(outside.path(), &link).unwrap();
        let found = lake.run(&portal, &args);
        assert!(matches!(found.code, Some(1 | 3)), "{found:?}");
        let told_text = format!("expected no links in a lake, found `{}`", link.display());
        assert!(found.stderr.contains(&told_text), "{}", found.stderr);
        assert_eq!(names_in(&outside), Vec::<String>::new());
    }
    // A link where the object belongs.
    let (lake, outside) = (TestLake::marked(), tempfile::tempdir().unwrap());
    let target = outside.path().join("precious");
    fs::write(&target, "precious").unwrap();
    fs::create_dir_all(lake.path().join(&object).parent().unwrap()).unwrap();
    symlink(&target, lake.path().join(&object)).unwrap();
    let _ = lake.run(&portal, &args).expect(0);
    assert_eq!(
        (names_in(&outside), fs::read_to_string(&target).unwrap()),
        (vec!["precious".to_owned()], "precious".into())
    );
    assert!(fs::symlink_metadata(lake.path().join(&object)).unwrap().is_file());
    // A link where the folder for temporary files belongs, and one where the lock belongs.
    fs::remove_dir(lake.path().join(".tmp")).unwrap();
    symlink(outside.path(), lake.path().join(".tmp")).unwrap();
    let found = lake.run(&portal, &args).expect(1);
    assert!(found.stderr.contains("expected no links in a lake, found `"), "{}", found.stderr);
    assert_eq!(names_in(&outside), ["precious"]);
    fs::remove_file(lake.path().join(".tmp")).unwrap();
    fs::remove_file(lake.path().join(".lock")).unwrap();
    symlink(&target, lake.path().join(".lock")).unwrap();
    let found = lake.run(&portal, &args).expect(1);
    assert!(found.stderr.contains("expected no links in a lake, found `"), "{}", found.stderr);
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    // The lake folder itself may be a link.
    let link = outside.path().join("lake");
    let whole = TestLake::new();
    symlink(whole.path(), &link).unwrap();
    let mut run = rollcall(&["run", "--portal", &portal.origin(), "--lake", link.to_str().unwrap()]);
    let _ = Outcome::from_output(run.args(args).output().unwrap()).expect(0);
    assert!(whole.path().join(object).is_file());
}

/// Guard: leftovers of killed runs and older versions are removed, or treated as missing and rewritten with a warning.
#[test]
fn d9_leftovers_of_killed_runs_and_older_versions_are_removed_or_rewritten() {
    let portal = TestPortal::small();
    let lake = TestLake::new();
    let first = lake.run(&portal, &[&TWO_GRADES[..], &["--format", "json"]].concat()).expect(0).json();
    let run = format!("ledger/ccd_enrollment/runs/{}", first["run"].as_str().unwrap());
    let (before, committed) = (data(lake.path()), lake.committed());
    let write = |path: &str, text: &str| {
        let path = lake.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // Temporary files, under current and old names.
    write(".tmp/.tmpAbC123", "PAR1 half");
    write(".tmp/older/part-00000.parquet.tmp", "half");
    // Partial records, records in the previous layout, and files of a run that never ended.
    write("ledger/ccd_enrollment/records.json", "[{\"committed\": {\"n_rows\": 1");
    write("ledger/ccd_enrollment/partitions/year=2021/grade=grade-k.json", "{\"committed\": {\"n_rows\": 1");
    write(
        "ledger/ccd_enrollment/partitions/year=2021/grade=grade-pk.json",
        r#"{"version": 0, "rows": 165, "sha256": "00"}"#,
    );
    write("ledger/ccd_enrollment/runs/20200101T000000-000/plan.json", "[{\"partition\"");
    write("ledger/ccd_enrollment/runs/20200102T000000-000/receipts/year=2021/grade=grade-k.json", "{");
    write(&format!("{run}/summary.json"), "{\"run\": ");
    write("catalog/ccd_school/us_education_ccd_enrollment_data.json", "{\"columns\": [");
    // Files next to the data that no run writes stay as they are.
    write(&format!("{ENROLLMENT}/year=2021/grade=grade-k/part-00000.parquet.tmp"), "PAR1 half");
    write(&format!("{ENROLLMENT}/year=2021/notes.txt"), "mine");

    let shown = lake.rollcall("status", &[]).expect(0);
    assert!(!shown.stderr.contains("panicked"), "{}", shown.stderr);
    let second = lake.run(&portal, &TWO_GRADES).expect(0);
    assert!(second.stdout.contains("2 partitions: 2 unchanged"), "{}", second.stdout);
    let warned = "ledger object unreadable, treated as absent key=\"ledger/ccd_enrollment/partitions/year=2021/grade=grade-k.json\"";
    assert!(second.stderr.contains(warned), "{}", second.stderr);
    // The current version does not use such a name.
    assert_eq!(temporary_files(lake.path()), ["older"]);
    assert_eq!(lake.committed(), committed);
    let after = data(lake.path());
    assert!(is_part_of(&before, &after) && after.len() == before.len() + 2, "{:?}", after.keys());
    let sql = "select grade, count(*) as n from ccd_school.us_education_ccd_enrollment_data group by grade order by n";
    let found = lake.rollcall("query", &[sql, "--format", "csv"]).expect(0);
    assert_eq!(found.stdout, "grade,n\ngrade-pk,165\ngrade-k,192\n");
    let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
    assert!(status["last_run"]["finished_at"].is_string(), "{status}");
}

/// Returns the first line that a command writes to stderr, and the time until it appeared.
fn first_words(command: &mut Command) -> (String, Duration) {
    let started = Instant::now();
    let mut run = Killed(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let stderr = run.0.stderr.take().unwrap();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        // What the portal is asked for comes before any answer.
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let line = lines.find(|line| !line.starts_with("asking the portal for "));
        let _ = send.send(line.map(|line| line + "\n").unwrap_or_default());
    });
    let line = receive.recv_timeout(Duration::from_secs(60)).expect("a line appears within a minute");
    (line, started.elapsed())
}

/// Guard: waits between retries are bounded, so on a machine without a network a run soon reports the cause.
#[test]
fn d10_without_a_network_the_first_message_comes_soon_and_names_the_cause() {
    let lake = TestLake::new();
    let args = ["run", "--lake", lake.path().to_str().unwrap(), "--grades", "grade-pk", "--years"];
    let offline = |years: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]).arg(binary()).args(args).arg(years).env_remove("ROLLCALL_LOG");
        command
    };
    for (years, opening) in [
        (
            "2021",
            "warning: years of `ccd_enrollment` were not checked against the portal's list: fetch list of endpoints: no response after 4 tries: ",
        ),
        ("all", "error: YearsUnknown: "),
    ] {
        let (told_text, after) = first_words(&mut offline(years));
        assert!(told_text.starts_with(opening) && told_text.contains("host name not found"), "{told_text}");
        assert!(after < SOON, "{after:?}");
    }
    assert!(data(lake.path()).is_empty());
}

fn run_at(lake: &TestLake, origin: &str, args: &[&str]) -> Outcome {
    lake.rollcall("run", &[&["--portal", origin, "--retry-wait", "0"], args].concat())
}

/// Guard: the first partitions detect a portal that cannot be reached, report it once for the whole run, and set the
/// exit code.
///
/// Found by use: B5.
#[test]
fn a38_an_unreachable_portal_ends_the_run_with_4_and_one_message_after_the_first_partitions() {
    // A port that was free a moment ago.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let origin = format!("http://{closed}");
    // Build the binary before timing starts.
    let _ = binary();
    for (args, n_first) in
        [(["--years", "1986-2024", "--grades", "all"], 8), (["--years", "2021", "--grades", "grade-k"], 1)]
    {
        let lake = TestLake::new();
        let started = Instant::now();
        let found = run_at(&lake, &origin, &args).expect(4);
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        let told_text: Vec<&str> = found.stderr.lines().collect();
        assert!(told_text[0].starts_with("warning: years of `ccd_enrollment` were not checked"), "{}", found.stderr);
        let why = "stopped: cannot reach the portal; the remaining partitions are not tried: PortalUnavailable: fetch page 1 of ";
        assert!(told_text[1].starts_with(why) && told_text[1].contains("refused"), "{}", found.stderr);
        assert_eq!(told_text[2..], ["hint: check `--portal` and the network"], "{}", found.stderr);
        let ledger = lake.files("ledger");
        let summary = ledger.iter().find(|(path, _)| path.ends_with("/summary.json")).expect("the run has a summary");
        let summary: Value = serde_json::from_slice(&summary.1.0).unwrap();
        let n_planned = summary["n_planned"].as_u64().unwrap();
        assert_eq!(summary["outcomes"]["failed"], n_first);
        assert_eq!(summary["outcomes"]["not_tried"], n_planned - n_first);
    }
}

/// Guard: a portal that responded once and then disappears fails its partitions one by one.
///
/// Found by use: B5.
#[test]
fn a38_a_portal_that_disappears_during_a_run_fails_its_partitions() {
    let portal = TestPortal::small();
    let gone = Arc::new(Mutex::new(None::<RawPortal>));
    let to_end = gone.clone();
    // Instead of responding for the second partition, the portal stops listening.
    let raw = RawPortal::before(portal.server.address(), move |request, response| {
        if request.target.contains("/2020/") {
            drop(to_end.lock().unwrap().take());
            return vec![Step::Reset];
        }
        vec![Step::Send(response.bytes())]
    });
    let origin = raw.origin();
    *gone.lock().unwrap() = Some(raw);
    let lake = TestLake::new();
    let args = ["--years", "2019-2021", "--grades", "grade-pk", "--in-flight", "1"];
    let found = run_at(&lake, &origin, &args).expect(3);
    assert_eq!(found.stderr.matches("failed: PortalUnavailable: ").count(), 2, "{}", found.stderr);
    assert_eq!(data(lake.path()).len(), 1);
}

/// Guard: requests to a portal on this machine bypass a proxy, and requests to any other portal use the one in the
/// environment.
#[test]
fn d10_a_proxy_from_the_environment_is_used_for_remote_portals_but_never_for_this_machine() {
    let (send, receive) = mpsc::channel();
    let server = Server::http(move |_, request| {
        let _ = send.send(format!("{} {}", request.method(), request.uri()));
        async { Ok(response(403, "")) }
    });
    let proxy = format!("http://{}", server.address());
    let through_proxy = |lake: &TestLake, args: &[&str]| {
        let mut command =
            rollcall(&[&["run", "--lake", lake.path().to_str().unwrap(), "--retry-wait", "0"], args].concat());
        for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env(variable, &proxy);
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        command
    };
    let portal = TestPortal::small();
    let lake = TestLake::new();
    let here = ["--portal", &portal.origin(), "--years", "2021", "--grades", "grade-pk"];
    let _ = Outcome::from_output(through_proxy(&lake, &here).output().unwrap()).expect(0);
    assert!(receive.try_recv().is_err(), "the proxy received a request for a portal on this machine");

    let lake = TestLake::new();
    let started = Instant::now();
    let elsewhere = ["--portal", "https://portal.invalid", "--years", "2021", "--grades", "grade-pk"];
    let found = Outcome::from_output(through_proxy(&lake, &elsewhere).output().unwrap()).expect(4);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!(receive.recv().unwrap(), "CONNECT portal.invalid:443");
    assert!(found.stderr.contains("PortalUnavailable: fetch page 1 of `year=2021/grade=grade-pk`"), "{}", found.stderr);
    assert!(found.stderr.contains("tunnel"), "{}", found.stderr);
}

/// Guard: a run ends within 5 s of a signal, even in the middle of a response.
#[test]
fn d6_a_run_that_is_asked_to_stop_ends_within_five_seconds() {
    let portal = TestPortal::small();
    portal.server.set_faults(vec![stalled("grade-k/").on_page(2)]);
    for signal in ["INT", "TERM"] {
        let lake = TestLake::new();
        let n_before = portal.n_data_requests();
        let mut run = rollcall(&["run", "--retry-wait", "0", "--format", "json", "--portal", &portal.origin()]);
        run.args(TWO_GRADES).env("ROLLCALL_LAKE", lake.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = Killed(run.spawn().unwrap());
        // Both pages of one partition, and pages 1 and 2 of the other.
        wait_until("four pages are requested", || portal.n_data_requests() >= n_before + 4);
        let asked = Instant::now();
        run.signal(signal);
        let found = run.wait().expect(130);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let report: Value = found.json();
        assert_eq!((&report["n_planned"], temporary_files(lake.path()).len()), (&Value::from(2), 0));
    }
}
