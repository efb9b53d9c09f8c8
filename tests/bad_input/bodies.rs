//! Bodies, pages and partitions that are not what was asked for.

use rollcall_simulator::{Action, Fault};
use rollcall_tests::{Outcome, TestLake, TestPortal, write_page};
use tempfile::TempDir;

use crate::pages::{NEXT, PATH, Pages, portal_of, row_of};

/// Pages that may be asked for ahead of the one that is refused: one in each of three tries.
const MOST_AHEAD: usize = 3;

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
