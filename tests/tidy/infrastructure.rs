//! The state machine and the template agree with the code.

use std::collections::BTreeSet;

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
fn the_tables_of_the_template_are_those_that_the_descriptors_declare() {
    let template = read("infra/template.yaml");
    let (_, tables) = template.split_once("# --- tables: printed by rollcall datasets template").expect("they begin");
    let (_, tables) = tables.split_once('\n').expect("the line ends");
    let (tables, _) = tables.split_once("  # --- end of tables ---").expect("they end");
    let printed = rollcall(&["datasets", "template"]).output().expect("the binary starts");
    let all = String::from_utf8(printed.stdout).expect("stdout is UTF-8");
    // The first line that differs says more than both texts.
    assert_eq!(all.lines().zip(tables.lines()).find(|(printed, found)| printed != found), None);
    assert!(all == tables, "one goes on where the other ends");
    // One alone is a part of all.
    let printed = rollcall(&["datasets", "template", "ccd_directory"]).output().expect("the binary starts");
    let one = String::from_utf8(printed.stdout).expect("stdout is UTF-8");
    assert!(one.starts_with("  CcdDirectoryTable:\n") && tables.contains(&one), "{one}");
}

#[test]
fn the_template_watches_metrics_that_the_functions_write() {
    use rollcall_aws::metrics;
    use rollcall_core::ledger::Outcome;
    let script = read("tests/infra/check_template.py");
    let (_, list) = script.split_once("\nMETRICS = ").expect("the checks name the metrics");
    let (list, _) = list.split_once(['}', ']', ')']).expect("the list ends");
    let named: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let mut written: BTreeSet<&str> = Outcome::ALL.iter().map(|outcome| metrics::partitions(*outcome)).collect();
    written.extend([metrics::PAGES, metrics::ROWS]);
    assert_eq!(named, written);
}
