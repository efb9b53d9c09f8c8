//! What is wrong is refused by name, and changes nothing: bodies, requests, descriptors.
//!
//! Every case runs the real binary. A case of a body starts from a lake that holds the same partition from a good run.

use std::fs::{self, File};
use std::path::Path;

use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::{Outcome, TestLake, TestPortal, rollcall, workspace, write_page};
use tempfile::TempDir;

/// Where the simulator finds the pages of the partition that the cases of bodies fetch.
const PATH: &str = "schools/ccd/enrollment/2021/grade-pk";
/// `next` of a page, up to the page's number.
const NEXT: &str = "{origin}/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=";

/// A recording of a portal whose bodies are few enough to read.
fn portal_of(folder: &Path) -> TestPortal {
    // The sample behind the recording is not asked, so it may be small.
    TestPortal::start(Config { recorded: Some(folder.to_owned()), n_schools: 60, ..Config::default() })
}

/// Pages that may be asked for ahead of the one that is refused: one in each of three tries.
const MOST_AHEAD: usize = 3;

/// Three pages of 3, 3 and 2 rows, to be spoilt.
struct Pages(Vec<Vec<u8>>);

impl Pages {
    fn good() -> Self {
        let page = |next: &str, rows: &[u32]| {
            let rows: Vec<String> = rows.iter().map(|row| row_of(*row)).collect();
            let rows = rows.join(", ");
            format!(r#"{{"count": 8, "next": {next}, "previous": null, "results": [{rows}]}}"#).into_bytes()
        };
        Self(vec![
            page(&format!("\"{NEXT}2\""), &[1, 2, 3]),
            page(&format!("\"{NEXT}3\""), &[4, 5, 6]),
            page("null", &[7, 8]),
        ])
    }

    fn text(&self, page: usize) -> String {
        String::from_utf8(self.0[page - 1].clone()).unwrap()
    }

    fn set(&mut self, page: usize, body: impl AsRef<[u8]>) {
        self.0[page - 1] = body.as_ref().to_vec();
    }

    /// Replaces text that must be there, so that no case serves a good page by accident.
    fn replace(&mut self, page: usize, from: &str, to: &str) {
        let text = self.text(page);
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        self.set(page, text.replace(from, to));
    }

    /// The same on every page, as often as it is there.
    fn replace_all(&mut self, from: &str, to: &str) {
        for page in 1..=self.0.len() {
            let text = self.text(page);
            assert!(text.contains(from), "{from} in {text}");
            self.set(page, text.replace(from, to));
        }
    }

    fn write(&self, folder: &Path, origin: &str, other: &str) {
        for (page, body) in (1..).zip(&self.0) {
            // Only text holds links.
            let body = match std::str::from_utf8(body) {
                Ok(text) => text.replace("{origin}", origin).replace("{other}", other).into_bytes(),
                Err(_) => body.clone(),
            };
            write_page(folder, PATH, page, &body);
        }
    }
}

fn row_of(row: u32) -> String {
    format!(
        "{{\"year\": 2021, \"ncessch\": \"01000050087{row}\", \"ncessch_num\": 1000050087{row}, \"grade\": -1, \
         \"race\": 99, \"sex\": 99, \"enrollment\": 2{row}, \"fips\": 1, \"leaid\": \"100005\"}}"
    )
}

/// A case: its name, what is served, the error in full, and the data requests made until it is given up.
///
/// `{origin}` stands for the portal, `{other}` for a second one, `{next}` for [`NEXT`].
type BodyCase = (&'static str, fn(&mut Pages), String, usize);

fn bad_body(page: u32, found: &str) -> String {
    format!(
        "BadBody: decode page {page} of `year=2021/grade=grade-pk`: \
         expected a JSON object with `count`, `next` and `results`, found {found}"
    )
}

fn wrong_partition(row: u32, page: u32, expected_and_found: &str) -> String {
    format!(
        "WrongPartition: check row {row} on page {page} of `year=2021/grade=grade-pk`: expected {expected_and_found}"
    )
}

fn repeated(key: &str, how_often: &str) -> String {
    format!(
        "DuplicateKey: check keys of `year=2021/grade=grade-pk`: \
         expected every key once, found `{key}` more than once {how_often}"
    )
}

fn mismatch(expected_and_found: &str) -> String {
    format!("CountMismatch: fetch `year=2021/grade=grade-pk`: expected {expected_and_found}")
}

fn untrusted(page: u32, expected: &str, found: &str) -> String {
    format!(
        "UntrustedNext: check `next` on page {page} of `year=2021/grade=grade-pk`: expected {expected}, found {found}"
    )
}

fn drift(column: &str, expected_and_found: &str) -> String {
    format!(
        "SchemaDrift: check column `{column}` of `year=2021/grade=grade-pk`: expected {expected_and_found}\n\
         hint: if the portal changed for good, change the column in the descriptor"
    )
}

fn shrank(found: u32) -> String {
    format!(
        "ShrankTooMuch: replace `year=2021/grade=grade-pk`: \
         expected at least half of the 8 rows committed before, found {found}\n\
         hint: if the portal is right, run this partition again with force"
    )
}

/// A lake with a committed partition, and the portal that it came from.
struct Committed {
    portal: TestPortal,
    folder: TempDir,
    lake: TestLake,
}

impl Committed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let portal = portal_of(folder.path());
        let lake = TestLake::new();
        Pages::good().write(folder.path(), &portal.origin(), "");
        let first = Self::fetch(&lake, &portal).expect(0);
        assert!(first.stdout.contains("1 partition: 1 written; 8 rows, 3 pages"), "{}", first.stdout);
        Self { portal, folder, lake }
    }

    /// One request at a time, so that the number of requests is the same each time.
    fn fetch(lake: &TestLake, portal: &TestPortal) -> Outcome {
        lake.run(portal, &["--years", "2021", "--grades", "grade-pk", "--in-flight", "1"])
    }

    /// Runs again and says what differs from: exit code 3, this error and no more on stderr, so many data requests,
    /// data and ledger as they were.
    fn refuses(&self, error: &str, n_requests: usize) -> Option<String> {
        let data = self.lake.files("data");
        let committed = self.lake.committed();
        assert_eq!(committed.len(), 1);
        let n_before = self.portal.n_data_requests();
        let found = Self::fetch(&self.lake, &self.portal);
        let n_found = self.portal.n_data_requests() - n_before;
        let is_as_it_was = self.lake.files("data") == data && self.lake.committed() == committed;
        let is_as_expected = found.code == Some(3)
            && found.stderr == format!("failed: {error}\n")
            && found.stdout.contains("1 partition: 1 failed; 0 rows, 0 pages")
            && (n_requests..=n_requests + MOST_AHEAD).contains(&n_found)
            && is_as_it_was;
        (!is_as_expected).then(|| {
            format!(
                "expected: failed: {error}\nfound ({n_found} requests for {n_requests}, lake as it was: \
                 {is_as_it_was}):\n{found:#?}"
            )
        })
    }
}

/// Runs every case and fails with all that are wrong.
fn check_bodies(cases: &[BodyCase]) {
    // A portal that no answer may lead to.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = portal_of(elsewhere.path());
    Pages::good().write(elsewhere.path(), &other.origin(), "");
    let mut wrong = Vec::new();
    for (name, spoil, error, n_requests) in cases {
        let scene = Committed::new();
        let mut pages = Pages::good();
        spoil(&mut pages);
        pages.write(scene.folder.path(), &scene.portal.origin(), &other.origin());
        let error = error.replace("{next}", NEXT).replace("{origin}", &scene.portal.origin());
        let error = error.replace("{other}", &other.origin());
        wrong.extend(scene.refuses(&error, *n_requests).map(|found| format!("{name}\n{found}")));
    }
    assert_eq!(other.server.requests().len(), 0, "the other portal was asked");
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

/// Bodies that are asked for again: 4 times as a page, 3 times as a partition.
#[test]
fn a10_a12_a13_a30_a31_a32_a_body_that_is_no_page_is_refused_with_what_was_found() {
    // Page 1 is asked for 3 × 4 times; a later page n after n - 1 good ones, 3 × (n - 1 + 4) in all.
    check_bodies(&[
        (
            "truncated JSON",
            |pages| {
                let text = pages.text(3);
                pages.set(3, &text[..70]);
            },
            bad_body(
                3,
                "`{\"count\": 8, \"next\": null, \"previous\": null, \"results\": [{\"year\": 2021`: EOF while \
                 parsing an object at line 1 column 70",
            ),
            18,
        ),
        (
            "HTML with status 200",
            |pages| pages.set(1, "<!doctype html>\n<title>Enable JavaScript and cookies to continue</title>"),
            bad_body(1, r#"`<!doctype html>\n<title>Enable JavaScript and cookies to continue</title>`"#),
            12,
        ),
        ("empty body", |pages| pages.set(2, ""), bad_body(2, "an empty body"), 15),
        ("blank body", |pages| pages.set(1, " \r\n\t"), bad_body(1, "an empty body"), 12),
        (
            "error object with status 200",
            |pages| pages.set(1, r#"{"detail": "Request was throttled."}"#),
            bad_body(1, r#"`{"detail": "Request was throttled."}`"#),
            12,
        ),
        (
            "array instead of object",
            |pages| pages.set(1, r#"[{"API ERROR": "'race' is not a valid 'var' argument"}]"#),
            bad_body(1, r#"`[{"API ERROR": "'race' is not a valid 'var' argument"}]`"#),
            12,
        ),
        (
            "no count",
            |pages| pages.set(1, r#"{"next": null, "results": []}"#),
            bad_body(1, r#"`{"next": null, "results": []}`"#),
            12,
        ),
        (
            "no results",
            |pages| pages.set(1, r#"{"count": 0, "next": null}"#),
            bad_body(1, r#"`{"count": 0, "next": null}`"#),
            12,
        ),
        (
            "results are null",
            |pages| pages.set(1, r#"{"count": 8, "next": null, "results": null}"#),
            bad_body(
                1,
                "`{\"count\": 8, \"next\": null, \"results\": null}`: invalid type: null, expected an array of rows \
                 at line 1 column 42",
            ),
            12,
        ),
        (
            "results twice",
            |pages| pages.set(1, r#"{"count": 0, "next": null, "results": [], "results": []}"#),
            bad_body(
                1,
                r#"`{"count": 0, "next": null, "results": [], "results": []}`: `results` twice at line 1 column 51"#,
            ),
            12,
        ),
        (
            "a row that is a number",
            |pages| pages.set(1, r#"{"count": 1, "next": null, "results": [5]}"#),
            bad_body(
                1,
                "`{\"count\": 1, \"next\": null, \"results\": [5]}`: invalid type: integer `5`, expected an object of \
                 fields at line 1 column 40",
            ),
            12,
        ),
        (
            "negative count",
            |pages| pages.set(1, r#"{"count": -8, "next": null, "results": []}"#),
            bad_body(
                1,
                "`{\"count\": -8, \"next\": null, \"results\": []}`: invalid value: integer `-8`, expected u64 at \
                 line 1 column 12",
            ),
            12,
        ),
        (
            "count past 64 bits",
            |pages| pages.set(1, r#"{"count": 18446744073709551616, "next": null, "results": []}"#),
            bad_body(
                1,
                "`{\"count\": 18446744073709551616, \"next\": null, \"results\": []}`: invalid type: floating point \
                 `1.8446744073709552e+19`, expected u64 at line 1 column 30",
            ),
            12,
        ),
        (
            "next that is a number",
            |pages| pages.set(1, r#"{"count": 8, "next": 2, "results": []}"#),
            bad_body(
                1,
                "`{\"count\": 8, \"next\": 2, \"results\": []}`: invalid type: integer `2`, expected a string at line \
                 1 column 22",
            ),
            12,
        ),
        (
            "text after the object",
            |pages| pages.set(1, r#"{"count": 0, "next": null, "results": []} {}"#),
            bad_body(1, r#"`{"count": 0, "next": null, "results": []} {}`: trailing characters at line 1 column 43"#),
            12,
        ),
        (
            "NaN, which JSON does not have",
            |pages| pages.set(1, r#"{"count": 1, "next": null, "results": [{"enrollment": NaN}]}"#),
            bad_body(
                1,
                r#"`{"count": 1, "next": null, "results": [{"enrollment": NaN}]}`: expected value at line 1 column 55"#,
            ),
            12,
        ),
        (
            "invalid UTF-8",
            |pages| {
                let text = pages.text(3);
                let (before, after) = text.split_at(80);
                pages.set(3, [before.as_bytes(), b"\xff", after.as_bytes()].concat());
            },
            bad_body(3, "a byte that is not UTF-8 at offset 80"),
            18,
        ),
        (
            "a field twice in a row",
            |pages| pages.replace(2, r#""enrollment": 25"#, r#""enrollment": 25, "enrollment": 26"#),
            bad_body(2, "field `enrollment` twice in row 2"),
            15,
        ),
        (
            "an unknown field twice in a row",
            |pages| pages.replace(2, r#""enrollment": 25"#, r#""enrollment": 25, "virtual": 1, "virtual": 0"#),
            bad_body(2, "field `virtual` twice in row 2"),
            15,
        ),
    ]);
}

/// Not asked for again: the portal answers another question than the one asked.
#[test]
fn a33_a_row_of_another_partition_is_refused_with_its_place() {
    check_bodies(&[
        (
            "another grade",
            |pages| pages.replace(2, r#"0875, "grade": -1"#, r#"0875, "grade": 8"#),
            wrong_partition(2, 2, "`grade` -1, found 8"),
            2,
        ),
        (
            "another year",
            |pages| {
                pages.replace(
                    3,
                    r#""year": 2021, "ncessch": "010000500878""#,
                    r#""year": 2020, "ncessch": "010000500878""#,
                )
            },
            wrong_partition(2, 3, "`year` 2021, found 2020"),
            3,
        ),
        (
            "every row of another grade",
            |pages| pages.replace_all(r#""grade": -1"#, r#""grade": 99"#),
            wrong_partition(1, 1, "`grade` -1, found 99"),
            1,
        ),
        (
            "no grade field",
            |pages| pages.replace(1, r#"0873, "grade": -1"#, "0873"),
            wrong_partition(3, 1, "`grade` -1, found no such field"),
            1,
        ),
        (
            "no grade field in any row",
            |pages| pages.replace_all(r#", "grade": -1"#, ""),
            wrong_partition(1, 1, "`grade` -1, found no such field"),
            1,
        ),
        (
            "null grade",
            |pages| pages.replace(1, r#"0871, "grade": -1"#, r#"0871, "grade": null"#),
            wrong_partition(1, 1, "`grade` -1, found null"),
            1,
        ),
        (
            "text for a year",
            |pages| {
                pages.replace(
                    1,
                    r#""year": 2021, "ncessch": "010000500871""#,
                    r#""year": "2021-22", "ncessch": "010000500871""#,
                )
            },
            wrong_partition(1, 1, "`year` 2021, found `2021-22`"),
            1,
        ),
    ]);
}

/// Asked for again from page 1, three times: rows move between pages while the portal is loaded.
#[test]
fn a17_a_repeated_key_is_refused_by_name() {
    check_bodies(&[
        (
            "across pages",
            |pages| pages.replace(3, "\"010000500878\"", "\"010000500872\""),
            repeated("ncessch 010000500872", "(1 repeated of 8 rows)"),
            9,
        ),
        (
            "on one page",
            |pages| pages.replace(2, "\"010000500876\"", "\"010000500875\""),
            repeated("ncessch 010000500875", "(1 repeated of 8 rows)"),
            9,
        ),
        (
            "once with its leading zero, once without",
            |pages| pages.replace(3, "\"010000500877\"", "\"10000500871\""),
            repeated("ncessch 010000500871", "(1 repeated of 8 rows)"),
            9,
        ),
        (
            // `count` and every link are right: only the keys tell.
            "page 1's rows served as page 2",
            |pages| {
                let first = pages.text(1);
                pages.set(2, first.replace("?page=2", "?page=3"));
            },
            repeated("ncessch 010000500871", "(3 repeated of 8 rows)"),
            9,
        ),
    ]);
}

/// Asked for again from page 1, three times.
#[test]
fn a16_a18_rows_that_do_not_add_up_to_count_are_refused_with_both_numbers() {
    check_bodies(&[
        (
            "a row lost on the last page",
            |pages| {
                let lost = format!(", {}", row_of(8));
                pages.replace(3, &lost, "");
            },
            mismatch("8 rows, received 7"),
            9,
        ),
        (
            "a row too many on the last page",
            |pages| pages.replace(3, "]}", &format!(", {}]}}", row_of(9))),
            mismatch("8 rows, received 9"),
            9,
        ),
        (
            "a row lost in the middle",
            |pages| pages.replace(2, &format!(", {}", row_of(6)), ""),
            mismatch("8 rows, page 2 holds 2 where 3 were due"),
            6,
        ),
        (
            "a page longer than page 1",
            |pages| pages.replace(2, "]}", &format!(", {}]}}", row_of(9))),
            mismatch("8 rows, page 2 holds 4 where 3 were due"),
            6,
        ),
        (
            "an empty page in the middle",
            |pages| pages.set(2, format!(r#"{{"count": 8, "next": "{NEXT}3", "results": []}}"#)),
            mismatch("8 rows, page 2 holds 0 where 3 were due"),
            6,
        ),
        (
            "count that moves between pages",
            |pages| pages.replace(2, r#""count": 8"#, r#""count": 9"#),
            mismatch("8 rows, page 2 says 9"),
            6,
        ),
        (
            "count that falls on the last page",
            |pages| pages.replace(3, r#""count": 8"#, r#""count": 0"#),
            mismatch("8 rows, page 3 says 0"),
            9,
        ),
        (
            "no next although count says more",
            |pages| pages.replace(1, &format!("\"{NEXT}2\""), "null"),
            mismatch("8 rows, received 3"),
            3,
        ),
        (
            "no next field although count says more",
            |pages| pages.replace(2, &format!("\"next\": \"{NEXT}3\", "), ""),
            mismatch("8 rows, received 6"),
            6,
        ),
        (
            "fewer counted than sent",
            |pages| pages.replace(1, r#""count": 8"#, r#""count": 2"#),
            mismatch("2 rows, received 3"),
            3,
        ),
        (
            "none counted, some sent",
            |pages| pages.replace(1, r#""count": 8"#, r#""count": 0"#),
            mismatch("0 rows, received 3"),
            3,
        ),
        (
            "some counted, none sent",
            |pages| pages.set(1, r#"{"count": 8, "next": null, "previous": null, "results": []}"#),
            mismatch("8 rows, received 0"),
            3,
        ),
        (
            "more counted than any portal has",
            |pages| pages.replace(1, r#""count": 8"#, r#""count": 18446744073709551615"#),
            mismatch("18446744073709551615 rows, received 3"),
            3,
        ),
    ]);
}

/// Not asked for again. `{other}` is a portal that would serve good pages; it must see no request at all.
#[test]
fn a20_a22_a_next_that_is_not_the_page_that_follows_is_refused_and_never_followed() {
    check_bodies(&[
        (
            "another host",
            |pages| pages.replace(1, "{origin}", "{other}"),
            untrusted(1, "`{next}2`", "`{other}/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2`"),
            1,
        ),
        (
            "another host after a good page",
            |pages| pages.replace(2, "{origin}", "{other}"),
            untrusted(2, "`{next}3`", "`{other}/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=3`"),
            2,
        ),
        (
            "another name of this host",
            |pages| pages.replace(1, "{origin}", "http://localhost"),
            untrusted(1, "`{next}2`", "`http://localhost/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2`"),
            1,
        ),
        (
            "another scheme",
            |pages| pages.replace(1, "{origin}", "https://127.0.0.1"),
            untrusted(1, "`{next}2`", "`https://127.0.0.1/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2`"),
            1,
        ),
        (
            "a file",
            |pages| pages.replace(1, &format!("{NEXT}2"), "file:///etc/passwd"),
            untrusted(1, "`{next}2`", "`file:///etc/passwd`"),
            1,
        ),
        (
            "another port",
            |pages| pages.replace(1, "{origin}", "http://127.0.0.1:1"),
            untrusted(1, "`{next}2`", "`http://127.0.0.1:1/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2`"),
            1,
        ),
        (
            "another path",
            |pages| pages.replace(1, "/grade-pk/?page=2", "/grade-k/?page=2"),
            untrusted(1, "`{next}2`", "`{origin}/api/v1/schools/ccd/enrollment/2021/grade-k/?page=2`"),
            1,
        ),
        (
            "a name and password",
            |pages| pages.replace(1, "{origin}", "http://name:word@127.0.0.1"),
            untrusted(
                1,
                "`{next}2`",
                "`http://name:word@127.0.0.1/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2`",
            ),
            1,
        ),
        (
            "one more parameter",
            |pages| pages.replace(1, "?page=2", "?fips=1&page=2"),
            untrusted(1, "`{next}2`", "`{origin}/api/v1/schools/ccd/enrollment/2021/grade-pk/?fips=1&page=2`"),
            1,
        ),
        ("a page skipped", |pages| pages.replace(1, "?page=2", "?page=3"), untrusted(1, "`{next}2`", "`{next}3`"), 1),
        (
            "a loop from page 2 to page 1",
            |pages| pages.replace(2, "?page=3", "?page=1"),
            untrusted(2, "`{next}3`", "`{next}1`"),
            2,
        ),
        (
            "a loop from page 1 to itself",
            |pages| pages.replace(1, "?page=2", "?page=1"),
            untrusted(1, "`{next}2`", "`{next}1`"),
            1,
        ),
        (
            "one more page after the last",
            |pages| pages.replace(3, r#""next": null"#, &format!(r#""next": "{NEXT}4""#)),
            untrusted(3, "none after the last of 3 pages", "`{next}4`"),
            3,
        ),
        (
            "a relative link",
            |pages| pages.replace(1, &format!("{NEXT}2"), "?page=2"),
            untrusted(1, "`{next}2`", "`?page=2`"),
            1,
        ),
        (
            "a link that would colour a terminal",
            |pages| pages.replace(1, &format!("{NEXT}2"), "\\u001b[31m\\nfailed: forged"),
            untrusted(1, "`{next}2`", r#"`\u{1b}[31m\nfailed: forged`"#),
            1,
        ),
    ]);
}

/// Not asked for again: a column that changed stays changed.
#[test]
fn a27_a28_a29_a_column_that_drifts_is_refused_with_row_and_value() {
    check_bodies(&[
        (
            "a number past 64 bits",
            |pages| pages.replace(1, "10000500871,", "9223372036854775808,"),
            drift("ncessch_num", "bigint, found `9223372036854775808` in row 1 (1 of 8 rows do not fit)"),
            3,
        ),
        (
            "a number past 32 bits",
            |pages| pages.replace(2, r#""enrollment": 25"#, r#""enrollment": 2147483648"#),
            drift("enrollment", "int, found `2147483648` in row 5 (1 of 8 rows do not fit)"),
            3,
        ),
        (
            "text in a number column",
            |pages| pages.replace(2, r#""enrollment": 26"#, r#""enrollment": "twenty-six""#),
            drift("enrollment", r#"int, found `"twenty-six"` in row 6 (1 of 8 rows do not fit)"#),
            3,
        ),
        (
            "a fraction in an integer column",
            |pages| pages.replace(2, r#""enrollment": 26"#, r#""enrollment": 26.5"#),
            drift("enrollment", "int, found `26.5` in row 6 (1 of 8 rows do not fit)"),
            3,
        ),
        (
            "a truth value in a number column",
            |pages| pages.replace(3, r#""enrollment": 28"#, r#""enrollment": true"#),
            drift("enrollment", "int, found `true` in row 8 (1 of 8 rows do not fit)"),
            3,
        ),
        (
            "an object in a number column",
            |pages| pages.replace(3, r#""enrollment": 27"#, r#""enrollment": {"total": 27}"#),
            drift("enrollment", r#"int, found `{"total": 27}` in row 7 (1 of 8 rows do not fit)"#),
            3,
        ),
        (
            "an array in a text column",
            |pages| {
                pages.replace(
                    1,
                    r#""enrollment": 21, "fips": 1, "leaid": "100005""#,
                    r#""enrollment": 21, "fips": 1, "leaid": ["100005"]"#,
                )
            },
            drift("leaid", r#"string, found `["100005"]` in row 1 (1 of 8 rows do not fit)"#),
            3,
        ),
        (
            "half a character in a text column",
            |pages| {
                pages.replace(
                    1,
                    r#""enrollment": 21, "fips": 1, "leaid": "100005""#,
                    r#""enrollment": 21, "fips": 1, "leaid": "\ud800""#,
                )
            },
            drift("leaid", r#"string, found `"\\ud800"` in row 1 (1 of 8 rows do not fit)"#),
            3,
        ),
        (
            "a column missing in every row",
            |pages| pages.replace_all(r#" "fips": 1,"#, ""),
            drift("fips", "int, found no such field in row 1 (8 of 8 rows do not fit)"),
            3,
        ),
        (
            "a column under another name",
            |pages| pages.replace_all("\"enrollment\"", "\"students\""),
            drift("enrollment", "int, found no such field in row 1 (8 of 8 rows do not fit)"),
            3,
        ),
        (
            "a column missing in one row",
            |pages| pages.replace(3, r#", "leaid": "100005"}]"#, "}]"),
            drift("leaid", "string, found no such field in row 8 (1 of 8 rows do not fit)"),
            3,
        ),
        (
            // A key is refused on its page: more pages could not mend it.
            "no key column",
            |pages| pages.replace_all("\"ncessch\"", "\"school\""),
            drift("ncessch", "string, never null or empty, found no such field in row 1 (3 of 3 rows do not fit)"),
            1,
        ),
        (
            "a null key",
            |pages| pages.replace(2, "\"010000500875\"", "null"),
            drift("ncessch", "string, never null or empty, found `null` in row 5 (1 of 6 rows do not fit)"),
            2,
        ),
        (
            "a key that is no text",
            |pages| pages.replace(2, "\"010000500876\"", "{}"),
            drift("ncessch", "string, never null or empty, found `{}` in row 6 (1 of 6 rows do not fit)"),
            2,
        ),
    ]);
}

#[test]
fn a7_a_partition_that_shrank_by_more_than_half_does_not_replace_the_fuller_one() {
    check_bodies(&[
        (
            "empty after full",
            |pages| pages.set(1, r#"{"count": 0, "next": null, "previous": null, "results": []}"#),
            shrank(0),
            1,
        ),
        (
            "3 rows after 8",
            |pages| {
                pages.replace(1, r#""count": 8"#, r#""count": 3"#);
                pages.replace(1, &format!("\"{NEXT}2\""), "null");
            },
            shrank(3),
            1,
        ),
    ]);
}

#[test]
fn half_of_the_rows_replace_the_fuller_partition_and_fewer_do_with_force() {
    let half = [row_of(1), row_of(2), row_of(3), row_of(4)].join(", ");
    let half = format!(r#"{{"count": 4, "next": null, "previous": null, "results": [{half}]}}"#);
    let one = format!(r#"{{"count": 1, "next": null, "previous": null, "results": [{}]}}"#, row_of(1));
    let none = r#"{"count": 0, "next": null, "previous": null, "results": []}"#.to_owned();
    for (body, args, expected) in [
        (&half, &[] as &[&str], "1 partition: 1 written; 4 rows, 1 page"),
        (&one, &["--force"], "1 partition: 1 written; 1 row, 1 page"),
        (&none, &["--force"], "1 partition: 1 empty; 0 rows, 1 page"),
    ] {
        let scene = Committed::new();
        write_page(scene.folder.path(), PATH, 1, body.as_bytes());
        let mut all = vec!["--years", "2021", "--grades", "grade-pk"];
        all.extend(args);
        let found = scene.lake.run(&scene.portal, &all).expect(0);
        assert!(found.stdout.contains(expected), "{body}\n{}", found.stdout);
        assert_eq!(scene.lake.committed().len(), usize::from(body != &none), "{body}");
    }
}

#[test]
fn a3_a4_a5_a6_a21_a_status_that_is_not_200_is_named_with_the_start_of_its_body() {
    let other = portal_of(tempfile::tempdir().unwrap().path());
    let other_page = format!("{}/api/v1/schools/ccd/enrollment/2021/grade-pk/", other.origin());
    let status = |code, body: &str| Action::Status {
        code,
        // Asked for again at once, or the case would wait for seconds.
        retry_after: Some("0".to_owned()),
        body: Some(body.to_owned()),
    };
    let redirected = format!(
        "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused: HTTP 302: `redirect to \
         {other_page}`"
    );
    let cases = [
        // The portal's answer for a year without data: 4 requests a try, 3 tries.
        (
            "500 for a year that it lists",
            1,
            status(500, "<h1>Server Error (500)</h1>"),
            "PortalUnavailable: fetch page 1 of `year=2021/grade=grade-pk`: portal unavailable: HTTP 500 after 4 \
             tries: `<h1>Server Error (500)</h1>`",
            12,
        ),
        (
            "429 each time",
            1,
            status(429, "slow down"),
            "PortalUnavailable: fetch page 1 of `year=2021/grade=grade-pk`: portal unavailable: HTTP 429 after 4 \
             tries: `slow down`",
            12,
        ),
        (
            "404 for a later page",
            2,
            status(404, r#"{"detail":"Invalid page."}"#),
            "PortalRefused: fetch page 2 of `year=2021/grade=grade-pk`: portal refused: HTTP 404: \
             `{\"detail\":\"Invalid page.\"}`",
            2,
        ),
        (
            "403 with a page for browsers",
            1,
            status(403, "<html>Enable JavaScript\nand cookies to continue</html>"),
            "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused: HTTP 403: `<html>Enable \
             JavaScript\\nand cookies to continue</html>`",
            1,
        ),
        ("a redirect to another portal", 1, Action::Redirect { location: other_page.clone() }, redirected.as_str(), 1),
        (
            "a redirect to nowhere",
            1,
            status(301, "moved"),
            "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused: HTTP 301: `moved`",
            1,
        ),
        (
            "no content",
            1,
            status(204, ""),
            "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused: HTTP 204: ``",
            1,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, page, action, error, n_requests) in cases {
        let scene = Committed::new();
        scene.portal.server.set_faults(vec![Fault::new(action).on_path("2021/grade-pk").on_page(page)]);
        wrong.extend(scene.refuses(error, n_requests).map(|found| format!("{name}\n{found}")));
    }
    assert_eq!(other.server.requests().len(), 0, "the other portal was asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Checks that a command line is refused before the portal is asked for data, and that the lake stays empty.
fn check_refused(cases: &[(&str, &[&str], Option<&str>, &str)]) {
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

const FIELDS: &str = "years, grades, dataset, partitions, mode, failed_of, force, catalog";
const GRADES: &str = "grade-pk, grade-k, grade-1 to grade-15, grade-99";

#[test]
fn flags_that_ask_for_nothing_that_is_there_are_refused_by_name() {
    let with_hint = format!(
        "error: InvalidRequest: check request: `grades`: expected one of {GRADES}, found `Grade 3`\n    hint: write \
         `grade-3`"
    );
    let without_hint =
        format!("error: InvalidRequest: check request: `grades`: expected one of {GRADES}, found `grade-16`");
    let of_partition = format!(
        "error: InvalidRequest: check request: `partitions[0].grade`: expected one of {GRADES}, found `pk`\n    hint: \
         write `grade-pk`"
    );
    check_refused(&[
        (
            "no grades",
            &["--years", "2021"],
            None,
            "error: InvalidRequest: check request: `grades`: expected values such as [\"grade-pk\"] or \"all\", found \
             none",
        ),
        (
            "nothing at all",
            &[],
            None,
            "error: InvalidRequest: check request: found 2 mistakes\n  - `years`: expected years such as [2020, \
             2021], \"2015-2021\" or \"all\", found none\n  - `grades`: expected values such as [\"grade-pk\"] or \
             \"all\", found none",
        ),
        (
            "a reversed range",
            &["--years", "2021-2015", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `years`: expected a range from the earlier to the later year, \
             found `2021-2015`\n    hint: write `2015-2021`",
        ),
        (
            "a year of two digits",
            &["--years", "21", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `years`: expected years such as [2020, 2021], \"2015-2021\" or \
             \"all\", found `21`",
        ),
        ("a grade in words", &["--years", "2021", "--grades", "Grade 3"], None, &with_hint),
        ("a grade of another survey", &["--years", "2021", "--grades", "grade-16"], None, &without_hint),
        (
            "a year that the portal does not list",
            &["--years", "1985", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `years`: expected years that the portal lists for `ccd_enrollment` \
             (1986-2024), found 1985",
        ),
        (
            "years of which the portal lists some",
            &["--years", "1984-1987,2021,2030", "--grades", "all"],
            None,
            "error: InvalidRequest: check request: `years`: expected years that the portal lists for `ccd_enrollment` \
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
            "a run that never was",
            &["--failed-of", "20200101T000000-000"],
            None,
            "error: InvalidRequest: check request: `failed_of`: expected a run of `ccd_enrollment`, found none named \
             `20200101T000000-000`",
        ),
        (
            "a run that is a path",
            &["--failed-of", "../../etc"],
            None,
            "error: InvalidRequest: check request: `failed_of`: expected the name of a run, found `../../etc`",
        ),
        (
            "a run and another mode",
            &["--failed-of", "20200101T000000-000", "--mode", "missing"],
            None,
            "error: InvalidRequest: check request: `failed_of`: expected only with mode `failed`, found another mode",
        ),
        (
            "a dataset that is not built in",
            &["--dataset", "ccd", "--years", "2021", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `dataset`: expected one of ccd_enrollment, \
             ccd_enrollment_race_sex, ccd_directory, found `ccd`",
        ),
        (
            "grades of a dataset that has none",
            &["--dataset", "ccd_directory", "--years", "2021", "--grades", "grade-pk"],
            None,
            "error: InvalidRequest: check request: `grades`: expected one of years, dataset, partitions, mode, \
             failed_of, force, catalog for dataset `ccd_directory`, found a field that is none of them",
        ),
        (
            "an input file that is not there",
            &["--input", "no-such-file.json"],
            None,
            "error: read input `no-such-file.json`: No such file or directory (os error 2)",
        ),
    ]);
}

#[test]
fn an_input_that_is_not_a_request_is_refused_by_name() {
    let unknown_grade = format!(
        "error: InvalidRequest: check request: `grades`: expected one of {GRADES}, found `pk`\n    hint: write \
         `grade-pk`"
    );
    let many = format!(
        "error: InvalidRequest: check request: found 4 mistakes
  - `year`: expected one of {FIELDS} for dataset `ccd_enrollment`, found a field that is none of them
  - `years`: expected a range from the earlier to the later year, found `2021-2020`
    hint: write `2020-2021`
  - `grades`: expected one of {GRADES}, found `k`
    hint: write `grade-k`
  - `mode`: expected one of all, missing, failed, found `some`"
    );
    let input: &[&str] = &["--input", "-"];
    check_refused(&[
        (
            "an unknown key",
            input,
            Some(r#"{"years": [2021], "grades": ["grade-pk"], "year": 2021}"#),
            "error: InvalidRequest: check request: `year`: expected one of years, grades, dataset, partitions, mode, \
             failed_of, force, catalog for dataset `ccd_enrollment`, found a field that is none of them",
        ),
        (
            "a reversed range",
            input,
            Some(r#"{"years": "2021-2020", "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `years`: expected a range from the earlier to the later year, \
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
             2021], \"2015-2021\" or \"all\", found `true`\n  - `grades`: expected values such as [\"grade-pk\"] or \
             \"all\", found `5`\n  - `failed_of`: expected the name of a run, found `7`\n  - `force`: expected true \
             or false, found `yes`",
        ),
        (
            "a year with a fraction",
            input,
            Some(r#"{"years": [2021.5], "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `years`: expected years such as [2020, 2021], \"2015-2021\" or \
             \"all\", found `2021.5`",
        ),
        (
            "a year past every calendar",
            input,
            Some(r#"{"years": [99999999999999999999], "grades": ["grade-pk"]}"#),
            "error: InvalidRequest: check request: `years`: expected years such as [2020, 2021], \"2015-2021\" or \
             \"all\", found `1e+20`",
        ),
        (
            "partitions beside years",
            input,
            Some(r#"{"years": [2021], "partitions": [{"year": 2021, "grade": "grade-pk"}]}"#),
            "error: InvalidRequest: check request: `years`: expected none beside `partitions`, found both",
        ),
        (
            "no partitions",
            input,
            Some(r#"{"partitions": []}"#),
            "error: InvalidRequest: check request: `partitions`: expected at least one, found none",
        ),
        (
            "partitions that are no array",
            input,
            Some(r#"{"partitions": {"year": 2021, "grade": "grade-pk"}}"#),
            "error: InvalidRequest: check request: `partitions`: expected an array of objects, found \
             `{\"grade\":\"grade-pk\",\"year\":2021}`",
        ),
        (
            "a partition with another axis and without one of its own",
            input,
            Some(r#"{"partitions": [{"year": 2021, "race": 1}]}"#),
            "error: InvalidRequest: check request: found 2 mistakes\n  - `partitions[0].race`: expected only year, \
             grade, found another field\n  - `partitions[0].grade`: expected a value such as \"grade-pk\", found none",
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
            "a run that never was",
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
            "error: read input `-`: expected JSON, each field once: EOF while parsing an object at line 1 column 40",
        ),
        (
            "a field twice",
            input,
            Some(r#"{"years": [2020], "grades": ["grade-pk"], "years": [2021]}"#),
            "error: read input `-`: expected JSON, each field once: field `years` twice at line 1 column 58",
        ),
        (
            "a dataset beside another one",
            &["--input", "-", "--dataset", "ccd_directory"],
            Some(r#"{"dataset": "ccd_enrollment", "years": [2020]}"#),
            "error: read input `-`: expected no other `dataset` than `ccd_directory` of --dataset, found \
             `ccd_enrollment`",
        ),
        (
            "nothing",
            input,
            Some(""),
            "error: read input `-`: expected JSON, each field once: EOF while parsing a value at line 1 column 0",
        ),
        (
            "four mistakes, reported together",
            input,
            Some(r#"{"years": "2021-2020", "grades": ["k"], "year": 2021, "mode": "some"}"#),
            &many,
        ),
    ]);
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
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

/// Bodies of `api-endpoints/` that name no years, with the reason as a warning gives it.
fn unreadable_lists() -> [(&'static str, &'static str); 5] {
    [
        ("<html>busy</html>", "read list of endpoints: expected value at line 1 column 1"),
        (r#"{"count": 1"#, "read list of endpoints: EOF while parsing an object at line 1 column 11"),
        (
            r#"{"count": 0, "results": []}"#,
            "find `schools/ccd/enrollment/{year}/{grade}/` in the list of endpoints: found none with this path",
        ),
        (
            "{\"count\": 1, \"results\": [{\"endpoint_url\": \"/api/v1/schools/ccd/enrollment/{year}/{grade}/\", \
             \"years_available\": \"soon\"}]}",
            "read `years_available`: expected years, ranges and commas, found `soon`",
        ),
        (
            "{\"count\": 1, \"results\": [{\"endpoint_url\": \"/api/v1/schools/ccd/enrollment/{year}/{grade}/\", \
             \"years_available\": null}]}",
            "read `years_available`: expected years, ranges and commas, found ``",
        ),
    ]
}

#[test]
fn all_years_of_a_list_that_cannot_be_read_are_refused_and_a_range_goes_ahead_with_a_warning() {
    for (body, reason) in unreadable_lists() {
        let folder = tempfile::tempdir().unwrap();
        let portal = portal_of(folder.path());
        Pages::good().write(folder.path(), &portal.origin(), "");
        write_page(folder.path(), "api-endpoints", 1, body.as_bytes());
        let lake = TestLake::new();

        let all = lake.run(&portal, &["--years", "all", "--grades", "grade-pk"]).expect(4);
        assert!(
            all.stderr.starts_with(
                "error: YearsUnknown: list years of `ccd_enrollment`: expected the portal's list at `api-endpoints/` \
                 to name the years, found none that can be read"
            ),
            "{body}\n{}",
            all.stderr
        );
        assert!(all.stderr.ends_with("hint: name the years instead of `all`\n"), "{body}\n{}", all.stderr);
        assert_eq!(portal.n_data_requests(), 0, "{body}");
        assert_eq!(lake.files("ledger").len() + lake.files("data").len(), 0, "{body}");

        let range = lake.run(&portal, &["--years", "2021-2021", "--grades", "grade-pk"]).expect(0);
        let expected =
            format!("warning: years of `ccd_enrollment` are not checked against the portal's list: {reason}\n");
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
        "error: YearsUnknown: list years of `ccd_enrollment`: expected the portal's list at `api-endpoints/` to name \
         the years, found none that can be read: HTTP 403: `<html>Enable JavaScript</html>`\nhint: name the years \
         instead of `all`\n"
    );
    assert_eq!(portal.n_data_requests(), 0);
}

/// The descriptor of `ccd_enrollment` with one piece of text in place of another.
fn descriptor(from: &str, to: &str) -> String {
    let text = fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

#[test]
fn a_descriptor_that_breaks_a_rule_is_refused_with_line_and_key() {
    let portal = TestPortal::start(Config { n_schools: 60, ..Config::default() });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.toml");
    let file_name = file.to_str().unwrap();
    let columns = "[[column]]\nname = \"race\"\n";
    let cases = [
        (
            "an unknown key",
            descriptor("title = \"CCD enrollment by school and grade\"", "titel = \"CCD enrollment\""),
            "line 4, key `titel`: unknown field `titel`, expected one of `name`, `title`, `attribution`, `path`, \
             `database`, `table`, `comment`, `key`, `secret`, `axis`, `column`",
        ),
        (
            "an unknown key of a column",
            descriptor(columns, "[[column]]\nname = \"race\"\nunit = \"code\"\n"),
            "line 58, key `unit`: unknown field `unit`, expected one of `name`, `type`, `width`, `dictionary`, \
             `comment`",
        ),
        (
            "a wrong type",
            descriptor("key = [\"ncessch\"]", "key = \"ncessch\""),
            "line 10, key `key`: invalid type: string \"ncessch\", expected a sequence",
        ),
        (
            "a type that there is not",
            descriptor("type = \"bigint\"", "type = \"long\""),
            "line 52, key `type`: unknown variant `long`, expected one of `string`, `int`, `bigint`, `double`",
        ),
        ("no table", descriptor("table = \"us_education_ccd_enrollment_data\"\n", ""), "line 1: missing field `table`"),
        ("not TOML", "{\"name\": \"odd\"}".to_owned(), "line 1: invalid key-value pair, expected key"),
        (
            "a path without its last slash",
            descriptor("{year}/{grade}/\"", "{year}/{grade}\""),
            "`path`: expected a trailing slash, since the portal redirects without, found \
             `schools/ccd/enrollment/{year}/{grade}`",
        ),
        (
            "a path to another host",
            descriptor("path = \"schools/ccd/", "path = \"//example.org/"),
            "found 3 mistakes\n  - `path`: expected segments of lower-case letters, digits, `-`, `_` or `{axis}`, \
             found ``\n  - `path`: expected segments of lower-case letters, digits, `-`, `_` or `{axis}`, found ``\n  \
             - `path`: expected segments of lower-case letters, digits, `-`, `_` or `{axis}`, found `example.org`",
        ),
        (
            "a path upwards",
            descriptor("path = \"schools/", "path = \"../"),
            "`path`: expected segments of lower-case letters, digits, `-`, `_` or `{axis}`, found `..`",
        ),
        (
            "a path with its axes in another order",
            descriptor("{year}/{grade}/\"", "{grade}/{year}/\""),
            "`path`: expected the placeholders of the axes in order (year, grade), found grade, year",
        ),
        (
            "a key that is no column",
            descriptor("key = [\"ncessch\"]", "key = [\"school\"]"),
            "`key`: expected names of columns, found `school`",
        ),
        (
            "a column named as an axis",
            descriptor(columns, "[[column]]\nname = \"grade\"\n"),
            "`column.name`: expected names that are not taken, found `grade` again",
        ),
        (
            "a width of a number",
            descriptor(columns, "[[column]]\nname = \"race\"\nwidth = 2\n"),
            "`column.width` of `race`: expected only on columns of type string, found it on int",
        ),
        (
            "a table outside the lake",
            descriptor("table = \"us_education_ccd_enrollment_data\"", "table = \"../../etc\"")
                .replace("name = \"ccd_enrollment\"", "name = \"mine\""),
            "`table`: expected a name of lower-case letters, digits and `_`, found `../../etc`",
        ),
        (
            "a name built in with another table",
            descriptor("table = \"us_education_ccd_enrollment_data\"", "table = \"mine\""),
            "`name`: expected one of its own, found `ccd_enrollment` of datasets/ccd_enrollment.toml, whose name is \
             `ccd_enrollment` and whose table is `us_education_ccd_enrollment_data`",
        ),
        (
            "another dataset's table",
            descriptor("name = \"ccd_enrollment\"", "name = \"mine\""),
            "`table`: expected one of its own, found `us_education_ccd_enrollment_data` of \
             datasets/ccd_enrollment.toml, whose name is `ccd_enrollment` and whose table is \
             `us_education_ccd_enrollment_data`",
        ),
        (
            "a look-up's table",
            descriptor("table = \"us_education_ccd_enrollment_data\"", "table = \"lookup_states\"")
                .replace("name = \"ccd_enrollment\"", "name = \"mine\""),
            "`table`: expected a table of its own, found the look-up table `lookup_states`",
        ),
        (
            "a code of two values",
            descriptor("code = 0", "code = -1"),
            "`axis.values` of `grade`: expected every code once, found -1 again",
        ),
        (
            "a width past the padding",
            descriptor("width = 12", "width = 33"),
            "`column.width` of `ncessch`: expected 1 to 32, found 33",
        ),
        (
            "a header that is none",
            descriptor(
                "key = [\"ncessch\"]",
                "key = [\"ncessch\"]\nsecret = { header = \"x key\", name = \"portal\" }",
            ),
            "`secret.header`: expected letters, digits, `-` and `_`, found `x key`",
        ),
        (
            "a secret's value in place of its name",
            descriptor(
                "key = [\"ncessch\"]",
                "key = [\"ncessch\"]\nsecret = { header = \"x-key\", value = \"hunter2\" }",
            ),
            "line 11, key `secret`: unknown field `value`, expected `header` or `name`",
        ),
        (
            "two rules broken",
            descriptor("key = [\"ncessch\"]", "key = []").replace("{grade}/\"", "\""),
            "found 2 mistakes\n  - `key`: expected at least one column, found none\n  - `path`: expected the \
             placeholders of the axes in order (year, grade), found year",
        ),
    ];
    let lake = TestLake::new();
    let mut wrong = Vec::new();
    for (name, text, expected) in cases {
        fs::write(&file, text).unwrap();
        let expected = format!("error: InvalidDescriptor: read descriptor `{file_name}`: {expected}");
        let check = Outcome::of(rollcall(&["datasets", "check", file_name]).output().unwrap());
        let run = lake.run(&portal, &["--dataset", file_name, "--years", "2021", "--grades", "grade-pk"]);
        for found in [check, run] {
            if found.code != Some(2) || !found.stdout.is_empty() || !found.stderr.starts_with(&expected) {
                wrong.push(format!("{name}\nexpected:\n{expected}\nfound:\n{}", found.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(portal.server.requests().len(), 0);
    assert_eq!(fs::read_dir(lake.path()).unwrap().count(), 0);
}

#[test]
fn a_descriptor_that_is_not_there_is_refused_by_its_path() {
    let lake = TestLake::new();
    let check = Outcome::of(rollcall(&["datasets", "check", "no/such.toml"]).output().unwrap());
    let run = lake.rollcall("run", &["--dataset", "no/such.toml", "--years", "2021", "--grades", "grade-pk"]);
    for found in [check, run] {
        let found = found.expect(2);
        assert_eq!(
            found.stderr,
            "error: read descriptor `no/such.toml`: expected a file, found none that can be read: \
             No such file or directory (os error 2)\n"
        );
    }
}
