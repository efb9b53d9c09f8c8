//! Runs on a folder that receive a signal at random moments: their reports match what is in the lake.
//!
//! The normal tests interrupt a few runs, `make interrupt` fifty. `ROLLCALL_SEED` determines the moments, as far as the
//! machine's timing allows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rollcall_simulator::Config;
use rollcall_tests::chance::number_from_env;
use rollcall_tests::{ENROLLMENT, HUNDRED, Outcome, TestLake, TestPortal, rollcall};
use serde_json::{Value, json};

/// Outcome of every partition, by Hive path.
type Outcomes = BTreeMap<String, String>;

fn path(partition: &Value) -> String {
    format!("year={}/grade={}", partition["year"], partition["grade"].as_str().unwrap())
}

/// Runs, sends `signal` after the portal has received `n_requests` more requests, and waits for the end.
fn interrupted(lake: &TestLake, portal: &TestPortal, n_requests: usize, signal: &str) -> Outcome {
    let origin = portal.origin();
    let mut command =
        rollcall(&["run", "--lake", lake.path().to_str().unwrap(), "--portal", &origin, "--format", "json"]);
    command.args(HUNDRED).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = portal.start_and_await_requests(&mut command, n_requests);
    let begun = Instant::now();
    child.signal(signal);
    let outcome = child.wait();
    assert!(begun.elapsed() < Duration::from_secs(30), "ended after {:?}", begun.elapsed());
    outcome
}

/// Found by use: W1.
#[test]
fn d6_the_report_of_an_interrupted_run_matches_what_is_there() {
    let seed = number_from_env("ROLLCALL_SEED", 1);
    let n_interrupts = number_from_env("ROLLCALL_INTERRUPTS", 5);
    let mut random = Rng::with_seed(seed);
    let portal = TestPortal::start(Config { n_schools: 300, page_size: 100, ..Config::default() });
    let (mut n_interrupted, mut n_not_tried) = (0, 0);
    for _ in 0..n_interrupts {
        let lake = TestLake::new();
        let n_requests = random.usize(1..240);
        let signal = *random.choice(&["INT", "TERM", "INT"]).unwrap();
        let found = interrupted(&lake, &portal, n_requests, signal);
        let what = format!("{signal} after {n_requests} requests: {}", found.stderr);
        assert!(matches!(found.code, Some(0 | 130)), "{:?}, {what}", found.code);
        if found.stdout.is_empty() {
            // The signal arrived during planning, or while the run was printing its report.
            continue;
        }
        n_interrupted += u64::from(found.code == Some(130));
        let report = found.json();
        let run = report["run"].as_str().unwrap();
        let outcomes: Outcomes = report["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|receipt| (path(&receipt["partition"]), receipt["outcome"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(outcomes.len(), 100, "{what}");
        assert_eq!(report["failed"], json!([]), "{what}");
        let with = |wanted: &str| -> BTreeSet<String> {
            outcomes.iter().filter(|(_, outcome)| *outcome == wanted).map(|(partition, _)| partition.clone()).collect()
        };
        let (written, not_tried) = (with("written"), with("not_tried"));
        assert_eq!(written.len() + not_tried.len(), 100, "{what}: {outcomes:?}");
        n_not_tried += not_tried.len();

        // Objects, summary and receipts agree.
        let prefix = format!("{ENROLLMENT}/");
        let objects: BTreeSet<String> = lake
            .files(ENROLLMENT)
            .into_keys()
            .map(|key| key[prefix.len()..].trim_end_matches("/part-00000.parquet").to_owned())
            .collect();
        assert_eq!(objects, written, "{what}");
        let files = lake.files("ledger");
        assert!(!files.keys().any(|key| key.contains("/receipts/")), "{what}: {:?}", files.keys());
        let summary: Value =
            serde_json::from_slice(&files[&format!("ledger/ccd_enrollment/runs/{run}/summary.json")].0).unwrap();
        assert_eq!(
            (&summary["partitions"], &summary["outcomes"]),
            (&report["partitions"], &report["outcomes"]),
            "{what}"
        );
        // The lake status, the run status and a query agree too.
        let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
        let reported: Outcomes = status["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| (path(&record["partition"]), record["last_attempt"]["outcome"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!((reported, &status["last_run"]["name"]), (outcomes.clone(), &report["run"]), "{what}");
        let of_run = lake.rollcall("status", &["--run", run, "--format", "json"]).expect(0).json();
        assert_eq!(of_run["summary"]["outcomes"], report["outcomes"], "{what}");
        if !written.is_empty() {
            let sql = "select distinct year, grade from ccd_school.us_education_ccd_enrollment_data";
            let rows = lake.rollcall("query", &[sql, "--format", "json"]).expect(0).json();
            let queried: BTreeSet<String> = rows.as_array().unwrap().iter().map(path).collect();
            assert_eq!(queried, written, "{what}");
        }
        // What was not tried remains to be fetched.
        let plan = lake.rollcall("plan", &["--portal", &portal.origin(), "--failed-of", run, "--format", "json"]);
        let plan = plan.expect(0).json();
        let planned: BTreeSet<String> =
            plan["partitions"].as_array().unwrap().iter().map(|item| path(&item["partition"])).collect();
        assert_eq!(planned, not_tried, "{what}");
    }
    println!("{n_interrupted} of {n_interrupts} runs interrupted while fetching; {n_not_tried} partitions not tried");
    assert!(n_interrupted > 0, "expected a run to be interrupted while fetching");
}
