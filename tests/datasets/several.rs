//! Several datasets in one command.

use std::collections::BTreeMap;
use std::process::Stdio;

use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::{Killed, TestLake, TestPortal, rollcall, wait_until};
use serde_json::Value;

fn thin(faults: Vec<Fault>) -> TestPortal {
    TestPortal::start(Config { rows_per_partition: Some(5), faults, ..Config::default() })
}

/// Returns the outcomes of each dataset's run, without those that did not occur.
fn outcomes(report: &Value) -> BTreeMap<String, BTreeMap<String, u64>> {
    let runs = report["runs"].as_array().expect("there are runs").iter();
    let counts = |run: &Value| -> BTreeMap<String, u64> {
        serde_json::from_value(run["outcomes"].clone()).expect("they are counts")
    };
    let occurred = |run: &Value| counts(run).into_iter().filter(|(_, n)| *n > 0).collect();
    runs.map(|run| (run["dataset"].as_str().expect("it has a name").to_owned(), occurred(run))).collect()
}

#[test]
fn a_pattern_runs_each_dataset_that_it_matches_and_prints_one_summary() {
    let (portal, lake) = (thin(Vec::new()), TestLake::new());
    let args = ["--dataset", "nhgis_*", "--years", "latest-2", "--format", "json"];
    let first = lake.run(&portal, &args).expect(0).json();
    let all = |outcome: &str| -> BTreeMap<String, BTreeMap<String, u64>> {
        let names = ["1990", "2000", "2010"].into_iter();
        let names = names.flat_map(|year| [format!("nhgis_census_{year}"), format!("nhgis_colleges_census_{year}")]);
        names.map(|name| (name, BTreeMap::from([(outcome.to_owned(), 2)]))).collect()
    };
    assert_eq!(outcomes(&first), all("written"));
    assert_eq!(first["skipped"], serde_json::json!([]));
    let before = lake.files("data");
    let again = lake.run(&portal, &args).expect(0);
    assert_eq!(outcomes(&again.json()), all("unchanged"));
    assert_eq!(lake.files("data"), before);
    let text = lake.run(&portal, &["--dataset", "nhgis_*", "--years", "latest-2"]).expect(0).stdout;
    assert!(text.contains("\n6 datasets, 12 partitions: 12 unchanged; 60 rows, 12 pages\n"), "{text}");

    let status = lake.rollcall("status", &["--dataset", "nhgis_*"]).expect(0).stdout;
    assert!(status.contains("\n6 datasets: 12 partitions committed, 60 rows, "), "{status}");
    let every = lake.rollcall("status", &["--dataset", "all", "--format", "json"]).expect(0).json();
    assert_eq!(every.as_array().expect("it is a list").len(), 6, "only those that the lake holds");
    let plan = ["--dataset", "nhgis_*", "--years", "latest-3", "--mode", "missing", "--portal", &portal.origin()];
    let planned = lake.rollcall("plan", &plan).expect(0).stdout;
    let totals =
        "6 datasets, 6 partitions: about 6 pages; ~ is an estimate: 6 by other years\nhere: about 6 requests, ";
    assert!(planned.starts_with(totals) && planned.contains("\non AWS: less than 0.01 USD in about "), "{planned}");
    let line = planned.lines().find(|line| line.starts_with("nhgis_census_2000 ")).unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, "nhgis_census_2000 1 ~1 ~1 1 s 0.00".split(' ').collect::<Vec<_>>());
}

/// The portal's lists concern all datasets.
#[test]
fn each_of_the_portals_lists_is_requested_once_for_all_datasets() {
    let (portal, lake) = (thin(Vec::new()), TestLake::new());
    let _ = lake.run(&portal, &["--dataset", "scorecard_*", "--years", "latest"]).expect(0);
    let requests = portal.server.requests();
    for (path, n_expected) in [("/api-endpoints/", 1), ("/api-changes/", 6), ("/api-endpoint-varlist/", 6)] {
        let n_found = requests.iter().filter(|request| request.path.contains(path)).count();
        assert_eq!(n_found, n_expected, "{path}");
    }
}

#[test]
fn a_dataset_that_lacks_what_is_requested_is_skipped_by_name_and_the_others_run() {
    let (portal, lake) = (thin(Vec::new()), TestLake::new());
    let run = lake.run(&portal, &["--dataset", "c*_directory", "--years", "2020"]).expect(0);
    assert!(run.stdout.contains("2 written") || run.stdout.contains("1 written"), "{}", run.stdout);
    assert!(
        run.stdout.lines().any(|line| line.starts_with("crdc_directory") && line.ends_with("skipped")),
        "{}",
        run.stdout
    );
    let reason = "skipped: check request: `--years`: expected years that the portal lists for `crdc_directory`";
    assert!(run.stderr.contains(reason), "{}", run.stderr);
    let plan = ["--dataset", "crdc_*", "--years", "2020", "--portal", &portal.origin()];
    let planned = lake.rollcall("plan", &plan).expect(2).stdout;
    assert!(planned.lines().any(|line| line.starts_with("crdc_directory") && line.contains("skipped")), "{planned}");
    // None has what is requested.
    let none = lake.run(&portal, &["--dataset", "crdc_*", "--years", "2020", "--format", "json"]).expect(2);
    assert_eq!(none.json()["runs"], serde_json::json!([]));
    let none = lake.run(&portal, &["--dataset", "crdc_*", "--years", "2020"]).expect(2).stdout;
    assert!(none.ends_with("\n48 datasets: 48 skipped\n"), "{none}");
    let grades = lake.run(&portal, &["--dataset", "nhgis_*", "--years", "latest", "--grades", "grade-1"]).expect(2);
    assert!(grades.stderr.contains("`--grades`: expected a dataset with grades, found `nhgis_"), "{}", grades.stderr);
    let nothing = lake.run(&portal, &["--dataset", "zzz_*", "--years", "latest"]).expect(2);
    assert!(nothing.stderr.contains("expected a pattern that matches a dataset"), "{}", nothing.stderr);
    for flags in [
        &["--partition", "2020"][..],
        &["--failed-of", "r1"],
        &["--query", "select 1", "--years", "latest"],
        &["--input", "-"],
    ] {
        let refused = lake.run(&portal, &[&["--dataset", "all"], flags].concat()).expect(2);
        let expected = format!("`{}`: expected `--dataset` to name one dataset, found 123 of them", flags[0]);
        assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    }
}

#[test]
fn a_failed_partition_of_one_dataset_ends_the_command_with_3_and_a_command_for_the_rest() {
    let action = Action::Status { code: 503, retry_after: Some("0".to_owned()), body: Some("busy".to_owned()) };
    let portal = thin(vec![Fault::new(action).on_path("schools/nhgis/census-2000/")]);
    let lake = TestLake::new();
    let run = lake.run(&portal, &["--dataset", "nhgis_census_*", "--years", "latest"]).expect(3);
    assert!(run.stdout.contains("\n3 datasets, 3 partitions: 2 written, 1 failed; "), "{}", run.stdout);
    let rest = run.stdout.lines().last().unwrap_or_default();
    assert!(rest.starts_with("run the rest again: rollcall run --failed-of "), "{rest}");
    assert!(rest.contains(" --dataset nhgis_census_2000 "), "{rest}");
    let status = lake.rollcall("status", &["--dataset", "nhgis_*"]).expect(0).stdout;
    assert!(
        status.lines().any(|line| line.starts_with("nhgis_census_2000 ") && line.ends_with("1 failed")),
        "{status}"
    );
}

#[test]
fn a_command_that_is_interrupted_keeps_what_it_committed_and_starts_no_further_dataset() {
    let portal = thin(vec![Fault::new(Action::Delay { ms: 600_000 }).on_path("schools/nhgis/census-2000/")]);
    let lake = TestLake::new();
    let mut run = rollcall(&["run", "--dataset", "nhgis_census_*", "--years", "latest", "--portal", &portal.origin()]);
    run.arg("--lake").arg(lake.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = Killed(run.spawn().expect("the binary starts"));
    wait_until("the second dataset is being fetched", || {
        portal.server.requests().iter().any(|request| request.path.contains("census-2000"))
    });
    run.signal("INT");
    let ended = run.wait().expect(130);
    assert!(ended.stdout.contains("nhgis_census_1990"), "{}", ended.stdout);
    assert!(ended.stderr.contains("stopped: 1 dataset not run"), "{}", ended.stderr);
    let requests = portal.server.requests();
    assert!(!requests.iter().any(|request| request.path.contains("census-2010")));
    assert_eq!(lake.records("nhgis_census_1990").len(), 1);
}
