//! A table with one year fetched under a changed descriptor: what queries return, what commands report, and how `--mode
//! stale` makes the table consistent for other engines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_tests::{Outcome, TestLake, TestPortal, python, workspace, write_page};
use serde_json::{Value, json};

const TABLE: &str = "ccd_school.us_education_ccd_enrollment_data";
const YEARS: [i32; 3] = [2019, 2020, 2021];

/// The portal's row for a school and year, as JSON.
type Row = fn(i32, i64) -> Value;

fn row(year: i32, school: i64) -> Value {
    json!({
        "year": year, "grade": -1, "ncessch": format!("01000020{school:04}"), "ncessch_num": 1_000_020_000_i64 + school,
        "race": 99, "sex": 99, "enrollment": school % 40, "fips": 1, "leaid": "100002",
    })
}

fn with_lunch(year: i32, school: i64) -> Value {
    let mut row = row(year, school);
    row["lunch"] = json!(school % 7);
    row
}

fn with_students(year: i32, school: i64) -> Value {
    let mut row = row(year, school);
    row["students"] = row["enrollment"].take();
    row.as_object_mut().unwrap().remove("enrollment");
    row
}

fn with_halves(year: i32, school: i64) -> Value {
    let mut row = row(year, school);
    row["enrollment"] = json!((school % 40) as f64 + 0.5);
    row
}

fn without_sex(year: i32, school: i64) -> Value {
    let mut row = row(year, school);
    row.as_object_mut().unwrap().remove("sex");
    row
}

/// A descriptor change: the text before and after, and the rows that the portal serves before and after.
struct Change {
    what: &'static str,
    before: (&'static str, &'static str),
    after: (&'static str, &'static str),
    serves: (Row, Row),
    /// SQL for the column that changes.
    column: &'static str,
    /// What `rollcall query` returns for each year while two years have the old schema, or why it refuses.
    mixed: Result<Value, &'static str>,
}

const INT: &str = "name = \"enrollment\"\ntype = \"int\"";
const BIGINT: &str = "name = \"enrollment\"\ntype = \"bigint\"";
const DOUBLE: &str = "name = \"enrollment\"\ntype = \"double\"";
const STRING: &str = "name = \"enrollment\"\ntype = \"string\"";
const STUDENTS: &str = "name = \"students\"\ntype = \"int\"";
const SEX: &str = "[[column]]\nname = \"sex\"\ntype = \"int\"\ncomment = \"";

/// The eight changes that were also tried with other engines, each with the result expected from `rollcall query`.
fn changes() -> [Change; 8] {
    // 200 schools with 0 to 39 students: 5 x 780 in total.
    [
        Change {
            what: "column added",
            before: (INT, INT),
            after: (INT, "name = \"lunch\"\ntype = \"int\"\n\n[[column]]\nname = \"enrollment\"\ntype = \"int\""),
            serves: (row, with_lunch),
            column: "sum(lunch)",
            mixed: Ok(json!([null, null, 598])),
        },
        Change {
            what: "int to bigint",
            before: (INT, INT),
            after: (INT, BIGINT),
            serves: (row, row),
            column: "sum(enrollment)",
            mixed: Ok(json!([3900, 3900, 3900])),
        },
        Change {
            what: "int to double",
            before: (INT, INT),
            after: (INT, DOUBLE),
            serves: (row, with_halves),
            column: "sum(enrollment)",
            mixed: Ok(json!([3900.0, 3900.0, 4000.0])),
        },
        Change {
            what: "int to string",
            before: (INT, INT),
            after: (INT, STRING),
            serves: (row, row),
            column: "sum(cast(enrollment as bigint))",
            mixed: Err("read column `enrollment` of `year=2019/grade=grade-pk`: expected string"),
        },
        Change {
            what: "double to int",
            before: (INT, DOUBLE),
            after: (INT, INT),
            serves: (with_halves, row),
            column: "sum(enrollment)",
            mixed: Err("read column `enrollment` of `year=2019/grade=grade-pk`: expected int"),
        },
        Change {
            what: "column removed",
            before: (INT, INT),
            after: (SEX, ""),
            serves: (row, without_sex),
            column: "sum(enrollment)",
            mixed: Ok(json!([3900, 3900, 3900])),
        },
        Change {
            what: "reordered",
            before: (INT, INT),
            after: ("key = [\"ncessch\"", "key = [\"ncessch\""),
            serves: (row, row),
            column: "sum(enrollment)",
            mixed: Ok(json!([3900, 3900, 3900])),
        },
        Change {
            what: "renamed",
            before: (INT, INT),
            after: (INT, STUDENTS),
            serves: (row, with_students),
            column: "sum(students)",
            mixed: Err("read column `students` of `year=2019/grade=grade-pk`: expected int as in table"),
        },
    ]
}

/// Writes a descriptor of the enrollment dataset with one passage replaced.
fn descriptor(folder: &Path, name: &str, (from, to): (&str, &str)) -> PathBuf {
    // Without lists of codes, which a column of text must not have.
    let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with("codes = ")).collect();
    let text = if to.is_empty() {
        // Remove the whole column.
        let start = text.find(from).unwrap();
        let end = start + 1 + text[start + 1..].find("[[column]]").unwrap();
        format!("{}{}", &text[..start], &text[end..])
    } else if name == "reordered" {
        // Move the last column to the front.
        let (head, columns) = text.split_once("[[column]]").unwrap();
        let (rest, last) = columns.rsplit_once("[[column]]").unwrap();
        format!("{head}[[column]]{last}\n[[column]]{rest}")
    } else {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    };
    let file = folder.join(format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    file
}

fn serve(folder: &Path, year: i32, row: Row) {
    let rows: Vec<Value> = (1..=200).map(|school| row(year, school)).collect();
    let body = json!({"count": rows.len(), "next": null, "previous": null, "results": rows}).to_string();
    write_page(folder, &format!("schools/ccd/enrollment/{year}/grade-pk"), 1, body.as_bytes());
}

/// Returns the row count and the column's sum for every year, as other engines read the folder.
fn other_engines(lake: &TestLake, column: &str) -> BTreeMap<String, Value> {
    let script = "
import json, sys, duckdb, polars, pyarrow.dataset
folder, column = sys.argv[1:]
said = {}
rows = duckdb.sql(f\"select year, count(*), {column} from read_parquet('{folder}/**/*.parquet', hive_partitioning=true) group by year order by year\").fetchall()
said['duckdb'] = [[year, n, float(value)] for year, n, value in rows]
name, kind = (column[4:-1], None) if 'cast' not in column else ('enrollment', polars.Int64)
value = polars.col(name) if kind is None else polars.col(name).cast(kind)
rows = polars.scan_parquet(f'{folder}/**/*.parquet', hive_partitioning=True).group_by('year').agg(polars.len(), value.sum()).sort('year').collect().rows()
said['polars'] = [[year, n, float(value)] for year, n, value in rows]
table = pyarrow.dataset.dataset(folder, format='parquet', partitioning='hive').to_table(columns=['year', name])
rows = {}
for year, value in zip(table.column('year').to_pylist(), table.column(name).to_pylist()):
    n, total = rows.get(year, (0, 0))
    rows[year] = (n + 1, total + float(value))
said['pyarrow'] = [[year, n, total] for year, (n, total) in sorted(rows.items())]
print(json.dumps(said))
";
    let folder = lake.path().join("data/us_education_ccd_enrollment_data");
    let output = Command::new(python()).args(["-c", script]).arg(folder).arg(column).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Found by use: H8.
#[test]
fn a_table_of_two_schemas_is_read_exactly_or_the_query_rejected_and_mode_stale_makes_it_one() {
    for Change { what, before, after, serves, column, mixed } in changes() {
        let folder = tempfile::tempdir().unwrap();
        YEARS.iter().for_each(|year| serve(folder.path(), *year, serves.0));
        let portal = TestPortal::recorded(folder.path());
        let lake = TestLake::new();
        let old = descriptor(folder.path(), "old", before);
        let new = descriptor(folder.path(), if what == "reordered" { what } else { "new" }, after);
        let run = |descriptor: &Path, args: &[&str]| -> Outcome {
            let descriptor = descriptor.to_str().unwrap();
            lake.run(&portal, &[&["--dataset", descriptor, "--force", "--grades", "grade-pk"], args].concat())
        };
        let _ = run(&old, &["--years", "2019-2021"]).expect(0);
        YEARS.iter().for_each(|year| serve(folder.path(), *year, serves.1));
        let published = run(&new, &["--years", "2021"]).expect(0);

        // Every command reports the two partitions with another schema.
        let message = "warning: 2 stale partitions, whose schema or encoding differs from what a run would write today: `year=2019/grade=grade-pk`, \
                    `year=2020/grade=grade-pk`\nhint: rewrite them: rollcall run --mode stale";
        let named = new.to_str().unwrap();
        let origin = portal.origin();
        let plan = |args: &[&str]| {
            let args = [&["--portal", &origin, "--dataset", named, "--grades", "grade-pk"], args].concat();
            lake.rollcall("plan", &args).expect(0)
        };
        let status = lake.rollcall("status", &["--dataset", named]).expect(0);
        for words in [&published.stderr, &status.stderr, &plan(&["--years", "2021"]).stderr] {
            assert!(words.contains(message), "{what}: {words}");
        }
        let planned = plan(&["--mode", "stale", "--format", "json"]).json();
        let planned: Vec<(&Value, &Value)> = planned["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (&item["partition"]["year"], &item["reason"]))
            .collect();
        let of = json!("other_schema");
        assert_eq!(planned, [(&json!(2020), &of), (&json!(2019), &of)], "{what}");

        // A query returns exact values or is rejected with an error that names the partition and the column.
        let sql = format!("select year, {column} as value from {TABLE} group by year order by year");
        let values = |found: &Outcome| -> Value {
            found
                .json()
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row.get("value").cloned().unwrap_or(Value::Null))
                .collect()
        };
        match &mixed {
            Ok(expected) => {
                let found = lake.rollcall("query", &[&sql, "--format", "json"]).expect(0);
                assert_eq!(&values(&found), expected, "{what}");
            }
            Err(expected) => {
                let found = lake.rollcall("query", &[&sql]).expect(1);
                // Either of the two may be read first.
                assert!(found.stderr.replace("2020", "2019").contains(expected), "{what}: {}", found.stderr);
            }
        }

        // After the rewrite, the table has one schema, and every engine reads the same values.
        let rewritten = run(&new, &["--mode", "stale"]).expect(0);
        // Two of the changes go along with other values.
        let outcome = if what.contains("double") { "written" } else { "rewritten" };
        assert!(rewritten.stdout.contains(&format!("2 partitions: 2 {outcome};")), "{what}: {}", rewritten.stdout);
        assert!(!rewritten.stderr.contains("stale partition"), "{what}: {}", rewritten.stderr);
        let found = lake.rollcall("query", &[&sql, "--format", "json"]).expect(0);
        let ours: Vec<Value> = YEARS
            .iter()
            .zip(values(&found).as_array().unwrap())
            .map(|(year, value)| json!([year, 200, value.as_f64().unwrap()]))
            .collect();
        for (engine, found) in other_engines(&lake, column) {
            assert_eq!(found, json!(ours), "{what}, {engine}");
        }
        assert!(run(&new, &["--mode", "stale"]).expect(0).stdout.contains("nothing to fetch"), "{what}");
    }
}
