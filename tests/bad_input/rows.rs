//! Rows from another partition, duplicate rows, rows whose types changed, and too few rows.

use rollcall_tests::write_page;

use crate::cases::{Committed, check_bodies};
use crate::pages::{NEXT, PATH, row_of};

fn wrong_partition(row: u32, page: u32, expected_and_found: &str) -> String {
    format!(
        "WrongPartition: check row {row} on page {page} of `year=2021/grade=grade-pk`: expected {expected_and_found}"
    )
}

fn repeated(key: &str, how_often: &str) -> String {
    format!(
        "DuplicateKey: check keys of `year=2021/grade=grade-pk`: \
         expected each key once, found `{key}` more than once {how_often}"
    )
}

fn drift(column: &str, expected_and_found: &str) -> String {
    format!(
        "SchemaDrift: check column `{column}` of `year=2021/grade=grade-pk`: expected {expected_and_found}\n\
         hint: if the portal's data has changed permanently, update the column in the descriptor"
    )
}

fn drift_of_key(expected_and_found: &str) -> String {
    format!(
        "SchemaDrift: check column `ncessch` of `year=2021/grade=grade-pk`: expected {expected_and_found}\n\
         hint: key columns (ncessch) cannot be null or empty; if the portal has rows without them, choose another `key` \
         in the descriptor"
    )
}

fn shrank(found: u32) -> String {
    format!(
        "ShrankTooMuch: replace `year=2021/grade=grade-pk`: \
         expected at least half of the 8 rows committed before, found {found}\n\
         hint: if the portal's data is right, run this partition again with `force`"
    )
}

/// Not retried: the portal answers a different request from the one it received.
#[test]
fn a33_a_row_of_another_partition_is_rejected_with_its_position() {
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
            "text instead of a year",
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

/// Fetched three times from page 1: rows move between pages while the portal loads data.
#[test]
fn a17_a_duplicate_key_is_rejected_by_name() {
    check_bodies(&[
        (
            "across pages",
            |pages| pages.replace(3, "\"010000500878\"", "\"010000500872\""),
            repeated("ncessch 010000500872", "(1 of 8 rows repeat a key)"),
            9,
        ),
        (
            "on one page",
            |pages| pages.replace(2, "\"010000500876\"", "\"010000500875\""),
            repeated("ncessch 010000500875", "(1 of 8 rows repeat a key)"),
            9,
        ),
        (
            "once with its leading zero, once without",
            |pages| pages.replace(3, "\"010000500877\"", "\"10000500871\""),
            repeated("ncessch 010000500871", "(1 of 8 rows repeat a key)"),
            9,
        ),
        (
            // `count` and every link are correct, so only the keys reveal the problem.
            "page 1's rows served as page 2",
            |pages| {
                let first = pages.text(1);
                pages.set(2, first.replace("?page=2", "?page=3"));
            },
            repeated("ncessch 010000500871", "(3 of 8 rows repeat a key)"),
            9,
        ),
    ]);
}

/// Not retried: a column that changed stays changed.
#[test]
fn a27_a28_a29_a_column_that_changes_its_type_is_rejected_with_row_and_value() {
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
            "a boolean in a number column",
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
            "half a surrogate pair in a text column",
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
            // A bad key is rejected as soon as its page is read, since further pages could not help.
            "no key column",
            |pages| pages.replace_all("\"ncessch\"", "\"school\""),
            drift_of_key("string, never null or empty, found no such field in row 1 (1 of 1 rows do not fit)"),
            1,
        ),
        (
            "a null key",
            |pages| pages.replace(2, "\"010000500875\"", "null"),
            drift_of_key("string, never null or empty, found `null` in row 5 (1 of 6 rows do not fit)"),
            2,
        ),
        (
            "a key that is not text",
            |pages| pages.replace(2, "\"010000500876\"", "{}"),
            drift_of_key("string, never null or empty, found `{}` in row 6 (1 of 6 rows do not fit)"),
            2,
        ),
    ]);
}

#[test]
fn a7_a_partition_that_shrank_by_more_than_half_does_not_replace_the_larger_one() {
    check_bodies(&[
        (
            "no rows after 8",
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
fn half_of_the_rows_replace_the_larger_partition_and_fewer_do_only_with_force() {
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
