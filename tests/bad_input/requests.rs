//! Flags, inputs and year lists that request something invalid.

use std::fs::{self, File};
use std::process::Command;

use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::{Outcome, TestLake, TestPortal, binary, write_page};
use serde_json::json;

use crate::pages::{Pages, portal_of};

/// Checks that a command line is rejected before any data request, and that the lake stays empty.
fn check_rejected(cases: &[(&str, &[&str], Option<&str>, &str)]) {
    let portal = TestPortal::start(Config { n_schools: 60, ..Config::default() });
    let mut wrong = Vec::new();
    for (name, args, stdin, expected) in cases {
        let lake = TestLake::new();
        let input = tempfile::NamedTempFile::new().unwrap();
        fs::write(input.path(), stdin.unwrap_or_default()).unwrap();
        let origin = portal.origin();
        let mut all = vec!["--portal", origin.as_str()];
        all.extend(*args);
        let found = lake.rollcall_with("run", &all, |command| {
            command.stdin(File::open(input.path()).unwrap());
        });
        let is_refused = found.code == Some(2) && found.stdout.is_empty() && found.stderr == format!("{expected}\n");
        let is_untouched = ["data", "ledger", "catalog"].iter().all(|prefix| lake.files(prefix).is_empty());
        if !is_refused || !is_untouched || portal.n_data_requests() > 0 {
            wrong.push(format!("{name}\nexpected:\n{expected}\nfound (lake empty: {is_untouched}):\n{found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

const FIELDS: &str =
    "years, grades, dataset, axes, partitions, mode, refresh_after_days, failed_of, force, keep_pages, catalog";
const GRADES: &str = "grade-pk, grade-k, grade-1 to grade-15, grade-99";

#[test]
fn flags_that_request_something_unknown_are_rejected_by_name() {
    let unknown_dataset = "error: InvalidRequest: check request: `dataset`: expected a built-in dataset, found `ccd_enrol`\n    \
         hint: write `ccd_enrollment`, or one that `rollcall datasets list` prints";
    let unknown_columns = "error: InvalidRequest: check request: `dataset`: `pseo_earnings_and_flows`: columns not known \
                           yet; run `rollcall datasets generate pseo_earnings_and_flows`";
    let with_hint = format!(
        "error: InvalidRequest: check request: `--grades`: expected one of {GRADES}, found `Grade 3`\n    hint: write \
         `grade-3`"
    );
    let without_hint =
        format!("error: InvalidRequest: check request: `--grades`: expected one of {GRADES}, found `grade-16`");
    let of_partition = format!(
        "error: InvalidRequest: check request: `--partition`: expected one of {GRADES}, found `pk`\n    hint: \
         write `grade-pk`"
    );
    check_rejected(&[
        (
            "no grades",
            &["--years", "2021"],
            None,
            "error: InvalidRequest: check request: `--grades`: expected values such as grade-pk or all, found none",
        ),
        (
            "no selection",
            &[],
            None,
            "error: check request: expected what to fetch, found nothing\nhint: such as --years latest --grades all; or \
             --mode stale for what a lake has and can have changed",
        ),
        (
            "a reversed range",
            &["--years", "2021-2015", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `--years`: expected the earlier year of a range first, \
             found `2021-2015`\n    hint: write `2015-2021`",
        ),
        (
            "a year of two digits",
            &["--years", "21", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `--years`: expected years such as 2020,2021, 2015-2021, latest or all, \
             found `21`",
        ),
        ("a grade in words", &["--years", "2021", "--grades", "Grade 3"], None, &with_hint),
        ("a grade of another survey", &["--years", "2021", "--grades", "grade-16"], None, &without_hint),
        (
            "a year that the portal does not list",
            &["--years", "1985", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `--years`: expected years that the portal lists for `ccd_enrollment` \
             (1986-2024), found 1985",
        ),
        (
            "a partly listed range of years",
            &["--years", "1984-1987,2021,2030", "--grades", "all"],
            None,
            "error: InvalidRequest: check request: `--years`: expected years that the portal lists for `ccd_enrollment` \
             (1986-2024), found 1984-1985, 2030",
        ),
        ("a partition's grade", &["--partition", "2021/pk"], None, &of_partition),
        (
            "a partition without a grade",
            &["--partition", "2021"],
            None,
            "error: `--partition`: expected YEAR/GRADE, found `2021`",
        ),
        (
            "an unknown run",
            &["--failed-of", "20200101T000000-000"],
            None,
            "error: InvalidRequest: check request: `--failed-of`: expected a run of `ccd_enrollment`, found none named \
             `20200101T000000-000`",
        ),
        (
            "a run that is a path",
            &["--failed-of", "../../etc"],
            None,
            "error: InvalidRequest: check request: `--failed-of`: expected the name of a run, found `../../etc`",
        ),
        (
            "a run and another mode",
            &["--failed-of", "20200101T000000-000", "--mode", "missing"],
            None,
            "error: InvalidRequest: check request: `--failed-of`: expected `--mode failed`, found `missing`",
        ),
        (
            "a dataset that is not built in",
            &["--dataset", "ccd_enrol", "--years", "2021", "--grades", "grade-pk"],
            None,
            unknown_dataset,
        ),
        (
            "a dataset whose columns are not known",
            &["--dataset", "pseo_earnings_and_flows", "--years", "2021"],
            None,
            unknown_columns,
        ),
        (
            "grades for a dataset without grades",
            &["--dataset", "ccd_directory", "--years", "2021", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `--grades`: expected a dataset with grades, found `ccd_directory`, \
             which has none",
        ),
        (
            "a missing input file",
            &["--input", "no-such-file.json"],
            None,
            "error: read input `no-such-file.json`: No such file or directory (os error 2)",
        ),
    ]);
}

#[test]
fn an_input_that_is_not_a_request_is_rejected_by_name() {
    let unknown_grade = format!(
        "error: InvalidRequest: check request: `grades`: expected one of {GRADES}, found `pk`\n    hint: write \
         `grade-pk`"
    );
    let many = format!(
        "error: InvalidRequest: check request: found 4 mistakes
  - `year`: expected one of {FIELDS} for dataset `ccd_enrollment`, found an unknown field\n    hint: write `years`
  - `years`: expected the earlier year of a range first, found `2021-2020`
    hint: write `2020-2021`
  - `grades`: expected one of {GRADES}, found `k`
    hint: write `grade-k`
  - `mode`: expected one of all, missing, failed, stale, found `some`"
    );
    let input: &[&str] = &["--input", "-"];
    check_rejected(&[
        (
            "an unknown key",
            input,
            Some(r#"{"years": [2021], "grades": ["grade-pk"], "year": 2021}"#),
            "error: InvalidRequest: check request: `year`: expected one of years, grades, dataset, axes, partitions, \
             mode, refresh_after_days, failed_of, force, keep_pages, catalog for dataset `ccd_enrollment`, found an unknown field\n    hint: \
             write `years`",
        ),
        (
            "a reversed range",
            input,
            Some(r#"{"years": "2021-2020", "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `years`: expected the earlier year of a range first, \
             found `2021-2020`\n    hint: write `2020-2021`",
        ),
        ("an unknown grade", input, Some(r#"{"years": [2021], "grades": ["pk"]}"#), &unknown_grade),
        (
            "empty arrays",
            input,
            Some(r#"{"years": [], "grades": []}"#),
            "error: InvalidRequest: check request: found 2 mistakes\n  - `years`: expected at least one value, found \
             none\n  - `grades`: expected at least one value, found none",
        ),
        (
            "wrong types",
            input,
            Some(r#"{"years": true, "grades": [5], "force": "yes", "failed_of": 7}"#),
            "error: InvalidRequest: check request: found 4 mistakes\n  - `years`: expected years such as [2020, \
             2021], \"2015-2021\", \"latest\" or \"all\", found `true`\n  - `grades`: expected values such as [\"grade-pk\"] or \
             \"all\", found `5`\n    hint: write `grade-5`\n  - `failed_of`: expected the name of a run, found `7`\n  - `force`: expected true \
             or false, found the string \"yes\"",
        ),
        (
            "a year with a fraction",
            input,
            Some(r#"{"years": [2021.5], "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \
             \"all\", found `2021.5`",
        ),
        (
            "a year beyond the calendar",
            input,
            Some(r#"{"years": [99999999999999999999], "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \
             \"all\", found `1e+20`",
        ),
        (
            "partitions together with years",
            input,
            Some(r#"{"years": [2021], "partitions": [{"year": 2021, "grade": "grade-pk"}]}"#),
            "error: InvalidRequest: check request: `years`: expected either `years` or `partitions`, found both",
        ),
        (
            "no partitions",
            input,
            Some(r#"{"partitions": []}"#),
            "error: InvalidRequest: check request: `partitions`: expected at least one, found none",
        ),
        (
            "partitions that are not an array",
            input,
            Some(r#"{"partitions": {"year": 2021, "grade": "grade-pk"}}"#),
            "error: InvalidRequest: check request: `partitions`: expected an array of objects, found \
             `{\"grade\":\"grade-pk\",\"year\":2021}`",
        ),
        (
            "a partition with an unknown axis and a missing one",
            input,
            Some(r#"{"partitions": [{"year": 2021, "race": 1}]}"#),
            "error: InvalidRequest: check request: found 2 mistakes\n  - `partitions[0].race`: expected one of year, \
             grade, found an unknown field\n  - `partitions[0].grade`: expected a value such as \"grade-pk\", found none",
        ),
        (
            "a partition of a year that the portal does not list",
            input,
            Some(r#"{"partitions": [{"year": 2025, "grade": "grade-pk"}]}"#),
            "error: InvalidRequest: check request: `years`: expected years that the portal lists for `ccd_enrollment` \
             (1986-2024), found 2025",
        ),
        (
            "no grades",
            input,
            Some(r#"{"years": [2021]}"#),
            "error: InvalidRequest: check request: `grades`: expected values such as [\"grade-pk\"] or \"all\", found \
             none",
        ),
        (
            "a year that the portal does not list",
            input,
            Some(r#"{"years": [2025, 2021], "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `years`: expected years that the portal lists for `ccd_enrollment` \
             (1986-2024), found 2025",
        ),
        (
            "an unknown run",
            input,
            Some(r#"{"years": "all", "grades": "all", "failed_of": "20200101T000000-000"}"#),
            "error: InvalidRequest: check request: `failed_of`: expected a run of `ccd_enrollment`, found none named \
             `20200101T000000-000`",
        ),
        (
            "an unknown catalog",
            input,
            Some(r#"{"years": [2021], "grades": ["grade-pk"], "catalog": "glue"}"#),
            "error: InvalidRequest: check request: `catalog`: expected one of partitions, crawler, found `glue`",
        ),
        (
            "a dataset that is a number",
            input,
            Some(r#"{"dataset": 5, "years": [2021], "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `dataset`: expected a name, found `5`",
        ),
        (
            "an array",
            input,
            Some("[2021]"),
            "error: InvalidRequest: check request: expected an object such as {\"years\": [2020, 2021], \"grades\": \
             [\"grade-pk\"]}, found `[2021]`",
        ),
        (
            "malformed JSON",
            input,
            Some(r#"{"years": [2021], "grades": ["grade-pk"]"#),
            "error: read input `-`: expected JSON without duplicate fields: EOF while parsing an object at line 1 column 40",
        ),
        (
            "a field twice",
            input,
            Some(r#"{"years": [2020], "grades": ["grade-pk"], "years": [2021]}"#),
            "error: read input `-`: expected JSON without duplicate fields: duplicate field `years` at line 1 column 58",
        ),
        (
            "two datasets",
            &["--input", "-", "--dataset", "ccd_directory"],
            Some(r#"{"dataset": "ccd_enrollment", "years": [2020]}"#),
            "error: read input `-`: expected `dataset` to be `ccd_directory` as in --dataset, found \
             `ccd_enrollment`",
        ),
        (
            "nothing",
            input,
            Some(""),
            "error: read input `-`: expected JSON without duplicate fields: EOF while parsing a value at line 1 column 0",
        ),
        (
            "four mistakes, reported together",
            input,
            Some(r#"{"years": "2021-2020", "grades": ["k"], "year": 2021, "mode": "some"}"#),
            &many,
        ),
    ]);
}

/// Runs a request with its address space limited to 1 GiB.
fn run_within_a_gib(portal: &TestPortal, args: &[&str], input: &str) -> Outcome {
    let lake = TestLake::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), input).unwrap();
    let mut command = Command::new("prlimit");
    command.arg(format!("--as={}", 1_u64 << 30)).arg(binary()).args(["run", "--lake"]).arg(lake.path());
    command.args(["--portal", &portal.origin(), "--input"]).arg(file.path()).args(args);
    Outcome::from_output(command.output().unwrap())
}

/// Found by use: B8.
#[test]
fn w16_a_huge_request_is_rejected_in_little_memory_and_with_a_short_message() {
    let portal = TestPortal::start(Config { n_schools: 60, ..Config::default() });
    let wrong = json!({"years": vec!["20"; 130_000], "grades": ["grade-pk"]}).to_string();
    let found = run_within_a_gib(&portal, &[], &wrong).expect(2);
    assert!(found.stderr.ends_with("\n  - … and 129,980 more\n"), "{found:?}");
    assert!(found.stderr.len() < 5_000, "{} bytes", found.stderr.len());

    let partitions = |n: usize| {
        let partitions = vec![r#"{"year": 2021, "grade": "grade-pk"}"#; n].join(",");
        run_within_a_gib(&portal, &[], &format!("{{\"partitions\": [{partitions}]}}")).expect(2).stderr
    };
    assert_eq!(
        partitions(100_001),
        "error: InvalidRequest: check request: `partitions`: expected at most 100,000 partitions in one plan, found 100,001\n"
    );
    let found = partitions(1_000_000);
    assert!(found.contains(": expected at most 8 MiB, found more\nhint: name years and grades instead of"), "{found}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("five.toml");
    let axes = ["a", "b", "c", "d", "e"];
    let values: Vec<String> = (0..100).map(|i| format!("{{ value = \"v{i}\", code = {i} }}")).collect();
    let mut text = format!(
        "name = \"five\"\ntitle = \"Five axes\"\nattribution = \"A\"\npath = \"five/{}/\"\ndatabase = \"d\"\ntable = \
         \"five\"\nkey = [\"id\"]\n",
        axes.map(|axis| format!("{{{axis}}}")).join("/")
    );
    for axis in axes {
        text += &format!("[[axis]]\nname = \"{axis}\"\ntype = \"string\"\nvalues = [{}]\n", values.join(", "));
    }
    text += "[[column]]\nname = \"id\"\ntype = \"string\"\n";
    fs::write(&file, text).unwrap();
    let all = json!({"as": "all", "bs": "all", "cs": "all", "ds": "all", "es": "all"}).to_string();
    let found = run_within_a_gib(&portal, &["--dataset", file.to_str().unwrap()], &all).expect(2);
    assert_eq!(
        found.stderr,
        "error: InvalidRequest: check request: expected at most 100,000 partitions in one plan, found 10,000,000,000: 100 as \
         × 100 bs × 100 cs × 100 ds × 100 es\n    hint: split the request into several runs with fewer values each\n"
    );
    assert_eq!(portal.n_data_requests(), 0);
}

/// Found by use: W5, W6, W7.
#[test]
fn w13_w14_w15_fields_that_aws_adds_to_an_input_are_accepted_and_an_input_that_is_not_a_request_is_named() {
    let portal = TestPortal::start(Config { n_schools: 60, ..Config::default() });
    let input = json!({
        "years": [2021], "grades": ["grade-pk"], "dataset": null, "partitions": null, "mode": null, "failed_of": null,
        "force": null, "catalog": null, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:aws:states:x", "_trace": {},
    });
    let _ = run_within_a_gib(&portal, &[], &input.to_string()).expect(0);
    let directory = json!({"years": [2021], "grades": null, "dataset": null}).to_string();
    let _ = run_within_a_gib(&portal, &["--dataset", "ccd_directory"], &directory).expect(0);
    let event = json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}});
    let found = run_within_a_gib(&portal, &[], &event.to_string()).expect(2);
    assert_eq!(
        found.stderr,
        "error: InvalidRequest: check request: expected a request such as {\"years\": [2020, 2021], \"grades\": \
         [\"grade-pk\"]}, found an EventBridge event (`detail-type`: the string \"Scheduled Event\")\n    hint: set \
         the input of the rule or schedule to constant JSON: the request\n"
    );
}

#[test]
fn flags_that_exclude_each_other_are_rejected() {
    let lake = TestLake::new();
    for (args, expected) in [
        (
            vec!["--years", "2021", "--partition", "2021/grade-pk"],
            "the argument '--years <YEARS>' cannot be used with '--partition <YEAR/GRADE>'",
        ),
        (vec!["--input", "-", "--force"], "the argument '--input <FILE|->' cannot be used with '--force'"),
        (
            vec!["--sample", "--portal", "http://127.0.0.1"],
            "the argument '--sample' cannot be used with '--portal <URL>'",
        ),
        (vec!["--mode", "some"], "invalid value 'some' for '--mode <MODE>'"),
        (vec!["--in-flight", "0"], "invalid value '0' for '--in-flight <N>'"),
    ] {
        let found = lake.rollcall("run", &args).expect(2);
        assert!(found.stderr.contains(expected), "{args:?}\n{}", found.stderr);
    }
    assert_eq!(fs::read_dir(lake.path()).unwrap().count(), 0);
}

/// Found by use: W11.
#[test]
fn a_password_in_an_origin_is_rejected_and_not_repeated() {
    for origin in ["https://user:sesame@portal.test", "user:sesame@portal.test", "https://user:ses/ame@portal.test"] {
        let lake = TestLake::new();
        let found = lake.rollcall("run", &["--portal", origin, "--years", "2021", "--grades", "grade-pk"]).expect(2);
        assert!(found.stderr.contains("…@portal.test`"), "{}", found.stderr);
        assert!(!found.stderr.contains("ses") && found.stdout.is_empty(), "{}", found.stderr);
    }
}

/// Returns `api-endpoints/` bodies without years, each with the reason given in the warning.
fn unreadable_lists() -> [(&'static str, &'static str); 5] {
    [
        ("<html>busy</html>", "decode list of endpoints: found a web page, `busy`, instead of data"),
        (r#"{"count": 1"#, "decode list of endpoints: EOF while parsing an object at line 1 column 11"),
        (
            r#"{"count": 0, "results": []}"#,
            "find `schools/ccd/enrollment/{year}/{grade}/` in the list of endpoints: expected one with this path, found none",
        ),
        (
            "{\"count\": 1, \"results\": [{\"endpoint_url\": \"/api/v1/schools/ccd/enrollment/{year}/{grade}/\", \
             \"years_available\": \"soon\"}]}",
            "read `years_available`: expected years or ranges separated by commas, found `soon`",
        ),
        (
            "{\"count\": 1, \"results\": [{\"endpoint_url\": \"/api/v1/schools/ccd/enrollment/{year}/{grade}/\", \
             \"years_available\": null}]}",
            "read `years_available`: expected years or ranges separated by commas, found `null`",
        ),
    ]
}

/// Found by use: B4, W11.
#[test]
fn all_years_of_an_unreadable_list_are_rejected_and_a_range_continues_with_a_warning() {
    for (body, reason) in unreadable_lists() {
        let folder = tempfile::tempdir().unwrap();
        let portal = portal_of(folder.path());
        Pages::good().write(folder.path(), &portal.origin(), "");
        write_page(folder.path(), "api-endpoints", 1, body.as_bytes());
        let lake = TestLake::new();

        let all = lake.run(&portal, &["--years", "all", "--grades", "grade-pk"]).expect(4);
        assert_eq!(
            all.stderr,
            format!(
                "error: YearsUnknown: list years of `ccd_enrollment`: expected the portal to list them at \
                 `api-endpoints/`, found no readable list: {reason}\nhint: name the years instead of \
                 requesting `all` or `latest`\n"
            ),
            "{body}"
        );
        assert_eq!(portal.n_data_requests(), 0, "{body}");
        assert_eq!(lake.files("ledger").len() + lake.files("data").len(), 0, "{body}");

        let range = lake.run(&portal, &["--years", "2021-2021", "--grades", "grade-pk"]).expect(0);
        let expected =
            format!("warning: years of `ccd_enrollment` were not checked against the portal's list: {reason}\n");
        assert_eq!(range.stderr, expected, "{body}");
        assert!(range.stdout.contains("1 partition: 1 written; 8 rows, 3 pages"), "{body}\n{}", range.stdout);
    }
}

#[test]
fn a_portal_that_does_not_list_its_years_is_named_with_its_status() {
    let portal = TestPortal::start(Config { n_schools: 60, ..Config::default() });
    let refused =
        Action::Status { code: 403, retry_after: None, body: Some("<html>Enable JavaScript</html>".to_owned()) };
    portal.server.set_faults(vec![Fault::new(refused).on_path("/api-endpoints/")]);
    let lake = TestLake::new();
    let found = lake.run(&portal, &["--years", "all", "--grades", "grade-pk"]).expect(4);
    assert_eq!(
        found.stderr,
        "error: YearsUnknown: list years of `ccd_enrollment`: expected the portal to list them at `api-endpoints/`, \
         found no readable list: fetch list of endpoints: HTTP 403: `Enable JavaScript`\nhint: name the years \
         instead of requesting `all` or `latest`\n"
    );
    assert_eq!(portal.n_data_requests(), 0);
}
