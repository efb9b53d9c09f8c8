//! Descriptors on AWS: a dataset that the template does not name needs no deployment, all functions of a run use one
//! descriptor, and tables that have moved out of the template never lack a partition.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use aws_sdk_glue::types::Table;
use rollcall_simulator::Config;
use rollcall_tests::emulator::stack::{DATABASE, STACK, Stack};
use rollcall_tests::emulator::{Emulator, Kind};
use rollcall_tests::{TestLake, TestPortal, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Database of the tables that the catalog step makes.
const EDUCATION: &str = "education";

/// A dataset that is not built in. The portal also has the field `members`.
const CLUBS: &str = r#"
name = "test_clubs"
title = "Clubs by school"
attribution = "No one: it is invented"
path = "schools/test/clubs/{year}/{grade}/"
database = "education"
table = "test_clubs"
comment = "Clubs of each school."
key = ["ncessch"]

[[axis]]
name = "year"
type = "int"
years = "2018-2021"

[[axis]]
name = "grade"
type = "string"
codes = "grade"
values = [{ value = "grade-1", code = 1 }, { value = "grade-2", code = 2 }]

[[column]]
name = "ncessch"
type = "string"
width = 12

[[column]]
name = "clubs"
type = "int"
codes = "numeric"
"#;

/// The column that its second version adds.
const MEMBERS: &str = "
[[column]]
name = \"members\"
type = \"int\"
";

fn portal() -> TestPortal {
    TestPortal::start(Config {
        n_schools: 300,
        page_size: 100,
        rows_per_partition: Some(32),
        descriptors: vec![format!("{CLUBS}{MEMBERS}")],
        ..Config::default()
    })
}

/// A descriptor in a file.
struct File {
    folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a temporary folder can be created") };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).expect("a file can be written");
    }

    fn path(&self) -> String {
        self.folder.path().join("clubs.toml").to_str().expect("temporary folders have UTF-8 names").to_owned()
    }
}

/// Returns the names of the columns of a table in Glue, without its axes.
fn columns(table: &Table) -> Vec<&str> {
    let storage = table.storage_descriptor().expect("the table has a storage descriptor");
    storage.columns().iter().map(aws_sdk_glue::types::Column::name).collect()
}

fn managed_by(table: &Table) -> Option<&str> {
    table.parameters()?.get("managed_by").map(String::as_str)
}

fn paths(partitions: &BTreeMap<String, Vec<String>>) -> Vec<&str> {
    partitions.keys().map(String::as_str).collect()
}

/// One stack for all steps, since deploying takes longer than most of them.
#[test]
fn a_dataset_that_the_template_does_not_name_needs_no_deployment() {
    let emulator = Arc::new(Emulator::start(Kind::MiniStack));
    let stack = Stack::deploy_on(&emulator, portal(), STACK, &["MapConcurrency=1"]);
    let file = File::new(CLUBS);
    a_descriptor_that_the_functions_cannot_use_is_not_added(&stack);
    an_added_descriptor_is_all_that_a_run_needs(&stack, &file);
    w19_a_run_ends_with_the_descriptor_that_it_began_with_and_the_next_one_adds_a_column(&stack, &file);
    grades_under_another_name_are_an_axis_like_any_other(&stack);
    repeated_and_empty_keys_are_counted_in_the_receipts_of_a_run(&stack);
}

fn a_descriptor_that_the_functions_cannot_use_is_not_added(stack: &Stack) {
    let lake = format!("s3://{}", stack.bucket);
    let refused = |text: &str, words: &str| {
        let file = File::new(text);
        let refused = stack.rollcall(&["datasets", "add", &file.path(), "--lake", &lake]).expect(2).stderr;
        assert!(refused.contains(words), "{refused}");
    };
    let other = CLUBS.replace("\"education\"", "\"elsewhere\"");
    refused(&other, "expected `database` to be one of the stack's, `education` or `ccd_school`, found `elsewhere`");
    let meps = CLUBS.replace("table = \"test_clubs\"", "table = \"meps\"");
    refused(&meps, "`table`: expected a table that is not in use, found `meps` of datasets/meps.toml");
    let enrollment = workspace().join("datasets/ccd_enrollment.toml");
    let enrollment = fs::read_to_string(enrollment).expect("the descriptor can be read");
    refused(&format!("{enrollment}{MEMBERS}"), "expected the columns and axes of the built-in one");
    let file = File::new(CLUBS);
    let folder = TestLake::marked();
    let folder = folder.path().to_str().expect("temporary folders have UTF-8 names");
    let refused = stack.rollcall(&["datasets", "add", &file.path(), "--lake", folder]).expect(2).stderr;
    assert!(refused.contains("expected --lake s3://BUCKET, found a folder"), "{refused}");
    assert_eq!(stack.objects("datasets/"), BTreeMap::new());
}

/// From the descriptor to rows, read as Athena would: through the partitions in Glue.
fn an_added_descriptor_is_all_that_a_run_needs(stack: &Stack, file: &File) {
    let (lake, path) = (format!("s3://{}", stack.bucket), file.path());
    let run = ["run", "--on", "aws", "--dataset", &path, "--years", "2020,2021", "--grades", "all"];
    let unknown = stack.rollcall(&run).expect(2).stderr;
    assert!(unknown.contains("one that was added to the lake, found `test_clubs`"), "{unknown}");
    let added = stack.rollcall(&["datasets", "add", &path, "--lake", &lake]).expect(0).stdout;
    assert!(added.starts_with(&format!("added `test_clubs` in {lake}; ")), "{added}");
    let other = File::new(&CLUBS.replace("name = \"test_clubs\"", "name = \"test_other\""));
    let taken = stack.rollcall(&["datasets", "add", &other.path(), "--lake", &lake]).expect(2).stderr;
    let words = "expected a `table`, and a name for its view, that are not in use, found `test_clubs` of `datasets/test_clubs.toml`";
    assert!(taken.contains(words), "{taken}");
    // Under a name of its own: the command line's, with a hash of the request, is taken for a minute.
    let request = json!({"dataset": "test_clubs", "years": [2020, 2021], "grades": "all"});
    let output = stack.run_successfully("clubs", &request);
    assert_eq!((&output["outcomes"]["written"], &output["n_published"]), (&json!(4), &json!(4)), "{output}");

    let table = stack.table(EDUCATION, "test_clubs").expect("the catalog step has made it");
    assert_eq!((managed_by(&table), columns(&table)), (Some("rollcall"), vec!["ncessch", "clubs", "_rescued"]));
    let view = stack.table(EDUCATION, "test_clubs_labeled").expect("the catalog step has made it");
    assert_eq!((managed_by(&view), view.table_type()), (Some("rollcall"), Some("VIRTUAL_VIEW")));
    let four = ["2020/grade=grade-1", "2020/grade=grade-2", "2021/grade=grade-1", "2021/grade=grade-2"];
    let four = four.map(|path| format!("year={path}"));
    let partitions = stack.columns_of_partitions(EDUCATION, "test_clubs").expect("the table exists");
    assert_eq!(paths(&partitions), four);
    let rows = "select year, grade, count(*) as n, count(distinct ncessch) as schools from education.TABLE \
                group by all order by all";
    let expected = |extra: fn(&str) -> Value| -> Value {
        let row = |(year, grade): (u64, &str)| {
            let mut row = json!({"year": year, "grade": grade, "n": 32, "schools": 32});
            if let (Some(row), Value::Object(extra)) = (row.as_object_mut(), extra(grade)) {
                row.extend(extra);
            }
            row
        };
        [(2020, "grade-1"), (2020, "grade-2"), (2021, "grade-1"), (2021, "grade-2")].map(row).to_vec().into()
    };
    assert_eq!(stack.query_in(EDUCATION, &rows.replace("TABLE", "test_clubs")), expected(|_| Value::Null));
    let rows = rows.replace("TABLE", "test_clubs_labeled").replace("count(*)", "grade_label, count(*)");
    let labels = |grade: &str| json!({"grade_label": if grade == "grade-1" { "1" } else { "2" }});
    assert_eq!(stack.query_in(EDUCATION, &rows), expected(labels));

    // The same bytes as in a folder.
    let local = TestLake::new();
    let _ = local.run(&stack.portal, &["--dataset", &path, "--years", "2020,2021", "--grades", "all"]).expect(0);
    for (key, (bytes, _)) in local.files("data/test_clubs") {
        assert!(stack.read(&key) == bytes, "{key} differs from the local run's");
    }
    let again = ["run", "--on", "aws", "--dataset", &path, "--partition", "2020/grade-1"];
    let again = stack.rollcall(&again).expect(0).stdout;
    assert!(again.contains("1 partition: 1 unchanged"), "{again}");
    let status = stack.rollcall(&["status", "--lake", &lake, "--dataset", &path]).expect(0).stdout;
    assert!(status.contains("4 partitions committed"), "{status}");
}

fn w19_a_run_ends_with_the_descriptor_that_it_began_with_and_the_next_one_adds_a_column(stack: &Stack, file: &File) {
    let lake = format!("s3://{}", stack.bucket);
    let add = || stack.rollcall(&["datasets", "add", &file.path(), "--lake", &lake]).expect(0).stdout;
    let table = || stack.table(EDUCATION, "test_clubs").expect("the table exists");
    let partitions = || stack.columns_of_partitions(EDUCATION, "test_clubs").expect("the table exists");
    let (old, new) = (["ncessch", "clubs", "_rescued"], ["ncessch", "clubs", "members", "_rescued"]);

    // The descriptor is replaced while the first of two partitions is written.
    let proxy = stack.hold_a_write_of_page_fetch();
    let began = stack.start("began", &json!({"dataset": "test_clubs", "years": [2018, 2019], "grades": ["grade-1"]}));
    proxy.wait_until_held();
    file.write(&format!("{CLUBS}{MEMBERS}"));
    assert!(add().starts_with("replaced `test_clubs`"));
    proxy.open();
    assert_eq!(stack.end_successfully(&began)["outcomes"]["written"], 2);
    stack.no_proxy_before_page_fetch();
    assert_eq!(columns(&table()), old);
    let found = partitions();
    assert_eq!(found.len(), 6);
    assert!(found.values().all(|columns| *columns == old), "{found:?}");
    let used = |run: &str| stack.read_json(&format!("ledger/test_clubs/runs/{run}/dataset.json"));
    assert_eq!(used("began")["column"].as_array().map(Vec::len), Some(2));

    // The next run has the new column, in its own partition and in the table.
    let one = json!({"dataset": "test_clubs", "partitions": [{"year": 2021, "grade": "grade-2"}]});
    assert_eq!(stack.run_successfully("after", &one)["outcomes"]["rewritten"], 1);
    assert_eq!(used("after")["column"].as_array().map(Vec::len), Some(3));
    assert_eq!(columns(&table()), new);
    let has_new = |found: &BTreeMap<String, Vec<String>>| -> BTreeSet<String> {
        assert!(found.values().all(|columns| *columns == old || *columns == new), "{found:?}");
        found.iter().filter(|(_, columns)| **columns == new).map(|(path, _)| path.clone()).collect()
    };
    assert_eq!(has_new(&partitions()), ["year=2021/grade=grade-2".to_owned()].into());
    let members = "select year, count(members) as members from education.test_clubs_labeled group by all order by all";
    let found = stack.query_in(EDUCATION, members);
    // The simulated portal leaves two of the 32 empty.
    let expected = [(2018, 0), (2019, 0), (2020, 0), (2021, 30)];
    assert_eq!(found, json!(expected.map(|(year, members)| json!({"year": year, "members": members}))));

    // A lost table is made again even if a run fetches nothing, and no object has the descriptor's columns.
    let _ = stack.call("glue", "delete_table", &json!({"DatabaseName": EDUCATION, "Name": "test_clubs"}));
    stack.delete("data/test_clubs/year=2021/grade=grade-2/part-00000.parquet");
    let nothing = json!({"dataset": "test_clubs", "years": [2020], "grades": "all", "mode": "missing"});
    assert_eq!(stack.run_successfully("nothing", &nothing)["n_planned"], 0);
    assert_eq!(paths(&partitions()).len(), 5);
    assert_eq!(stack.run_successfully("again", &one)["outcomes"]["written"], 1);

    // Older partitions keep their columns until they are rewritten.
    let stale = json!({"dataset": "test_clubs", "years": "2018-2021", "grades": "all", "mode": "stale"});
    let rewritten = stack.run_successfully("rewritten", &stale);
    assert_eq!(rewritten["outcomes"]["rewritten"], 5, "{rewritten}");
    // Two partitions that were missing are fetched too.
    assert_eq!(rewritten["outcomes"]["written"], 2, "{rewritten}");
    assert_eq!(has_new(&partitions()).len(), 8);
}

fn grades_under_another_name_are_an_axis_like_any_other(stack: &Stack) {
    let grades = json!({"grade_edfacts": ["grade-3", "grade-99"]});
    let request = json!({"dataset": "edfacts_assessments", "years": [2018], "axes": grades});
    assert_eq!(stack.run_successfully("edfacts", &request)["outcomes"]["written"], 2);
    let found = stack.columns_of_partitions(EDUCATION, "edfacts_assessments").expect("the catalog step has made it");
    assert_eq!(paths(&found), ["year=2018/grade_edfacts=grade-3", "year=2018/grade_edfacts=grade-99"]);
    let sql = "select grade_edfacts, grade_edfacts_label, is_total, count(*) as n \
               from education.edfacts_assessments_labeled where not is_total or grade_edfacts = 'grade-99' \
               group by all order by all";
    let row = |grade: &str, label: &str, is_total: bool| json!({"grade_edfacts": grade, "grade_edfacts_label": label, "is_total": is_total, "n": 32});
    let expected = json!([row("grade-3", "3", false), row("grade-99", "Total", true)]);
    assert_eq!(stack.query_in(EDUCATION, sql), expected);
}

fn repeated_and_empty_keys_are_counted_in_the_receipts_of_a_run(stack: &Stack) {
    let output = stack.run_successfully("finance", &json!({"dataset": "ccd_districts_finance", "years": [2018]}));
    assert_eq!(output["outcomes"]["written"], 1);
    let summary = stack.read_json("ledger/ccd_districts_finance/runs/finance/summary.json");
    let receipt = &summary["partitions"][0];
    let counts = ["n_rows", "n_repeated_keys", "n_empty_keys"].map(|fact| receipt[fact].as_u64());
    assert_eq!(counts, [Some(32), Some(2), Some(2)], "{receipt}");
    let sql = "select count(*) as n from education.ccd_districts_finance";
    assert_eq!(stack.query_in(EDUCATION, sql), json!([{"n": 32}]));
}

/// Makes the template what it was when it had three datasets' tables, and no other database.
fn as_before(folder: &Path) {
    let change = |name: &str, change: &dyn Fn(String) -> String| {
        let path = folder.join("infra").join(name);
        let text = change(fs::read_to_string(&path).expect("the file is packaged"));
        fs::write(path, text).expect("the file can be written");
    };
    let without = |text: String, part: &str| {
        assert!(text.contains(part), "expected `{part}` in the template");
        text.replace(part, "")
    };
    change("catalog.yaml", &|mut text| {
        let kept = "  Condition: KeepsMovedTables\n  DeletionPolicy: Retain\n  UpdateReplacePolicy: Retain\n";
        for part in [kept, ", managed_by: template", "EducationDatabase, "] {
            text = without(text, part);
        }
        let crawled = "            - { Ref: CcdEnrollmentTable }\n";
        assert!(text.contains(crawled));
        let three = ["CcdDirectoryTable", "CcdEnrollmentTable", "CcdEnrollmentRaceSexTable"];
        text = text.replace(crawled, &three.map(|table| format!("            - {{ Ref: {table} }}\n")).concat());
        let resources = text.split("\n\n").filter(|resource| !resource.contains("\nEducationDatabase:"));
        resources.collect::<Vec<_>>().join("\n\n")
    });
    change("template.yaml", &|text| {
        let lines = text.lines().filter(|line| !line.contains("KeepsMovedTables"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let (before, rest) = text.split_once("  MovedTables: {").expect("the template has the parameter");
        let (_, after) = rest.split_once(" }\n").expect("the parameter ends");
        format!("{before}{after}").replace("          MovedTables, LakeKeyArn]", "          LakeKeyArn]")
    });
}

/// Makes a table what the functions of that time left: they changed no definition.
fn as_the_earlier_functions_left_it(stack: &Stack, table: &str) {
    let found = stack.call("glue", "get_table", &json!({"DatabaseName": DATABASE, "Name": table}))["Table"].clone();
    let fields = ["Name", "Description", "TableType", "PartitionKeys", "StorageDescriptor"];
    let mut input: serde_json::Map<String, Value> =
        fields.map(|field| (field.to_owned(), found[field].clone())).into_iter().collect();
    let _ = input.insert("Parameters".to_owned(), json!({"EXTERNAL": "TRUE", "classification": "parquet"}));
    let _ = stack.call("glue", "update_table", &json!({"DatabaseName": DATABASE, "TableInput": input}));
}

/// The datasets whose tables have moved, with their tables and a request for two partitions.
fn moved() -> [(&'static str, &'static str, Value); 2] {
    let directory = json!({"dataset": "ccd_directory", "years": [2020, 2021]});
    let race_sex = json!({"dataset": "ccd_enrollment_race_sex", "years": [2020, 2021], "grades": ["grade-pk"]});
    [
        ("ccd_directory", "us_education_ccd_directory_data", directory),
        ("ccd_enrollment_race_sex", "us_education_ccd_enrollment_race_sex_data", race_sex),
    ]
}

#[test]
fn w20_tables_that_move_out_of_the_template_lack_no_partition_at_any_time() {
    let emulator = Arc::new(Emulator::start(Kind::MiniStack));
    let stack = Stack::deploy_changed_on(&emulator, TestPortal::small(), STACK, &[], as_before);
    let tables = moved().map(|(_, table, _)| table);
    let managers =
        || tables.map(|table| stack.table(DATABASE, table).and_then(|table| managed_by(&table).map(str::to_owned)));
    let run = |when: &str, outcome: &str| {
        for (dataset, _, request) in moved() {
            let output = stack.run_successfully(&format!("{when}-{dataset}"), &request);
            assert_eq!(output["outcomes"][outcome], 2, "{when} {dataset}: {output}");
        }
    };
    run("before", "written");
    for table in tables {
        as_the_earlier_functions_left_it(&stack, table);
    }
    assert_eq!(managers(), [None, None]);

    /// Ends the watch, even if a check before its end fails.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (is_done, n_looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let done = Done(&is_done);
        let watcher = scope.spawn(|| {
            let mut missing = Vec::new();
            while !is_done.load(Ordering::SeqCst) {
                for table in tables {
                    let found = stack.columns_of_partitions(DATABASE, table);
                    if found.as_ref().map(BTreeMap::len) != Ok(2) {
                        missing.push(format!("{table}: {found:?}"));
                    }
                }
                let _ = n_looks.fetch_add(1, Ordering::SeqCst);
            }
            missing
        });
        stack.deploy_again(&["MovedTables=KEEP"]);
        assert_eq!(managers(), [None, None], "a deployment changes neither");
        run("between", "unchanged");
        let ours = || Some("rollcall".to_owned());
        assert_eq!(managers(), [ours(), ours()]);
        // Change sets of the emulator ignore conditions, so there has to be another change.
        stack.deploy_again(&["MovedTables=GONE", "RunRetentionDays=91"]);
        assert_eq!(managers(), [ours(), ours()]);
        run("after", "unchanged");
        drop(done);
        let missing = watcher.join().expect("the watcher ends");
        assert!(missing.is_empty(), "{} times, such as {:?}", missing.len(), missing.first());
    });
    assert!(n_looks.load(Ordering::SeqCst) > 10);
    let of_stack = stack.call("cloudformation", "list_stack_resources", &json!({"StackName": STACK}));
    let left = of_stack["StackResourceSummaries"].to_string();
    assert!(!left.contains("CcdDirectoryTable") && left.contains("CcdEnrollmentTable"), "{left}");
    assert_eq!(
        managed_by(&stack.table(DATABASE, "us_education_ccd_enrollment_data").expect("it stays")),
        Some("template")
    );
    // A new column of such a table needs no deployment either.
    assert!(stack.table(EDUCATION, "anything").is_none());
}
