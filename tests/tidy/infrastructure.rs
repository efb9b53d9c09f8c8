//! The state machine and the template agree with the code.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::Error;
use rollcall_tests::{rollcall, state_machine};
use serde_json::Value;

use crate::read;

/// Collects every value under `key` in a JSON document, at any depth.
fn values_of<'v>(key: &str, value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key));
            fields.values().for_each(|value| values_of(key, value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| values_of(key, value, found)),
        _ => {}
    }
}

#[test]
fn the_state_machine_passes_each_function_the_fields_of_its_example() {
    let fields = |value: &Value| -> BTreeSet<String> {
        let fields = value.as_object().expect("the value is an object").keys();
        fields.map(|name| name.trim_end_matches(".$").to_owned()).collect()
    };
    let example = |path: &str| -> Value { serde_json::from_str(&read(path)).expect("an example is JSON") };
    let states = &state_machine()["States"];
    let planner = &states["PlanPartitions"]["Parameters"]["Payload"];
    assert_eq!(fields(planner), fields(&example("functions/planner/event.json")));
    let item = &states["FetchPartitions"]["ItemSelector"];
    assert_eq!(fields(item), fields(&example("functions/page-fetch/event.json")));
    // The catalog function receives the planner's response and what the states in between add.
    let added = ["FetchPartitions", "ReadCrawler"].map(|state| match &states[state]["Catch"][0]["ResultPath"] {
        Value::String(path) => path.clone(),
        _ => states[state]["ResultPath"].as_str().expect("the state adds a field").to_owned(),
    });
    let mut expected = fields(&example("functions/planner/response.json"));
    expected.extend(added.map(|path| path.trim_start_matches("$.").to_owned()));
    assert_eq!(fields(&example("functions/catalog/event.json")), expected);
}

#[test]
fn the_state_machine_retries_only_known_errors_and_its_readme_lists_them() {
    let machine = state_machine();
    let mut lists = Vec::new();
    values_of("ErrorEquals", &machine, &mut lists);
    let retried: BTreeSet<&str> =
        lists.iter().filter_map(|list| list.as_array()).flatten().filter_map(Value::as_str).collect();
    // Names with a dot belong to the services.
    let ours: BTreeSet<&str> = retried.into_iter().filter(|name| !name.contains('.')).collect();
    assert!(ours.iter().all(|name| Error::NAMES.contains(name)), "{ours:?}");
    let readme = read("statemachine/README.md");
    assert!(ours.iter().all(|name| readme.contains(&format!("`{name}`"))), "{ours:?}");
    let mut states = Vec::new();
    values_of("States", &machine, &mut states);
    for (name, state) in states.iter().filter_map(|states| states.as_object()).flatten() {
        assert!(state["Comment"].is_string(), "{name} has no comment");
        assert!(state["Type"] != "Task" || state["TimeoutSeconds"].is_u64(), "{name} has no timeout");
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in the table");
    }
}

#[test]
fn the_generated_part_of_the_template_is_what_the_descriptors_and_queries_generate() {
    let committed = read("infra/catalog.yaml");
    let printed = rollcall(&["datasets", "template"]).output().expect("the binary starts");
    let printed = String::from_utf8(printed.stdout).expect("stdout is UTF-8");
    // The first line that differs is more helpful than both full texts.
    let differs = printed.lines().zip(committed.lines()).find(|(printed, found)| printed != found);
    assert!(
        printed == committed,
        "infra/catalog.yaml is stale: run `make generate`; the first difference is {differs:?}"
    );
    // The template of a single table is a part of the full template.
    let printed = rollcall(&["datasets", "template", "ccd_enrollment"]).output().expect("the binary starts");
    let one = String::from_utf8(printed.stdout).expect("stdout is UTF-8");
    assert!(one.starts_with("CcdEnrollmentTable:\n") && committed.contains(&one), "{one}");
}

#[test]
fn the_template_watches_metrics_that_the_functions_write() {
    use rollcall_aws::metrics;
    use rollcall_core::ledger::{Outcome, Summary};
    let summary = serde_json::json!({
        "run": "run-1", "dataset": "ccd_enrollment", "outcomes": {"written": 2, "failed": 1},
        "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:01:00Z",
        "n_planned": 3, "n_rows": 20, "n_pages": 4, "n_published": 2, "n_withdrawn": 0, "failed": [],
    });
    let mut summary: Summary = serde_json::from_value(summary).expect("it is a summary");
    let failed = metrics::from_summary(&summary, "rollcall/dev", Some("default"));
    assert_eq!((&failed["dataset"], &failed["PartitionsFailed"]), (&"ccd_enrollment".into(), &1.into()));
    assert!(failed["ScheduledRunsSucceeded"].is_null(), "{failed}");
    summary.outcomes = BTreeMap::from([(Outcome::Written, 3)]);
    assert!(metrics::from_summary(&summary, "rollcall/dev", None)["ScheduledRunsSucceeded"].is_null());
    let line = metrics::from_summary(&summary, "rollcall/dev", Some("default"));
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().expect("a list");
    let mut written = BTreeMap::new();
    for directive in directives {
        assert_eq!(directive["Namespace"], "rollcall/dev");
        for metric in directive["Metrics"].as_array().expect("a list") {
            let name = metric["Name"].as_str().expect("a metric has a name");
            assert!(line[name].is_u64(), "{name} has no value: {line}");
            written.insert(name.to_owned(), directive["Dimensions"][0].to_string());
        }
    }
    assert_eq!(line["schedule"], "default");

    let script = read("tests/infra/check_template.py");
    for (name, dimensions) in [("METRICS", "[]"), ("METRICS_BY_SCHEDULE", "[\"schedule\"]")] {
        let (_, known) = script.split_once(&format!("\n{name} = [")).expect("the checks have it");
        let (known, _) = known.split_once(']').expect("the list ends");
        let known: BTreeSet<&str> = known.split('"').skip(1).step_by(2).collect();
        let written = written.iter().filter(|(_, found)| *found == dimensions);
        assert_eq!(known, written.map(|(metric, _)| metric.as_str()).collect(), "{name}");
    }
    let (_, fields) = script.split_once("\nFIELDS = [").expect("the checks have it");
    let (fields, _) = fields.split_once(']').expect("the list ends");
    for name in fields.split('"').skip(1).step_by(2) {
        assert!(line[name].is_u64(), "{name} has no value: {line}");
    }
}
