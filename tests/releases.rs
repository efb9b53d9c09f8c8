//! Releases of the portal: a run that fetches only what can have changed, what it tells about changes, and the lake as it
//! was under each release.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::{Outcome, TestLake, TestPortal, python, write_page};
use serde_json::{Value, json};

const TABLE: &str = "us_education_ccd_enrollment_data";
const GRADES: [&str; 4] = ["grade-pk", "grade-k", "grade-1", "grade-2"];
const YEARS: std::ops::RangeInclusive<i32> = 2010..=2019;

/// The list of releases with this one as the newest.
fn changes(release: &str) -> String {
    let old = json!({"version": "0.9.0", "release_date": "9/24/2019"});
    let rows = json!([{"version": release, "release_date": "8/1/2026"}, old]);
    json!({"count": 2, "next": null, "previous": null, "results": rows}).to_string()
}

/// A small portal with two axes, whose rows are files.
struct Source {
    folder: tempfile::TempDir,
    portal: TestPortal,
    /// Enrollment by school, by partition.
    rows: BTreeMap<(i32, &'static str), BTreeMap<i64, i64>>,
}

impl Source {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let portal = TestPortal::recorded(folder.path());
        let schools = |year: i32| (1..=5).map(|school| (school, i64::from(year) + school)).collect();
        let rows = YEARS.flat_map(|year| GRADES.map(|grade| ((year, grade), schools(year)))).collect();
        Self { folder, portal, rows }
    }

    /// Serves the rows under this release.
    fn release(&self, release: &str) {
        write_page(self.folder.path(), "api-changes", 1, changes(release).as_bytes());
        for ((year, grade), rows) in &self.rows {
            let code = if *grade == "grade-pk" { -1 } else { grade["grade-".len()..].parse().unwrap_or(0) };
            let rows: Vec<Value> = rows
                .iter()
                .map(|(school, enrollment)| {
                    json!({
                        "year": year, "grade": code, "ncessch": format!("01000020{school:04}"),
                        "ncessch_num": 1_000_020_000_i64 + school, "race": 99, "sex": 99, "enrollment": enrollment,
                        "fips": 1, "leaid": "100002",
                    })
                })
                .collect();
            let body = json!({"count": rows.len(), "next": null, "previous": null, "results": rows}).to_string();
            write_page(self.folder.path(), &format!("schools/ccd/enrollment/{year}/{grade}"), 1, body.as_bytes());
        }
    }

    fn revise(&mut self, year: i32, grade: &'static str, school: i64, enrollment: Option<i64>) {
        let rows = self.rows.get_mut(&(year, grade)).unwrap();
        match enrollment {
            Some(enrollment) => drop(rows.insert(school, enrollment)),
            None => drop(rows.remove(&school)),
        }
    }
}

const RUN: [&str; 6] = ["--years", "2010-2019", "--grades", "grade-pk,grade-k,grade-1,grade-2", "--mode", "stale"];

/// Returns every row of the lake, at a moment.
fn rows(lake: &TestLake, as_of: Option<&str>) -> Value {
    let sql = "select * from ccd_school.us_education_ccd_enrollment_data order by year, grade, ncessch";
    let as_of: Vec<&str> = as_of.into_iter().flat_map(|as_of| ["--as-of", as_of]).collect();
    lake.rollcall("query", &[&[sql, "--format", "json"], as_of.as_slice()].concat()).expect(0).json()
}

/// Returns year, grade, school and enrollment of every row under a release, as DuckDB reads the tables of the past.
fn rows_by_duckdb(lake: &Path, release: &str) -> Value {
    let script = "
import json, sys, duckdb
lake, table, release = sys.argv[1:]
e = f\"(select * from read_parquet('{lake}/data/{table}_editions/*.parquet') where contains(releases, ',{release},'))\"
t = f\"read_parquet('{lake}/data/{table}/**/*.parquet', hive_partitioning=true)\"
h = f\"read_parquet('{lake}/history/{table}/**/*.parquet', hive_partitioning=true)\"
columns = 'a.year, a.grade, a.ncessch, a.enrollment'
rows = duckdb.sql(f'''
select {columns} from {t} a join {e} e on a.year = e.year and a.grade = e.grade where e.valid_until is null
union all
select {columns} from {h} a join {e} e on a.year = e.year and a.grade = e.grade and a.edition = e.edition
where e.valid_until is not null
order by 1, 2, 3''').fetchall()
print(json.dumps(rows))
";
    let output = Command::new(python()).args(["-c", script]).arg(lake).args([TABLE, release]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn cells(rows: &Value) -> Value {
    let cells = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["year"], row["grade"], row["ncessch"], row["enrollment"]]));
    cells.collect()
}

/// Five releases over 40 partitions. One partition gets its first rows back, one loses its rows and regains them, and one
/// is not refreshed under some releases.
#[test]
fn the_lake_as_of_a_release_is_what_it_was_at_the_end_of_its_last_run() {
    let (mut source, lake) = (Source::new(), TestLake::new());
    let run = |source: &Source, args: &[&str]| -> Outcome { lake.run(&source.portal, args) };
    let releases = ["0.24.0", "0.25.0", "0.26.0", "0.26.1", "0.27.0"];
    let mut was = BTreeMap::new();
    for (i, release) in releases.into_iter().enumerate() {
        let n = i64::try_from(i).unwrap();
        // A, B, A, B, A.
        source.revise(2010, "grade-pk", 1, Some(2011 + n % 2));
        source.revise(2011 + i as i32, "grade-k", 2, Some(7 * n));
        source.revise(2012, "grade-1", 5, (i != 2).then_some(99));
        source.revise(2012, "grade-1", 6, (i > 2).then_some(1));
        source.release(release);
        let args = match i {
            // The year 2019 is left out.
            2 => [&RUN[..1], &["2010-2018"], &RUN[2..]].concat(),
            _ => RUN.to_vec(),
        };
        let _ = run(&source, &args).expect(0);
        was.insert(release, rows(&lake, None));
        // A second run under the release has nothing to do.
        assert!(run(&source, &args).expect(0).stdout.contains("nothing to fetch"), "{release}");
    }
    assert_ne!(was["0.24.0"], was["0.25.0"]);
    let check = |what: &str| {
        for (release, was) in &was {
            assert!(rows(&lake, Some(release)) == *was, "{what}: {release}");
            assert_eq!(rows_by_duckdb(lake.path(), release), cells(was), "{what}: {release}");
        }
    };
    check("first");
    // Everything needed is in the history.
    fs::remove_dir_all(lake.path().join("ledger")).unwrap();
    fs::remove_dir_all(lake.path().join("catalog")).unwrap();
    fs::remove_dir_all(lake.path().join(format!("data/{TABLE}_editions"))).unwrap();
    let _ = lake.rollcall("repair", &[]).expect(0);
    check("after a repair");

    // Partitions that were not refreshed under the release are named.
    let found = lake.rollcall("status", &["--as-of", "0.26.0"]).expect(0);
    assert!(
        found.stderr.starts_with(
            "warning: 4 partitions of `us_education_ccd_enrollment_data` were not refreshed under release 0.26.0, and may \
             have differed from the portal's at that release: `year=2019/grade=grade-1`"
        ),
        "{}",
        found.stderr
    );
    assert!(found.stdout.contains("40 partitions, 199 rows\n"), "{}", found.stdout);
    // The view of all editions has every row with the time for which it was there.
    let sql = "select count(*) as n from ccd_school.ccd_enrollment_as_of where releases like '%,0.26.0,%'";
    assert_eq!(lake.rollcall("query", &[sql, "--format", "json"]).expect(0).json(), json!([{"n": 199}]));
    let kept = lake.files(&format!("history/{TABLE}/year=2010/grade=grade-pk"));
    assert_eq!(kept.len(), 3, "two editions, however often they return, and their list: {:?}", kept.keys());

    let unknown =
        lake.rollcall("query", &["select 1 from ccd_school.us_education_ccd_enrollment_data", "--as-of", "0.1"]);
    assert_eq!(
        unknown.expect(2).stderr,
        "error: InvalidRequest: check request: as of: expected a date such as 2026-05-01, or a release under which \
         `us_education_ccd_enrollment_data` was refreshed (0.24.0, 0.25.0, 0.26.0, 0.26.1, 0.27.0), found `0.1`\n"
    );
    let before = lake.rollcall(
        "query",
        &[
            "select count(*) as n from ccd_school.us_education_ccd_enrollment_data",
            "--as-of",
            "2020-01-01",
            "--format",
            "json",
        ],
    );
    assert_eq!(before.expect(0).json(), json!([{"n": 0}]));
    // A kept file that is gone is an error: it never means that there were no rows.
    let gone: Vec<_> = kept.keys().filter(|key| key.ends_with(".parquet")).map(|key| lake.path().join(key)).collect();
    gone.iter().for_each(|path| fs::rename(path, path.with_extension("gone")).unwrap());
    let count = |table: &str| format!("select count(*) as n from ccd_school.{table}");
    for (args, code) in [
        (vec!["query", &count(&format!("{TABLE}_history"))], 1),
        (vec!["query", &count(TABLE), "--as-of", "0.24.0"], 1),
        (vec!["diff", "0.24.0", "0.25.0"], 2),
    ] {
        let stderr = lake.rollcall(args[0], &args[1..]).expect(code).stderr;
        assert!(
            stderr.contains("expected the kept edition") && stderr.contains("restore it from a backup"),
            "{stderr}"
        );
    }
    gone.iter().for_each(|path| fs::rename(path.with_extension("gone"), path).unwrap());
    // After old editions are pruned, asking for their time is an error, and the rest is right.
    let dry = lake.rollcall("prune", &["--keep-history-days", "0", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("ccd_enrollment: 7 editions would be deleted\n"), "{dry}");
    assert_eq!(rows(&lake, Some("0.24.0")), was["0.24.0"]);
    let pruned = lake.rollcall("prune", &["--keep-history-days", "0"]).expect(0).stdout;
    assert!(pruned.contains("ccd_enrollment: 7 editions deleted\n"), "{pruned}");
    let expired = lake.rollcall("status", &["--as-of", "0.26.1"]).expect(2).stderr;
    assert!(expired.contains("as of: expected a time since 20") && expired.contains("were pruned"), "{expired}");
    assert_eq!(rows(&lake, None), was["0.27.0"]);
    // A copy of an edition that is valid again stays.
    assert_eq!(lake.files("history").keys().filter(|key| key.ends_with(".parquet")).count(), 1);
    let sql = "select count(*) as n from ccd_school.ccd_enrollment_as_of";
    assert_eq!(lake.rollcall("query", &[sql, "--format", "json"]).expect(0).json(), json!([{"n": 201}]));
}

#[test]
fn a_stale_run_costs_three_requests_and_a_release_that_revises_seven_partitions_writes_seven() {
    let portal = TestPortal::start(Config { rows_per_partition: Some(5), ..Config::default() });
    let lake = TestLake::new();
    let run = |args: &[&str]| -> Outcome {
        lake.run(&portal, &[&["--years", "all", "--grades", "all", "--mode", "stale"], args].concat())
    };
    let first = run(&[]).expect(0);
    assert!(first.stdout.contains("663 partitions: 663 written;"), "{}", first.stdout);
    assert!(first.stdout.contains("\nfirst load of 663 partitions\n"), "{}", first.stdout);
    let cheap = || {
        let (data, n_before) = (lake.files("data"), portal.server.requests().len());
        let found = run(&[]).expect(0);
        assert!(found.stdout.contains("0 partitions: nothing to fetch"), "{}", found.stdout);
        let requests = portal.server.requests();
        let paths: Vec<&str> = requests[n_before..].iter().map(|request| request.path.as_str()).collect();
        assert!(paths.len() <= 3 && paths.iter().all(|path| path.contains("/api-")), "{paths:?}");
        assert_eq!(lake.files("data"), data);
    };
    cheap();

    // The next release revises seven partitions: a value, a code and a school in each.
    let mut faults = vec![Fault::new(Action::Body { text: changes("0.27.0") }).on_path("/api-changes/")];
    for year in 2001..=2007 {
        let path = format!("enrollment/{year}/grade-3/");
        let set = |row, field: &str, json: &str| {
            let action = Action::SetField { row: Some(row), field: field.to_owned(), json: json.to_owned() };
            Fault::new(action).on_path(&path)
        };
        faults.extend([set(0, "enrollment", "123456"), set(1, "enrollment", "-1"), set(2, "enrollment", "null")]);
    }
    portal.server.set_faults(faults);
    let planned =
        lake.rollcall("plan", &["--portal", &portal.origin(), "--mode", "stale", "--format", "json"]).expect(0).json();
    let reasons: Vec<&Value> = planned["partitions"].as_array().unwrap().iter().map(|item| &item["reason"]).collect();
    assert_eq!((reasons.len(), reasons[0]), (663, &json!("older_release")));
    let revised = run(&["--format", "json"]).expect(0).json();
    assert_eq!(revised["outcomes"]["written"], 7);
    assert_eq!(revised["outcomes"]["unchanged"], 656);
    assert_eq!((&revised["n_changed"], &revised["change"]["rows"]), (&json!(7), &json!({"revised": 21})));
    let columns = json!({"enrollment": {"revised": 7, "blanked": 14}});
    assert_eq!(revised["change"]["columns"], columns);
    let run_name = revised["run"].as_str().unwrap();
    let told = lake.rollcall("status", &["--run", run_name]).expect(0).stdout;
    assert!(told.contains("\nyear=2001/grade=grade-3: 3 schools revised\n"), "{told}");
    assert!(told.contains("\nchanged in 7 partitions: 21 schools revised\n"), "{told}");
    assert!(told.contains("\nenrollment        1        0       0        2\n"), "{told}");
    cheap();

    // A release that cannot be read makes every partition stale.
    portal.server.set_faults(vec![Fault::new(Action::Html).on_path("/api-changes/")]);
    let planned =
        lake.rollcall("plan", &["--portal", &portal.origin(), "--mode", "stale", "--format", "json"]).expect(0);
    assert_eq!(planned.json()["partitions"][0]["reason"], "unknown_release");
    let warning = "warning: the portal's latest release could not be read, so every partition of `ccd_enrollment` counts as stale\n";
    assert!(planned.stderr.contains(warning), "{}", planned.stderr);
}

#[test]
fn a_diff_lists_what_changed_between_two_releases_dates_or_lakes() {
    let (mut source, lake, other) = (Source::new(), TestLake::new(), TestLake::new());
    source.release("0.25.0");
    let _ = lake.run(&source.portal, &RUN).expect(0);
    let _ = other.run(&source.portal, &RUN).expect(0);
    source.revise(2015, "grade-1", 3, Some(-1));
    source.revise(2015, "grade-1", 4, None);
    source.revise(2016, "grade-k", 7, Some(70));
    source.release("0.26.1");
    let _ = lake.run(&source.portal, &RUN).expect(0);

    assert_eq!(lake.rollcall("diff", &["0.26.1"]).expect(0).stdout, "ccd_enrollment: no differences\n");
    let expected = "\
partition                before  after  change
year=2015/grade=grade-1       5      4  1 school revised, 1 removed
year=2016/grade=grade-k       5      6  1 school added
2 partitions: 1 school revised, 1 added, 1 removed

column      revised  recoded  filled  blanked
enrollment        0        0       0        1
";
    let other_lake = other.path().to_str().unwrap();
    let before_the_second_run = rows(&lake, Some("0.25.0"));
    assert_eq!(before_the_second_run, rows(&other, None));
    assert_eq!(lake.rollcall("diff", &["0.25.0"]).expect(1).stdout, expected);
    assert_eq!(lake.rollcall("diff", &["0.25.0", "0.26.1"]).expect(1).stdout, expected);
    // The other way round, against the lake that has not seen the second release.
    let json = lake.rollcall("diff", &["--other", other_lake, "--format", "json"]).expect(1).json();
    assert_eq!(json["change"]["rows"], json!({"added": 1, "removed": 1, "revised": 1}));
    assert_eq!(json["change"]["columns"], json!({"enrollment": {"filled": 1}}));
    assert_eq!(
        lake.rollcall("diff", &["--other", other_lake, "0.25.0"]).expect(0).stdout,
        "ccd_enrollment: no differences\n"
    );

    let file = lake.path().with_extension("csv");
    let _ = lake.rollcall("diff", &["0.25.0", "--rows", file.to_str().unwrap()]).expect(1);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "year,grade,key,row,column,class,before,after\n\
         2015,grade-1,ncessch 010000200003,revised,enrollment,blanked,2018,-1\n\
         2015,grade-1,ncessch 010000200004,removed,,,,\n\
         2016,grade-k,ncessch 010000200007,added,,,,\n"
    );
    for (name, script) in [
        ("json", "import json, sys; print(len(json.load(open(sys.argv[1]))))"),
        ("parquet", "import sys, pyarrow.parquet; print(pyarrow.parquet.read_table(sys.argv[1]).num_rows)"),
    ] {
        let file = lake.path().with_extension(name);
        let _ = lake.rollcall("diff", &["0.25.0", "--rows", file.to_str().unwrap()]).expect(1);
        let read = Command::new(python()).args(["-c", script]).arg(&file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout), "3\n", "{name}: {}", String::from_utf8_lossy(&read.stderr));
        fs::remove_file(&file).unwrap();
    }
    fs::remove_file(&file).unwrap();
    for (args, expected) in [
        (&["0.1"][..], "as of: expected a date such as 2026-05-01, or a release under which"),
        (
            &["0.25.0", "--rows", "x.txt"],
            "invalid value 'x.txt' for '--rows <FILE>': expected a file that ends in .csv, .json or .parquet",
        ),
        (&["2020-01-01", "2021-01-01"], "compare `ccd_enrollment`: expected partitions at either moment, found none"),
    ] {
        let found = lake.rollcall("diff", args).expect(2);
        assert!(found.stderr.contains(expected), "{}", found.stderr);
    }
}

#[test]
fn a_citation_names_the_release_and_the_day_of_the_last_run() {
    let (source, lake) = (Source::new(), TestLake::new());
    source.release("0.26.1");
    let _ = lake.run(&source.portal, &[&RUN[..], &["--refresh-after", "30"]].concat()).expect(0);
    let cite = |args: &[&str]| lake.rollcall("cite", args).expect(0);
    let text = cite(&[]).stdout;
    assert!(
        text.starts_with(
            "CCD enrollment by school and grade, Education Data Portal (Version 0.26.1), Urban Institute, accessed "
        ) && text.ends_with(
            ", https://educationdata.urban.org/documentation/, made available under the ODC Attribution License \
                 (ODC-By 1.0).\n"
        ),
        "{text}"
    );
    assert_eq!(cite(&["--query", "top_ten_pk_states"]).stdout, text);
    assert_eq!(cite(&["--as-of", "0.26.1"]).stdout, text);
    let bibtex = cite(&["--format", "bibtex"]).stdout;
    assert!(
        bibtex.starts_with("@misc{ccd_enrollment,\n  title = {{CCD enrollment by school and grade}},\n"),
        "{bibtex}"
    );
    assert!(bibtex.contains("  note = {{version 0.26.1, ODC Attribution License (ODC-By 1.0)}}\n}\n"), "{bibtex}");
    let csl = cite(&["--format", "csl-json"]).json();
    assert_eq!((&csl[0]["version"], &csl[0]["type"]), (&json!("0.26.1"), &json!("dataset")));
    assert_eq!(csl[0]["accessed"]["date-parts"][0].as_array().unwrap().len(), 3);
    let found = lake.rollcall("cite", &["--dataset", "ccd_directory"]).expect(2);
    assert_eq!(found.stderr, "error: cite `ccd_directory`: expected data in the lake, found none\n");
    let found = lake.rollcall("cite", &["--query", "select 1 from nothing"]).expect(2);
    assert!(
        found.stderr.starts_with("error: cite query: expected the table of a built-in dataset"),
        "{}",
        found.stderr
    );
}

/// Replaces the enrollment of some rows in a file, as a bug would.
fn tamper(lake: &TestLake, partition: &str, script: &str) {
    let path = lake.path().join(format!("data/{TABLE}/{partition}/part-00000.parquet"));
    let program = format!(
        "import sys, pyarrow as pa, pyarrow.parquet as pq\nt = pq.read_table(sys.argv[1], partitioning=None)\nmeta = t.schema.metadata\n\
         rows = t.to_pylist()\n{script}\n\
         pq.write_table(pa.Table.from_pylist(rows, schema=t.schema), sys.argv[1])"
    );
    let output = Command::new(python()).args(["-c", &program]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A lost row, a doubled school, a wrong total of the grades and a wrong state, in a lake with every year and grade.
#[test]
fn verify_finds_planted_mistakes_and_nothing_in_a_right_lake() {
    let portal = TestPortal::start(Config { n_schools: 60, ..Config::default() });
    let lake = TestLake::new();
    let run = |args: &[&str]| lake.run(&portal, &[&["--years", "all"], args].concat()).expect(0);
    let _ = run(&["--grades", "all"]);
    let _ = run(&["--grades", "grade-99"]);
    let _ =
        lake.run(&portal, &["--dataset", "ccd_enrollment_race_sex", "--years", "2021", "--grades", "all"]).expect(0);
    let _ = lake
        .run(&portal, &["--dataset", "ccd_districts_enrollment", "--years", "2019-2021", "--grades", "all"])
        .expect(0);
    let origin = portal.origin();
    let verify = |code: i32, args: &[&str]| {
        lake.rollcall("verify", &[&["--portal", &origin], args].concat()).expect(code).stdout
    };
    let n_before = portal.n_data_requests();
    let right = verify(0, &[]);
    assert!(right.contains("rows against the portal's count: 624 equal\n"), "{right}");
    assert!(right.ends_with("ccd_enrollment: no differences\n"), "{right}");
    assert!(
        right.contains("known gap of the source: California reports no pre-kindergarten: grade-pk of 1986-"),
        "{right}"
    );
    for check in [
        "race 99 and sex 99 against the plain table: ",
        "grade-99 against the sum of the grades: ",
        "districts against the sum of their schools: ",
        "states against the portal's summaries: ",
    ] {
        let line = right.lines().find(|line| line.starts_with(check)).unwrap();
        assert!(line.ends_with(" equal"), "{line}");
    }
    // One request for each partition, and one for each year.
    assert!(portal.n_data_requests() - n_before <= 624 + 39, "{}", portal.n_data_requests() - n_before);
    assert!(verify(0, &["--offline"]).ends_with("ccd_enrollment: no differences\n"));

    tamper(&lake, "year=2021/grade=grade-3", "del rows[4]");
    tamper(&lake, "year=2020/grade=grade-k", "rows.append(dict(next(r for r in rows if (r['enrollment'] or 0) > 0)))");
    tamper(
        &lake,
        "year=2018/grade=grade-99",
        "n = [i for i, r in enumerate(rows) if (r['enrollment'] or 0) > 0][3]\nrows[n]['enrollment'] += 5",
    );
    tamper(
        &lake,
        "year=2005/grade=grade-5",
        "n = [i for i, r in enumerate(rows) if (r['enrollment'] or 0) > 0][0]\nrows[n]['fips'] = 99",
    );
    let found = verify(6, &[]);
    for expected in [
        "  year=2021/grade=grade-3: expected ",
        "  year=2020/grade=grade-k: expected ",
        "  year=2020/grade=grade-k, leaid ",
        "  year=2018, ncessch ",
        "  year=2005, fips 99: expected 0, found ",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let offline = verify(6, &["--offline", "--format", "json"]);
    let offline: Value = serde_json::from_str(&offline).unwrap();
    assert!(
        offline["checks"].as_array().unwrap().iter().all(|check| check["name"] != "rows against the portal's count")
    );
}
