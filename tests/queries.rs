//! Every shipped query, and the original ranking query, through `rollcall query` over the catalog.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::FolderStore;
use rollcall_core::dataset::Dataset;
use rollcall_core::ports::Catalog;
use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::{
    Outcome, SEED_RANKING, TestLake, TestPortal, binary, published_top_ten, python, rollcall, workspace,
};
use serde_json::{Value, json};

const TABLE: &str = "data/us_education_ccd_enrollment_data";

/// The columns of every shipped query, in order, as its header documents them.
const COLUMNS: [(&str, &str); 11] = [
    (
        "charter_share_by_state",
        "year,state,schools,charter_schools,students,charter_students,students_status_unknown,charter_share_pct,grades",
    ),
    (
        "codes_by_state",
        "year,state,school_grades,reported,missing,not_applicable,suppressed,other_negative,not_given,reported_pct",
    ),
    ("cohort_progression", "state,year,from_grade,to_grade,students,students_next_year,progression_pct"),
    ("enrollment_by_year_and_grade", "year,grade,schools,students,schools_not_reported"),
    ("grades_against_total", "year,state,grades,students_of_grades,students_of_total,difference,difference_pct"),
    ("largest_districts", "year,rnk,leaid,state,schools,students,grades"),
    ("race_composition_by_state", "year,state,race,students,share_pct,grades"),
    ("rescued_values", "year,grade,rescued_rows,ncessch,state,rescued"),
    ("school_openings_and_closings", "year,previous_year,state,schools_before,schools_after,opened,closed,not_known"),
    ("state_change_by_year", "state,grade,year,students,previous_year,previous_students,change,change_pct"),
    ("top_ten_pk_states", "rnk,state,total_enrollments"),
];

/// Returns a portal with few schools. The published totals do not depend on their number.
fn portal(faults: Vec<Fault>) -> TestPortal {
    TestPortal::start(Config { n_schools: 1_500, faults, ..Config::default() })
}

/// Returns the lake that the tests share for reading. The first test fills it, and the last one removes it.
fn lake() -> Arc<TestLake> {
    static SHARED: Mutex<Weak<TestLake>> = Mutex::new(Weak::new());
    // A test that failed while it was filling the lake poisons the lock and leaves no lake.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lake) = shared.upgrade() {
        return lake;
    }
    let lake = Arc::new(TestLake::new());
    let portal = portal(Vec::new());
    for args in [
        ["--years", "2020,2021", "--grades", "grade-pk,grade-k,grade-1,grade-99"].as_slice(),
        &["--dataset", "ccd_enrollment_race_sex", "--years", "2021", "--grades", "grade-pk,grade-k,grade-1"],
        &["--dataset", "ccd_directory", "--years", "2021"],
    ] {
        let _ = lake.run(&portal, args).expect(0);
    }
    *shared = Arc::downgrade(&lake);
    lake
}

/// Returns a copy of the shared lake that may be changed.
fn own_lake() -> TestLake {
    let (shared, own) = (lake(), TestLake::marked());
    for (path, (bytes, _)) in shared.files("data").into_iter().chain(shared.files("catalog")) {
        let path = own.path().join(path);
        fs::create_dir_all(path.parent().expect("an object has a folder")).expect("a folder can be created");
        fs::write(path, bytes).expect("a file can be written");
    }
    own
}

fn query(lake: &TestLake, query: &str, format: &str) -> String {
    lake.rollcall("query", &[query, "--format", format]).expect(0).stdout
}

fn rows(lake: &TestLake, sql: &str) -> Value {
    serde_json::from_str(&query(lake, sql, "json")).expect("rows are JSON")
}

/// Returns the result of every shipped query.
fn every_result(lake: &TestLake) -> BTreeMap<&'static str, String> {
    COLUMNS.iter().map(|(name, _)| (*name, query(lake, name, "csv"))).collect()
}

fn source(name: &str) -> String {
    fs::read_to_string(workspace().join("queries").join(format!("{name}.sql"))).expect("a shipped query is a file")
}

#[test]
fn every_shipped_query_returns_the_columns_listed_here() {
    let mut shipped: Vec<String> = fs::read_dir(workspace().join("queries"))
        .expect("the query folder exists")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned())
        .collect();
    shipped.sort();
    assert_eq!(shipped, COLUMNS.map(|(name, _)| name));

    let lake = lake();
    for (name, columns) in COLUMNS {
        let csv = query(&lake, name, "csv");
        assert_eq!(csv.lines().next(), Some(columns), "{name}");
        let json = rows(&lake, name);
        let rows = json.as_array().expect("rows are an array");
        assert_eq!(csv.lines().count() - 1, rows.len(), "{name}");
        // Nothing had to be rescued in an intact lake.
        assert_eq!(rows.is_empty(), name == "rescued_values", "{name}");
        for row in rows {
            let row = row.as_object().expect("a row is an object");
            assert!(row.keys().all(|key| columns.split(',').any(|column| column == key)), "{name}: {row:?}");
        }
    }
}

#[test]
fn every_shipped_query_opens_with_its_question_and_names_its_columns_in_order() {
    for (name, columns) in COLUMNS {
        let source = source(name);
        assert!(source.starts_with("-- Question: "), "{name}");
        let result = source.split_once("\n-- Result:").expect("a query states its question").1;
        let (result, _) = result.split_once("\n-- Leaves out:").expect("a query states its scope");
        let mut words = result.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for column in columns.split(',') {
            assert!(words.any(|word| word == column), "{name}: `{column}` is not documented where it comes");
        }
        assert!(source.contains("\n-- Needs:"), "{name}");
    }
}

#[test]
fn the_top_ten_of_pre_kindergarten_match_the_published_ones_whatever_else_is_loaded() {
    assert_eq!(rows(&lake(), "top_ten_pk_states"), published_top_ten("state"));
}

#[test]
fn the_original_ranking_matches_the_published_one_when_only_pre_kindergarten_is_loaded() {
    let lake = TestLake::new();
    let _ = lake.run(&portal(Vec::new()), &["--years", "2020,2021", "--grades", "grade-pk"]).expect(0);

    assert_eq!(rows(&lake, SEED_RANKING), published_top_ten("state_name"));
}

#[test]
fn the_original_ranking_includes_other_grades_and_a_filter_on_the_grade_fixes_it() {
    let lake = lake();
    let filtered = SEED_RANKING.replace("where year = 2021\n", "where year = 2021 and grade = 'grade-pk'\n");
    assert_ne!(filtered, SEED_RANKING);

    let wrong = rows(&lake, SEED_RANKING);

    assert_ne!(wrong, published_top_ten("state_name"));
    let most = wrong[0]["total_enrollments"].as_u64().expect("a total is a number");
    assert!(most > 2 * 245_135, "grade-99 counts every student a second time, found {most}");
    assert_eq!(rows(&lake, &filtered), published_top_ten("state_name"));
}

#[test]
fn files_that_the_catalog_does_not_name_change_no_result() {
    let lake = own_lake();
    let before = every_result(&lake);
    let object = lake.path().join(TABLE).join("year=2021/grade=grade-pk/part-00000.parquet");

    let stray = lake.path().join(TABLE).join("year=1999/grade=grade-pk");
    fs::create_dir_all(&stray).expect("a folder can be created");
    fs::copy(&object, stray.join("part-00000.parquet")).expect("a file can be copied");
    fs::copy(&object, object.with_file_name("part-00001.parquet")).expect("a file can be copied");
    fs::write(object.with_file_name("_SUCCESS"), "").expect("a file can be written");

    assert_eq!(every_result(&lake), before);
    let years = "select distinct year from ccd_school.us_education_ccd_enrollment_data order by year";
    assert_eq!(query(&lake, years, "csv"), "year\n2020\n2021\n");
}

#[test]
fn a_partition_removed_from_the_catalog_is_in_no_result_although_its_file_exists() {
    let lake = own_lake();
    let dataset = Dataset::built_in("ccd_enrollment").expect("the dataset is built in");
    let partition = dataset.parse_partition("year=2021/grade=grade-pk").expect("the text is a partition");
    let catalog = FileCatalog::new(FolderStore::new(lake.path()));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
    runtime
        .block_on(catalog.change_partitions(&dataset.table_spec(), &[], &[partition]))
        .expect("the catalog can be changed");

    assert_eq!(rows(&lake, "top_ten_pk_states"), json!([]));
    let grades = "select distinct grade from ccd_school.us_education_ccd_enrollment_data where year = 2021 order by 1";
    assert_eq!(query(&lake, grades, "csv"), "grade\ngrade-1\ngrade-99\ngrade-k\n");
    assert!(lake.path().join(TABLE).join("year=2021/grade=grade-pk/part-00000.parquet").exists());
}

#[test]
fn an_undeclared_field_is_found_by_the_query_for_rescued_values() {
    let lake = TestLake::new();
    let field = Action::AddField { name: "teachers".to_owned(), json: "7.5".to_owned() };
    let portal = portal(vec![Fault::new(field).on_path("2021/grade-12/")]);
    let args = ["--years", "2020,2021", "--grades", "grade-12", "--format", "json"];
    let report = lake.run(&portal, &args).expect(0).json();
    let n_rows = &report["partitions"][0]["n_rows"];
    assert_eq!(report["partitions"][0]["partition"], json!({"year": 2021, "grade": "grade-12"}));

    let rescued = rows(&lake, "rescued_values");

    let rescued = rescued.as_array().expect("rows are an array");
    assert_eq!(rescued.len(), 20, "20 rows are enough to show this");
    for row in rescued {
        assert_eq!((&row["year"], &row["grade"]), (&json!(2021), &json!("grade-12")));
        assert_eq!((&row["rescued_rows"], &row["rescued"]), (n_rows, &json!(r#"{"teachers":7.5}"#)));
    }
}

#[test]
fn the_parts_of_a_year_are_counted_once_and_separately_from_their_total() {
    let lake = lake();
    let table = "ccd_school.us_education_ccd_enrollment_data";
    let students = |filter: &str| {
        let sql = format!("select sum(enrollment) as students from {table} where enrollment >= 0 and {filter}");
        rows(&lake, &sql)[0]["students"].clone()
    };

    let answer = rows(&lake, "enrollment_by_year_and_grade");

    let found: Vec<_> = answer
        .as_array()
        .expect("rows are an array")
        .iter()
        .map(|row| (row["year"].clone(), row["grade"].clone(), row["students"].clone()))
        .collect();
    let mut expected = Vec::new();
    for year in [2020, 2021] {
        for (label, grade) in
            [("Pre-K", "grade-pk"), ("Kindergarten", "grade-k"), ("Grade 1", "grade-1"), ("Total", "grade-99")]
        {
            expected.push((json!(year), json!(label), students(&format!("year = {year} and grade = '{grade}'"))));
        }
    }
    assert_eq!(found, expected);
}

/// The tables of a fresh lake can be listed the way a person would look for them.
#[test]
fn the_tables_of_the_lake_can_be_listed_in_sql() {
    let tables = "select table_schema, table_name from information_schema.tables \
                  where table_schema = 'ccd_school' order by table_name";
    let expected = "table_schema,table_name\n\
                    ccd_school,ccd_directory_labeled\n\
                    ccd_school,ccd_enrollment_labeled\n\
                    ccd_school,ccd_enrollment_race_sex_labeled\n\
                    ccd_school,lookup_codes\n\
                    ccd_school,lookup_grades\n\
                    ccd_school,lookup_races\n\
                    ccd_school,lookup_sexes\n\
                    ccd_school,lookup_states\n\
                    ccd_school,us_education_ccd_directory_data\n\
                    ccd_school,us_education_ccd_enrollment_data\n\
                    ccd_school,us_education_ccd_enrollment_race_sex_data\n";
    assert_eq!(query(&lake(), tables, "csv"), expected);
}

#[test]
fn a_query_says_which_partitions_it_lacks() {
    let lake = lake();
    let table = "us_education_ccd_enrollment_data";
    for (condition, expected) in [
        ("year = 2035", "year = 2035; the lake has year 2020-2021"),
        (
            "year in (2035, 2036) and grade = 'grade-k' and enrollment > 3",
            "(year = 2035 OR year = 2036) AND grade = 'grade-k'; the lake has year 2020-2021 and grade grade-pk, \
             grade-k, grade-1, grade-99",
        ),
    ] {
        for from in [table, "ccd_enrollment_labeled"] {
            let sql = format!("select count(*) as n from {from} where {condition}");
            let found = lake.rollcall("query", &[&sql, "--format", "csv"]).expect(0);
            assert_eq!(found.stdout, "n\n0\n", "{sql}");
            assert_eq!(found.stderr, format!("note: no partition of `{table}` matches {expected}\n"), "{sql}");
            assert_eq!(lake.rollcall("query", &[&sql, "--quiet"]).expect(0).stderr, "");
        }
    }
    // Nothing is lacking if there is a partition, whatever its rows are.
    let sql = format!("select * from {table} where year = 2021 and enrollment = 123456789");
    assert_eq!(lake.rollcall("query", &[&sql]).expect(0).stderr, "");
}

#[test]
fn a_shipped_query_says_what_to_fetch_and_that_is_enough() {
    let portal = portal(Vec::new());
    for (name, needs) in [
        ("charter_share_by_state", "grades other than grade-99, and ccd_directory for the same years"),
        ("cohort_progression", "at least two consecutive years with adjacent grades"),
        ("grades_against_total", "grade-99 and single grades of the same year"),
        ("school_openings_and_closings", "at least two years with a grade in common"),
        ("top_ten_pk_states", "year 2021, grade-pk"),
    ] {
        let lake = TestLake::new();
        // Each of these needs more than that.
        let _ = lake.run(&portal, &["--years", "2019", "--grades", "grade-13"]).expect(0);
        let _ = lake.run(&portal, &["--dataset", "ccd_directory", "--years", "2018"]).expect(0);
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let file = folder.path().join("rows.csv");
        for output in [&[][..], &["--output", file.to_str().expect("temporary folders have UTF-8 names")]] {
            let found = lake.rollcall("query", &[&[name], output].concat()).expect(0).stderr;
            let start =
                format!("note: `{name}` found no rows; it needs ccd_enrollment, {needs}\nhint: fetch it with `");
            assert!(found.contains(&start), "{name}: {found}");
        }
        let found = lake.rollcall("query", &[name]).expect(0).stderr;
        let (_, commands) = found.split_once("fetch it with ").expect("there is a hint");
        let commands = commands.trim().trim_matches('`').split("` and `");
        for command in commands {
            let _ = pasted(command, lake.path()).expect(0);
        }
        let found = lake.rollcall("query", &[name, "--format", "csv"]).expect(0);
        assert!(found.stdout.lines().count() > 1 && found.stderr.is_empty(), "{name}: {found:?}");
    }
}

/// Runs a command as if it was pasted into a shell.
fn pasted(command: &str, folder: &Path) -> Outcome {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("rollcall() {{ {} \"$@\"; }}; {command}", binary().display())]);
    shell.current_dir(folder).env_remove("ROLLCALL_LAKE").env_remove("ROLLCALL_LOG");
    Outcome::from_output(shell.output().expect("the system has `sh`"))
}

/// Returns the commands that a text offers: between backticks, or up to the end of the line.
fn offered(text: &str) -> Vec<String> {
    let mut offered = Vec::new();
    for line in text.lines() {
        let (mut before, mut parts) = (None, line.split('`'));
        while let Some(outside) = parts.next() {
            if let Some((_, command)) = outside.rsplit_once(": rollcall ") {
                offered.push(format!("rollcall {command}"));
            } else if before.is_none() && outside.starts_with("rollcall ") {
                offered.push(outside.to_owned());
            }
            before = parts.next().filter(|quoted| quoted.starts_with("rollcall "));
            offered.extend(before.map(str::to_owned));
        }
    }
    offered
}

#[test]
fn every_command_that_is_offered_works_as_it_is_pasted() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let portal = portal(Vec::new());
    let rollcall = |args: &[&str]| {
        let mut command = rollcall(args);
        Outcome::from_output(command.args(["--lake", "a lake"]).current_dir(&folder).output().expect("it starts"))
    };
    let source = ["--portal", &portal.origin()];
    let run = |args: &[&str]| rollcall(&[&["run"], args, &source].concat()).expect(0);
    let _ = run(&["--years", "2020,2021", "--grades", "grade-k,grade-1"]);
    let object = |partition: &str| folder.path().join("a lake").join(TABLE).join(partition).join("part-00000.parquet");
    let (missing, damaged) = (object("year=2020/grade=grade-1"), object("year=2020/grade=grade-k"));
    let other = fs::read(object("year=2021/grade=grade-k")).expect("an object can be read");
    let table = TABLE.trim_start_matches("data/");
    let all = format!("select sum(enrollment) from {table}");

    let mut commands = BTreeMap::new();
    let mut collect = |args: &[&str], code: i32, n_expected: usize| {
        let found = rollcall(args).expect(code);
        let offered = offered(&format!("{}{}", found.stdout, found.stderr));
        assert_eq!(offered.len(), n_expected, "{args:?} {found:?}");
        commands.extend(offered.into_iter().map(|command| (command, args.join(" "))));
    };
    fs::remove_file(&missing).expect("an object can be removed");
    collect(&["query", &all], 0, 2);
    collect(&["describe", table], 0, 1);
    collect(&["describe", "no_such_table"], 2, 1);
    for (sql, n_expected) in [
        ("select * from no_such_table", 0),
        ("select * from lookup_stats", 1),
        ("select * from ccd_directory", 1),
        ("race_composition_by_state", 1),
        ("top_ten_pk_state", 2),
        (&format!("select no_such_column from {table} t join lookup_states s on t.fips = s.code"), 1),
    ] {
        collect(&["query", sql], 2, n_expected);
    }
    collect(&["query", "top_ten_pk_states"], 0, 1);
    fs::write(&damaged, &other).expect("an object can be written");
    collect(&["query", &all], 1, 1 + 2);
    fs::write(&damaged, "PAR1 torn").expect("an object can be written");
    collect(&["query", &all], 1, 1 + 2);
    fs::write(folder.path().join("a lake/data/lookup_states/part-00000.parquet"), "").expect("a file can be written");
    collect(&["query", "select * from lookup_states"], 1, 1);
    fs::write(folder.path().join(format!("a lake/catalog/ccd_school/{table}.json")), "{")
        .expect("a file can be written");
    collect(&["query", "select 1"], 1, 1);

    for (command, by) in commands {
        let command = command.replace("describe TABLE", &format!("describe {table}"));
        let is_of_lake = !command.ends_with("query --list");
        assert_eq!(command.contains(" --lake 'a lake'"), is_of_lake, "{command} of {by}");
        assert_eq!(command.contains(&source.join(" ")), command.starts_with("rollcall run "), "{command} of {by}");
        let done = pasted(&command, folder.path());
        // Those that only read come before those that repair what they would read.
        assert_ne!(done.code, Some(2), "{command} of {by}: {done:?}");
    }
    for partition in [missing, damaged] {
        assert!(fs::read(partition).expect("the object is there again").len() > 100);
    }
    assert_eq!(rollcall(&["query", &all]).expect(0).stderr, "");
}

#[test]
fn the_past_is_not_offered_to_be_fetched() {
    let (lake, portal) = (TestLake::new(), portal(Vec::new()));
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    let past = |query: &str, code| lake.rollcall("query", &[query, "--as-of", "2020-01-01"]).expect(code).stderr;
    let found = past("top_ten_pk_states", 0);
    let start = "note: `us_education_ccd_enrollment_data` was empty at 2020-01-01T23:59:59.999999999Z; its first rows are \
                 from 20";
    assert!(found.starts_with(start), "{found}");
    assert!(found.contains("\nnote: `top_ten_pk_states` found no rows; it needs ccd_enrollment, "), "{found}");
    let missing = past("select * from ccd_directory_labeled", 2);
    assert!(!found.contains("rollcall run") && !missing.contains("rollcall run"), "{found}{missing}");
    // What a table was after that has no such note.
    let now = lake.rollcall("query", &["top_ten_pk_states", "--as-of", "2999-01-01"]).expect(0);
    assert_eq!(now.stderr, "");
}

#[test]
fn a_table_that_the_lake_lacks_comes_with_the_command_that_fetches_it() {
    let lake = TestLake::new();
    let portal = portal(Vec::new());
    let origin = portal.origin();
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    let hint = |query: &str| {
        let found = lake.rollcall("query", &[query]).expect(2).stderr;
        found.split_once("\nhint: ").map(|(_, hint)| hint.to_owned()).expect("there is a hint")
    };
    let fetch = |which: &str| {
        format!("fetch it with `rollcall run {which} --lake {} --portal {origin}`\n", lake.path().display())
    };
    let of_directory = "the table of dataset `ccd_directory` is `us_education_ccd_directory_data`";
    for (query, expected) in [
        ("charter_share_by_state", fetch("--years 2021 --dataset ccd_directory")),
        ("race_composition_by_state", fetch("--years latest --grades all --dataset ccd_enrollment_race_sex")),
        ("select * from ccd_directory_labeled", fetch("--years latest --dataset ccd_directory")),
        ("select * from ccd_directory", format!("{of_directory}; {}", fetch("--years latest --dataset ccd_directory"))),
        (
            "select * from ccd_enrollment",
            "the table of dataset `ccd_enrollment` is `us_education_ccd_enrollment_data`\n".to_owned(),
        ),
    ] {
        assert_eq!(hint(query), expected, "{query}");
    }
}

/// Found by use: B3.
#[test]
fn f9_a_query_of_one_year_opens_no_file_of_another() {
    let lake = own_lake();
    let table = "ccd_school.us_education_ccd_enrollment_data";
    let count = |condition: &str| {
        rows(&lake, &format!("select count(*) as n, sum(enrollment) as students from {table} t where {condition}"))
    };
    let expected = count("year = 2021");
    assert_ne!(expected, count("year = 2020"));

    // One file of the other year is truncated, one is missing, and one is a pipe without a writer.
    let file = |grade: &str| lake.path().join(TABLE).join(format!("year=2020/grade={grade}/part-00000.parquet"));
    fs::write(file("grade-pk"), "PAR1 torn").expect("a file can be written");
    fs::remove_dir_all(file("grade-k").parent().expect("an object has a folder")).expect("a folder can be removed");
    fs::remove_file(file("grade-1")).expect("a file can be removed");
    let made = std::process::Command::new("mkfifo").arg(file("grade-1")).status().expect("mkfifo runs");
    assert!(made.success());

    for condition in [
        "year = 2021",
        "2021 = year",
        "year in (2021, 2022)",
        "year between 2021 and 2030",
        "not (year = 2020)",
        "year % 2 = 1",
        "year > 2020.5",
        "cast(year as varchar) like '%21'",
        "year is not null and year <> 2020",
        "(year = 2021 and enrollment >= 0) or (year = 2021 and coalesce(enrollment, -1) < 0)",
        "case year when 2021 then true else false end",
    ] {
        assert_eq!(count(condition), expected, "{condition}");
    }
    // Conditions on the year inside a subquery, a join, a union and a group work too.
    for sql in [
        format!("select distinct year from {table} where year > 2020"),
        format!("select year from (select * from {table}) where year = 2021 group by year"),
        format!("select a.year from {table} a join {table} b using (year, grade) where a.year = 2021 group by a.year"),
        format!("select year from {table} where year = 2021 union select year from {table} where year = 2021"),
        format!("select year from {table} group by year having year = 2021"),
    ] {
        assert_eq!(rows(&lake, &sql), json!([{"year": 2021}]), "{sql}");
    }

    let refused = lake.rollcall("query", &[&format!("select count(*) as n from {table}")]).expect(1).stderr;
    assert!(refused.contains("year=2020/grade=grade-"), "{refused}");
}

/// Found by use: H8.
#[test]
fn f7_a_partition_of_an_older_descriptor_is_read_exactly_or_rejected_by_name() {
    let (lake, portal) = (TestLake::new(), portal(Vec::new()));
    let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).expect("a descriptor is a file");
    let (int, double) = ("name = \"enrollment\"\ntype = \"int\"", "name = \"enrollment\"\ntype = \"double\"");
    assert_eq!(text.matches(int).count(), 1);
    let folder = tempfile::tempdir().expect("a folder can be created");
    let file = folder.path().join("changed.toml");
    fs::write(&file, text.replace(int, double)).expect("a file can be written");
    let file = file.to_str().expect("a path is text");
    let of_double = ["--dataset", file, "--years", "2020", "--grades", "grade-pk"];
    let table = "ccd_school.us_education_ccd_enrollment_data";
    let students = format!("select year, sum(enrollment) as students from {table} group by year order by year");

    // A double would be truncated to the integer that the table now has.
    let _ = lake.run(&portal, &of_double).expect(0);
    let _ = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
    assert_eq!(
        lake.rollcall("query", &[&students])
            .expect(1)
            .stderr
            .replace(&*lake.path().to_string_lossy(), "LAKE")
            .replace(&portal.origin(), "PORTAL"),
        "error: run query: read column `enrollment` of `year=2020/grade=grade-pk`: expected int as in \
         table `ccd_school.us_education_ccd_enrollment_data`, found double\n\
         hint: rewrite it: rollcall run --mode stale --lake LAKE --portal PORTAL\n"
    );
    // What is fetched now was not in the past.
    let past = lake.rollcall("query", &[&students, "--as-of", "2999-01-01"]).expect(1).stderr;
    assert!(past.ends_with("hint: a kept edition is as it was: leave out the column\n"), "{past}");
    // Other columns and other partitions can still be queried.
    let others = format!("select year, count(distinct ncessch) > 0 as n from {table} group by year order by year");
    assert_eq!(rows(&lake, &others), json!([{"year": 2020, "n": true}, {"year": 2021, "n": true}]));
    let of_2021 = rows(&lake, &students.replace("group", "where year = 2021 group"));

    // In the other direction, each integer is represented exactly as a double.
    let _ = lake.run(&portal, &["--years", "2020", "--grades", "grade-pk", "--force"]).expect(0);
    let of_ints = rows(&lake, &students);
    assert_eq!(of_ints[1], of_2021[0]);
    let _ = lake.run(&portal, &of_double).expect(0);
    for (as_double, as_int) in
        rows(&lake, &students).as_array().expect("the value is a list of rows").iter().zip([&of_ints[0], &of_ints[1]])
    {
        assert_eq!(as_double["students"].as_f64(), as_int["students"].as_f64());
    }
}

#[test]
fn unordered_rows_always_come_in_the_order_of_the_files() {
    let lake = lake();
    let table = "ccd_school.us_education_ccd_enrollment_data";
    let sql = format!("select year, grade, ncessch, enrollment from {table} where enrollment > 20");
    let first = query(&lake, &sql, "csv");
    let mut partitions: Vec<&str> = first.lines().skip(1).filter_map(|line| line.get(..12)).collect();
    partitions.dedup();
    // Each partition appears once, in catalog order.
    assert_eq!(
        partitions,
        ["2020", "2021"]
            .map(|year| ["grade-1", "grade-9", "grade-k", "grade-p"].map(|grade| format!("{year},{grade}")))
            .concat()
    );
    for _ in 0..4 {
        assert!(query(&lake, &sql, "csv") == first, "the rows or their order differ");
        assert_eq!(query(&lake, &format!("{sql} limit 50"), "csv").lines().count(), 51);
        assert!(first.starts_with(&query(&lake, &format!("{sql} limit 50"), "csv")));
    }
}

#[test]
fn a_query_only_reads() {
    let lake = own_lake();
    let before = lake.files("");
    for sql in [
        "copy (select 1 as one) to 'out.csv'",
        "drop table ccd_school.us_education_ccd_enrollment_data",
        "create external table x stored as csv location '/etc/hostname'",
        "insert into ccd_school.lookup_sexes values (1, 'x')",
        "set datafusion.execution.batch_size = 1",
    ] {
        let refused = lake.rollcall_with("query", &[sql], |command| {
            command.current_dir(lake.path());
        });
        let refused = refused.expect(2);
        assert!(refused.stderr.starts_with("error: run query: "), "{sql}: {}", refused.stderr);
    }
    assert_eq!(lake.files(""), before);
}

#[test]
fn a_query_may_start_with_a_comment() {
    let text = source("top_ten_pk_states");
    assert!(text.starts_with("-- "));
    assert_eq!(rows(&lake(), &text), published_top_ten("state"));
}

#[test]
fn headings_are_plain_sql_in_every_format() {
    let lake = lake();
    let sql = "select 1, 'a', sum(code), max(s.code), count(*) from lookup_states s where code in (1, 2)";
    let found = |format| query(&lake, sql, format);
    assert_eq!(found("csv"), "1,'a',sum(code),max(s.code),count(*)\n1,a,3,2,2\n");
    assert_eq!(found("table"), "1  'a'  sum(code)  max(s.code)  count(*)\n1  a            3            2         2\n");
    assert_eq!(found("json"), "[{\"1\":1,\"'a'\":\"a\",\"sum(code)\":3,\"max(s.code)\":2,\"count(*)\":2}]\n");
    // A key is not used twice.
    let same = query(&lake, "select sum(a.code), 1, 2 as \"1\" from lookup_sexes a where a.code = 1", "json");
    assert_eq!(same, "[{\"sum(a.code)\":1,\"Int64(1)\":1,\"1\":2}]\n");
}

#[test]
fn every_row_as_json_has_every_column() {
    let rows = rows(&lake(), "state_change_by_year");
    let first = rows[0].as_object().expect("a row is an object");
    assert_eq!((first.len(), first["previous_year"].is_null()), (8, true));
}

#[test]
fn the_order_of_keys_in_a_catalog_file_does_not_matter() {
    let lake = own_lake();
    let expected = every_result(&lake);
    let path = lake.path().join("catalog/ccd_school/us_education_ccd_enrollment_data.json");
    let text = fs::read_to_string(&path).expect("the table has a file");
    let swapped = text.replace(
        "\"partition\": {\n        \"year\": 2021,\n        \"grade\": \"grade-pk\"",
        "\"partition\": {\n        \"grade\": \"grade-pk\",\n        \"year\": 2021",
    );
    assert_ne!(swapped, text);
    fs::write(&path, swapped).expect("the file can be written");
    assert_eq!(every_result(&lake), expected);
}

#[test]
fn the_examples_for_other_tools_read_what_rollcall_reads() {
    let lake = lake();
    let docs = fs::read_to_string(workspace().join("docs/readers.md")).unwrap();
    let examples: Vec<&str> = docs.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 4);
    let sql = "select year, sum(enrollment) as students from us_education_ccd_enrollment_data
               where enrollment >= 0 and grade <> 'grade-99' group by year order by year";
    let expected: Vec<Value> =
        rows(&lake, sql).as_array().unwrap().iter().map(|row| json!([row["year"], row["students"]])).collect();
    assert_eq!(expected.len(), 2);
    // The examples name the default folder.
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(lake.path(), folder.path().join("lake")).unwrap();
    for example in examples {
        let program =
            format!("{example}\nimport json\nprint(json.dumps([[int(year), int(n)] for year, n in students]))");
        let run = Command::new(python()).args(["-c", &program]).current_dir(folder.path()).output().unwrap();
        let found: Vec<Value> = serde_json::from_value(Outcome::from_output(run).expect(0).json()).unwrap();
        assert_eq!(found, expected, "{example}");
    }
}
