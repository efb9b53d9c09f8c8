//! Recorded responses of the real portal, written by the real binary and compared cell by cell with another Parquet
//! reader.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use rollcall_tests::{Outcome, TestLake, TestPortal, python, recorded_bodies, workspace, write_page};
use serde_json::{Value, json};
use tempfile::TempDir;

const RACE_SEX_PAGE: &str = "ccd-enrollment-2014-grade-8-race-sex-page-1.json.gz";
const RACE_SEX_PATH: &str = "schools/ccd/enrollment/2014/grade-8/race/sex";
const RACE_SEX_ARGS: [&str; 6] = ["--dataset", "ccd_enrollment_race_sex", "--years", "2014", "--grades", "grade-8"];
const RACE_SEX_DATA: &str = "data/us_education_ccd_enrollment_race_sex_data";

/// Returns a recorded file, decompressed.
fn recorded(folder: &Path, name: &str) -> String {
    let bytes = fs::read(folder.join(name)).expect("the recording exists");
    let mut text = String::new();
    if name.ends_with(".gz") {
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("the recording is compressed text");
    } else {
        text = String::from_utf8(bytes).expect("the recording is text");
    }
    text
}

/// Returns the page with another `count` and without `next`. Its rows remain byte for byte as recorded.
fn as_only_page(page: &str, count: u64) -> String {
    let (_, rows) = page.split_once(r#""results":"#).expect("a page has results");
    format!(r#"{{"count":{count},"next":null,"previous":null,"results":{rows}"#)
}

/// A portal that serves one body and the real portal's list of endpoints.
struct OnePage {
    folder: TempDir,
    path: &'static str,
    portal: TestPortal,
}

impl OnePage {
    fn serve(recordings: &Path, path: &'static str, body: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        write_page(folder.path(), "api-endpoints", 1, recorded(recordings, "api-endpoints.json.gz").as_bytes());
        write_page(folder.path(), path, 1, body.as_bytes());
        let portal = TestPortal::recorded(folder.path());
        Self { folder, path, portal }
    }

    /// Returns the path of its body.
    fn body(&self) -> PathBuf {
        self.folder.path().join(self.path).join("1.json")
    }

    /// Returns the query strings of the data requests, in order.
    fn asked(&self) -> Vec<String> {
        let requests = self.portal.server.requests();
        requests.into_iter().filter(|request| !request.path.contains("/api-")).map(|request| request.query).collect()
    }
}

fn built_in(dataset: &str) -> PathBuf {
    workspace().join("datasets").join(format!("{dataset}.toml"))
}

/// Returns the report of `compare.py` on the only partition of a table.
fn compare(served: &OnePage, descriptor: &Path, lake: &TestLake, table: &str, partition: &str, more: &[&str]) -> Value {
    let output = Command::new(python())
        .arg(workspace().join("tests/support/compare.py"))
        .args([served.body(), descriptor.to_owned(), lake.path().join("data").join(table)])
        .arg(partition)
        .args(more)
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the report is JSON")
}

/// Fails unless all `n_rows` rows arrived unchanged, in order, in `partition`.
fn assert_same(report: &Value, n_rows: u64, n_cells: u64, partition: Value) {
    let expected = json!({
        "files": 1,
        "rows": n_rows,
        "cells": n_cells,
        "differing_cells": 0,
        "first_differences": [],
        "columns_as_declared": true,
        "partition": partition,
        "rows_of_another_partition": 0,
        "rescued": 0,
    });
    for (key, value) in expected.as_object().expect("the facts are an object") {
        assert_eq!(&report[key], value, "{key} in {report:#}");
    }
}

/// Returns the outcome and the row count of a run's only partition, from `--format json`.
fn only_partition(outcome: &Outcome) -> (String, u64) {
    let report = outcome.json();
    let partitions = report["partitions"].as_array().expect("a run lists its partitions");
    assert_eq!(partitions.len(), 1, "{report:#}");
    let outcome = partitions[0]["outcome"].as_str().expect("an outcome is text").to_owned();
    (outcome, partitions[0]["n_rows"].as_u64().expect("rows are counted"))
}

#[test]
fn ten_thousand_recorded_rows_by_race_and_sex_match_cell_by_cell() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = as_only_page(&recorded(&recordings, RACE_SEX_PAGE), 10_000);
    let served = OnePage::serve(&recordings, RACE_SEX_PATH, &body);
    let lake = TestLake::new();

    let mut args = RACE_SEX_ARGS.to_vec();
    args.extend(["--format", "json"]);
    let outcome = lake.run(&served.portal, &args).expect(0);

    assert_eq!(only_partition(&outcome), ("written".to_owned(), 10_000));
    let report = compare(
        &served,
        &built_in("ccd_enrollment_race_sex"),
        &lake,
        "us_education_ccd_enrollment_race_sex_data",
        "year=2014/grade=grade-8",
        &["--count", "enrollment=-1"],
    );
    assert_same(&report, 10_000, 70_000, json!({"year": 2014, "grade": "grade-8"}));
    assert_eq!((&report["nulls"], &report["counted"]), (&json!(0), &json!(581)));
}

#[test]
fn a_recorded_page_without_the_other_768243_rows_is_rejected_with_both_numbers() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = as_only_page(&recorded(&recordings, RACE_SEX_PAGE), 778_243);
    let served = OnePage::serve(&recordings, RACE_SEX_PATH, &body);
    let lake = TestLake::new();

    let outcome = lake.run(&served.portal, &RACE_SEX_ARGS).expect(3);

    let expected = "failed: CountMismatch: fetch `year=2014/grade=grade-8`: expected 778243 rows, received 10000\n";
    assert_eq!(outcome.stderr, expected);
    assert_eq!(lake.files(RACE_SEX_DATA).len(), 0);
}

#[test]
fn a_recorded_page_with_next_on_another_host_is_rejected_and_the_link_not_followed() {
    let Some(recordings) = recorded_bodies() else { return };
    let served = OnePage::serve(&recordings, RACE_SEX_PATH, &recorded(&recordings, RACE_SEX_PAGE));
    let lake = TestLake::new();

    let outcome = lake.run(&served.portal, &RACE_SEX_ARGS).expect(3);

    let origin = served.portal.origin();
    let expected = format!(
        "failed: UntrustedNext: check `next` on page 1 of `year=2014/grade=grade-8`: expected \
         `{origin}/api/v1/{RACE_SEX_PATH}/?page=2`, found \
         `https://educationdata.urban.org/api/v1/{RACE_SEX_PATH}/?page=2`\n"
    );
    assert_eq!(outcome.stderr, expected);
    assert_eq!(served.asked(), [""], "expected one request, for page 1");
    assert_eq!(lake.files(RACE_SEX_DATA).len(), 0);
}

#[test]
fn twenty_recorded_rows_of_pre_kindergarten_keep_their_code_and_regain_the_zero_of_leaid() {
    let Some(recordings) = recorded_bodies() else { return };
    // This recording was saved in another envelope.
    let recording: Value =
        serde_json::from_str(&recorded(&recordings, "ccd-enrollment-2010-grade-pk-one-district.json"))
            .expect("the recording is JSON");
    let body = json!({"count": 20, "next": null, "previous": null, "results": recording["results"]}).to_string();
    let served = OnePage::serve(&recordings, "schools/ccd/enrollment/2010/grade-pk", &body);
    let lake = TestLake::new();

    let _ = lake.run(&served.portal, &["--years", "2010", "--grades", "grade-pk"]).expect(0);

    let report = compare(
        &served,
        &built_in("ccd_enrollment"),
        &lake,
        "us_education_ccd_enrollment_data",
        "year=2010/grade=grade-pk",
        &["--count", "enrollment=-2"],
    );
    assert_same(&report, 20, 140, json!({"year": 2010, "grade": "grade-pk"}));
    assert_eq!(report["counted"], 1);
    let districts = "select distinct leaid from ccd_school.us_education_ccd_enrollment_data";
    assert_eq!(lake.rollcall("query", &[districts, "--format", "csv"]).expect(0).stdout, "leaid\n0803990\n");
}

#[test]
fn a_recorded_directory_of_52_fields_keeps_its_nulls_and_coordinates() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = recorded(&recordings, "ccd-directory-2013-fips-11.json.gz");
    let served = OnePage::serve(&recordings, "schools/ccd/directory/2013", &body);
    let lake = TestLake::new();

    let _ = lake.run(&served.portal, &["--dataset", "ccd_directory", "--years", "2013"]).expect(0);

    let report = compare(
        &served,
        &built_in("ccd_directory"),
        &lake,
        "us_education_ccd_directory_data",
        "year=2013",
        &["--count", "latitude=38.892"],
    );
    // 52 fields without the year, which is in the path.
    assert_same(&report, 121, 121 * 51, json!({"year": 2013}));
    assert_eq!(report["nulls"], 726);
    assert_ne!(report["counted"], 0, "the first school has a latitude");
}

#[test]
fn a_recorded_empty_result_has_the_outcome_empty_and_leaves_no_object() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = recorded(&recordings, "empty-result.json.gz");
    let served = OnePage::serve(&recordings, "schools/ccd/enrollment/2021/grade-14", &body);
    let lake = TestLake::new();

    let args = ["--years", "2021", "--grades", "grade-14", "--format", "json"];
    let outcome = lake.run(&served.portal, &args).expect(0);

    assert_eq!(only_partition(&outcome), ("empty".to_owned(), 0));
    assert_eq!(lake.files("data/us_education_ccd_enrollment_data").len(), 0);
    let rows = "select count(*) as n_rows from ccd_school.us_education_ccd_enrollment_data";
    assert_eq!(lake.rollcall("query", &[rows, "--format", "csv"]).expect(0).stdout, "n_rows\n0\n");
}

#[test]
fn the_recorded_list_of_endpoints_plans_1986_to_2022_and_rejects_2023_by_name() {
    let Some(recordings) = recorded_bodies() else { return };
    let served = OnePage::serve(&recordings, "schools/none", "{}");
    let origin = served.portal.origin();
    let lake = TestLake::new();
    let plan = |years| lake.rollcall("plan", &["--portal", &origin, "--years", years, "--grades", "grade-pk"]);

    let outcome = plan("all").expect(0);
    let planned: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("year=")).collect();
    assert_eq!(planned.len(), 37, "{}", outcome.stdout);
    // The latest year comes first, since people wait for it.
    assert!(planned[0].starts_with("year=2022/grade=grade-pk "), "{}", planned[0]);
    assert!(planned[36].starts_with("year=1986/grade=grade-pk "), "{}", planned[36]);

    let refused = plan("2023").expect(2);
    let expected = "error: InvalidRequest: check request: `--years`: expected years that the portal lists for \
                    `ccd_enrollment` (1986-2022), found 2023\n";
    assert_eq!(refused.stderr, expected);
    assert_eq!(refused.stdout, "");
    assert_eq!(served.asked(), Vec::<String>::new());
}

/// Found by use: W9.
#[test]
fn the_file_has_the_format_that_every_engine_reads() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = as_only_page(&recorded(&recordings, RACE_SEX_PAGE), 10_000);
    let served = OnePage::serve(&recordings, RACE_SEX_PATH, &body);
    let lake = TestLake::new();
    let _ = lake.run(&served.portal, &RACE_SEX_ARGS).expect(0);

    let report = compare(
        &served,
        &built_in("ccd_enrollment_race_sex"),
        &lake,
        "us_education_ccd_enrollment_race_sex_data",
        "year=2014/grade=grade-8",
        &[],
    );

    let expected = json!({
        "codecs": ["ZSTD"],
        // The writer's name and version are in the format that parquet-java parses.
        "created_by": "rollcall version 2.0.0 (build encoding-2)",
        // No `ARROW:schema`: the Parquet schema is sufficient, and other engines would ignore it.
        "keys": ["rollcall.edition", "rollcall.partition", "rollcall.values"],
        "dictionary": ["_rescued", "enrollment", "fips", "race", "sex"],
        "plain": ["leaid", "ncessch", "ncessch_num"],
        "without_statistics": [],
        "row_groups": 1,
    });
    assert_eq!(report["file"], expected);
}

#[test]
fn decimals_recorded_as_text_become_numbers() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = recorded(&recordings, "crdc-teachers-staff-2015-fips-1.json.gz");
    assert!(body.contains(r#""teachers_certified_fte":"34.720""#));
    let served = OnePage::serve(&recordings, "schools/crdc/teachers-staff/2015", &body);
    let lake = TestLake::new();

    let dataset = "crdc_teachers_staff";
    let _ = lake.run(&served.portal, &["--dataset", dataset, "--years", "2015"]).expect(0);

    let report =
        compare(&served, &built_in(dataset), &lake, dataset, "year=2015", &["--count", "law_enforcement_fte=-2.0"]);
    assert_same(&report, 1_400, 1_400 * 19, json!({"year": 2015}));
    assert_eq!(report["nulls"], 0);
    assert_ne!(report["counted"], 0, "codes stay unchanged");
}

#[test]
fn counts_recorded_as_null_stay_null() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = as_only_page(&recorded(&recordings, "crdc-algebra1-2017-race-sex-page-1.json.gz"), 10_000);
    let served = OnePage::serve(&recordings, "schools/crdc/algebra1/2017/race/sex", &body);
    let lake = TestLake::new();

    let dataset = "crdc_algebra1_race_sex";
    let _ = lake.run(&served.portal, &["--dataset", dataset, "--years", "2017"]).expect(0);

    let report = compare(&served, &built_in(dataset), &lake, dataset, "year=2017", &[]);
    assert_same(&report, 10_000, 110_000, json!({"year": 2017}));
    assert_eq!(report["nulls"], 5_342);
}

#[test]
fn rows_recorded_with_fields_in_another_order_fill_the_declared_columns() {
    let Some(recordings) = recorded_bodies() else { return };
    let body = recorded(&recordings, "edfacts-grad-rates-2014-fips-1.json.gz");
    let served = OnePage::serve(&recordings, "schools/edfacts/grad-rates/2014", &body);
    let lake = TestLake::new();

    let dataset = "edfacts_grad_rates";
    let _ = lake.run(&served.portal, &["--dataset", dataset, "--years", "2014"]).expect(0);

    let report = compare(&served, &built_in(dataset), &lake, dataset, "year=2014", &[]);
    assert_same(&report, 393, 393 * 17, json!({"year": 2014}));
    assert_eq!(report["nulls"], 108);
}
