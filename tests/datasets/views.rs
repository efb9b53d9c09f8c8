//! The views with labels say what the portal sent.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use rollcall_core::dataset::lists::is_of_measure;
use rollcall_core::dataset::{AxisKind, Column, ColumnKind, Dataset};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{PageRequest, Portal, Reading};
use rollcall_simulator::Config;
use rollcall_tests::{Outcome, TestLake, TestPortal, client, python, rollcall, workspace};
use serde_json::Value;
use tokio::runtime::Runtime;

/// Returns the number in a JSON value, which may be written as text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// What a view should have for one column of a row: its value, if it is a measure, and the label or note.
fn expected(dataset: &Dataset, column: &Column, row: &Value) -> (Option<f64>, Option<String>) {
    let codes = dataset.list(column.codes.as_ref().expect("the column has codes")).expect("the list exists");
    let value = number(&row[column.field()]);
    let label = value.and_then(|value| codes.get(&(value as i64)).filter(|_| value.fract() == 0.0));
    let is_code = is_of_measure(&codes) && label.is_some();
    (value.filter(|_| !is_code), label.map(|label| label.clone().into_owned()))
}

/// Sums and counts of a dataset, by column of its view.
type Totals = BTreeMap<String, f64>;

/// Adds up the rows of a dataset as the portal sends them.
fn totals_of_source(dataset: &Dataset, rows: &[Value]) -> (Totals, BTreeMap<(String, String), u64>) {
    let (mut sums, mut labels) = (Totals::new(), BTreeMap::new());
    for column in dataset.columns.iter().filter(|column| column.codes.is_some()) {
        let codes = dataset.list(column.codes.as_ref().expect("it has codes")).expect("the list exists");
        let is_key = dataset.key.contains(&column.name);
        for row in rows {
            let (value, label) = expected(dataset, column, row);
            if is_of_measure(&codes) {
                let value = if is_key { number(&row[column.field()]) } else { value };
                *sums.entry(column.name.clone()).or_default() += value.unwrap_or(0.0);
                if is_key {
                    continue;
                }
            }
            if let Some(label) = label {
                let suffix = if is_of_measure(&codes) { "note" } else { "label" };
                *labels.entry((format!("{}_{suffix}", column.name), label)).or_default() += 1;
            }
        }
    }
    (sums, labels)
}

/// Fetches every row of a partition.
fn rows_of(runtime: &Runtime, portal: &impl Portal, dataset: &Dataset, partition: &PartitionKey) -> Vec<Value> {
    let path = dataset.portal_path(partition);
    let read = |body: &bytes::Bytes| Reading::Done(serde_json::from_slice::<Value>(body));
    let page = runtime.block_on(portal.get(&path, 1, PageRequest::default(), read)).expect("the portal responds");
    let mut page = page.result.expect("the page is JSON");
    assert!(page["next"].is_null(), "{path}");
    serde_json::from_value(page["results"].take()).expect("the rows are an array")
}

/// Returns the columns of a query's only row.
fn query(lake: &TestLake, sql: &str) -> Vec<serde_json::Map<String, Value>> {
    let outcome = lake.rollcall("query", &[sql, "--format", "json"]).expect(0);
    serde_json::from_str(&outcome.stdout).expect("the rows are JSON")
}

#[test]
fn sums_and_labels_of_every_view_are_those_of_the_rows_that_the_portal_sent() {
    let portal = TestPortal::start(Config { rows_per_partition: Some(40), ..Config::default() });
    let lake = TestLake::new();
    let report = lake.run(&portal, &["--dataset", "all", "--years", "latest", "--format", "json"]).expect(0).json();
    let (runtime, http) = (Runtime::new().expect("a runtime starts"), client(&portal.origin(), |_| {}));
    let (mut n_measures, mut n_labels) = (0, 0);
    for run in report["runs"].as_array().expect("there are runs") {
        let dataset = Dataset::built_in(run["dataset"].as_str().expect("it has a dataset")).expect("it is built in");
        let partitions = run["partitions"].as_array().expect("there are partitions").iter();
        let partitions = partitions.map(|receipt| serde_json::from_value(receipt["partition"].clone()));
        let partitions: Vec<PartitionKey> = partitions.collect::<Result<_, _>>().expect("they are partitions");
        let partitions = partitions.iter().map(|partition| dataset.arrange(partition).expect("it has the axes"));
        let rows: Vec<Value> =
            partitions.flat_map(|partition| rows_of(&runtime, &http, &dataset, &partition)).collect();
        let (sums, labels) = totals_of_source(&dataset, &rows);
        n_measures += sums.len();
        n_labels += labels.len();
        let view = format!("{}.{}_labeled", dataset.database, dataset.name);
        let columns: Vec<String> = sums.keys().map(|name| format!("sum(cast({name} as double)) as {name}")).collect();
        if let Some(found) =
            query(&lake, &format!("select count(*) as n_rows, {} from {view}", columns.join(", "))).first()
        {
            assert_eq!(found["n_rows"], rows.len(), "{view}");
            for (name, sum) in &sums {
                let found = found.get(name).and_then(Value::as_f64).unwrap_or(0.0);
                assert!((found - sum).abs() <= sum.abs() * 1e-9, "{view}.{name}: expected {sum}, found {found}");
            }
        }
        // Every label in one query: a union of one group by for each column.
        let names: BTreeSet<&String> = labels.keys().map(|(name, _)| name).collect();
        let parts: Vec<String> = names
            .iter()
            .map(|name| {
                format!("select '{name}' as name, {name} as label, count(*) as n from {view} where {name} is not null group by 2")
            })
            .collect();
        let found: BTreeMap<(String, String), u64> = query(&lake, &parts.join(" union all "))
            .iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().expect("it is text").to_owned();
                ((text("name"), text("label")), row["n"].as_u64().expect("it is a count"))
            })
            .collect();
        assert_eq!(found, labels, "{view}");
    }
    assert!(n_measures > 1_000 && n_labels > 2_000, "{n_measures} measures, {n_labels} labels");
}

#[test]
fn rows_that_are_totals_of_others_are_marked() {
    let portal = TestPortal::start(Config { rows_per_partition: Some(40), ..Config::default() });
    let lake = TestLake::new();
    for (dataset, more, is_total) in [
        (
            "ccd_enrollment_race_sex",
            &["--grades", "grade-1,grade-99"][..],
            "grade = 'grade-99' or race = 99 or sex = 99",
        ),
        ("ccd_enrollment", &["--grades", "grade-1,grade-99"], "grade = 'grade-99'"),
        ("ipeds_fall_retention", &[], "ftpt = 99"),
    ] {
        let _ = lake.run(&portal, &[&["--dataset", dataset, "--years", "latest"], more].concat()).expect(0);
        let built_in = Dataset::built_in(dataset).expect("it is built in");
        let sql = format!(
            "select count(*) as n, count(*) filter (where is_total) as totals, count(*) filter (where ({is_total}) <> is_total) \
             as wrong from {}.{dataset}_labeled",
            built_in.database
        );
        let rows = query(&lake, &sql);
        let count = |name: &str| rows[0][name].as_u64().expect("it is a count");
        assert!(count("totals") > 0 && count("totals") < count("n"), "{dataset}: {rows:?}");
        assert_eq!(count("wrong"), 0, "{dataset}");
    }
}

#[test]
fn a_view_has_the_declared_types_and_every_column_of_its_table() {
    for name in Dataset::built_in_names() {
        let dataset = Dataset::built_in(name).expect("it is built in");
        let view = dataset.labeled_view();
        for column in &dataset.columns {
            assert!(view.columns.iter().any(|(name, _)| *name == column.name), "{name}.{}", column.name);
        }
        let mut names: Vec<&String> = view.columns.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), view.columns.len(), "{name}");
        // Text has no codes, so that a comparison never mixes types.
        assert!(dataset.columns.iter().all(|column| column.codes.is_none() || column.kind != ColumnKind::String));
        assert!(dataset.axes.iter().all(|axis| axis.kind == AxisKind::Int || !axis.values.is_empty()));
    }
}

#[test]
fn every_view_is_valid_sql_of_athena_and_trino() {
    let sql = rollcall(&["datasets", "view", "all"]).output().expect("the binary starts");
    let sql = Outcome::from_output(sql).expect(0).stdout;
    let script = workspace().join("tests/datasets/parse_sql.py");
    let mut parser = Command::new(python());
    let mut parser = parser.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    parser.stdin.take().expect("it reads stdin").write_all(sql.as_bytes()).expect("python reads");
    let parsed = Outcome::from_output(parser.wait_with_output().expect("python ends")).expect(0);
    assert_eq!(parsed.stdout, "athena 123\ntrino 123\n");
}
