//! The command line as users see it: what each command prints, how it exits and what it leaves in the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::{
    Killed, Outcome, TestLake, TestPortal, binary, dataset_names, python, rollcall, stalled, wait_until, workspace,
    write_page,
};
use serde_json::{Value, json};

const TABLE: &str = "ccd_school.us_education_ccd_enrollment_data";
const OBJECT: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-k/part-00000.parquet";
const RECORDS: &str = "ledger/ccd_enrollment/records.json";
const TWO_GRADES: [&str; 4] = ["--years", "2021", "--grades", "grade-pk,grade-k"];

/// Returns a fault that makes a partition fail without waiting between retries.
fn unavailable(path: &str) -> Fault {
    let action = Action::Status { code: 503, retry_after: Some("0".to_owned()), body: Some("busy".to_owned()) };
    Fault::new(action).on_path(path)
}

/// Starts a run in the background.
fn start(lake: &TestLake, portal: &TestPortal, args: &[&str]) -> Killed {
    let mut run = rollcall(&["run", "--portal", &portal.origin(), "--retry-wait", "0", "--lake"]);
    run.arg(lake.path()).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Killed(run.spawn().unwrap())
}

/// Returns the CPU time of a process so far, in hundredths of a second.
fn cpu_ticks(process: &Killed) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Returns the distinct paths below the API root of the data requests after the first `n_before`.
fn data_paths(portal: &TestPortal, n_before: usize) -> BTreeSet<String> {
    let requests = portal.server.requests();
    let data = requests.iter().filter(|request| !request.path.contains("/api-"));
    data.skip(n_before).map(|request| request.path.trim_start_matches("/api/v1/").to_owned()).collect()
}

fn has_seen(portal: &TestPortal, path: &str) -> bool {
    data_paths(portal, 0).iter().any(|seen| seen.contains(path))
}

/// Returns the nonzero outcomes in a report or summary.
fn outcomes(report: &Value) -> BTreeMap<String, u64> {
    let all: BTreeMap<String, u64> = serde_json::from_value(report["outcomes"].clone()).unwrap();
    assert_eq!(all.values().sum::<u64>(), report["n_planned"].as_u64().unwrap(), "{report}");
    all.into_iter().filter(|(_, n)| *n > 0).collect()
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(outcome, n)| ((*outcome).to_owned(), *n)).collect()
}

fn run_json(lake: &TestLake, portal: &TestPortal, args: &[&str], code: i32) -> Value {
    let mut all = args.to_vec();
    all.extend(["--format", "json"]);
    lake.run(portal, &all).expect(code).json()
}

/// Returns the bytes of every file below `prefix`.
fn bytes(lake: &TestLake, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    lake.files(prefix).into_iter().map(|(path, (bytes, _))| (path, bytes)).collect()
}

fn query(lake: &TestLake, sql: &str) -> String {
    lake.rollcall("query", &[sql, "--format", "csv"]).expect(0).stdout
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_second_run_finds_every_partition_unchanged_and_leaves_the_data_untouched() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let args = ["--years", "2020-2021", "--grades", "grade-pk,grade-k"];
    let first = run_json(&lake, &portal, &args, 0);
    assert_eq!(outcomes(&first), counts(&[("written", 4)]));
    assert_eq!((first["n_published"].as_u64(), first["n_pages"].as_u64()), (Some(4), Some(8)));
    let data = lake.files("data");
    assert!(data.contains_key(OBJECT), "{:?}", data.keys());

    let second = run_json(&lake, &portal, &args, 0);
    assert_eq!(outcomes(&second), counts(&[("unchanged", 4)]));
    assert_eq!((second["n_published"].as_u64(), second["n_rows"].as_u64()), (Some(0), first["n_rows"].as_u64()));
    assert_eq!(lake.files("data"), data);
}

#[test]
fn a_run_prints_its_partitions_and_their_totals() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let found = lake.run(&portal, &TWO_GRADES).expect(0);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert!(lines[0].starts_with("run 20") && lines[0].ends_with(" of ccd_enrollment"), "{}", found.stdout);
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["partition", "outcome", "rows", "pages", "size"]);
    let row: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(row[..4], ["year=2021/grade=grade-pk", "written", "165", "2"]);
    let row: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!(row[..4], ["year=2021/grade=grade-k", "written", "192", "2"]);
    assert!(lines[4].starts_with("2 partitions: 2 written; 357 rows, 4 pages in 6 requests, "), "{}", lines[4]);
    assert_eq!(lines[5..], ["first load of 2 partitions"]);
}

#[test]
fn a_run_as_json_has_the_fields_of_its_summary_receipts_and_warnings() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![unavailable("grade-k/")]);
    let report = run_json(&lake, &portal, &TWO_GRADES, 3);
    let expected = [
        "run",
        "dataset",
        "started_at",
        "finished_at",
        "n_planned",
        "outcomes",
        "n_rows",
        "n_pages",
        "cost",
        "n_changed",
        "n_published",
        "n_withdrawn",
        "failed",
        "partitions",
        "warnings",
    ];
    assert_eq!(keys(&report).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    assert_eq!(report["dataset"], "ccd_enrollment");
    assert_eq!(outcomes(&report), counts(&[("written", 1), ("failed", 1)]));
    assert_eq!(report["failed"][0]["partition"], serde_json::json!({"year": 2021, "grade": "grade-k"}));
    let message = "fetch page 1 of `year=2021/grade=grade-k`: portal unavailable: HTTP 503 after 4 tries: `busy`";
    assert_eq!(report["failed"][0]["error"], serde_json::json!({"name": "PortalUnavailable", "message": message}));
    let receipt = &report["partitions"][0];
    for field in ["partition", "outcome", "n_rows", "n_pages", "size_bytes", "n_unknown", "n_misfits", "started_at"] {
        assert!(receipt.get(field).is_some(), "{field} in {receipt}");
    }
    assert_eq!((&receipt["outcome"], &receipt["n_rows"]), (&Value::from("written"), &Value::from(165)));
    assert_eq!(report["partitions"][1]["error"]["name"], "PortalUnavailable");
    assert_eq!(report["warnings"], serde_json::json!([]));
}

#[test]
fn a_plan_changes_nothing_and_knows_page_counts_only_after_a_run() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let absent = lake.path().join("new");
    let origin = portal.origin();
    let plan = |folder: &Path| {
        let mut all = vec!["plan", "--lake", folder.to_str().unwrap(), "--portal", &origin];
        all.extend(TWO_GRADES);
        Outcome::from_output(rollcall(&all).output().unwrap()).expect(0)
    };
    assert_eq!(
        plan(&absent).stdout,
        "2 partitions: about 6 pages; ~ is an estimate: 2 by the estimate for the whole portal\n\
         here: about 8 requests; no run has measured yet how long one takes\n\n\
         partition                 reason     pages\n\
         year=2021/grade=grade-pk  requested     ~3\n\
         year=2021/grade=grade-k   requested     ~3\n"
    );
    assert!(!absent.exists());
    assert_eq!(portal.n_data_requests(), 0);

    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    let files = lake.files("");
    let planned = plan(lake.path()).stdout;
    assert!(planned.starts_with("2 partitions: 4 pages\nhere: 6 requests, "), "{planned}");
    let expected = "\n\npartition                 reason     pages\n\
                    year=2021/grade=grade-pk  requested      2\n\
                    year=2021/grade=grade-k   requested      2\n";
    assert!(planned.ends_with(expected), "{planned}");
    assert_eq!(lake.files(""), files);
}

#[test]
fn a_failed_partition_ends_the_run_with_3_and_the_others_are_published() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![unavailable("grade-k/")]);
    let found = lake.run(&portal, &TWO_GRADES).expect(3);
    assert_eq!(
        found.stderr,
        "failed: PortalUnavailable: fetch page 1 of `year=2021/grade=grade-k`: portal unavailable: \
         HTTP 503 after 4 tries: `busy`\n"
    );
    assert!(found.stdout.contains("2 partitions: 1 written, 1 failed; 165 rows, 2 pages in "), "{}", found.stdout);
    assert!(found.stdout.contains("\nrun the failed ones again: rollcall run --failed-of 20"), "{}", found.stdout);
    assert_eq!(
        query(&lake, &format!("select grade, count(*) as n from {TABLE} group by grade")),
        "grade,n\ngrade-pk,165\n"
    );
}

#[test]
fn modes_fetch_exactly_what_is_missing_or_failed() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let empty = Action::Body { text: r#"{"count": 0, "next": null, "previous": null, "results": []}"#.to_owned() };
    let empty = Fault::new(empty).on_path("grade-14/");
    portal.server.set_faults(vec![unavailable("grade-k/"), unavailable("grade-1/"), empty.clone()]);
    let grades = "grade-pk,grade-k,grade-1,grade-14";
    let first = run_json(&lake, &portal, &["--years", "2021", "--grades", grades], 3);
    assert_eq!(outcomes(&first), counts(&[("written", 1), ("empty", 1), ("failed", 2)]));
    let run = first["run"].as_str().unwrap();
    let path = |grade: &str| format!("schools/ccd/enrollment/2021/{grade}/");

    // grade-1 succeeds in a later run. The first run still has two failures.
    portal.server.set_faults(vec![unavailable("grade-k/"), empty.clone()]);
    let n_before = portal.n_data_requests();
    let second = run_json(&lake, &portal, &["--years", "2021", "--grades", grades, "--mode", "failed"], 3);
    assert_eq!(outcomes(&second), counts(&[("written", 1), ("failed", 1)]));
    assert_eq!(data_paths(&portal, n_before), BTreeSet::from([path("grade-k"), path("grade-1")]));

    portal.server.set_faults(vec![empty]);
    let n_before = portal.n_data_requests();
    let missing = ["--years", "2021", "--grades", "grade-pk,grade-k,grade-1,grade-2,grade-14", "--mode", "missing"];
    let planned = lake.rollcall("plan", &[&["--portal", &portal.origin()], missing.as_slice()].concat()).expect(0);
    let expected = "2 partitions: about 4 pages; ~ is an estimate: 2 by the mean in the lake\nhere: about 6 requests, ";
    assert!(planned.stdout.starts_with(expected), "{}", planned.stdout);
    let expected = "\n\npartition                reason   pages\n\
                    year=2021/grade=grade-k  missing     ~2\n\
                    year=2021/grade=grade-2  missing     ~2\n";
    assert!(planned.stdout.ends_with(expected), "{}", planned.stdout);
    let third = run_json(&lake, &portal, &missing, 0);
    assert_eq!(outcomes(&third), counts(&[("written", 2)]));
    assert_eq!(data_paths(&portal, n_before), BTreeSet::from([path("grade-k"), path("grade-2")]));

    let n_before = portal.n_data_requests();
    let fourth = run_json(&lake, &portal, &["--failed-of", run], 0);
    assert_eq!(outcomes(&fourth), counts(&[("unchanged", 2)]));
    assert_eq!(data_paths(&portal, n_before), BTreeSet::from([path("grade-k"), path("grade-1")]));

    let nothing = lake.run(&portal, &["--years", "2021", "--grades", grades, "--mode", "failed"]).expect(0);
    assert!(nothing.stdout.contains("0 partitions: nothing to fetch; 0 rows, 0 pages"), "{}", nothing.stdout);
}

#[test]
fn a_deleted_or_truncated_object_is_rewritten_by_the_next_run() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    let data = bytes(&lake, "data");
    let whole = data.get(OBJECT).unwrap();
    for left in [None, Some(&whole[..whole.len() / 2]), Some(b"not Parquet".as_slice()), Some(b"".as_slice())] {
        match left {
            None => fs::remove_file(lake.path().join(OBJECT)).unwrap(),
            Some(bytes) => fs::write(lake.path().join(OBJECT), bytes).unwrap(),
        }
        let report = run_json(&lake, &portal, &TWO_GRADES, 0);
        assert_eq!(outcomes(&report), counts(&[("written", 1), ("unchanged", 1)]), "{left:?}");
        // The same rows produce the same bytes.
        assert_eq!(bytes(&lake, "data"), data, "{left:?}");
    }
}

#[test]
fn d9_deleted_or_corrupt_records_are_rewritten_by_the_next_run() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    let data = lake.files("data");
    let committed = lake.committed();
    assert!(committed.contains_key("ccd_enrollment/year=2021/grade=grade-k"), "{:?}", committed.keys());
    for left in [None, Some("{"), Some("[]")] {
        match left {
            None => fs::remove_file(lake.path().join(RECORDS)).unwrap(),
            Some(text) => fs::write(lake.path().join(RECORDS), text).unwrap(),
        }
        let report = run_json(&lake, &portal, &TWO_GRADES, 0);
        assert_eq!(outcomes(&report), counts(&[("unchanged", 2)]), "{left:?}");
        assert_eq!(lake.files("data"), data, "{left:?}");
        assert_eq!(lake.committed(), committed, "{left:?}");
    }
}

#[test]
fn repair_rebuilds_ledger_and_catalog_from_the_objects() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "2020-2021", "--grades", "grade-pk,grade-k"]).expect(0);
    let data = lake.files("data");
    let queries =
        ["enrollment_by_year_and_grade".to_owned(), format!("select * from {TABLE} order by year, grade, ncessch")];
    let answers = queries.each_ref().map(|sql| query(&lake, sql));
    let catalog = bytes(&lake, "catalog");
    fs::remove_dir_all(lake.path().join("ledger")).unwrap();
    fs::remove_dir_all(lake.path().join("catalog")).unwrap();

    let found = lake.rollcall("repair", &[]).expect(0);
    assert_eq!(
        found.stdout,
        "ccd_enrollment: 4 objects; ledger: 4 records written; catalog: 4 registered, 0 removed\n"
    );
    assert_eq!(queries.each_ref().map(|sql| query(&lake, sql)), answers);
    assert_eq!(bytes(&lake, "catalog"), catalog);
    assert_eq!(lake.committed().len(), 4);
    assert_eq!(lake.files("data"), data);
    // Repair does not invent facts that the objects do not contain.
    let status = lake.rollcall("status", &["--long"]).expect(0);
    assert!(status.stdout.contains("4 partitions committed, 714 rows"), "{}", status.stdout);
    assert_eq!(status.stdout.matches("- 192").count(), 2, "{}", status.stdout);

    let again = lake.rollcall("repair", &[]).expect(0);
    assert_eq!(
        again.stdout,
        "ccd_enrollment: 4 objects; ledger: 0 records written; catalog: 0 registered, 0 removed\n"
    );
    let next = run_json(&lake, &portal, &TWO_GRADES, 0);
    assert_eq!(outcomes(&next), counts(&[("unchanged", 2)]));
}

#[test]
fn repair_removes_a_partition_without_an_object_from_catalog_and_ledger() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    fs::remove_file(lake.path().join(OBJECT)).unwrap();
    let found = lake.rollcall("repair", &[]).expect(0);
    assert_eq!(found.stdout, "ccd_enrollment: 1 object; ledger: 1 record written; catalog: 0 registered, 1 removed\n");
    assert_eq!(query(&lake, &format!("select distinct grade from {TABLE}")), "grade\ngrade-pk\n");
    assert_eq!(lake.committed().len(), 1);
    let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
    assert_eq!(status["partitions"].as_array().unwrap().len(), 2);
}

#[test]
fn d5_a_second_run_on_the_same_lake_is_rejected_with_75() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![stalled("grade-k/")]);
    let first = start(&lake, &portal, &TWO_GRADES);
    wait_until("the first run requests data", || has_seen(&portal, "grade-k/"));
    assert!(lake.path().join(".lock").exists());

    let expected = format!(
        "error: LakeLocked: lock lake: expected no other run on `{}`, found one (process {})\n\
         hint: wait for it to end; nothing was changed\n",
        lake.path().display(),
        first.0.id()
    );
    let second = lake.run(&portal, &["--years", "2021", "--grades", "grade-1"]).expect(75);
    assert_eq!((second.stdout.as_str(), second.stderr.as_str()), ("", expected.as_str()));
    assert!(!has_seen(&portal, "grade-1/"));
    assert_eq!(lake.rollcall("repair", &[]).expect(75).stderr, expected);
    // Reading the lake does not need the lock.
    let _ = lake.rollcall("status", &[]).expect(0);

    drop(first);
    let third = lake.run(&portal, &["--years", "2021", "--grades", "grade-1"]).expect(0);
    assert!(third.stdout.contains("1 partition: 1 written"), "{}", third.stdout);
}

#[test]
fn d6_a_run_that_is_asked_to_stop_leaves_a_consistent_summary_and_the_next_run_completes_it() {
    let args = ["--years", "2021", "--grades", "grade-pk,grade-k,grade-1", "--format", "json"];
    for signal in ["TERM", "INT"] {
        let (lake, portal) = (TestLake::new(), TestPortal::small());
        portal.server.set_faults(vec![stalled("grade-k/"), stalled("grade-1/")]);
        let started = start(&lake, &portal, &args);
        let receipt = "year=2021/grade=grade-pk.json";
        wait_until("one partition is recorded and another in progress", || {
            has_seen(&portal, "grade-k/") && lake.files("ledger").keys().any(|key| key.ends_with(receipt))
        });
        started.signal(signal);
        let found = started.wait().expect(130);
        assert_eq!(found.stderr, "interrupted: committed partitions are kept; 2 partitions not tried\n");
        let report = found.json();
        assert_eq!(outcomes(&report), counts(&[("written", 1), ("not_tried", 2)]));
        assert_eq!(report["failed"], json!([]));
        let run = report["run"].as_str().unwrap();
        let summary = lake.path().join(format!("ledger/ccd_enrollment/runs/{run}/summary.json"));
        let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
        assert_eq!(outcomes(&summary), counts(&[("written", 1), ("not_tried", 2)]));
        assert_eq!(lake.files(".tmp").len(), 0);
        assert_eq!(query(&lake, &format!("select distinct grade from {TABLE}")), "grade\ngrade-pk\n");

        portal.server.set_faults(vec![]);
        let n_before = portal.n_data_requests();
        let next = run_json(&lake, &portal, &["--failed-of", run], 0);
        assert_eq!(outcomes(&next), counts(&[("written", 2)]));
        assert!(!data_paths(&portal, n_before).iter().any(|path| path.contains("grade-pk")));
    }
}

#[test]
fn d2_a_killed_run_leaves_no_truncated_object_and_the_next_run_completes_it() {
    let args = ["--years", "2020-2021", "--grades", "all"];
    let reference = TestLake::new();
    let portal = TestPortal::small();
    let _ = reference.run(&portal, &args).expect(0);
    let expected = bytes(&reference, "data/us_education_ccd_enrollment_data");
    assert_eq!(expected.len(), 34);
    // Kill at the first request, in the middle and near the end; the 34 partitions have 48 pages.
    for (n_requests, mode) in [(1, "missing"), (10, "failed_of"), (20, "missing"), (30, "failed_of"), (40, "missing")] {
        let lake = TestLake::new();
        let portal = TestPortal::small();
        // The last page of the last year never arrives, so the run cannot end before it is killed.
        portal.server.set_faults(vec![stalled("2020/grade-15/")]);
        let started = start(&lake, &portal, &args);
        wait_until("the portal receives the requests", || portal.n_data_requests() >= n_requests);
        started.signal("KILL");
        assert_eq!(started.wait().code, None);
        let left = bytes(&lake, "data/us_education_ccd_enrollment_data");
        // At most 8 partitions of at most 2 pages are in flight, and page 1 of each is fetched twice. Everything
        // requested before those must be committed.
        assert!(left.len() >= (n_requests / 3).saturating_sub(8) && left.len() < 34, "{:?}", left.keys());
        for (path, found) in left {
            assert!(expected.get(&path) == Some(&found), "{path} after {n_requests} requests");
        }
        let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
        assert_eq!(status["last_run"]["finished_at"], Value::Null);
        let run = status["last_run"]["name"].as_str().unwrap();

        portal.server.set_faults(vec![]);
        let shown = lake.rollcall("status", &["--run", run]).expect(0);
        assert!(shown.stdout.ends_with("unfinished: no summary; 34 partitions planned\n"), "{}", shown.stdout);
        let n_receipts = 34 - shown.stdout.matches("no receipt").count() as u64;
        // Either way only the rest is fetched, and queries see what the killed run committed.
        if mode == "missing" {
            let n_left = bytes(&lake, "data/us_education_ccd_enrollment_data").len() as u64;
            let rest = run_json(&lake, &portal, &[&args[..], &["--mode", "missing"]].concat(), 0);
            assert_eq!(rest["n_planned"].as_u64(), Some(34 - n_left));
        } else {
            let rest = run_json(&lake, &portal, &["--failed-of", run], 0);
            assert_eq!(rest["n_planned"].as_u64(), Some(34 - n_receipts));
        }
        let by_grade = "enrollment_by_year_and_grade";
        assert_eq!(query(&lake, by_grade), query(&reference, by_grade));
        let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
        assert_eq!(status["partitions"].as_array().unwrap().len(), 34);
        let next = run_json(&lake, &portal, &args, 0);
        assert_eq!(outcomes(&next), counts(&[("unchanged", 34)]));
        assert!(bytes(&lake, "data/us_education_ccd_enrollment_data") == expected);
        assert_eq!(lake.files(".tmp").len(), 0);
    }
}

#[test]
fn a_failed_total_is_fetched_again_by_the_name_of_its_run_alone() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![unavailable("grade-99/")]);
    let report = run_json(&lake, &portal, &["--years", "2021", "--grades", "grade-pk,grade-99"], 3);
    assert_eq!(outcomes(&report), counts(&[("written", 1), ("failed", 1)]));
    portal.server.set_faults(vec![]);
    let input = lake.path().join("input.json");
    fs::write(&input, format!("{{\"failed_of\": {}}}", report["run"])).unwrap();
    let again = run_json(&lake, &portal, &["--input", input.to_str().unwrap()], 0);
    assert_eq!(again["partitions"][0]["partition"]["grade"], "grade-99");
    assert_eq!(outcomes(&again), counts(&[("written", 1)]));
}

#[test]
fn a1_a_page_is_requested_at_most_twelve_times_whatever_the_portal_does() {
    let html = || Action::Html;
    let busy = || Action::Status { code: 503, retry_after: Some("0".to_owned()), body: None };
    // Always unavailable, never a valid page, and alternating between the two.
    let alternating = (1..40)
        .map(|i| Fault::new(if i % 2 == 0 { busy() } else { html() }).on_path("grade-pk/").starting_at(i).times(1));
    for faults in [
        vec![Fault::new(busy()).on_path("grade-pk/")],
        vec![Fault::new(html()).on_path("grade-pk/")],
        alternating.collect(),
    ] {
        let (lake, portal) = (TestLake::new(), TestPortal::small());
        portal.server.set_faults(faults);
        let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(3);
        assert_eq!(portal.n_data_requests(), 12);
    }
}

/// Guard: the second request for page 1, after the last page, counts towards the same limit.
#[test]
fn a1_page_1_is_requested_at_most_twelve_times_including_its_recheck() {
    let busy = || Action::Status { code: 503, retry_after: Some("0".to_owned()), body: None };
    let page_1 = |action: Action| Fault::new(action).on_path("grade-pk/").on_page(1);
    // The fourth response of each attempt is a page, which leaves no request for the recheck.
    let late = (0..10).map(|i| page_1(busy()).starting_at(4 * i + 1).times(3));
    for (what, faults, code, expected) in [
        ("available once, then never", vec![page_1(busy()).starting_at(2)], 3, 12),
        ("a page once, then never", vec![page_1(Action::Html).starting_at(2)], 3, 12),
        ("always available at the fourth request", late.collect(), 3, 12),
        ("available once, at the fourth request", vec![page_1(busy()).times(3)], 0, 6),
        ("available once, at the third request", vec![page_1(busy()).times(2)], 0, 4),
        ("unavailable for two requests of the recheck", vec![page_1(busy()).starting_at(2).times(2)], 0, 4),
    ] {
        let (lake, portal) = (TestLake::new(), TestPortal::small());
        portal.server.set_faults(faults);
        let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(code);
        let requests = portal.server.requests();
        let n_page_1 = requests.iter().filter(|it| it.path.contains("grade-pk/") && it.query.is_empty()).count();
        assert_eq!(n_page_1, expected, "{what}");
    }
}

#[test]
fn prune_deletes_old_runs_but_not_the_last_one_nor_data_nor_records() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    for _ in 0..3 {
        let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    }
    let runs = |lake: &TestLake| {
        let files = lake.files("ledger").into_keys();
        files.filter(|path| path.contains("/runs/")).map(|path| path.split('/').nth(3).unwrap().to_owned()).collect()
    };
    let (before, all): (_, BTreeSet<String>) = (lake.files("data"), runs(&lake));
    let (records, last) = (lake.committed(), all.last().unwrap().clone());
    assert_eq!(all.len(), 3);
    // Each run has a descriptor, a plan and a summary.
    for (args, error_message, left) in [
        (vec![], "0 files from 0 runs deleted", 3),
        (vec!["--keep-days", "0", "--dry-run"], "ccd_enrollment: 6 files from 2 runs would be deleted", 3),
        (vec!["--keep-days", "0"], "ccd_enrollment: 6 files from 2 runs deleted", 1),
    ] {
        let found = lake.rollcall("prune", &args).expect(0);
        assert!(found.stdout.ends_with(&format!("{error_message}\n")), "{}", found.stdout);
        assert_eq!(runs(&lake).len(), left, "{args:?}");
    }
    assert_eq!(runs(&lake), BTreeSet::from([last.clone()]));
    assert_eq!((lake.files("data"), lake.committed()), (before, records));
    let status = lake.rollcall("status", &[]).expect(0);
    assert!(status.stdout.contains(&format!("last run {last}: finished")), "{}", status.stdout);
    // A pruned run is unknown.
    let gone = all.first().unwrap();
    let _ = lake.rollcall("status", &["--run", gone]).expect(2);
}

/// Found by use: H3, W3.
#[test]
fn status_and_repair_name_strays_among_the_partitions_and_queries_do_not_serve_them() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    let count = format!("select count(*) as n from {TABLE}");
    let before = query(&lake, &count);
    let year = lake.path().join(OBJECT).parent().unwrap().parent().unwrap().to_owned();
    let names: [&[u8]; 5] =
        [b"grade=grade-k (copy)", b"grade=grade-k.bak", b"grade=grade-16", b"grade=\x1b[31m\nred", b"grade=grade-\xff"];
    for name in names {
        let folder = year.join(OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        fs::copy(lake.path().join(OBJECT), folder.join("part-00000.parquet")).unwrap();
    }
    for command in ["status", "repair"] {
        let found = lake.rollcall(command, &[]).expect(0);
        assert!(found.stderr.contains("warning: 5 stray files in the table's folder: "), "{command}: {}", found.stderr);
        assert!(!found.stderr.contains('\u{1b}'), "{command}: {}", found.stderr);
        assert_eq!(query(&lake, &count), before, "{command}");
    }
    let json = lake.rollcall("status", &["--format", "json"]).expect(0).json();
    assert_eq!(json["strays"].as_array().unwrap().len(), 5, "{json}");
    let report = run_json(&lake, &portal, &TWO_GRADES, 0);
    assert_eq!((outcomes(&report), query(&lake, &count)), (counts(&[("unchanged", 2)]), before));
}

/// Found by use: B11.
#[test]
fn a_year_without_rows_is_reported_and_fetched_again_when_the_release_is_unknown() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let empty = Action::Body { text: r#"{"count": 0, "next": null, "previous": null, "results": []}"#.to_owned() };
    portal.server.set_faults(vec![Fault::new(empty).on_path("enrollment/2021/")]);
    let args = ["--years", "2020,2021", "--grades", "grade-pk,grade-k"];
    let found = lake.run(&portal, &args).expect(0);
    let warning = "warning: the portal has no rows for any requested partition of 2021\n";
    assert!(found.stderr.starts_with(warning), "{}", found.stderr);
    assert!(found.stdout.contains("4 partitions: 2 written, 2 empty"), "{}", found.stdout);
    // If the release is the same, nothing can have changed. If it cannot be read, the year is fetched again.
    let missing = [&args[..], &["--mode", "missing"]].concat();
    assert!(lake.run(&portal, &missing).expect(0).stdout.contains("nothing to fetch"));
    portal.server.set_faults(vec![unavailable("api-changes/")]);
    let found = lake.run(&portal, &missing).expect(0);
    assert!(found.stdout.contains("2 partitions: 2 written"), "{}", found.stdout);
    assert_eq!(found.stderr, "");
}

#[test]
fn too_many_failures_end_a_run_and_the_hint_names_every_flag_it_needs() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal
        .server
        .set_faults(vec![Fault::new(Action::Status { code: 404, retry_after: None, body: None }).on_path("ccd/")]);
    let args =
        ["--years", "2021", "--grades", "grade-1,grade-2,grade-3,grade-4", "--dataset", "ccd_enrollment_race_sex"];
    let found = lake.run(&portal, &[&args[..], &["--in-flight", "1", "--tolerated-failures", "1"]].concat()).expect(3);
    assert_eq!(portal.n_data_requests(), 2);
    let stopped = "stopped: more than 1 partition failed; 2 partitions not tried\n";
    assert!(found.stderr.ends_with(stopped), "{}", found.stderr);
    assert!(found.stdout.contains("\n4 partitions: 2 failed, 2 not tried;"), "{}", found.stdout);
    let flags = format!(
        " --dataset ccd_enrollment_race_sex --lake {} --portal {} --in-flight 1 --retry-wait 0\n",
        lake.path().display(),
        portal.origin()
    );
    assert!(found.stdout.ends_with(&flags), "{}", found.stdout);
}

#[test]
fn d6_a_run_that_is_asked_to_stop_while_it_plans_ends_at_once() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![stalled("api-endpoints/")]);
    let started = start(&lake, &portal, &["--years", "2021", "--grades", "grade-pk"]);
    wait_until("the list of years is requested", || !portal.server.requests().is_empty());
    started.signal("INT");
    assert_eq!(started.wait().expect(130).stderr, "interrupted: nothing was fetched\n");
    assert_eq!(lake.files("ledger").len(), 0);
}

#[test]
fn d6_a_run_with_an_interrupted_query_prints_its_outcomes() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    // The query counts 192^6 rows.
    let endless = format!("select count(*) from {TABLE} a, {TABLE} b, {TABLE} c, {TABLE} d, {TABLE} e, {TABLE} f");
    for (format, told_text) in [("table", "1 written"), ("json", "\"written\": 1")] {
        let args = ["--years", "2021", "--grades", "grade-k", "--force", "--format", format, "--query", &endless];
        let run = start(&lake, &portal, &args);
        wait_until("the run is published", || {
            let ledger = lake.files("ledger");
            ledger.keys().any(|key| key.ends_with("summary.json"))
                && !ledger.keys().any(|key| key.contains("receipts/"))
        });
        // The run itself takes far less.
        let published = cpu_ticks(&run);
        wait_until("the query takes a second of CPU time", || cpu_ticks(&run) >= published + 100);
        run.signal("TERM");
        let found = run.wait().expect(130);
        assert!(found.stdout.contains(told_text), "{found:?}");
        let again = format!("`rollcall query '{endless}' --lake {}`\n", lake.path().display());
        let words = format!("interrupted: the query did not finish; run it again with {again}");
        assert!(found.stderr.ends_with(&words), "{found:?}");
        std::fs::remove_dir_all(lake.path()).unwrap();
    }
}

#[test]
fn a_user_is_told_once_that_a_run_was_interrupted() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![stalled("ccd/")]);
    let not_tried = "interrupted: committed partitions are kept; 1 partition not tried\n";
    let again = format!("`rollcall query 'select 1' --lake {}`\n", lake.path().display());
    let query = format!("{not_tried}stopped: the query did not finish; run it again with {again}");
    let several = format!("[1/3] ccd_directory\n{not_tried}stopped: 2 datasets not run\n");
    for (args, expected) in [
        (&["--years", "2021", "--grades", "grade-k", "--query", "select 1"][..], query),
        (&["--years", "2020", "--dataset", "c*_directory"], several),
    ] {
        let n_before = portal.n_data_requests();
        let run = start(&lake, &portal, args);
        wait_until("the portal is asked", || portal.n_data_requests() > n_before);
        run.signal("TERM");
        assert_eq!(run.wait().expect(130).stderr, expected);
    }
}

#[test]
fn every_status_of_a_lake_says_that_its_data_is_a_sample() {
    let lake = TestLake::new();
    let mark = "SAMPLE DATA: the schools are invented\n";
    let run = ["--sample", "--years", "2021", "--grades", "grade-15", "--format", "json"];
    let run = lake.rollcall("run", &run).expect(0).json();
    let run = run["run"].as_str().unwrap();
    for args in [&[][..], &["--dataset", "all"], &["--runs"], &["--run", run], &["--as-of", "0.26.1"]] {
        assert!(lake.rollcall("status", args).expect(0).stdout.contains(mark), "{args:?}");
    }
    let json = lake.rollcall("status", &["--dataset", "all", "--format", "json"]).expect(0).json();
    assert_eq!(json[0]["is_sample"], true);
}

#[test]
fn a_verbose_run_says_once_that_a_partition_failed() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![unavailable("grade-k/")]);
    let said = lake.run(&portal, &[&TWO_GRADES[..], &["-vv"]].concat()).expect(3).stderr;
    let of_failure: Vec<&str> = said.lines().filter(|line| line.contains("failed")).collect();
    assert_eq!(of_failure.len(), 1, "{of_failure:?}");
    assert!(of_failure[0].starts_with("failed: PortalUnavailable: fetch page 1 of "), "{of_failure:?}");
}

#[test]
fn a_run_that_reads_its_input_from_a_terminal_can_be_interrupted() {
    let lake = TestLake::new();
    let mut command = rollcall(&["run", "--lake", lake.path().to_str().unwrap(), "--input", "-"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Killed(child);
    // The program is waiting for input once its reading thread is blocked in `read` on a pipe.
    wait_until("the input is read", || {
        fs::read_to_string(format!("/proc/{}/syscall", started.0.id())).is_ok_and(|call| call.starts_with("0 0x0 "))
    });
    // Not SIGINT: the tests' parent process may ignore it, and the program would inherit that.
    started.signal("TERM");
    assert_eq!(started.wait().code, None);
}

#[test]
fn a_truncated_object_hides_no_other_and_mode_missing_rewrites_it() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let args = ["--years", "2021", "--grades", "grade-pk,grade-k"];
    let _ = lake.run(&portal, &args).expect(0);
    let before = bytes(&lake, "data");
    let object = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";
    fs::write(lake.path().join(object), b"PAR1 torn").unwrap();
    let repaired = lake.rollcall("repair", &[]).expect(0);
    assert_eq!(
        repaired.stderr,
        format!(
            "warning: 1 object cannot be read: `year=2021/grade=grade-pk`\n\
             hint: fetch again: rollcall run --mode stale --lake {} --portal {}\n",
            lake.path().display(),
            portal.origin()
        )
    );
    let grades = format!("select distinct grade from {TABLE} order by grade");
    assert_eq!(query(&lake, &grades), "grade\ngrade-k\n");
    let healed = run_json(&lake, &portal, &[&args[..], &["--mode", "missing"]].concat(), 0);
    assert_eq!(outcomes(&healed), counts(&[("written", 1)]));
    assert!(bytes(&lake, "data") == before);
    assert_eq!(query(&lake, &grades), "grade\ngrade-k\ngrade-pk\n");
}

#[test]
fn a_corrupt_table_file_is_rewritten_with_every_partition() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk,grade-k"]).expect(0);
    let before = bytes(&lake, "catalog");
    fs::write(lake.path().join("catalog/ccd_school/us_education_ccd_enrollment_data.json"), b"{").unwrap();
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-1"]).expect(0);
    assert_eq!(query(&lake, &format!("select count(distinct grade) as n from {TABLE}")), "n\n3\n");
    assert_eq!(bytes(&lake, "catalog").len(), before.len());
}

#[test]
fn a_query_skips_a_missing_object_and_says_so() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    let object = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";
    fs::remove_file(lake.path().join(object)).unwrap();
    assert_eq!(query(&lake, "select count(*) as n from ccd_school.lookup_grades"), "n\n19\n");
    let found = lake.rollcall("query", &[&format!("select count(*) as n from {TABLE}"), "--format", "csv"]).expect(0);
    assert_eq!(found.stdout, "n\n0\n");
    let warning =
        format!("warning: the query skips 1 object that the catalog names but the lake lacks, such as `{object}`");
    assert!(found.stderr.starts_with(&warning), "{}", found.stderr);
}

#[test]
fn sql_that_fails_while_it_runs_is_reported_once_as_bad_input() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    for sql in ["select 1/0".to_owned(), format!("select * from {TABLE} where year = 'x'")] {
        let refused = lake.rollcall("query", &[&sql]).expect(2);
        assert!(refused.stderr.lines().count() <= 2, "{}", refused.stderr);
        assert!(refused.stderr.starts_with("error: run query: "), "{}", refused.stderr);
    }
    assert!(rejected_by_clap(&lake, &["--in-flight", "257"]).contains("expected a number from 1 to 256"));
    assert!(rejected_by_clap(&lake, &["--in-flight", "0"]).contains("expected a number from 1 to 256"));
}

fn rejected_by_clap(lake: &TestLake, args: &[&str]) -> String {
    lake.rollcall("run", args).expect(2).stderr
}

#[test]
fn a_table_holds_one_dataset_and_repair_keeps_the_descriptor_that_filled_it() {
    let (lake, portal, folder) = (TestLake::new(), TestPortal::small(), tempfile::tempdir().unwrap());
    let built_in = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    let table = "us_education_ccd_enrollment_data";
    let descriptor = |name: &str, text: &str| {
        let file = folder.path().join(format!("{name}.toml"));
        fs::write(&file, text.replace("\"ccd_enrollment\"", &format!("\"{name}\""))).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let shared = built_in.replace(table, "shared_table");
    let (first, second) = (descriptor("first", &shared), descriptor("second", &shared));
    let axes = ["--years", "2021", "--grades", "grade-pk", "--dataset"];
    let _ = lake.run(&portal, &[&axes[..], &[&first]].concat()).expect(0);
    let data = lake.files("data");
    for command in
        [lake.run(&portal, &[&axes[..], &[&second]].concat()), lake.rollcall("repair", &["--dataset", &second])]
    {
        assert_eq!(
            command.expect(2).stderr,
            "error: open table `shared_table` for dataset `second`: expected an unused table, found one that \
             holds dataset `first`\nhint: give the descriptor another `table`\n"
        );
    }
    assert_eq!(lake.files("data"), data);
    // A changed copy of a built-in descriptor replaces it. A repair without `--dataset` leaves its table unchanged.
    let wider =
        built_in.replacen("name = \"enrollment\"\ntype = \"int\"", "name = \"enrollment\"\ntype = \"bigint\"", 1);
    assert_ne!(wider, built_in);
    let wider = descriptor("ccd_enrollment", &wider);
    let _ = lake.run(&portal, &[&axes[..], &[&wider]].concat()).expect(0);
    let catalog = bytes(&lake, "catalog");
    let left = lake.rollcall("repair", &[]).expect(0);
    assert!(left.stderr.starts_with("warning: ccd_enrollment: skipped, because another descriptor"), "{}", left.stderr);
    let _ = lake.rollcall("repair", &["--dataset", &wider]).expect(0);
    assert_eq!(bytes(&lake, "catalog"), catalog);
    // Readers report a corrupt table file, and a repair that names its dataset fixes it.
    fs::write(lake.path().join("catalog/ccd_school/shared_table.json"), "{").unwrap();
    let refused = lake.rollcall("query", &["select 1"]).expect(1).stderr;
    assert!(refused.starts_with("error: CatalogFailed: ") && refused.contains("`rollcall repair --lake "), "{refused}");
    assert!(lake.rollcall("repair", &[]).expect(0).stderr.contains("hint: repair its dataset too"));
    let _ = lake.rollcall("repair", &["--dataset", &first]).expect(0);
    let _ = lake.rollcall("query", &["select 1"]).expect(0);
}

/// Found by use: H5.
#[test]
fn f10_a_dataset_has_one_table_in_a_lake() {
    let (lake, portal, folder) = (TestLake::new(), TestPortal::small(), tempfile::tempdir().unwrap());
    let built_in = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    let descriptor = |table: &str| {
        let file = folder.path().join(format!("{table}.toml"));
        let text = built_in.replace("\"ccd_enrollment\"", "\"mine\"");
        fs::write(&file, text.replace("us_education_ccd_enrollment_data", table)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (first, second) = (descriptor("first_table"), descriptor("second_table"));
    let axes = ["--years", "2021", "--grades", "grade-pk", "--dataset"];
    let _ = lake.run(&portal, &[&axes[..], &[&first]].concat()).expect(0);
    let before = (lake.files("data"), lake.files("ledger"), lake.files("catalog"));
    let asked = portal.n_data_requests();
    let origin = portal.origin();
    for command in [
        lake.run(&portal, &[&axes[..], &[&second]].concat()),
        lake.run(&portal, &[&axes[..], &[&second, "--mode", "missing"]].concat()),
        lake.rollcall("plan", &[&["--portal", origin.as_str()], &axes[..], &[&second]].concat()),
        lake.rollcall("repair", &["--dataset", &second]),
    ] {
        assert_eq!(
            command.expect(2).stderr,
            "error: open table `second_table` for dataset `mine`: expected `first_table`, the dataset's table in \
             this lake\nhint: give the descriptor another `name`, or `table = \"first_table\"`\n"
        );
    }
    assert_eq!((lake.files("data"), lake.files("ledger"), lake.files("catalog")), before);
    assert_eq!(portal.n_data_requests(), asked);
    let again = lake.run(&portal, &[&axes[..], &[&first]].concat()).expect(0);
    assert!(again.stdout.contains("1 unchanged"), "{}", again.stdout);
}

#[test]
fn a_plan_says_what_a_run_will_request_and_cost() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let origin = portal.origin();
    let request = ["--years", "2020,2021", "--grades", "all"];
    let plan = |format: &str| {
        lake.rollcall("plan", &[&["--portal", origin.as_str(), "--format", format], &request[..]].concat())
    };
    let before = plan("json").expect(0).json();
    assert_eq!((&before["cost"]["n_estimated"], &before["cost"]["seconds"]), (&json!(34), &Value::Null));
    let first = plan("table").expect(0).stdout;
    assert!(first.contains("\nhere: about 129 requests; no run has measured yet how long one takes\n"), "{first}");

    let run = run_json(&lake, &portal, &request, 0);
    let data = portal.server.requests().iter().filter(|request| !request.path.contains("/api-")).count();
    assert_eq!(run["cost"]["n_requests"], data);
    assert!(run["cost"]["received_bytes"].as_u64().unwrap() > 100_000, "{run}");
    let after = plan("json").expect(0).json();
    assert_eq!(after["cost"]["n_requests"], run["cost"]["n_requests"]);
    assert_eq!((&after["cost"]["n_estimated"], &after["cost"]["in_flight"]), (&json!(0), &json!(8)));
    // The same rows come as the same bytes.
    let expected = run["cost"]["received_bytes"].as_f64().unwrap();
    assert!((after["cost"]["received_bytes"].as_f64().unwrap() / expected - 1.0).abs() < 0.01, "{after}");
    assert!(after["cost"]["aws"]["usd"].as_f64().unwrap() > 0.0, "{after}");
    let shown = plan("table").expect(0).stdout;
    assert!(shown.contains(" in flight and ") && shown.contains("\non AWS: less than 0.01 USD in about "), "{shown}");
    let again = run_json(&lake, &portal, &request, 0);
    assert_eq!(again["cost"]["n_requests"], after["cost"]["n_requests"]);
    // A year that was never fetched is like the others.
    let request = ["--portal", origin.as_str(), "--years", "2019", "--grades", "grade-pk,grade-1"];
    let planned = lake.rollcall("plan", &request).expect(0).stdout;
    assert!(planned.starts_with("2 partitions: about 4 pages; ~ is an estimate: 2 by other years\n"), "{planned}");
}

/// Found by use: W2.
#[test]
fn undeclared_fields_are_reported_by_name_in_one_line() {
    let (lake, folder) = (TestLake::new(), tempfile::tempdir().unwrap());
    let row_of = |grade: i32, school: u32, more: &str| {
        format!(
            "{{\"year\": 2021, \"ncessch\": \"0100002{school:05}\", \"ncessch_num\": {school}, \"grade\": {grade}, \"race\": 99, \
             \"sex\": 99, \"enrollment\": 5, \"fips\": 1, \"leaid\": \"100002\"{more}}}"
        )
    };
    let row = |school, more: &str| row_of(-1, school, more);
    let odd = |names: &[&str]| names.iter().map(|name| format!(", \"{name}\": 1")).collect::<String>();
    let body = |rows: &[String]| {
        format!("{{\"count\": {}, \"next\": null, \"previous\": null, \"results\": [{}]}}", rows.len(), rows.join(", "))
    };
    let rows = [row(1, ""), row(2, &odd(&["magnet", "charter\\u001b[31m"])), row(3, &odd(&["magnet"]))];
    write_page(folder.path(), "schools/ccd/enrollment/2021/grade-pk", 1, body(&rows).as_bytes());
    let many = [row_of(0, 1, &odd(&["a", "b", "c", "d", "e"]))];
    write_page(folder.path(), "schools/ccd/enrollment/2021/grade-k", 1, body(&many).as_bytes());
    write_page(folder.path(), "schools/ccd/enrollment/2021/grade-1", 1, body(&[row_of(1, 1, "")]).as_bytes());
    let portal = TestPortal::recorded(folder.path());
    let run = |grades: &str| lake.run(&portal, &["--years", "2021", "--grades", grades, "--format", "json"]).expect(0);
    let warned = |outcome: &Outcome| {
        outcome.stderr.lines().filter(|line| line.contains("does not declare")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warned(&run("grade-1")), [""; 0]);
    let one = run("grade-pk");
    let line = "warning: 2 rows have fields that the descriptor does not declare (charter\\u{1b}[31m, magnet); kept in \
                _rescued";
    assert_eq!(warned(&one), [line]);
    assert_eq!(one.json()["partitions"][0]["unknown_fields"], serde_json::json!(["charter\u{1b}[31m", "magnet"]));
    let two = run("grade-pk,grade-k");
    assert_eq!(
        warned(&two),
        [
            "warning: 3 rows have fields that the descriptor does not declare (a, b, c, charter\\u{1b}[31m, d, and 2 more); kept \
          in _rescued"
        ]
    );
    let name = one.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(warned(&lake.rollcall("status", &["--run", &name]).expect(0)), [line]);
}

#[test]
fn a_lake_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("écoles #1 100%25 [a] b?");
    let lake = lake.to_str().unwrap();
    let args = ["run", "--sample", "--years", "2021", "--grades", "grade-pk", "--lake", lake];
    let query = ["--query", "select count(*) as n from ccd_school.lookup_sexes", "--format", "json"];
    let found = Outcome::from_output(rollcall(&[&args[..], &query].concat()).output().unwrap()).expect(0).json();
    assert_eq!(found["query"], serde_json::json!([{"n": 8}]));
    assert_eq!(found["n_planned"], 1);
}

#[test]
fn sample_and_portal_never_share_a_lake() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let args = ["--years", "2021", "--grades", "grade-pk"];
    let _ = lake.run(&portal, &args).expect(0);
    let before = bytes(&lake, "");
    let refused = lake.rollcall("run", &[&["--sample"], &args[..]].concat()).expect(2);
    assert_eq!(
        refused.stderr,
        format!(
            "error: open lake `{}`: expected a lake of sample data, found one of portal data\n\
             hint: keep the two in separate folders; name another one with --lake\n",
            lake.path().display()
        )
    );
    let after = bytes(&lake, "");
    assert!(before.iter().all(|(path, found)| path == ".lock" || after.get(path) == Some(found)));
    let sample = TestLake::new();
    let _ = sample.rollcall("run", &[&["--sample"], &args[..]].concat()).expect(0);
    let shown = sample.rollcall("query", &["select count(*) as n from ccd_school.lookup_sexes"]).expect(0);
    assert!(shown.stderr.starts_with("note: sample data."), "{}", shown.stderr);
    assert!(sample.run(&portal, &args).expect(2).stderr.contains("found one of sample data"));
    let plan = sample.rollcall("plan", &[&["--portal", &portal.origin()], &args[..]].concat()).expect(2);
    assert!(plan.stderr.contains("found one of sample data"), "{}", plan.stderr);
    // The mark is not part of the ledger, and a corrupt mark does not count as a missing one.
    fs::remove_dir_all(sample.path().join("ledger")).unwrap();
    assert!(sample.run(&portal, &args).expect(2).stderr.contains("found one of sample data"));
    fs::write(sample.path().join("lake.json"), "{\"is_sample\": tr").unwrap();
    let damaged = sample.run(&portal, &args).expect(2).stderr;
    assert!(
        damaged
            .contains("lake.json`: expected {\"is_sample\": true} or {\"is_sample\": false}, found invalid JSON: EOF"),
        "{damaged}"
    );
}

#[test]
fn a_mistyped_lake_or_portal_creates_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("typo");
    let lake_name = lake.to_str().unwrap();
    let run = ["run", "--years", "2021", "--grades", "grade-pk", "--portal", "bogus", "--lake", lake_name];
    for args in [&run[..], &["repair", "--lake", lake_name]] {
        let _ = Outcome::from_output(rollcall(args).output().unwrap()).expect(2);
        assert!(!lake.exists(), "{args:?}");
    }
}

#[test]
fn the_status_grid_fits_into_80_columns_and_shows_the_last_outcome() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let empty = lake.rollcall("status", &[]).expect(0);
    assert_eq!(empty.stdout, format!("ccd_enrollment: nothing fetched yet into `{}`\n", lake.path().display()));

    let _ = lake.run(&portal, &["--years", "2019-2021", "--grades", "all"]).expect(0);
    let _ = lake.run(&portal, &["--partition", "2021/grade-pk"]).expect(0);
    portal.server.set_faults(vec![unavailable("grade-k/"), unavailable("grade-99/")]);
    let last = run_json(&lake, &portal, &["--partition", "2021/grade-k", "--partition", "2021/grade-99"], 3);
    let run = last["run"].as_str().unwrap();
    let found = lake.rollcall("status", &[]).expect(0).stdout;
    let lines: Vec<&str> = found.lines().collect();
    let path = lake.path().display();
    assert!(
        lines[0].starts_with(&format!("ccd_enrollment in `{path}`: 51 partitions committed, 5,197 rows, ")),
        "{found}"
    );
    assert!(
        lines[1].starts_with(&format!("last run {run}: finished ")) && lines[1].ends_with("s ago; 2 failed"),
        "{found}"
    );
    // Grades are in the descriptor's order, and years start with the latest. The total had never been committed when it
    // failed, and was not requested for the other years.
    assert_eq!(
        lines[3..7],
        [
            "year  pk  k  1  2  3  4  5  6  7  8  9  10  11  12  13  14  15  99",
            "2021  U   f  W  W  W  W  W  W  W  W  W  W   W   W   W   W   W   F",
            "2020  W   W  W  W  W  W  W  W  W  W  W  W   W   W   W   W   W   .",
            "2019  W   W  W  W  W  W  W  W  W  W  W  W   W   W   W   W   W   .",
        ]
    );
    let failed = "PortalUnavailable: fetch page 1 of `year=2021/grade=grade-k`: portal unavailable: HTTP 503";
    assert!(found.contains("\nyear=2021/grade=grade-k   ") && found.contains(failed), "{found}");
    let again =
        format!("\nrun them again: rollcall run --failed-of {run} --lake {path} --portal {}\n", portal.origin());
    assert!(found.ends_with(&again), "{found}");

    let found = lake.rollcall("status", &["--long"]).expect(0).stdout;
    let lines: Vec<&str> = found.lines().skip(3).collect();
    for line in lines.iter().take_while(|line| !line.starts_with("failed")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0])[..4], ["year", "grade-pk", "grade-k", "grade-1"]);
    let newest = words(lines[1]);
    assert_eq!((newest[0].as_str(), &newest[1..3], &newest[4..6]), ("2021", &words("U 165")[..], &words("F 192")[..]));
    assert_eq!(words(lines[2])[..3], ["2020", "W", "165"]);

    let json = lake.rollcall("status", &["--format", "json"]).expect(0).json();
    assert_eq!(json["partitions"].as_array().unwrap().len(), 52);
    assert_eq!(json["last_run"]["name"], run);
    assert!(json["last_run"]["finished_at"].is_string(), "{json}");
}

#[test]
fn an_offered_command_works_as_it_is_pasted() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let pasted = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("rollcall() {{ \"$0\" \"$@\"; }}; {command}")]).arg(binary());
        Outcome::from_output(shell.env_remove("ROLLCALL_LAKE").output().unwrap())
    };
    let offered = |text: &str, before: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(before)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{before} in {text}"))
    };
    portal.server.set_faults(vec![unavailable("grade-k/")]);
    let failed = lake.run(&portal, &[&TWO_GRADES[..], &["--keep-pages"]].concat()).expect(3).stdout;
    let from_run = offered(&failed, "run the failed ones again: ");
    let flags = format!(" --lake {} --keep-pages --portal {} --retry-wait 0", lake.path().display(), portal.origin());
    assert!(from_run.ends_with(&flags), "{from_run}");
    let from_status = offered(&lake.rollcall("status", &[]).expect(0).stdout, "run them again: ");
    for command in [from_run, from_status] {
        assert!(pasted(&command).expect(3).stdout.contains("1 partition: 1 failed"), "{command}");
    }
    portal.server.set_faults(Vec::new());
    let from_status = offered(&lake.rollcall("status", &[]).expect(0).stdout, "run them again: ");
    assert!(pasted(&from_status).expect(0).stdout.contains("1 partition: 1 written"), "{from_status}");
    fs::write(lake.path().join(OBJECT), b"PAR1 torn").unwrap();
    for command in ["repair", "status"] {
        let warned = lake.rollcall(command, &[]).expect(0).stderr;
        let again = offered(&warned, "hint: fetch again: ");
        assert!(pasted(&again).expect(0).stdout.contains("1 partition: 1 written"), "{again}");
        fs::write(lake.path().join(OBJECT), b"PAR1 torn").unwrap();
    }
}

#[test]
fn an_offered_command_names_the_lake_whenever_the_default_is_another_one() {
    let (folder, portal) = (tempfile::tempdir().unwrap(), TestPortal::small());
    let offered = |variable: Option<&str>, args: &[&str]| {
        let mut status = rollcall(&[&["status", "--run", "nope"], args].concat());
        status.current_dir(folder.path()).envs(variable.map(|lake| ("ROLLCALL_LAKE", lake)));
        Outcome::from_output(status.output().unwrap()).expect(2).stderr
    };
    let mut run = rollcall(&[&["run", "--portal", &portal.origin()], &TWO_GRADES[..]].concat());
    let _ = Outcome::from_output(run.current_dir(folder.path()).output().unwrap()).expect(0);
    for (variable, args) in [(None, &[][..]), (None, &["--lake", "lake"]), (Some("lake"), &[])] {
        let shown = offered(variable, args);
        assert!(shown.ends_with("; all: rollcall status --runs\n"), "{variable:?}: {shown}");
    }
    let shown = offered(Some("/x/other"), &["--lake", "lake"]);
    assert!(shown.ends_with("; all: rollcall status --runs --lake lake\n"), "{shown}");
    // No lake is there yet.
    fs::remove_dir_all(folder.path().join("lake")).unwrap();
    let shown = offered(Some("/x/other"), &["--lake", "lake"]);
    assert!(shown.contains("--grades grade-pk --lake lake; or name another folder"), "{shown}");
}

#[test]
fn a_portal_counts_as_that_of_a_lake_once_it_has_sent_a_partition() {
    let (lake, portal, other) = (TestLake::new(), TestPortal::small(), TestPortal::small());
    portal.server.set_faults(vec![unavailable("grade-k/")]);
    let _ = lake.run(&portal, &TWO_GRADES).expect(3);
    let offered = || lake.rollcall("status", &[]).expect(0).stdout;
    let of = |portal: &TestPortal| format!(" --portal {}\n", portal.origin());
    assert!(offered().contains(&of(&portal)), "{}", offered());
    // One that sends nothing, and one that cannot be reached.
    other.server.set_faults(vec![unavailable("grade-pk/"), unavailable("grade-k/")]);
    let failed = lake.run(&other, &TWO_GRADES).expect(3).stdout;
    assert!(failed.contains(&format!(" --portal {} ", other.origin())), "{failed}");
    assert!(offered().contains(&of(&portal)), "{}", offered());
    let dead = ["--portal", "http://127.0.0.1:9", "--retry-wait", "0"];
    let _ = lake.rollcall("run", &[&dead[..], &TWO_GRADES[..]].concat()).expect(4);
    assert!(offered().contains(&of(&portal)), "{}", offered());
    // A partition that is found unchanged has been sent.
    other.server.set_faults(vec![unavailable("grade-k/")]);
    let report = run_json(&lake, &other, &TWO_GRADES, 3);
    assert_eq!(outcomes(&report), counts(&[("unchanged", 1), ("failed", 1)]));
    assert!(offered().contains(&of(&other)), "{}", offered());
}

#[test]
fn the_status_of_a_run_shows_each_receipt_and_error() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![unavailable("grade-k/")]);
    let report = run_json(&lake, &portal, &TWO_GRADES, 3);
    let run = report["run"].as_str().unwrap();
    let found = lake.rollcall("status", &["--run", run]).expect(0);
    assert_eq!(
        found.stdout,
        "partition                 outcome  rows  error\n\
         year=2021/grade=grade-pk  written   165\n\
         year=2021/grade=grade-k   failed      0  PortalUnavailable: fetch page 1 of `year=2021/grade=grade-k`: \
         portal unavailable: HTTP 503 after 4 tries: `busy`\n\
         2 partitions: 1 written, 1 failed\n\
         first load of 1 partition\n"
    );
    let json = lake.rollcall("status", &["--run", run, "--format", "json"]).expect(0).json();
    assert_eq!((&json["run"], &json["is_finished"]), (&Value::from(run), &Value::from(true)));
    assert_eq!(outcomes(&json["summary"]), counts(&[("written", 1), ("failed", 1)]));
    assert_eq!(json["partitions"][1]["reason"], "requested");
    assert_eq!(json["partitions"][1]["receipt"]["error"]["name"], "PortalUnavailable");

    let mistyped = run.replace('-', "-9");
    for (name, meant) in [("other", ""), ("../partitions", ""), (&mistyped, &*format!("did you mean `{run}`? "))] {
        let found = lake.rollcall("status", &["--run", name]).expect(2);
        assert_eq!(
            found.stderr,
            format!(
                "error: show run: expected a run of `ccd_enrollment` in `{0}`, found none named `{name}`\n\
                 hint: {meant}the latest: {run}; all: rollcall status --runs --lake {0}\n",
                lake.path().display()
            )
        );
    }
    let refused = lake.rollcall("plan", &["--portal", &portal.origin(), "--failed-of", &mistyped]).expect(2).stderr;
    assert!(refused.ends_with(&format!("\n    hint: did you mean `{run}`? the latest: {run}\n")), "{refused}");
}

#[test]
fn the_runs_of_a_lake_are_listed() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let runs = || lake.rollcall("status", &["--runs"]).expect(0).stdout;
    assert_eq!(runs(), format!("ccd_enrollment in `{}`: 0 runs\n", lake.path().display()));
    let first = run_json(&lake, &portal, &TWO_GRADES, 0)["run"].as_str().unwrap().to_owned();
    portal.server.set_faults(vec![unavailable("grade-k/")]);
    let second = run_json(&lake, &portal, &TWO_GRADES, 3)["run"].as_str().unwrap().to_owned();
    let shown = runs();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], format!("ccd_enrollment in `{}`: 2 runs", lake.path().display()));
    let words: Vec<Vec<&str>> = lines[2..].iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["run", "started", "took", "release", "outcome"]);
    assert_eq!((words[1][0], &words[1][4..]), (&*second, &["0.26.1", "1", "unchanged,", "1", "failed"][..]), "{shown}");
    assert_eq!((words[2][0], &words[2][4..]), (&*first, &["0.26.1", "2", "written"][..]), "{shown}");
    let json = lake.rollcall("status", &["--runs", "--format", "json"]).expect(0).json();
    assert_eq!((&json[0]["run"], &json[0]["outcomes"]["failed"]), (&json!(second), &json!(1)));
    // A run that is dated in the future comes last, and the table ends after twenty.
    let dated = (2001..2020).map(|year| format!("{year}1126T120000-000")).chain(["20461126T120000-000".to_owned()]);
    for run in dated {
        let folder = lake.path().join("ledger/ccd_enrollment/runs").join(run);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("plan.json"), "[]").unwrap();
    }
    let shown = runs();
    let names: Vec<&str> = shown.lines().skip(3).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((names.len(), names[0], names[19]), (21, &*second, "20021126T120000-000"));
    assert!(shown.contains(": 22 runs\n") && shown.ends_with("\nand 2 more; --format json lists them\n"), "{shown}");
    let json = lake.rollcall("status", &["--runs", "--format", "json"]).expect(0).json();
    assert_eq!((&json[0]["run"], &json[21]["run"]), (&json!(second), &json!("20461126T120000-000")));
    let refused = lake.rollcall("status", &["--runs", "--dataset", "ccd_*"]).expect(2).stderr;
    assert!(refused.contains("`--runs`: expected `--dataset` to name one dataset"), "{refused}");
}

#[test]
fn d7_a_reader_that_closes_the_pipe_is_not_a_failure() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "all"]).expect(0);
    // This is more than a pipe holds, so a write to the closed pipe fails.
    let all = format!("select * from {TABLE}, ccd_school.lookup_sexes");
    assert!(query(&lake, &all).len() > 200_000);
    for format in ["table", "csv", "json"] {
        let script = r#"{ "$0" query --format "$2" "$1"; echo "code $?" >&2; } | head -c 10"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(binary()).arg(&all).arg(format).env("ROLLCALL_LAKE", lake.path());
        let found = Outcome::from_output(shell.output().unwrap()).expect(0);
        assert_eq!((found.stdout.len(), found.stderr.as_str()), (10, "code 0\n"), "{format}");
    }
}

#[test]
fn help_lists_every_exit_code() {
    let help = Outcome::from_output(rollcall(&["--help"]).output().unwrap()).expect(0).stdout;
    for line in [
        "  0    success",
        "  1    the lake, the catalog or the machine failed",
        "  2    invalid input: flags, request, descriptor or SQL",
        "  3    some partitions failed or were not tried; the others are published",
        "  4    the portal could not be reached, or did not say what there is to fetch",
        "  75   another run is using the lake",
        "  130  interrupted by Ctrl-C, SIGTERM or SIGHUP; committed partitions are kept",
    ] {
        assert!(help.lines().any(|found| found == line), "{line}\n{help}");
    }
    for command in ["run", "plan", "status", "query", "tables", "datasets", "repair", "simulator", "completions", "man"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{command}\n{help}");
        let one = Outcome::from_output(rollcall(&[command, "--help"]).output().unwrap()).expect(0);
        assert!(one.stdout.contains(&format!("Usage: rollcall {command}")), "{}", one.stdout);
        assert!(one.stdout.contains("\nExamples:\n  "), "{}", one.stdout);
    }
}

/// Returns what bash offers for the last word of a command line.
fn completed<W: AsRef<OsStr>>(lake: &Path, line: &[W]) -> Vec<String> {
    let mut asked = rollcall(&["--"]);
    asked.args(line);
    asked.env("ROLLCALL_COMPLETE", "bash").env("ROLLCALL_LAKE", lake).env("_CLAP_IFS", "\n");
    asked.env("_CLAP_COMPLETE_INDEX", (line.len() - 1).to_string()).env("_CLAP_COMPLETE_COMP_TYPE", "9");
    let found = Outcome::from_output(asked.output().unwrap()).expect(0).stdout;
    found.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn shells_complete_commands_flags_and_values() {
    for (shell, part) in [("bash", "complete "), ("zsh", "#compdef rollcall"), ("fish", "complete ")] {
        let found = Outcome::from_output(rollcall(&["completions", shell]).output().unwrap()).expect(0);
        assert!(found.stdout.contains(part) && found.stdout.contains("ROLLCALL_COMPLETE"), "{}", found.stdout);
        assert_eq!(found.stderr, "");
    }
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let run = run_json(&lake, &portal, &TWO_GRADES, 0)["run"].as_str().unwrap().to_owned();
    for (line, expected) in [
        (&["rollcall", "desc"][..], &["describe"][..]),
        (&["rollcall", "run", "--dataset", "ccd_enrollment_race"], &["ccd_enrollment_race", "ccd_enrollment_race_sex"]),
        (&["rollcall", "run", "--grades", "grade-pk,grade-99"], &["grade-pk,grade-99"]),
        (&["rollcall", "run", "--mode", "st"], &["stale"]),
        (&["rollcall", "run", "--failed-of", "2"], &[run.as_str()]),
        (&["rollcall", "status", "--run", ""], &[run.as_str()]),
        (&["rollcall", "query", "top"], &["top_ten_pk_states"]),
    ] {
        assert_eq!(completed(lake.path(), line), expected, "{line:?}");
    }
    // Runs of other datasets are of no use.
    let own = workspace().join("datasets/ccd_enrollment.toml");
    let own = own.to_str().unwrap();
    for (dataset, expected) in [("ccd_enrollment", &[run.as_str()][..]), (own, &[&run]), ("ccd_directory", &[])] {
        assert_eq!(completed(lake.path(), &["rollcall", "status", "--dataset", dataset, "--run", ""]), expected);
    }
    // A word may be the name of a file, which can have any bytes.
    let odd = OsStr::from_bytes(b"\xff.json");
    for (words, expected) in [(["--grades", "grade-p"], "grade-pk"), (["--failed-of", "2"], &run)] {
        let line = ["rollcall", "run", "--input"].map(OsStr::new).into_iter().chain([odd]);
        let line: Vec<&OsStr> = line.chain(words.map(OsStr::new)).collect();
        assert_eq!(completed(lake.path(), &line), [expected]);
    }
    // Without a lake there are no runs.
    assert_eq!(completed(Path::new("/nowhere"), &["rollcall", "status", "--run", ""]), Vec::<String>::new());
}

/// Returns what the script for bash offers for the last of these words, into which bash has split a command line.
fn completed_in_bash(words: &[&str]) -> Vec<String> {
    let script =
        "PATH=\"$1:$PATH\"; source <(rollcall completions bash); shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
        last=\"${COMP_WORDS[COMP_CWORD]}\"; [[ $last == '=' ]] && last=; COMP_TYPE=9
        _clap_complete_rollcall rollcall \"$last\" 2> /dev/null; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash"]).arg(binary().parent().unwrap()).args(words).env_remove("ROLLCALL_LAKE");
    let found = Outcome::from_output(bash.current_dir("/").output().unwrap()).expect(0).stdout;
    found.lines().map(str::to_owned).collect()
}

#[test]
fn completions_know_the_lake_and_the_dataset_of_the_command_line() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let run = run_json(&lake, &portal, &TWO_GRADES, 0)["run"].as_str().unwrap().to_owned();
    let path = lake.path().to_str().unwrap();
    let with_lake = format!("--lake={path}");
    let edfacts = "edfacts_assessments";
    // As zsh and fish pass words.
    for (line, expected) in [
        (&["rollcall", "describe", "--lake", path, "us_"][..], &["us_education_ccd_enrollment_data"][..]),
        (&["rollcall", "describe", &with_lake, "ccd_en"], &["ccd_enrollment_labeled"]),
        (
            &["rollcall", "describe", "--lake", path, "ccd_school.lookup_s"],
            &["ccd_school.lookup_sexes", "ccd_school.lookup_states"],
        ),
        (&["rollcall", "status", &with_lake, "--run="], &[&format!("--run={run}")]),
        (&["rollcall", "run", "--grades=grade-p"], &["--grades=grade-pk"]),
        (&["rollcall", "run", "--mode=st"], &["--mode=stale"]),
        (&["rollcall", "run", "--dataset", edfacts, "--axis", "gr"], &["grade_edfacts="]),
        (
            &["rollcall", "run", "--dataset", edfacts, "--axis", "grade_edfacts=grade-3,grade-99"],
            &["grade_edfacts=grade-3,grade-99"],
        ),
        (&["rollcall", "run", "--dataset", edfacts, "--grades", "grade-1"], &[]),
        (&["rollcall", "datasets", "show", "ccd_dir"], &["ccd_directory"]),
        (&["rollcall", "repair", "--dataset", "ccd_dir"], &["ccd_directory"]),
        (&["rollcall", "prune", "--dataset=ccd_dir"], &["--dataset=ccd_directory"]),
        (&["rollcall", "cite", "--dataset", "ccd_dir"], &["ccd_directory"]),
        (&["rollcall", "cite", "--query", "top"], &["top_ten_pk_states"]),
    ] {
        assert_eq!(completed(Path::new("/nowhere"), line), expected, "{line:?}");
    }
    // Bash splits words at `=`, and takes only the part after it.
    for (words, expected) in [
        (&["rollcall", "describe", "--lake", "=", path, "us_"][..], "us_education_ccd_enrollment_data"),
        (&["rollcall", "describe", "--lake", path, "us_"], "us_education_ccd_enrollment_data"),
        (&["rollcall", "status", "--lake", "=", path, "--run", "="], &run),
        (&["rollcall", "run", "--grades", "=", "grade-p"], "grade-pk"),
        (&["rollcall", "run", "--grades", "=", "grade-pk,grade-9"], "grade-pk,grade-9"),
        (&["rollcall", "run", "--axis", "grade", "=", "grade-p"], "grade-pk"),
        (&["rollcall", "run", "--axis", "=", "grade", "=", "grade-p"], "grade-pk"),
        (&["rollcall", "query", "--lake", "=", path, "top"], "top_ten_pk_states"),
        (&["rollcall", "desc"], "describe"),
    ] {
        assert_eq!(completed_in_bash(words).first().map(String::as_str), Some(expected), "{words:?}");
    }
}

#[test]
fn the_help_of_a_command_says_which_lakes_it_reads() {
    for (command, lakes) in [
        ("query", "Folder of the lake; query a lake in a bucket with Athena"),
        ("status", "Folder of the lake, or s3://BUCKET in a build with `--features aws`"),
        ("prune", "Folder of the lake"),
    ] {
        let help = Outcome::from_output(rollcall(&[command, "--help"]).output().unwrap()).expect(0).stdout;
        let (_, after) = help.split_once("--lake <DIR>\n").unwrap();
        assert_eq!(after.lines().next().map(str::trim), Some(lakes), "{help}");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let written = Outcome::from_output(rollcall(&["man", pages.to_str().unwrap()]).output().unwrap()).expect(0);
    assert_eq!((written.stdout, written.stderr), (String::new(), String::new()));
    for name in ["rollcall", "rollcall-run", "rollcall-query", "rollcall-datasets-generate"] {
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".TH ") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
        assert!(page.contains(&format!("\"rollcall {}\"", env!("CARGO_PKG_VERSION"))), "{name}: {page}");
        assert!(!page.contains("EXTRA"), "{name}: {page}");
    }
    let sections = |name: &str| {
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        let sections = page.lines().filter_map(|line| line.strip_prefix(".SH "));
        (sections.map(|name| name.replace('"', "")).collect::<Vec<_>>(), page)
    };
    let (names, page) = sections("rollcall-query");
    assert_eq!(names, ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "MESSAGES", "EXAMPLES", "SEE ALSO"]);
    assert!(page.contains("\n    rollcall query top_ten_pk_states\n"), "{page}");
    assert!(page.ends_with("\n.SH \"SEE ALSO\"\n.BR rollcall (1)\n"), "{page}");
    let (names, page) = sections("rollcall");
    assert_eq!(names[names.len() - 2..], ["EXIT STATUS", "SEE ALSO"]);
    assert!(page.contains(".BR rollcall\\-run (1),\n"), "{page}");
    assert!(sections("rollcall-datasets").1.contains(".BR rollcall\\-datasets\\-drift (1),\n"));
}

#[test]
fn a_shipped_query_is_printed_as_table_csv_and_json() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    let print = |format: &str| lake.rollcall("query", &["top_ten_pk_states", "--format", format]).expect(0);
    let first = |text: &str| text.lines().take(3).collect::<Vec<_>>().join("\n");
    assert_eq!(
        first(&print("table").stdout),
        "rnk  state       total_enrollments\n  1  Texas                  245135\n  2  Illinois                71078"
    );
    assert_eq!(first(&print("csv").stdout), "rnk,state,total_enrollments\n1,Texas,245135\n2,Illinois,71078");
    let json = print("json").json();
    assert_eq!(json[0], serde_json::json!({"rnk": 1, "state": "Texas", "total_enrollments": 245_135}));
    assert_eq!(json.as_array().unwrap().len(), 10);
    // An empty result has the same shape.
    let none = format!("select grade, enrollment from {TABLE} where enrollment > 1000000");
    assert_eq!(query(&lake, &none), "grade,enrollment\n");
    assert_eq!(lake.rollcall("query", &[&none, "--format", "json"]).expect(0).json(), serde_json::json!([]));
}

#[test]
fn a_query_that_cannot_run_lists_the_valid_names() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let unknown = lake.rollcall("query", &["top_ten"]).expect(2);
    assert!(unknown.stderr.contains("\nhint: did you mean `top_ten_pk_states`? "), "{}", unknown.stderr);
    let nothing = lake.rollcall("query", &["top_ten_pk_states"]).expect(2);
    let hint = format!(
        "hint: the lake `{0}` holds no tables yet; fetch it with `rollcall run --years 2021 --grades grade-pk --lake {0}`, \
         or register the files in its folder `data` with `rollcall repair --lake {0}`\n",
        lake.path().display()
    );
    assert!(nothing.stderr.ends_with(&hint), "{}", nothing.stderr);

    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    let tables = "hint: tables of this lake: ccd_school.lookup_codes, ccd_school.lookup_grades, \
                  ccd_school.lookup_races, ccd_school.lookup_sexes, ccd_school.lookup_states, ccd_school.us_education_ccd_enrollment_data, \
                  ccd_school.ccd_enrollment_labeled\n";
    let refused = lake.rollcall("query", &["select * from ccd_school.nothing_like_it"]).expect(2);
    assert!(
        refused.stderr.starts_with("error: run query: no table `ccd_school.nothing_like_it`\n"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.ends_with(tables), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
    // Without a name, the shipped queries are listed with their questions.
    let listed = lake.rollcall("query", &[]).expect(0).stdout;
    assert_eq!(listed.lines().count(), 12, "{listed}");
    assert!(listed.contains("top_ten_pk_states"), "{listed}");
}

/// Returns what a command shows on its own terminal.
fn on_terminal(args: &[&str]) -> String {
    let run = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut command = Command::new(python());
    command.args(["-c", run]).arg(binary()).args(args).stdin(Stdio::null());
    command.env_remove("ROLLCALL_LAKE").env_remove("ROLLCALL_LOG");
    Outcome::from_output(command.output().unwrap()).stdout
}

/// Found by use: W3.
#[test]
fn d14_terminal_control_characters_are_escaped() {
    let lake = TestLake::new();
    let _ = lake.run(&TestPortal::small(), &TWO_GRADES).expect(0);
    let lake_path = lake.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let descriptor = |name: &str, from: &str, to: &str| {
        let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        let path = folder.path().join(name);
        fs::write(&path, text.replace(from, to)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // A colour, a title, an 8-bit control code, a carriage return, DEL, a text direction override, and a forged line.
    let hostile = "\u{1b}[31m\u{1b}]0;owned\u{7}\u{9b}2J\r\u{7f}\u{202e}\nforged: line";
    let in_toml = hostile.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>();
    let shown = r"\u{1b}[31m\u{1b}]0;owned\u{7}\u{9b}2J\r\u{7f}\u{202e}\nforged: line";
    let titled = descriptor("titled.toml", " = \"CCD", &format!(" = \"{in_toml}CCD"));
    let keyed = descriptor("keyed.toml", "key = [\"ncessch\"]", &format!("key = [\"{in_toml}\"]"));
    let odd_name = descriptor("odd \u{1b}[31m\n name.toml", "name = \"ccd_enrollment\"", "name = \"ccd_enrollment\"");
    let value = format!("select '{hostile}' as v");
    let cast = format!("select cast('{hostile}' as int) as v");

    for args in [
        ["query", "--lake", lake_path, &value].as_slice(),
        &["query", "--lake", lake_path, &value, "--format", "csv"],
        &["query", "--lake", lake_path, &value, "--format", "json"],
        &["query", "--lake", lake_path, &format!("select 1 as \"{hostile}\"")],
        &["query", "--lake", lake_path, &cast],
        &["query", "--lake", lake_path, &format!("select \"{hostile}\" from {TABLE}")],
        &["query", "--lake", lake_path, &hostile.replace(' ', "")],
        &["datasets", "show", &titled],
        &["datasets", "show", &titled, "--format", "json"],
        &["datasets", "template", &titled],
        &["datasets", "check", &keyed],
        &["datasets", "check", &odd_name],
        &["status", "--lake", lake_path, "--run", hostile],
    ] {
        let found = on_terminal(args).replace("\r\n", "\n");
        let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!found.contains(obeyed), "{args:?}: {found:?}");
        assert!(found.lines().all(|line| !line.starts_with("forged")), "{args:?}: {found:?}");
        assert!(found.contains("u{1b}") || found.contains("u001b"), "{args:?}: {found:?}");
    }
    assert_eq!(on_terminal(&["query", "--lake", lake_path, &value]), format!("v\r\n{shown}\r\n(1 row)\r\n"));
    // CSV that goes to a file or a pipe is not escaped. JSON is always the same.
    assert_eq!(query(&lake, &value), format!("v\n\"{hostile}\"\n"));
    let json = lake.rollcall("query", &[&value, "--format", "json"]).expect(0);
    assert_eq!(json.json(), serde_json::json!([{"v": hostile}]));
}

#[test]
fn datasets_are_listed_shown_and_checked() {
    // A search that finds nothing is an answer, and a selection that names nothing a mistake.
    let found = |args: &[&str]| {
        Outcome::from_output(rollcall(&[&["datasets", "list"], args].concat()).output().expect("the binary starts"))
    };
    let none = found(&["--search", "nohits"]).expect(0);
    assert_eq!(
        (none.stdout.as_str(), none.stderr.as_str()),
        ("", "note: no dataset has `nohits` in its name or title\n")
    );
    assert_eq!(found(&["--search", "nohits", "--format", "json"]).expect(0).json(), json!([]));
    assert!(found(&["nohits"]).expect(2).stderr.contains("found no dataset that matches `nohits`"));
    let datasets =
        |args: &[&str]| Outcome::from_output(rollcall(&[&["datasets"], args].concat()).output().unwrap()).expect(0);
    let listed = datasets(&["list", "--format", "json"]).json();
    let (usable, unknown): (Vec<&Value>, Vec<&Value>) =
        listed.as_array().unwrap().iter().partition(|dataset| dataset["usable"] == true);
    let names: Vec<&str> = usable.iter().map(|dataset| dataset["name"].as_str().unwrap()).collect();
    assert_eq!(names, dataset_names());
    assert_eq!((names.len(), unknown.len()), (123, 6));
    assert_eq!(unknown[0]["name"], "campus_crime_hate_crimes");
    let mut shown = datasets(&["show", "ccd_enrollment", "--format", "json"]).json();
    shown["usable"] = true.into();
    assert!(usable.contains(&&shown));
    assert_eq!(shown["key"], serde_json::json!(["ncessch"]));
    assert_eq!(shown["path"], "schools/ccd/enrollment/{year}/{grade}/");
    let text = datasets(&["show", "ccd_enrollment"]).stdout;
    assert!(text.contains("table  ccd_school.us_education_ccd_enrollment_data\n"), "{text}");
    assert!(datasets(&["list"]).stdout.contains("ccd_directory"));
    let file = workspace().join("datasets/ccd_directory.toml");
    let file = file.to_str().unwrap();
    assert_eq!(datasets(&["check", file]).stdout, format!("{file}: valid, 51 columns, key ncessch\n"));
}

#[test]
fn a_new_descriptor_is_valid_and_has_every_documented_key() {
    let folder = tempfile::tempdir().unwrap();
    // Words that the text has for the name and the file.
    let file = folder.path().join("NAME-of-FILE.toml");
    let file = file.to_str().unwrap();
    let datasets = |args: &[&str]| Outcome::from_output(rollcall(&[&["datasets"], args].concat()).output().unwrap());
    let written = datasets(&["new", file]).expect(0).stdout;
    assert_eq!(written, format!("wrote {file}; next: rollcall datasets check {file}\n"));
    assert_eq!(datasets(&["check", file]).expect(0).stdout, format!("{file}: valid, 3 columns, key id\n"));
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(&format!("rollcall datasets check {file}\n")), "{text}");
    // What is in comments is valid too, all of it and each block alone.
    let in_comment = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        (rest.contains(" = ") || rest.starts_with('[')).then(|| rest.to_owned())
    };
    let lines: Vec<&str> = text.lines().collect();
    let blocks = lines.chunk_by(|one, other| in_comment(one).is_some() == in_comment(other).is_some());
    let blocks: Vec<String> =
        blocks.filter(|block| in_comment(block[0]).is_some()).map(|block| block.join("\n")).collect();
    assert_eq!(blocks.len(), 8);
    let uncommented = |block: &str| block.lines().map(|line| in_comment(line).unwrap() + "\n").collect::<String>();
    let all = blocks.iter().fold(text.clone(), |text, block| text.replacen(block, &uncommented(block), 1));
    for block in &blocks {
        fs::write(file, text.replacen(block, &uncommented(block), 1)).unwrap();
        let _ = datasets(&["check", file]).expect(0);
    }
    fs::write(file, &all).unwrap();
    assert_eq!(datasets(&["check", file]).expect(0).stdout, format!("{file}: valid, 4 columns, key id\n"));
    assert!(
        text.contains(&format!("# Fetch it:        rollcall run --dataset {file} --years 2020 --grades all\n")),
        "{text}"
    );
    let docs = fs::read_to_string(workspace().join("docs/descriptor.md")).unwrap();
    for key in docs.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key) {
        let headings = [
            format!("[[{key}]]"),
            format!("[{key}]"),
            format!("[{key}."),
            format!("\n{key} = "),
            format!("\n# {key} = "),
        ];
        assert!(headings.iter().any(|heading| text.contains(heading)), "{key}");
    }
    let taken = |name: &str| folder.path().join(name).display().to_string();
    for (path, found) in [
        (file, "found one that exists"),
        ("9.toml", "found `9.toml`"),
        ("lunches", "found `lunches`"),
        // What `check` would refuse, and what would replace a built-in dataset.
        (&taken("x_history.toml"), "x_history.toml`: expected a table that does not end in `_history`"),
        (&taken("order.toml"), "order.toml`: expected a name that is not reserved in SQL, found `order`"),
        (
            &taken("meps.toml"),
            "found the built-in dataset `meps`\nhint: rollcall datasets new my_meps.toml --from meps",
        ),
    ] {
        assert!(datasets(&["new", path]).expect(2).stderr.contains(found), "{path}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_new_descriptor_works_as_it_says_and_a_copy_of_a_built_in_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (lunches, copy) = (file("lunches.toml"), file("copy.toml"));
    let _ = Outcome::from_output(rollcall(&["datasets", "new", &lunches]).output().unwrap()).expect(0);
    let from = ["datasets", "new", &copy, "--from", "ccd_enrollment"];
    let _ = Outcome::from_output(rollcall(&from).output().unwrap()).expect(0);
    let text = fs::read_to_string(&copy).unwrap();
    assert!(text.contains("name = \"copy\"\n") && text.contains("total = \"grade-99\"        # excluded"), "{text}");
    let descriptors = [&lunches, &copy].map(|file| fs::read_to_string(file).unwrap()).to_vec();
    let portal = TestPortal::start(Config { descriptors, n_schools: 60, ..Config::default() });
    for (dataset, grade) in [(&lunches, "grade-1"), (&copy, "grade-pk")] {
        let lake = TestLake::new();
        let args = ["--dataset", dataset, "--years", "2020", "--grades", grade];
        assert!(lake.run(&portal, &args).expect(0).stdout.contains("1 partition: 1 written"));
        // The sample has the path of the copy only.
        let lake = TestLake::new();
        let sample = lake.rollcall("run", &[&args[..], &["--sample"]].concat());
        let sample = sample.expect(if dataset == &copy { 0 } else { 3 }).stderr;
        let hint =
            "hint: `rollcall simulator --port 8765 --dataset FILE` serves it, for `--portal http://127.0.0.1:8765`";
        assert_eq!(sample.contains(hint), dataset == &lunches, "{sample}");
    }
}

#[test]
fn stderr_has_plain_text_only_when_it_is_not_a_terminal() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    // Progress is only shown on terminals, so a successful run prints nothing.
    let quiet = lake.run(&portal, &TWO_GRADES).expect(0);
    assert_eq!(quiet.stderr, "");
    let origin = portal.origin();
    let args = [&["--portal", origin.as_str()], TWO_GRADES.as_slice()].concat();
    let logged = lake.rollcall_with("run", &args, |command| {
        command.env("ROLLCALL_LOG", "info").env_remove("NO_COLOR");
    });
    let logged = logged.expect(0);
    assert!(logged.stderr.contains("partition fetched"), "{}", logged.stderr);
    for text in [&quiet.stdout, &logged.stdout, &logged.stderr] {
        assert!(!text.contains(['\u{1b}', '\r', '█', '░']), "{text:?}");
    }
}

#[test]
fn a_portal_with_a_path_is_rejected_with_a_hint() {
    let lake = TestLake::new();
    for portal in
        ["https://educationdata.urban.org/api/v1/", "educationdata.urban.org", "ftp://educationdata.urban.org"]
    {
        let found = lake.rollcall("run", &["--portal", portal, "--years", "2021", "--grades", "grade-pk"]).expect(2);
        assert!(
            found.stderr.ends_with(&format!(
                "expected an origin such as `https://educationdata.urban.org`, found `{portal}`\n\
                 hint: give scheme, host and port only; `/api/v1/` is added\n"
            )),
            "{}",
            found.stderr
        );
        assert_eq!(lake.files("ledger").len() + lake.files("data").len(), 0);
    }
}

#[test]
fn a_sample_lake_is_labelled_and_can_be_queried_in_the_same_command() {
    let lake = TestLake::new();
    let args = ["--sample", "--years", "2021", "--grades", "grade-pk", "--query", "top_ten_pk_states"];
    let found = lake.rollcall("run", &args).expect(0);
    assert_eq!(
        found.stderr,
        "note: sample data. The schools are invented; the 2021 grade-pk totals of 22 states are published figures.\n"
    );
    assert!(found.stdout.contains("1 partition: 1 written; "), "{}", found.stdout);
    assert!(found.stdout.contains("\n  1  Texas                  245135\n"), "{}", found.stdout);
}

#[test]
fn a_dataset_described_by_a_file_is_fetched_into_its_own_table() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    let replace = |text: String, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    };
    let text = replace(text, "name = \"ccd_enrollment\"", "name = \"my_enrollment\"");
    let text = replace(text, "table = \"us_education_ccd_enrollment_data\"", "table = \"my_enrollment\"");
    let text = replace(text, "name = \"enrollment\"\ntype = \"int\"", "name = \"enrollment\"\ntype = \"double\"");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my_enrollment.toml");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();

    let args = ["--dataset", file, "--years", "2021", "--grades", "grade-pk"];
    let report = run_json(&lake, &portal, &args, 0);
    assert_eq!((&report["dataset"], outcomes(&report)), (&Value::from("my_enrollment"), counts(&[("written", 1)])));
    assert!(lake.path().join("data/my_enrollment/year=2021/grade=grade-pk/part-00000.parquet").exists());
    assert!(!lake.path().join("data/us_education_ccd_enrollment_data").exists());
    let total = "select arrow_typeof(sum(enrollment)) as type, sum(enrollment) as students \
                 from ccd_school.my_enrollment where fips = 48 and enrollment >= 0";
    assert_eq!(query(&lake, total), "type,students\nFloat64,245135.0\n");
    let status = lake.rollcall("status", &["--dataset", file]).expect(0);
    assert!(status.stdout.contains("1 partition committed, 165 rows"), "{}", status.stdout);
    assert_eq!(outcomes(&run_json(&lake, &portal, &args, 0)), counts(&[("unchanged", 1)]));
    // The built-in dataset has its own ledger, which is empty.
    assert!(lake.rollcall("status", &[]).expect(0).stdout.starts_with("ccd_enrollment: nothing fetched yet"));
}

/// Needs no account: problems are reported before AWS is called.
#[test]
fn missing_settings_of_a_run_on_aws_are_named_with_what_to_do() {
    let refused = |args: &[&str], settings: &[(&str, &str)]| {
        let mut command = rollcall(args);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("AWS_EC2_METADATA_DISABLED", "true").envs(settings.iter().copied());
        Outcome::from_output(command.output().expect("the binary starts")).expect(2).stderr
    };
    let run = ["run", "--on", "aws", "--years", "2021", "--grades", "grade-pk"];
    let with = |more: &[&'static str]| -> Vec<&str> { run.iter().chain(more).copied().collect() };
    assert_snapshot!(refused(&run, &[]), @r"
    error: connect to AWS: expected a Region, found none
    hint: set AWS_REGION, or AWS_PROFILE to a profile that names one
    ");
    let region = [("AWS_REGION", "us-east-1")];
    let told_text = refused(&run, &region);
    assert!(told_text.starts_with("error: connect to AWS: expected credentials, found none: "), "{told_text}");
    assert!(told_text.contains("\nhint: set AWS_PROFILE, or after an SSO login: "), "{told_text}");
    assert_snapshot!(refused(&with(&["--lake", "folder"]), &[]), @r"
    error: run on aws: expected no lake, found --lake folder
    hint: omit --lake and ROLLCALL_LAKE; the state machine writes to its own bucket
    ");
    assert_snapshot!(refused(&["status", "--lake", "s3://bucket/folder"], &[]), @"error: open lake: expected s3://BUCKET, found `s3://bucket/folder`");
    assert_snapshot!(refused(&["query", "--lake", "s3://bucket", "top_ten_pk_states"], &[]), @r"
    error: open lake `s3://bucket`: expected a folder, found a bucket
    hint: query a lake in a bucket with Athena, in the stack's work group
    ");
    let lake = ["run", "--lake", "s3://bucket", "--years", "2021", "--grades", "grade-pk"];
    assert_snapshot!(refused(&lake, &[]), @r"
    error: open lake `s3://bucket`: expected a folder, found a bucket
    hint: `--on aws` uses the lake of the state machine
    ");
    assert_snapshot!(refused(&["repair", "--lake", "s3://bucket", "--from-pages"], &[]), @r"
    error: open lake `s3://bucket`: expected a folder, found a bucket
    hint: on AWS, no pages are kept after the commit; run the partitions again with `rollcall run --on aws`
    ");
    assert_snapshot!(refused(&with(&["--keep-pages"]), &[]), @r"
    error: InvalidRequest: check request: `--keep-pages`: expected a lake in a folder, found one in a bucket, where nothing can read the pages: `rollcall repair --from-pages` works on folders only
    ");
    for flag in ["--sample", "--query=top_ten_pk_states", "--in-flight=2"] {
        let told_text = refused(&with(&[flag]), &region);
        assert!(told_text.contains("cannot be used with"), "{told_text}");
    }
}
