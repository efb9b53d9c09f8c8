//! Queries, tables, the shell and progress, as users see them on a terminal and through pipes.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use rollcall_simulator::{Action, Fault};
use rollcall_tests::{
    Killed, Outcome, TestLake, TestPortal, binary, in_namespaces, on_dumb_terminal, on_terminal, on_terminal_after,
    python, rollcall, stalled, wait_until,
};
use serde_json::json;

const TABLE: &str = "us_education_ccd_enrollment_data";

/// Returns a lake with 165 rows of pre-kindergarten and 192 of kindergarten.
fn lake() -> TestLake {
    let lake = TestLake::new();
    let _ = lake.run(&TestPortal::small(), &["--years", "2021", "--grades", "grade-pk,grade-k"]).expect(0);
    lake
}

fn path(lake: &TestLake) -> &str {
    lake.path().to_str().expect("temporary folders have UTF-8 names")
}

/// Runs a query on a terminal of 80 cells.
fn shown(lake: &TestLake, columns: u16, args: &[&str]) -> Outcome {
    on_terminal(columns, &[], &[&["query", "--lake", path(lake)], args].concat())
}

/// Runs a query with `input` on stdin.
fn piped(lake: &TestLake, input: &str, args: &[&str]) -> Outcome {
    let mut command = rollcall(&[&["query", "--lake", path(lake)], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Outcome::from_output(process.wait_with_output().unwrap())
}

#[test]
fn a_terminal_shows_the_rows_and_columns_that_fit_and_names_the_others() {
    let lake = lake();
    let all = format!("select * from {TABLE}");
    for (columns, footer) in [
        (
            40,
            &[
                "(first 17 of 357 rows, 3 of 10 columns)",
                "hidden: race, sex, enrollment, fips,",
                "  _rescued, year, grade",
                "all: --format vertical or csv",
            ][..],
        ),
        (
            80,
            &[
                "(first 17 of 357 rows, 8 of 10 columns)",
                // All null, and 99 in every row.
                "hidden: sex, _rescued",
                "all: --format vertical, --format csv, or select fewer columns",
            ],
        ),
        (200, &["(first 17 of 357 rows)", "all: --max-rows 0, or --output FILE.csv"]),
    ] {
        let found = shown(&lake, columns, &[&all]).expect(0).stdout;
        let lines: Vec<&str> = found.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= usize::from(columns)), "{columns}: {found}");
        assert_eq!(lines[18..], *footer, "{found}");
        assert_eq!(lines[0].contains('…'), columns < 200, "{found}");
    }
    let found = shown(&lake, 200, &[&all, "--max-rows", "0"]).expect(0).stdout;
    assert_eq!((found.lines().count(), found.lines().last()), (359, Some("(357 rows)")), "{found}");
    // A pipe gets all rows and columns, and nothing else.
    let piped = piped(&lake, "", &[&all]).expect(0).stdout;
    assert_eq!(piped.lines().count(), 358);
    assert!(!piped.contains('…') && !piped.contains("rows"), "{piped}");
}

#[test]
fn vertical_rows_show_every_column_on_any_terminal() {
    let lake = lake();
    let sql = "select * from lookup_states where code in (1, 2)";
    let rows = "row 1\n  code          1\n  label         Alabama\n  abbreviation  AL\n\
                row 2\n  code          2\n  label         Alaska\n  abbreviation  AK\n";
    assert_eq!(piped(&lake, "", &[sql, "--format", "vertical"]).expect(0).stdout, rows);
    let found = shown(&lake, 40, &[sql, "--format", "vertical"]).expect(0).stdout;
    assert_eq!(found, format!("{rows}(2 rows)\n"));
    let all = format!("select * from {TABLE}");
    let found = shown(&lake, 40, &[&all, "--format", "vertical"]).expect(0).stdout;
    assert!(found.contains("\nrow 10\n") && !found.contains("\nrow 11\n"), "{found}");
    assert!(found.ends_with("(first 10 of 357 rows)\nall: --max-rows 0, or --output FILE.csv\n"), "{found}");
    // In the shell, the format is a command.
    let typed = [".format vertical\n", "select 1 as n;\n", ".format wide\n", ".quit\n"];
    let found = on_terminal(80, &typed, &["query", "--lake", path(&lake)]).expect(0).stdout;
    assert!(found.contains("row 1\n  n  1\n(1 row)\n"), "{found}");
    assert!(found.contains("error: run `.format`: expected table, vertical, csv, json, found `wide`\n"), "{found}");
}

#[test]
fn the_reference_of_descriptors_fits_the_terminal_or_the_variable() {
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max();
    let on_80 = on_terminal(80, &[], &["datasets", "keys"]).expect(0).stdout;
    assert!(longest(&on_80) <= Some(80), "{on_80}");
    for (columns, expected) in [(None, 80), (Some("60"), 60), (Some("300"), 100)] {
        let mut command = rollcall(&["datasets", "keys"]);
        command.env_remove("COLUMNS").envs(columns.map(|columns| ("COLUMNS", columns)));
        let text = Outcome::from_output(command.output().unwrap()).expect(0).stdout;
        assert!((expected - 4..=expected).contains(&longest(&text).unwrap()), "{columns:?}: {text}");
    }
}

#[test]
fn nulls_differ_from_empty_text() {
    let lake = lake();
    let sql = "select * from (values (1, 'a'), (2, ''), (3, null)) t(n, v)";
    assert_eq!(piped(&lake, "", &[sql]).expect(0).stdout, "n  v\n1  a\n2\n3  NULL\n");
    assert_eq!(shown(&lake, 80, &[sql]).expect(0).stdout, "n  v\n1  a\n2\n3  NULL\n(3 rows)\n");
}

#[test]
fn sql_comes_from_an_argument_a_file_or_stdin() {
    let lake = lake();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("count.sql");
    fs::write(&file, format!("\u{feff}-- How many rows?\nselect count(*) as n\nfrom {TABLE};\n")).unwrap();
    let (file, sql) = (file.to_str().unwrap(), fs::read_to_string(&file).unwrap());
    for found in [
        piped(&lake, "", &["-f", file]),
        piped(&lake, &sql, &["-"]),
        piped(&lake, &sql, &[]),
        piped(&lake, &sql, &["-f", "-"]),
        piped(&lake, "", &["--file", file, "--format", "table"]),
    ] {
        assert_eq!(found.expect(0).stdout, "  n\n357\n");
    }
    for (input, args, expected) in [
        ("", &["-"][..], "error: read `stdin`: expected SQL, found nothing\n"),
        ("", &["-f", "/nowhere"], "error: read `/nowhere`: No such file or directory (os error 2)\n"),
        ("", &["select 1; select 2"], "error: run query: expected one statement, found several\n"),
        ("", &["-- nothing"], "error: run query: expected a statement, found none\n"),
    ] {
        assert_eq!(piped(&lake, input, args).expect(2).stderr, expected);
    }
    assert_eq!(piped(&lake, "top_ten_pk_states\n", &[]).expect(0).stdout.lines().count(), 11);
    let hinted = piped(&lake, "", &["report.sql"]).expect(2).stderr;
    assert!(hinted.ends_with("\nhint: read a file with --file report.sql\n"), "{hinted}");
    // Without SQL, the shipped queries are listed.
    assert_eq!(piped(&lake, "", &[]).expect(0).stdout, piped(&lake, "", &["--list"]).expect(0).stdout);
}

#[test]
fn all_rows_go_to_a_file_that_is_complete_or_not_there() {
    let lake = lake();
    let folder = tempfile::tempdir().unwrap();
    let sql = format!("select ncessch, year, enrollment from {TABLE} order by ncessch, grade");
    for name in ["rows.csv", "rows.json", "rows.parquet"] {
        let file = folder.path().join(name);
        let written = piped(&lake, "", &[&sql, "--output", file.to_str().unwrap()]).expect(0);
        assert!(written.stderr.starts_with("note: wrote 357 rows ("), "{}", written.stderr);
        let read = "import duckdb, sys; print(*duckdb.sql(f\"select count(*), sum(enrollment) from '{sys.argv[1]}'\").fetchall()[0])";
        let read = Command::new(python()).args(["-c", read]).arg(&file).output().unwrap();
        let expected =
            piped(&lake, "", &[&format!("select count(*) as n, sum(enrollment) as s from {TABLE}"), "--format", "csv"]);
        let expected = expected.expect(0).stdout.lines().last().unwrap().replace(',', " ");
        assert_eq!(Outcome::from_output(read).expect(0).stdout.trim(), expected, "{name}");
    }
    // A query that fails, at once or after some rows, leaves no file, and keeps one of that name.
    fs::write(folder.path().join("rows.csv"), "older").unwrap();
    let late = "select 1 / (20000 - i) as x from generate_series(1, 30000) t(i)";
    for sql in ["select nothing", &format!("select 1 / (enrollment - enrollment) as x from {TABLE}"), late] {
        let _ = piped(&lake, "", &[sql, "--output", folder.path().join("rows.csv").to_str().unwrap()]).expect(2);
    }
    assert_eq!(fs::read_to_string(folder.path().join("rows.csv")).unwrap(), "older");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    let refused = piped(&lake, "", &["select 1", "--output", "rows.txt"]).expect(2).stderr;
    assert!(refused.contains("expected a file that ends in .csv, .json or .parquet"), "{refused}");
}

#[test]
fn mistakes_in_sql_are_explained() {
    let lake = lake();
    for (sql, expected) in [
        ("selec 1", "expected an SQL statement, found `selec`\n  selec 1\n  ^\n"),
        (
            "select ncessch,\n       , year from t",
            "expected an expression, found `,`\n         , year from t\n         ^\n",
        ),
        ("select 'abc", "Unterminated string literal\n  select 'abc\n         ^\n"),
        (
            "select * from lookup_state",
            "no table `ccd_school.lookup_state`\n  select * from lookup_state\n                ^\n\
             hint: did you mean `ccd_school.lookup_states`? `rollcall tables --lake LAKE` lists all\n",
        ),
        (
            "select enrolment from us_education_ccd_enrollment_data",
            "no column `enrolment`\n  select enrolment from us_education_ccd_enrollment_data\n         ^\n\
             hint: did you mean `enrollment`?\n",
        ),
        (
            "select code from lookup_states a join lookup_sexes b on true",
            "column `code` is in several of these tables\n  select code from lookup_states a join lookup_sexes b on \
             true\n         ^\nhint: name its table, as in `t.code`\n",
        ),
        (
            "select lenght('a')",
            "no function `lenght`\n  select lenght('a')\n         ^\nhint: did you mean `length`?\n",
        ),
        ("select cast('x' as int)", "'x' is not a whole number\nhint: `try_cast` gives null for what cannot be cast\n"),
        ("select 1 / 0", "division by zero\n"),
        (
            "select code, label, code, label, code, label, code, label, code, label, cod from lookup_states where code = 1",
            "no column `cod`\n  …, label, code, label, code, label, cod from lookup_states where code =…\n\
             \u{20}                                     ^\nhint: did you mean `code`?\n",
        ),
        (
            "select s.fips from lookup_states s",
            "no column `s.fips`\n  select s.fips from lookup_states s\n         ^\n\
             hint: columns of `s`: code, label, abbreviation\n",
        ),
        (
            "select 1 from lookup_states s join us_education_ccd_enrollment_data e on s.fips = e.fips",
            "no column `s.fips`\n  …education_ccd_enrollment_data e on s.fips = e.fips\n\
             \u{20}                                     ^\n\
             hint: columns of `s`: code, label, abbreviation; `e` has `fips`\n",
        ),
        (
            "select e.enrolment from us_education_ccd_enrollment_data e",
            "no column `e.enrolment`\n  select e.enrolment from us_education_ccd_enrollment_data e\n         ^\n\
             hint: did you mean `e.enrollment`?\n",
        ),
        (
            "select e.zip from ccd_enrollment_labeled e",
            "no column `e.zip`\n  select e.zip from ccd_enrollment_labeled e\n         ^\n\
             hint: the nearest columns of `e`: fips, fips_label, is_total, year, grade; `rollcall describe TABLE --lake LAKE` lists \
             all\n",
        ),
        (
            "select s.code from lookup_sexes x",
            "no column `s.code`\n  select s.code from lookup_sexes x\n         ^\nhint: write `x.code`\n",
        ),
        ("select foo(1)", "no function `foo`\n  select foo(1)\n         ^\n"),
        (
            "select agv(code) from lookup_states",
            "no function `agv`\n  select agv(code) from lookup_states\n         ^\nhint: did you mean `avg`?\n",
        ),
        ("select [1, 2]", "lists such as `[1, 2]` are not supported\n"),
        ("select map {'a': 1}", "not supported: MAP\n"),
        ("select * from lookup_sexes pivot (sum(code) for label in ('a'))", "not supported: Pivot\n"),
        (
            "select count(distinct code, label) from lookup_sexes",
            "not supported: COUNT DISTINCT with multiple arguments\n",
        ),
        ("select $1", "expected a value instead of the placeholder `$1`\n"),
        ("delete from lookup_states", "expected a query, which only reads, found a statement that changes something\n"),
    ] {
        let refused = piped(&lake, "", &[sql]).expect(2).stderr.replace(path(&lake), "LAKE");
        assert_eq!(refused, format!("error: run query: {expected}"), "{sql}");
    }
    let refused = piped(&lake, "", &["top_ten"]).expect(2).stderr.replace(path(&lake), "LAKE");
    assert_eq!(
        refused,
        "error: find query: expected SQL or the name of a shipped query, found `top_ten`\nhint: did you mean \
         `top_ten_pk_states`? `rollcall query --list` lists the shipped queries, and `rollcall tables --lake LAKE` the \
         tables\n"
    );
    // A mistake in the query after a run is found before anything is fetched.
    let portal = TestPortal::small();
    let args = ["--years", "2021", "--grades", "grade-1", "--query", "selec 1 from t"];
    let refused = lake.run(&portal, &args).expect(2).stderr;
    assert!(refused.starts_with("error: read `--query`: expected an SQL statement, found `selec`\n"), "{refused}");
    assert!(portal.server.requests().is_empty());
}

#[test]
fn tables_are_listed_and_described() {
    let lake = lake();
    let listed = lake.rollcall("tables", &[]).expect(0).stdout;
    let line = listed.lines().find(|line| line.starts_with("ccd_school.us_education")).unwrap();
    assert_eq!(
        line,
        "ccd_school.us_education_ccd_enrollment_data           2    357  Students by school, year and grade from the \
         Common Core of Data"
    );
    let json = lake.rollcall("tables", &["--format", "json"]).expect(0).json();
    assert!(json.as_array().unwrap().iter().any(|table| table["kind"] == "view"), "{json}");
    // The rows of a table without partitions are counted too.
    assert!(
        listed.lines().any(|line| line.starts_with("ccd_school.lookup_sexes ") && line.contains(" 8  Names of sex"))
    );
    let lookup = lake.rollcall("describe", &["lookup_sexes", "--format", "json"]).expect(0).json();
    assert_eq!(
        (&lookup["n_rows"], &json[3]["name"], &json[3]["n_rows"]),
        (&json!(8), &json!("ccd_school.lookup_sexes"), &json!(8))
    );
    assert!(lake.rollcall("describe", &["lookup_sexes"]).expect(0).stdout.contains("\n8 rows\n"));

    let described = lake.rollcall("describe", &[TABLE]).expect(0).stdout;
    assert_eq!(lake.rollcall("describe", &["ccd_enrollment"]).expect(0).stdout, described);
    for line in [
        "ccd_school.us_education_ccd_enrollment_data",
        "357 rows in 2 partitions",
        "enrollment int Students; -1 missing or not reported, -2 not applicable, -3 suppressed, null not given",
        "year in the lake: 2021",
        "grade in the lake: grade-pk, grade-k",
        "grade grade-pk (code -1) Pre-K, grade-k (code 0) Kindergarten, grade-1 (code 1) 1, grade-2 (code 2) 2, grade-3 \
         (code 3) 3, grade-4 (code 4) 4, grade-5 (code 5) 5, grade-6 (code 6) 6, grade-7 (code 7) 7, grade-8 (code 8) 8, \
         grade-9 (code 9) 9, grade-10 (code 10) 10, grade-11 (code 11) 11, grade-12 (code 12) 12, grade-13 (code 13) 13, \
         grade-14 (code 14) Adult education, grade-15 (code 15) Ungraded, grade-99 (code 99) Total",
    ] {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(described.lines().any(|found| words(found) == line), "{line}\n{described}");
    }
    assert!(described.contains("1 White, 2 Black, 3 Hispanic"), "{described}");
    let view = lake.rollcall("describe", &["ccd_enrollment_labeled", "--format", "json"]).expect(0).json();
    let column = |name: &str| view["columns"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    assert_eq!(column("race_label").unwrap()["comment"], json!("Label of race"));
    assert_eq!(column("enrollment").unwrap()["type"], json!("int"));
    // The view names codes, so that its comments need not.
    assert_eq!(
        column("enrollment").unwrap()["comment"],
        json!("Students; null for a code, which enrollment_note names")
    );
    assert_eq!(column("enrollment").unwrap()["codes"], json!(null));
    assert_eq!(column("fips").unwrap()["codes"]["1"], json!("Alabama"));
    assert_eq!(column("grade").unwrap()["coded_values"][0], json!({"value": "grade-pk", "code": -1, "label": "Pre-K"}));
    let refused = lake.rollcall("describe", &["lookup_stats"]).expect(2).stderr;
    assert!(
        refused.ends_with(&format!(
            "hint: did you mean `lookup_states`? `rollcall tables --lake {}` lists all\n",
            path(&lake)
        )),
        "{refused}"
    );
}

#[test]
fn a_shell_reads_statements_completes_words_and_survives_mistakes() {
    let lake = lake();
    let typed = [
        "select count(*) as n\n",
        "from lookup_sex\t;\n",
        "selec 1;\n",
        "select 'one; two' as v; select 3 as w;\n",
        ".tables\n",
        ".describe lookup_races\n",
        "top_ten_pk_states\n",
        "select lookup_sexes.lab\t from ccd_school.lookup_sex\t\n",
        "where lookup_sexes.co\t = 1;\n",
        // Ctrl-C drops an unfinished statement, however many lines it has.
        "select 8\n",
        "+\u{3}",
        // What is pasted is one entry.
        "\u{1b}[200~select 40\n+ 2 as pasted\n;\u{1b}[201~\n",
        "quit\n",
    ];
    let found = on_terminal(100, &typed, &["query", "--lake", path(&lake)]).expect(0).stdout;
    for part in [
        "n\n8\n(1 row)\n",
        "v\none; two\n(1 row)\nw\n3\n(1 row)\n",
        "error: run query: expected an SQL statement, found `selec`\n",
        "ccd_school.lookup_states",
        "rollcall query 'select * from ccd_school.lookup_races limit 10'",
        "Texas",
        "(10 rows)",
        "     ...> ",
        "label\nMale\n(1 row)\n",
        "pasted\n    42\n(1 row)\n",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
}

#[test]
fn a_query_has_limits() {
    let lake = lake();
    let endless = format!("select count(*) from {TABLE} a, {TABLE} b, {TABLE} c, {TABLE} d, {TABLE} e");
    // A join by a sum compares all pairs, and takes all threads of the engine without a pause.
    let by_sum =
        "select count(*) from generate_series(1, 300000) a(i), generate_series(1, 300000) b(j) where i + j = 7";
    for endless in [endless.as_str(), by_sum] {
        let refused = piped(&lake, "", &[endless, "--timeout", "1"]).expect(1).stderr;
        assert!(refused.contains("expected it to finish within 1 s"), "{refused}");
    }
    let refused = piped(&lake, "", &[&endless, "--timeout", "1"]).expect(1).stderr;
    assert!(
        refused.starts_with("error: run query: expected it to finish within 1 s, found it still running\n"),
        "{refused}"
    );
    // What is joined by hash cannot go to temporary files.
    let large = "select count(*) from generate_series(1, 2000000) a(i) join generate_series(1, 2000000) b(i) using (i)";
    let refused = piped(&lake, "", &[large, "--memory-limit", "10MB"]).expect(1).stderr;
    assert!(refused.starts_with("error: run query: expected it to need at most 10.0 MB of memory"), "{refused}");
    for (flag, value) in [("--memory-limit", "500"), ("--timeout", "0"), ("--timeout", "x")] {
        let refused = piped(&lake, "", &["select 1", flag, value]).expect(2).stderr;
        assert!(refused.contains(&format!("invalid value '{value}'")), "{refused}");
    }
}

/// Returns a fault that refuses the first requests for a path.
fn busy_at_first(path: &str) -> Fault {
    let action = Action::Status { code: 503, retry_after: Some("1".to_owned()), body: Some("busy".to_owned()) };
    Fault::new(action).on_path(path).times(1)
}

#[test]
fn progress_fits_the_terminal_and_names_what_is_retried() {
    for columns in [40, 80, 200] {
        let (lake, portal) = (TestLake::new(), TestPortal::small());
        portal.server.set_faults(vec![busy_at_first("grade-k/")]);
        let args = [
            "run",
            "--lake",
            path(&lake),
            "--portal",
            &portal.origin(),
            "--years",
            "2021",
            "--grades",
            "grade-pk,grade-k",
        ];
        let found = on_terminal(columns, &[], &args).expect(0).stdout;
        let drawn = without_escapes(&found);
        // The bar pads each line to the width, so that the next one starts on a line of its own.
        let lines = drawn.split(['\r', '\n']).flat_map(|drawn| {
            let cells: Vec<char> = drawn.chars().collect();
            cells
                .chunks(columns.into())
                .map(|line| line.iter().collect::<String>().trim_end().to_owned())
                .collect::<Vec<_>>()
        });
        let progress: Vec<String> =
            lines.take_while(|line| !line.starts_with("run ")).filter(|line| !line.is_empty()).collect();
        assert!(progress.iter().any(|line| line.contains('─')), "{found:?}");
        for line in &progress {
            let is_start = line.trim_start().starts_with(|c: char| c.is_ascii_digit()) || line.starts_with("now ");
            assert!(is_start, "{columns}: a line wraps: {line:?} in {progress:?}");
        }
        let retry = match columns {
            40 => "2021/grade-k HTTP 503, 2/4 in 1 s",
            _ => "2021/grade-k (HTTP 503, try 2 of 4 in 1 s)",
        };
        assert!(progress.iter().any(|line| line.contains(retry)), "{columns}: {progress:?}");
        assert!(progress.iter().any(|line| line.contains("1 retrying")), "{columns}: {progress:?}");
        assert!(progress.iter().any(|line| line.contains("1 s · ")), "{columns}: {progress:?}");
        // Nothing is left of it.
        assert!(found.trim_end().ends_with("first load of 2 partitions"), "{found:?}");
    }
}

#[test]
fn what_the_portal_is_asked_for_is_said_while_it_takes_its_time() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![Fault::new(Action::Delay { ms: 1_500 }).on_path("api-endpoints/")]);
    let request = ["--years", "2021", "--grades", "grade-pk"];
    let asked = "asking the portal for its list of endpoints ...";
    let origin = portal.origin();
    for command in ["plan", "run"] {
        let args = [&[command, "--lake", path(&lake), "--portal", &origin], &request[..]].concat();
        let found = on_terminal(80, &[], &args).expect(0).stdout;
        assert!(found.contains(&format!("{asked} 1 s")), "{found:?}");
        // Nothing is left of it.
        let cleared = found.rsplit_once(asked).map(|(_, after)| after.contains("\u{1b}[2K"));
        assert_eq!(cleared, Some(true), "{found:?}");
        let piped = Outcome::from_output(rollcall(&args).output().unwrap()).expect(0).stderr;
        assert_eq!(piped, format!("{asked}\n"));
    }
    let quiet = lake.run(&portal, &[&request[..], &["--quiet"]].concat()).expect(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_dumb_terminal_gets_the_lines_of_a_log() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let args = ["run", "--lake", path(&lake), "--portal", &portal.origin(), "--years", "2021", "--grades", "grade-pk"];
    let found = on_dumb_terminal(&args).expect(0).stdout;
    assert!(found.contains("fetching 1 partition of ccd_enrollment from "), "{found:?}");
    assert!(!found.contains('\u{1b}') && !found.contains('─'), "{found:?}");
}

/// Returns text without the codes that move a terminal's cursor or clear its lines.
fn without_escapes(text: &str) -> String {
    let mut shown = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            let _ = chars.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[test]
fn a_log_gets_an_opening_line_unless_it_is_to_be_quiet() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let request = ["--years", "2021", "--grades", "grade-pk"];
    let opening = format!("fetching 1 partition of ccd_enrollment from {}/ into `{}`\n", portal.origin(), path(&lake));
    let of = |outcome: Outcome| (outcome.opening, outcome.stderr);
    assert_eq!(of(lake.run(&portal, &request).expect(0)), (opening, String::new()));
    let quiet = lake.run(&portal, &[&request[..], &["--quiet"]].concat()).expect(0);
    assert_eq!(of(quiet), (String::new(), String::new()));
    let verbose = lake.run(&portal, &[&request[..], &["-vv"]].concat()).expect(0).stderr;
    assert!(verbose.contains("page requested") && verbose.contains("partition fetched"), "{verbose}");
}

#[test]
fn what_is_committed_can_be_queried_while_the_run_goes_on() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![stalled("grade-k/")]);
    let mut run = rollcall(&["run", "--portal", &portal.origin(), "--lake", path(&lake), "--publish-every", "0.1"]);
    run.args(["--years", "2021", "--grades", "grade-pk,grade-k", "--format", "json"]);
    run.stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = Killed(run.spawn().unwrap());
    let sql = format!("select grade, count(*) as n from {TABLE} group by grade");
    wait_until("the committed partition can be queried", || {
        let found = lake.rollcall("query", &[&sql, "--format", "csv"]);
        found.code == Some(0) && found.stdout == "grade,n\ngrade-pk,165\n"
    });
    let shown = lake.rollcall("status", &[]).expect(0).stdout;
    let running = format!(": running (pid {}), 1 of 2\n", run.0.id());
    assert!(shown.contains(&running), "{shown}");
    let json = lake.rollcall("status", &["--format", "json"]).expect(0).json();
    assert_eq!(json["last_run"]["process"], run.0.id());
    assert_eq!((&json["last_run"]["n_done"], &json["last_run"]["n_planned"]), (&json!(1), &json!(2)));
    run.signal("TERM");
    // What was registered on the way counts.
    assert_eq!(run.wait().expect(130).json()["n_published"], 1);
    let shown = lake.rollcall("status", &[]).expect(0).stdout;
    assert!(shown.contains(": finished "), "{shown}");
    // A killed run is not running.
    let lake = TestLake::new();
    portal.server.set_faults(vec![stalled("grade-k/")]);
    let mut run = rollcall(&["run", "--portal", &portal.origin(), "--lake", path(&lake)]);
    run.args(["--years", "2021", "--grades", "grade-k"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = Killed(run.spawn().unwrap());
    let n_before = portal.n_data_requests();
    wait_until("the run requests data", || portal.n_data_requests() > n_before);
    run.signal("KILL");
    assert_eq!(run.wait().code, None);
    let shown = lake.rollcall("status", &[]).expect(0).stdout;
    assert!(shown.contains(": unfinished, 0 of 1; no summary\nit was killed; fetch the rest: "), "{shown}");
    portal.server.set_faults(Vec::new());
    let rest = shown.lines().find_map(|line| line.strip_prefix("it was killed; fetch the rest: rollcall ")).unwrap();
    let fetched = Outcome::from_output(rollcall(&rest.split(' ').collect::<Vec<_>>()).output().unwrap()).expect(0);
    assert!(fetched.stdout.contains("1 partition: 1 written"), "{}", fetched.stdout);
    let runs = lake.rollcall("status", &["--runs"]).expect(0).stdout;
    assert!(runs.contains(": 2 runs\n") && runs.contains("unfinished: no summary\n"), "{runs}");
}

#[test]
fn a_run_is_said_to_be_killed_only_if_nothing_else_is_possible() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![stalled("grade-k/")]);
    let arguments =
        ["run", "--portal", &portal.origin(), "--lake", path(&lake), "--years", "2021", "--grades", "grade-k"];
    // A run in a container on the same machine, which shares the lake.
    let mut run = Command::new("unshare");
    run.args(["--map-root-user", "--pid", "--fork", "--kill-child"]).arg(binary()).args(arguments);
    run.env_remove("ROLLCALL_LAKE").stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = Killed(run.spawn().unwrap());
    wait_until("the run requests data", || portal.n_data_requests() > 0);
    let status = || lake.rollcall("status", &[]).expect(0).stdout;
    let seen = status();
    assert!(seen.contains(": running (pid ") && seen.contains(", 0 of 1\n"), "{seen}");
    let runs = lake.rollcall("status", &["--runs"]).expect(0).stdout;
    assert!(runs.contains("  running (pid "), "{runs}");
    // A container does not see the processes outside of it.
    let script = "\"$ROLLCALL\" status --lake \"$LAKE\"";
    let in_container =
        || in_namespaces(&["--pid", "--fork", "--mount-proc"], script, &[("LAKE", path(&lake))]).expect(0);
    let unseen = in_container().stdout;
    let perhaps = ": unfinished, 0 of 1; no summary\nif it was killed; fetch the rest: rollcall run --failed-of ";
    assert!(unseen.contains(perhaps), "{unseen}");
    run.signal("KILL");
    assert_eq!(run.wait().code, None);
    wait_until("the run has ended", || !status().contains("running"));
    assert!(status().contains(perhaps), "{}", status());
    // A run of this machine. Without a lock file, or with one that another program wrote, nothing is certain.
    let run = Killed(rollcall(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let n_before = portal.n_data_requests();
    wait_until("the run requests data", || portal.n_data_requests() > n_before);
    assert!(status().contains(&format!(": running (pid {}), 0 of 1\n", run.0.id())), "{}", status());
    run.signal("KILL");
    assert_eq!(run.wait().code, None);
    assert!(status().contains("; no summary\nit was killed; fetch the rest: "), "{}", status());
    assert!(in_container().stdout.contains(perhaps));
    let lock = lake.path().join(".lock");
    for text in ["4000000\n", "my notes", ""] {
        fs::write(&lock, text).unwrap();
        assert!(status().contains(perhaps), "{text}: {}", status());
    }
    fs::remove_file(&lock).unwrap();
    assert!(status().contains(perhaps), "{}", status());
}

#[test]
fn commands_that_find_nothing_say_that_the_first_run_is_in_progress() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    for (stalls_at, of_status) in
        [("api-endpoints/", "another command is using the lake (pid "), ("grade-k/", ": running (pid ")]
    {
        portal.server.set_faults(vec![stalled(stalls_at)]);
        let mut run = rollcall(&["run", "--portal", &portal.origin(), "--lake", path(&lake)]);
        run.args(["--years", "2021", "--grades", "grade-k"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let n_before = portal.server.requests().len();
        let run = Killed(run.spawn().unwrap());
        let is_asked = || portal.server.requests().iter().skip(n_before).any(|it| it.path.contains(stalls_at));
        wait_until("the portal is asked", is_asked);
        let status = lake.rollcall("status", &[]).expect(0).stdout;
        assert!(status.starts_with("ccd_enrollment: nothing fetched yet into `"), "{status}");
        assert!(status.contains(&format!("{of_status}{}", run.0.id())), "{status}");
        let note = format!("note: another command is using the lake (pid {}); if it is a run, what ", run.0.id());
        for (args, code) in [(&["tables"][..], 0), (&["query", "select * from lookup_states"], 2)] {
            let said = lake.rollcall(args[0], &args[1..]).expect(code).stderr;
            assert!(said.starts_with(&note), "{said}");
        }
        // Refused commands say so only once.
        let refused = lake.rollcall("prune", &["--keep-days", "0"]).expect(75).stderr;
        assert!(refused.starts_with("error: ") && !refused.contains("note: "), "{refused}");
        run.signal("KILL");
        assert_eq!(run.wait().code, None);
        assert_eq!(lake.rollcall("tables", &[]).expect(0).stderr, "");
    }
}

#[test]
fn common_mistakes_are_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, file) = (folder.path().join("lake"), folder.path().join("file"));
    fs::write(&file, "").unwrap();
    let (lake, file) = (lake.to_str().unwrap(), file.to_str().unwrap());
    for (args, expected) in [
        (
            &["status", "--lake", lake][..],
            format!(
                "error: open lake `{lake}`: expected a folder, found none\nhint: fetch a first one: rollcall run --sample \
                 --years latest --grades grade-pk --lake {lake}; or name another folder with --lake\n"
            ),
        ),
        (
            &["status", "--lake", file],
            format!("error: open lake `{file}`: expected a folder, found a file\nhint: --lake names a folder\n"),
        ),
        (
            &["run", "--sample", "--years", "2021", "--grades", "grade-pk", "--lake", file],
            format!("error: open lake `{file}`: expected a folder, found a file\nhint: --lake names a folder\n"),
        ),
        (
            &["run"],
            "error: check request: expected what to fetch, found nothing\nhint: such as --years latest --grades all; or \
             --mode stale for what a lake has and can have changed\n"
                .to_owned(),
        ),
    ] {
        let refused = Outcome::from_output(rollcall(args).output().unwrap()).expect(2);
        assert_eq!(refused.stderr, expected, "{args:?}");
    }
    for (args, expected) in [
        (&["query", "select 1", "--max-rows", "abc"][..], "'abc' for '--max-rows <N>': expected a whole number\n"),
        (
            &["query", "select 1", "--max-rows", "-1"],
            "'-1' for '--max-rows <N>': expected a whole number that is not negative\n",
        ),
        (
            &["run", "--partition-timeout", "0"],
            "'0' for '--partition-timeout <MINUTES>': expected a number of at least 1\n",
        ),
        (&["query", "x", "--timeout", "0"], "'0' for '--timeout <SECONDS>': expected a number from 1 to 86400\n"),
        (&["run", "--in-flight", "x"], "'x' for '--in-flight <N>': expected a whole number\n"),
        (&["simulator", "--port", "70000"], "'70000' for '--port <PORT>': expected a number from 0 to 65535\n"),
    ] {
        let refused = Outcome::from_output(rollcall(args).output().unwrap()).expect(2).stderr;
        assert!(refused.starts_with(&format!("error: invalid value {expected}")), "{refused}");
    }
    let rules = folder.path().join("rules.toml");
    fs::write(&rules, "[[fault]]\naction = {\nfoo").unwrap();
    let rules = rules.to_str().unwrap();
    let refused = Outcome::from_output(rollcall(&["simulator", "--faults", rules]).output().unwrap()).expect(2).stderr;
    assert!(refused.starts_with(&format!("error: parse fault rules `{rules}`: line 3: ")), "{refused}");
    assert!(refused.lines().count() == 1 && !refused.contains("\\n"), "{refused}");
    let portal = TestPortal::small();
    let origin = portal.origin();
    let port = origin.rsplit(':').next().unwrap();
    let refused = Outcome::from_output(rollcall(&["simulator", "--port", port]).output().unwrap()).expect(2).stderr;
    assert_eq!(
        refused,
        format!(
            "error: listen on `127.0.0.1:{port}`: expected a free port, found one in use\nhint: --port 0 picks a free one\n"
        )
    );
    // A portal that sends a web page, and one that is not there.
    let page = "<!doctype html><title>Enable JavaScript and cookies</title>".to_owned();
    portal.server.set_faults(vec![Fault::new(Action::Body { text: page })]);
    let request = ["--years", "2021", "--grades", "grade-pk"];
    let failed = TestLake::new().run(&portal, &request).expect(3).stderr;
    assert!(failed.contains("found a web page, `Enable JavaScript and cookies`, instead of data\n"), "{failed}");
    drop(portal);
    let args = [&["--portal", &origin, "--retry-wait", "0"], &request[..]].concat();
    let failed = TestLake::new().rollcall("run", &args).expect(4).stderr;
    assert!(failed.contains(": no response after 4 tries: connection refused\n"), "{failed}");
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    for stderr in ["2>/dev/full", "2>&-", "2> >(head -c 1 > /dev/null)"] {
        let (lake, portal) = (TestLake::new(), TestPortal::small());
        let script = format!("\"$0\" run -vv --portal \"$1\" --lake \"$2\" --years 2021 --grades all {stderr}");
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).arg(binary()).args([&portal.origin(), path(&lake)]);
        let found = Outcome::from_output(shell.output().unwrap()).expect(0);
        assert!(found.stdout.contains("\n17 partitions: 17 written; "), "{stderr}: {}", found.stdout);
    }
}

#[test]
fn a_result_that_cannot_be_written_is_named() {
    let lake = lake();
    let full = "error: write the result to standard output: no space left on device\n";
    for args in [
        &["query", "select 1", "--format", "table"][..],
        &["query", "select 1", "--format", "vertical"],
        &["query", "select 1", "--format", "csv"],
        &["query", "select 1", "--format", "json"],
        &["tables"],
        &["describe", "lookup_races"],
        &["status", "--format", "json"],
        &["datasets", "template"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut command = rollcall(args);
        command.env("ROLLCALL_LAKE", lake.path()).stdout(fs::File::create("/dev/full").unwrap());
        let failed = Outcome::from_output(command.stderr(Stdio::piped()).output().unwrap()).expect(1);
        assert_eq!(failed.stderr, full, "{args:?}");
    }
}

#[test]
fn a_watched_status_fits_the_screen_and_replaces_what_is_there() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "1990-2021", "--grades", "grade-pk"]).expect(0);
    // A warning is a part of the screen too.
    fs::write(lake.path().join(format!("data/{TABLE}/stray.txt")), "").unwrap();
    let more = "more lines; without --watch";
    for columns in [40, 80] {
        let args = ["status", "--watch", "--lake", path(&lake)];
        let found = on_terminal_after(more, columns, &["\u{3}"], &args).stdout;
        let frames: Vec<&str> = found.split("\u{1b}[H").skip(1).collect();
        assert!(!frames.is_empty(), "{found:?}");
        for frame in frames {
            let frame = without_escapes(frame.trim_end_matches("^C"));
            let lines: Vec<&str> = frame.split('\n').collect();
            assert_eq!(lines.len(), 24, "{frame}");
            assert!(lines.iter().all(|line| line.chars().count() <= columns.into()), "{frame}");
            assert!(lines[0].starts_with("warning: 1 stray file in the table's"), "{frame}");
            assert!(lines[23].starts_with("... ") && lines[23].contains("more lines; without --watch"), "{frame}");
        }
    }
    // A lake that a run is about to make.
    let args = ["status", "--watch", "--lake", "none"];
    let found = on_terminal_after("yet", 80, &["\u{3}"], &args).stdout;
    assert!(without_escapes(&found).contains("no lake at `none` yet"), "{found:?}");
}

#[test]
fn nothing_of_the_progress_is_left_after_ctrl_c() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![stalled("grade-k/")]);
    let args =
        ["run", "--lake", path(&lake), "--portal", &portal.origin(), "--years", "2021", "--grades", "grade-pk,grade-k"];
    let found = on_terminal_after("now 2021/grade-k p", 80, &["\u{3}"], &args).expect(130).stdout;
    // An echo would wrap the last line, and the lines that are cleared would be others than those that were drawn.
    assert!(!found.contains("^C"), "{found:?}");
    assert!(found.contains("interrupted: committed partitions are kept; "), "{found:?}");
}
