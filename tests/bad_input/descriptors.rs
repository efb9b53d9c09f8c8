//! Descriptors that break a rule.

use std::fs;

use rollcall_simulator::Config;
use rollcall_tests::{Outcome, TestLake, TestPortal, rollcall, workspace};

/// Returns the `ccd_enrollment` descriptor with one string replaced.
fn descriptor(from: &str, to: &str) -> String {
    let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

#[test]
fn a_descriptor_that_breaks_a_rule_is_rejected_with_line_and_key() {
    let portal = TestPortal::start(Config { n_schools: 60, ..Config::default() });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.toml");
    let file_name = file.to_str().unwrap();
    let columns = "[[column]]\nname = \"race\"\n";
    let cases = [
        (
            "an unknown key",
            descriptor("title = \"CCD enrollment by school and grade\"", "titel = \"CCD enrollment\""),
            "line 4, `titel`: expected one of `name`, `title`, `attribution`, `path`, `database`, `table`, `comment`, \
             `key`, `repeated_keys`, `reason`, `secret`, `in_flight`, `memory_mib`, `axis`, `column`, `lists`, found an \
             unknown key\n    hint: write `title`",
        ),
        (
            "an unknown key of a column",
            descriptor(columns, "[[column]]\nname = \"race\"\nunit = \"code\"\n"),
            "line 62, `column.unit` of `race`: expected one of `name`, `field`, `type`, `codes`, `total`, `optional`, \
             `width`, `starts_with`, `dictionary`, `comment`, found an unknown key",
        ),
        (
            "a wrong type",
            descriptor("key = [\"ncessch\"]", "key = \"ncessch\""),
            "line 10, `key`: expected a list such as [\"ncessch\"], found \"ncessch\"",
        ),
        (
            "an unknown type",
            descriptor("type = \"bigint\"", "type = \"long\""),
            "line 55, `column.type` of `ncessch_num`: expected \"string\", \"int\", \"bigint\" or \"double\", found \"long\"\n    \
             hint: write `bigint`",
        ),
        (
            "no table",
            descriptor("table = \"us_education_ccd_enrollment_data\"\n", ""),
            "`table`: expected text, found none",
        ),
        ("not TOML", "{\"name\": \"odd\"}".to_owned(), "line 1: invalid key-value pair, expected key"),
        (
            "a path without a final slash",
            descriptor("{year}/{grade}/\"", "{year}/{grade}\""),
            "`path`: expected a trailing slash (the portal redirects paths without one), found \
             `schools/ccd/enrollment/{year}/{grade}`",
        ),
        (
            "a path to another host",
            descriptor("path = \"schools/ccd/", "path = \"//example.org/"),
            "found 3 mistakes\n  - `path`: expected each segment to be `{axis}` or lower-case letters, digits, `-` and `_`, \
             found ``\n  - `path`: expected each segment to be `{axis}` or lower-case letters, digits, `-` and `_`, found \
             ``\n  - `path`: expected each segment to be `{axis}` or lower-case letters, digits, `-` and `_`, found \
             `example.org`",
        ),
        (
            "a path upwards",
            descriptor("path = \"schools/", "path = \"../"),
            "`path`: expected each segment to be `{axis}` or lower-case letters, digits, `-` and `_`, found `..`",
        ),
        (
            "a path with its axes in another order",
            descriptor("{year}/{grade}/\"", "{grade}/{year}/\""),
            "`path`: expected one placeholder per axis, in order (year, grade), found grade, year",
        ),
        (
            "a key that is not a column",
            descriptor("key = [\"ncessch\"]", "key = [\"school\"]"),
            "`key`: expected the name of a column, found `school`",
        ),
        (
            "a column with the name of an axis",
            descriptor(columns, "[[column]]\nname = \"grade\"\n"),
            "`column.name`: expected a unique name, found `grade`, which is already used",
        ),
        (
            "a width for a number",
            descriptor(columns, "[[column]]\nname = \"race\"\nwidth = 2\n"),
            "`column.width` of `race`: expected a column of type string, found type int",
        ),
        (
            "a table outside the lake",
            descriptor("table = \"us_education_ccd_enrollment_data\"", "table = \"../../etc\"")
                .replace("name = \"ccd_enrollment\"", "name = \"mine\""),
            "`table`: expected lower-case letters, digits and `_`, not starting with a digit, found `../../etc`",
        ),
        (
            "a built-in name with another table",
            descriptor("table = \"us_education_ccd_enrollment_data\"", "table = \"mine\""),
            "`name`: expected a name that is not in use, found `ccd_enrollment` of datasets/ccd_enrollment.toml (name \
             `ccd_enrollment`, table `us_education_ccd_enrollment_data`)",
        ),
        (
            "another dataset's table",
            descriptor("name = \"ccd_enrollment\"", "name = \"mine\""),
            "`table`: expected a table that is not in use, found `us_education_ccd_enrollment_data` of \
             datasets/ccd_enrollment.toml (name `ccd_enrollment`, table `us_education_ccd_enrollment_data`)",
        ),
        (
            "a look-up's table",
            descriptor("table = \"us_education_ccd_enrollment_data\"", "table = \"lookup_states\"")
                .replace("name = \"ccd_enrollment\"", "name = \"mine\""),
            "`table`: expected a table that is not in use, found the lookup table `lookup_states`",
        ),
        (
            "a code of two values",
            descriptor("code = 0", "code = -1"),
            "`axis.values` of `grade`: expected each code once, found -1 again",
        ),
        (
            "a width beyond the maximum",
            descriptor("width = 12", "width = 33"),
            "`column.width` of `ncessch`: expected 1 to 32, found 33",
        ),
        (
            "an invalid header",
            descriptor(
                "key = [\"ncessch\"]",
                "key = [\"ncessch\"]\nsecret = { header = \"x key\", name = \"portal\" }",
            ),
            "`secret.header`: expected letters, digits, `-` and `_`, found `x key`",
        ),
        (
            "a secret's value instead of its name",
            descriptor(
                "key = [\"ncessch\"]",
                "key = [\"ncessch\"]\nsecret = { header = \"x-key\", value = \"hunter2\" }",
            ),
            "line 11, `secret.value`: expected `header` or `name`, found an unknown key",
        ),
        (
            "a comment that Glue rejects",
            descriptor(
                "comment = \"Fall of the school year: 2021 is 2021-22\"",
                &format!("comment = \"{}\"", "x".repeat(256)),
            ),
            &format!(
                "`axis.comment` of `year`: expected at most 255 bytes (the limit of AWS Glue), found 256: `{}…`",
                "x".repeat(200)
            ),
        ),
        (
            "a reserved database name",
            descriptor("database = \"ccd_school\"", "database = \"information_schema\""),
            "`database`: expected a name that query engines do not reserve, found `information_schema`",
        ),
        (
            "a header that frames the message",
            descriptor(
                "key = [\"ncessch\"]",
                "key = [\"ncessch\"]\nsecret = { header = \"Content-Length\", name = \"portal\" }",
            ),
            "`secret.header`: expected a header for credentials, such as `x-api-key` or `authorization`, found \
             `Content-Length`, which is reserved for the HTTP client",
        ),
        (
            "two broken rules",
            descriptor("key = [\"ncessch\"]", "key = []").replace("{grade}/\"", "\""),
            "found 2 mistakes\n  - `path`: expected one placeholder per axis, in order (year, grade), found year\n  - `key`: \
             expected at least one column, found none",
        ),
    ];
    let lake = TestLake::new();
    let mut wrong = Vec::new();
    for (name, text, expected) in cases {
        fs::write(&file, text).unwrap();
        let expected = format!("error: InvalidDescriptor: read descriptor `{file_name}`: {expected}");
        let check = Outcome::from_output(rollcall(&["datasets", "check", file_name]).output().unwrap());
        let run = lake.run(&portal, &["--dataset", file_name, "--years", "2021", "--grades", "grade-pk"]);
        for found in [check, run] {
            // What the whole file lacks is on no line.
            let is_located =
                name == "no table" || expected.contains(": line ") || without_lines(&found.stderr) != found.stderr;
            let message =
                if expected.contains(": line ") { found.stderr.clone() } else { without_lines(&found.stderr) };
            if found.code != Some(2) || !found.stdout.is_empty() || !is_located || !message.starts_with(&expected) {
                wrong.push(format!("{name}\nexpected:\n{expected}\nfound:\n{}", found.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(portal.server.requests().len(), 0);
    assert_eq!(fs::read_dir(lake.path()).unwrap().count(), 0);
}

/// Returns a message without the lines of the keys that it names.
fn without_lines(message: &str) -> String {
    let mut parts = message.split("line ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        text.push_str(rest.strip_prefix(", ").filter(|rest| rest.len() < part.len()).unwrap_or(part));
    }
    text
}

#[test]
fn a_missing_descriptor_is_reported_by_its_path() {
    let lake = TestLake::new();
    let check = Outcome::from_output(rollcall(&["datasets", "check", "no/such.toml"]).output().unwrap());
    let run = lake.rollcall("run", &["--dataset", "no/such.toml", "--years", "2021", "--grades", "grade-pk"]);
    for found in [check, run] {
        let found = found.expect(2);
        assert_eq!(
            found.stderr,
            "error: read descriptor `no/such.toml`: expected a readable file: \
             No such file or directory (os error 2)\n"
        );
    }
}
