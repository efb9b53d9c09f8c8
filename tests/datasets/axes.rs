//! Axes other than years and grades, and keys that the source repeats.

use rollcall_simulator::Config;
use rollcall_tests::{TestLake, TestPortal};

fn thin() -> TestPortal {
    TestPortal::start(Config { rows_per_partition: Some(40), ..Config::default() })
}

/// Returns the paths of the lake's objects below its table's folder.
fn partitions(lake: &TestLake, table: &str) -> Vec<String> {
    let prefix = format!("data/{table}/");
    let files = lake
        .files("data")
        .into_keys()
        .filter_map(|path| Some(path.strip_prefix(&prefix)?.strip_suffix("/part-00000.parquet")?.to_owned()));
    files.collect()
}

#[test]
fn values_of_any_axis_are_selected_by_its_name() {
    let portal = thin();
    for (dataset, flags, expected) in [
        (
            "edfacts_assessments",
            &["--axis", "grade_edfacts=grade-8,grade-99"][..],
            vec!["year=2020/grade_edfacts=grade-8", "year=2020/grade_edfacts=grade-99"],
        ),
        ("edfacts_assessments", &["--grades", "grade-3"], vec!["year=2020/grade_edfacts=grade-3"]),
        ("edfacts_assessments", &["--partition", "2020/grade-4"], vec!["year=2020/grade_edfacts=grade-4"]),
        ("ipeds_enrollment_headcount", &["--axis", "level_of_study=99"], vec!["year=2021/level_of_study=99"]),
        (
            "ipeds_enrollment_headcount",
            &["--axis", "level_of_study=all", "--axis", "year=2021"],
            vec![
                "year=2021/level_of_study=first-professional",
                "year=2021/level_of_study=graduate",
                "year=2021/level_of_study=post-baccalaureate",
                "year=2021/level_of_study=undergraduate",
            ],
        ),
    ] {
        let lake = TestLake::new();
        let names_years = flags.iter().any(|flag| flag.starts_with("year=") || *flag == "--partition");
        let years: &[&str] = if names_years { &[] } else { &["--years", "latest"] };
        let _ = lake.run(&portal, &[&["--dataset", dataset], years, flags].concat()).expect(0);
        assert_eq!(partitions(&lake, dataset), expected, "{dataset} {flags:?}");
        let status = lake.rollcall("status", &["--long", "--dataset", dataset]).expect(0).stdout;
        let value = expected[0].rsplit('=').next().expect("the path has a value");
        assert!(status.lines().any(|line| line.starts_with("year ") && line.contains(value)), "{status}");
    }
}

#[test]
fn rows_with_repeated_and_empty_keys_are_kept_counted_and_explained() {
    let (portal, lake) =
        (TestPortal::start(Config { rows_per_partition: Some(300), ..Config::default() }), TestLake::new());
    let args = ["--dataset", "ccd_districts_finance", "--years", "latest"];
    let run = lake.run(&portal, &[&args[..], &["--format", "json"]].concat()).expect(0);
    let report = run.json();
    let receipt = &report["partitions"][0];
    let (n_repeated, n_empty) = (&receipt["n_repeated_keys"], &receipt["n_empty_keys"]);
    assert!(n_repeated.as_u64() > Some(0) && n_empty.as_u64() > Some(0), "{receipt}");
    let note = format!(
        "note: kept {n_repeated} rows with a repeated key and {n_empty} rows with an empty key: The source has records \
         without a district id, whose leaid is -1 or -2."
    );
    assert!(run.stderr.contains(&note), "{}", run.stderr);
    let name = report["run"].as_str().expect("the run has a name");
    let status = lake.rollcall("status", &["--dataset", "ccd_districts_finance", "--run", name]).expect(0);
    assert!(status.stderr.contains(&note), "{}", status.stderr);
    let rows =
        lake.rollcall("query", &["select count(*) as n from education.ccd_districts_finance", "--format", "csv"]);
    assert_eq!(rows.expect(0).stdout, "n\n300\n");
}
