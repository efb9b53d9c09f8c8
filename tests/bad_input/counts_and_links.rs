//! Pages with a wrong number of rows for their `count`, or a `next` that points elsewhere.

use crate::cases::check_bodies;
use crate::pages::{NEXT, row_of};

fn mismatch(expected_and_found: &str) -> String {
    format!("CountMismatch: fetch `year=2021/grade=grade-pk`: expected {expected_and_found}")
}

fn untrusted(page: u32, expected: &str, found: &str) -> String {
    format!(
        "UntrustedNext: check `next` on page {page} of `year=2021/grade=grade-pk`: expected {expected}, found {found}"
    )
}

/// These partitions are fetched three times, each time from page 1.
#[test]
fn a16_a18_a_wrong_number_of_rows_is_rejected_with_both_numbers() {
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
            mismatch("8 rows, page 2 has 2 instead of 3"),
            6,
        ),
        (
            "a page longer than page 1",
            |pages| pages.replace(2, "]}", &format!(", {}]}}", row_of(9))),
            mismatch("8 rows, page 2 has 4 instead of 3"),
            6,
        ),
        (
            "an empty page in the middle",
            |pages| pages.set(2, format!(r#"{{"count": 8, "next": "{NEXT}3", "results": []}}"#)),
            mismatch("8 rows, page 2 has 0 instead of 3"),
            6,
        ),
        (
            "count that moves between pages",
            |pages| pages.replace(2, r#""count": 8"#, r#""count": 9"#),
            mismatch("8 rows, page 2 has `count` 9"),
            6,
        ),
        (
            "count that drops on the last page",
            |pages| pages.replace(3, r#""count": 8"#, r#""count": 0"#),
            mismatch("8 rows, page 3 has `count` 0"),
            9,
        ),
        (
            "no next although count promises more",
            |pages| pages.replace(1, &format!("\"{NEXT}2\""), "null"),
            mismatch("8 rows, received 3"),
            3,
        ),
        (
            "no next field although count promises more",
            |pages| pages.replace(2, &format!("\"next\": \"{NEXT}3\", "), ""),
            mismatch("8 rows, received 6"),
            6,
        ),
        (
            "count below the rows sent",
            |pages| pages.replace(1, r#""count": 8"#, r#""count": 2"#),
            mismatch("2 rows, received 3"),
            3,
        ),
        (
            "count of 0 with rows",
            |pages| pages.replace(1, r#""count": 8"#, r#""count": 0"#),
            mismatch("0 rows, received 3"),
            3,
        ),
        (
            "count without rows",
            |pages| pages.set(1, r#"{"count": 8, "next": null, "previous": null, "results": []}"#),
            mismatch("8 rows, received 0"),
            3,
        ),
        (
            "count beyond any portal",
            |pages| pages.replace(1, r#""count": 8"#, r#""count": 18446744073709551615"#),
            mismatch("18446744073709551615 rows, received 3"),
            3,
        ),
    ]);
}

/// These partitions are not retried. `{other}` is a portal that would serve valid pages; it must receive no request.
#[test]
fn a20_a22_a_next_that_is_not_the_following_page_is_rejected_and_never_followed() {
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
        ("a skipped page", |pages| pages.replace(1, "?page=2", "?page=3"), untrusted(1, "`{next}2`", "`{next}3`"), 1),
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
            "a page after the last one",
            |pages| pages.replace(3, r#""next": null"#, &format!(r#""next": "{NEXT}4""#)),
            untrusted(3, "null on the last of 3 pages", "`{next}4`"),
            3,
        ),
        (
            "a relative link",
            |pages| pages.replace(1, &format!("{NEXT}2"), "?page=2"),
            untrusted(1, "`{next}2`", "`?page=2`"),
            1,
        ),
        (
            "a link with a terminal escape",
            |pages| pages.replace(1, &format!("{NEXT}2"), "\\u001b[31m\\nfailed: forged"),
            untrusted(1, "`{next}2`", r#"`\u{1b}[31m\nfailed: forged`"#),
            1,
        ),
    ]);
}
