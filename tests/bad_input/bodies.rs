//! Bodies that are not valid pages, and statuses other than 200.

use rollcall_simulator::{Action, Fault};

use crate::cases::{Committed, check_bodies};
use crate::pages::portal_of;

fn bad_body(page: u32, found: &str) -> String {
    format!(
        "BadBody: decode page {page} of `year=2021/grade=grade-pk`: \
         expected a JSON object with `count`, `next` and `results`, found {found}"
    )
}

/// Each page is tried 4 times, and the partition 3 times.
#[test]
fn a10_a12_a13_a30_a31_a32_a_body_that_is_not_a_page_is_rejected_and_quoted() {
    // Page 1 is requested 3 × 4 times. A later page n follows n - 1 valid ones: 3 × (n - 1 + 4) requests in total.
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
            bad_body(1, "a web page, `Enable JavaScript and cookies to continue`, instead of data"),
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
                r#"`{"count": 0, "next": null, "results": [], "results": []}`: duplicate `results` at line 1 column 51"#,
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
            "NaN, which is not JSON",
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
            bad_body(3, "invalid UTF-8 at offset 80"),
            18,
        ),
        (
            "a field twice in a row",
            |pages| pages.replace(2, r#""enrollment": 25"#, r#""enrollment": 25, "enrollment": 26"#),
            bad_body(2, "a duplicate field `enrollment` in row 2"),
            15,
        ),
        (
            "an unknown field twice in a row",
            |pages| pages.replace(2, r#""enrollment": 25"#, r#""enrollment": 25, "virtual": 1, "virtual": 0"#),
            bad_body(2, "a duplicate field `virtual` in row 2"),
            15,
        ),
    ]);
}

#[test]
fn a3_a4_a5_a6_a21_a_status_other_than_200_is_reported_with_the_start_of_its_body() {
    let other = portal_of(tempfile::tempdir().unwrap().path());
    let other_page = format!("{}/api/v1/schools/ccd/enrollment/2021/grade-pk/", other.origin());
    let status = |code, body: &str| Action::Status {
        code,
        // The case retries immediately, so it does not take seconds.
        retry_after: Some("0".to_owned()),
        body: Some(body.to_owned()),
    };
    let redirected = format!(
        "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused the request: HTTP 302: `redirect to \
         {other_page}`"
    );
    let cases = [
        // The portal's response for a year without data: 4 requests per try, 3 tries.
        (
            "500 for a year that it lists",
            1,
            status(500, "<h1>Server Error (500)</h1>"),
            "PortalUnavailable: fetch page 1 of `year=2021/grade=grade-pk`: portal unavailable: HTTP 500 after 4 \
             tries: `<h1>Server Error (500)</h1>`",
            12,
        ),
        (
            "429 every time",
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
            "PortalRefused: fetch page 2 of `year=2021/grade=grade-pk`: portal refused the request: HTTP 404: \
             `{\"detail\":\"Invalid page.\"}`",
            2,
        ),
        (
            "403 with a page for browsers",
            1,
            status(403, "<html>Enable JavaScript\nand cookies to continue</html>"),
            "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused the request: HTTP 403: `Enable \
             JavaScript\\nand cookies to continue`",
            1,
        ),
        ("a redirect to another portal", 1, Action::Redirect { location: other_page.clone() }, redirected.as_str(), 1),
        (
            "a redirect to nowhere",
            1,
            status(301, "moved"),
            "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused the request: HTTP 301: `moved`",
            1,
        ),
        (
            "no content",
            1,
            status(204, ""),
            "PortalRefused: fetch page 1 of `year=2021/grade=grade-pk`: portal refused the request: HTTP 204: ``",
            1,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, page, action, error, n_requests) in cases {
        let scene = Committed::new();
        scene.portal.server.set_faults(vec![Fault::new(action).on_path("2021/grade-pk").on_page(page)]);
        wrong.extend(scene.rejects(error, n_requests).map(|found| format!("{name}\n{found}")));
    }
    assert_eq!(other.server.requests().len(), 0, "the other portal received a request");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
