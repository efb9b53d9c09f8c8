//! `rollcall datasets drift`, and the warning before a run.

use rollcall_core::dataset::Dataset;
use rollcall_tests::{Outcome, TestLake, TestPortal, rollcall, write_page};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::metadata::{Answers, recorded};

const NAME: &str = "crdc_chronic_absenteeism_race_sex";

fn answers() -> Answers {
    Answers::of(&Dataset::built_in(NAME).expect("the dataset is built in"), 37)
}

fn drift(args: &[&str]) -> Outcome {
    Outcome::from_output(rollcall(&[&["datasets", "drift"], args].concat()).output().expect("the binary starts"))
}

/// Returns the position of the row of a field.
fn position(variables: &Value, field: &str) -> usize {
    let rows = variables.as_array().expect("the list is an array");
    rows.iter().position(|row| row["variable"] == field).expect("the field is listed")
}

fn add_column(answers: &mut Answers, name: &str, format: &str, values: &str) {
    answers.variables.as_array_mut().expect("the list is an array").push(json!({
        "endpoint_id": "37", "variable": name, "label": name, "is_filter": "1", "data_type": "integer",
        "format": format, "string_length": "2", "values": values,
    }));
}

/// A change of the portal's lists.
type Edit = fn(&mut Answers);

/// Every kind of change, and how it is named.
const CHANGES: [(Edit, &str, &str); 6] = [
    (
        |answers| add_column(answers, "days_absent", "numeric", "\"-1\" : \"Missing/not reported\""),
        NAME,
        "column `days_absent` added (int)",
    ),
    (
        |answers| {
            let position = position(&answers.variables, "fips");
            answers.variables.as_array_mut().expect("the list is an array").remove(position);
        },
        NAME,
        "column `fips` removed",
    ),
    (
        |answers| {
            let position = position(&answers.variables, "students_chronically_absent");
            answers.variables[position]["data_type"] = "string".into();
        },
        NAME,
        "column `students_chronically_absent` retyped from int to string",
    ),
    (
        |answers| {
            let position = position(&answers.variables, "sex");
            let values = answers.variables[position]["values"].as_str().expect("the values are text").to_owned();
            answers.variables[position]["values"] = format!("{values},\"4\" : \"Another gender\"").into();
        },
        NAME,
        "code 4 of list `sex` added: `Another gender`",
    ),
    (
        |answers| {
            answers.endpoints.as_array_mut().expect("the list is an array").push(json!({
                "endpoint_id": 130, "endpoint_url": "/api/v1/schools/crdc/covid-indicators/{year}/",
                "class_name": "CRDC", "years_available": "2020, 2021",
            }));
        },
        "crdc_covid_indicators",
        "endpoint `schools/crdc/covid-indicators/{year}/` added",
    ),
    (
        |answers| add_column(answers, "homeless", "special_pop", "\"1\" : \"Yes\",\"99\" : \"Total\""),
        NAME,
        "dimension `homeless` added (int): a row for each of its codes",
    ),
];

#[test]
fn metadata_that_has_not_changed_is_no_drift() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    answers().save(folder.path());
    let outcome = drift(&[NAME, "--metadata", folder.path().to_str().expect("the path is text")]).expect(0);
    assert_eq!(outcome.stdout, "1 dataset: 0 changes\n");
}

#[test]
fn the_recorded_metadata_has_not_changed_since_the_descriptors_were_written() {
    let Some(folder) = recorded() else { return };
    let outcome = drift(&["--metadata", folder.to_str().expect("the path is text")]).expect(0);
    assert_eq!(outcome.stdout, "123 datasets: 0 changes\n");
}

#[test]
fn each_of_six_changes_of_the_metadata_is_named_and_has_an_exit_code_of_its_own() {
    for (edit, dataset, expected) in CHANGES {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let mut changed = answers();
        edit(&mut changed);
        changed.save(folder.path());
        let source = ["--metadata", folder.path().to_str().expect("the path is text")];

        // Of all datasets, so that new endpoints are named too; the portal of the test has no others.
        let all = drift(&source).expect(5).stdout;
        let found: Vec<&str> =
            all.lines().filter(|line| !line.ends_with(" removed") || line.contains("column")).collect();
        assert!(found[1].starts_with(&format!("{dataset} ")) && found[1].ends_with(expected), "{expected}: {found:?}");
        assert_eq!(found.len(), 3, "{found:?}");

        if dataset == NAME {
            let one = drift(&[&[NAME][..], &source].concat()).expect(5).stdout;
            assert_eq!(
                one,
                format!("dataset                            change\n{NAME}  {expected}\n1 dataset: 1 change\n")
            );
            let json = drift(&[&[NAME, "--format", "json"][..], &source].concat()).expect(5).json();
            assert_eq!(
                (json[0]["dataset"].as_str(), json[0]["changes"].as_array().map(Vec::len)),
                (Some(NAME), Some(1))
            );
        }
    }
}

/// A portal that serves the lists and one page of rows.
fn serve(answers: &Answers) -> (TempDir, TestPortal) {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    answers.serve(folder.path());
    let row = json!({
        "crdc_id": "010000500870", "year": 2015, "ncessch": "010000500870", "leaid": "0100005", "fips": 1, "sex": 1,
        "race": 1, "disability": 99, "lep": 99, "students_chronically_absent": 4,
    });
    let body = json!({ "count": 1, "next": null, "previous": null, "results": [row] }).to_string();
    write_page(folder.path(), "schools/crdc/chronic-absenteeism/2015/race/sex", 1, body.as_bytes());
    let portal = TestPortal::recorded(folder.path());
    (folder, portal)
}

#[test]
fn a_run_with_an_old_descriptor_warns_before_it_fetches() {
    for (edit, dataset, expected) in CHANGES {
        let mut changed = answers();
        edit(&mut changed);
        let (_folder, portal) = serve(&changed);
        let lake = TestLake::new();
        let args = ["--dataset", NAME, "--years", "2015"];

        let planned = lake.rollcall("plan", &[&["--portal", &portal.origin()][..], &args].concat()).expect(0);
        assert_eq!(portal.n_data_requests(), 0);
        let run = lake.run(&portal, &args).expect(0);

        let warning = format!(
            "warning: the descriptor of `{NAME}` differs from the portal's list of its columns: {expected}; `rollcall datasets \
             drift` says more\n"
        );
        for outcome in [planned, run] {
            assert_eq!(outcome.stderr.contains(&warning), dataset == NAME, "{expected}: {}", outcome.stderr);
        }
    }
}

#[test]
fn a_run_without_a_readable_list_of_columns_warns_and_continues() {
    let (folder, portal) = serve(&answers());
    let lake = TestLake::new();
    let args = ["--dataset", NAME, "--years", "2015"];
    let unchanged = lake.run(&portal, &args).expect(0);
    assert!(!unchanged.stderr.contains("warning"), "{}", unchanged.stderr);
    write_page(folder.path(), "api-endpoint-varlist", 1, b"<html>busy</html>");
    let outcome = lake.run(&portal, &args).expect(0);
    let warning = format!(
        "warning: columns of `{NAME}` were not checked against the portal's list: read \
         `api-endpoint-varlist/?endpoint_id=37`: expected JSON with a list `results`"
    );
    assert!(outcome.stderr.contains(&warning), "{}", outcome.stderr);
    // A source without such a list is not warned of each time.
    std::fs::remove_dir_all(folder.path().join("api-endpoint-varlist")).expect("the list is served");
    let outcome = lake.run(&portal, &args).expect(0);
    assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
}
