//! Faults of the portal, a proxy or the network, by their ids in SEMANTICS.md, reproduced byte for byte, with their
//! effect on a run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use rollcall_adapters::http_portal::HttpPortal;
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading};
use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::raw_portal::{RawPortal, Request, Response, Step};
use rollcall_tests::{Killed, Outcome, TestLake, TestPortal, client, data, rollcall};
use tokio::runtime::Runtime;

const PATH: &str = "schools/ccd/enrollment/2021/grade-pk/";
/// Two pages, of 100 and 65 rows.
const ONE_PARTITION: [&str; 4] = ["--years", "2021", "--grades", "grade-pk"];

fn is_data(request: &Request) -> bool {
    request.target.contains(PATH)
}

fn whole(response: &Response) -> Vec<Step> {
    vec![Step::Send(response.bytes())]
}

/// Returns a portal that corrupts the first data response for each target.
fn corrupted_once(portal: &TestPortal, corrupt: impl Fn(&Response) -> Vec<Step> + Send + Sync + 'static) -> RawPortal {
    RawPortal::before(portal.server.address(), move |request, response| match is_data(request) && request.n == 1 {
        true => corrupt(response),
        false => whole(response),
    })
}

/// Returns a portal that corrupts every data response.
fn corrupted(portal: &TestPortal, corrupt: impl Fn(&Response) -> Vec<Step> + Send + Sync + 'static) -> RawPortal {
    RawPortal::before(portal.server.address(), move |request, response| match is_data(request) {
        true => corrupt(response),
        false => whole(response),
    })
}

fn run_at(lake: &TestLake, origin: &str, args: &[&str]) -> Outcome {
    lake.rollcall("run", &[&["--portal", origin, "--retry-wait", "0"], args].concat())
}

/// Returns what a fault-free run of one partition writes.
fn reference(portal: &TestPortal) -> BTreeMap<String, Vec<u8>> {
    let lake = TestLake::new();
    let _ = lake.run(portal, &ONE_PARTITION).expect(0);
    let found = data(lake.path());
    assert_eq!(found.len(), 1);
    found
}

async fn get(portal: &HttpPortal) -> Result<Vec<u8>, PortalError> {
    portal
        .get(PATH, 1, PageRequest::default(), |body| Reading::Done(body.to_vec()))
        .await
        .map(|response| response.result)
}

/// Guard: a wait that would end after the deadline does not start.
#[test]
fn a2_a_requested_wait_past_the_deadline_does_not_start() {
    let portal = TestPortal::small();
    for retry_after in ["3600", "1000000000", "Fri, 31 Dec 2100 00:00:00 GMT"] {
        let action = Action::Status { code: 429, retry_after: Some(retry_after.to_owned()), body: Some("slow".into()) };
        portal.server.set_faults(vec![Fault::new(action)]);
        let client = client(&portal.origin(), |settings| settings.max_backoff = Duration::from_secs(60));
        let started = Instant::now();
        let error = Runtime::new().unwrap().block_on(get(&client.until((started + Duration::from_secs(50)).into())));
        assert_eq!(error.unwrap_err().to_string(), "HTTP 429 after 1 try: `slow`");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
}

/// Guard: a response counts only when its last byte has arrived, whether the connection closes or is reset before that.
#[test]
fn a9_a_response_truncated_at_any_byte_is_retried_and_never_parsed() {
    let portal = TestPortal::small();
    let runtime = Runtime::new().unwrap();
    let expected = RawPortal::before(portal.server.address(), |_, response| whole(response));
    let expected = runtime.block_on(get(&client(&expected.origin(), |_| {}))).unwrap();
    type Place = fn(&Response) -> usize;
    let places: [(&str, Place); 8] = [
        ("nothing", |_| 0),
        ("one byte", |_| 1),
        ("half of the head", |response| response.head.len() / 2),
        ("all but the last byte of the head", |response| response.head.len() - 1),
        ("the head", |response| response.head.len()),
        ("one byte of the body", |response| response.head.len() + 1),
        ("half of the body", |response| response.head.len() + response.body.len() / 2),
        ("all but the last byte", |response| response.bytes().len() - 1),
    ];
    for (name, place) in places {
        for ends_by in [None, Some(Step::Reset)] {
            let truncate = move |response: &Response| {
                let mut steps = vec![Step::Send(response.bytes()[..place(response)].to_vec())];
                steps.extend(ends_by.clone());
                steps
            };
            let truncated = corrupted_once(&portal, truncate.clone());
            let found = runtime.block_on(get(&client(&truncated.origin(), |_| {}))).unwrap();
            // The port in the links may be a digit longer or shorter.
            assert!(found.len().abs_diff(expected.len()) <= 2, "{name}");
            assert_eq!(truncated.requests(PATH).len(), 2, "{name}");

            let always_truncated = corrupted(&portal, truncate);
            let error = runtime.block_on(get(&client(&always_truncated.origin(), |_| {}))).unwrap_err();
            assert_eq!(error.to_string(), "no response after 4 tries", "{name}");
            assert_eq!(always_truncated.requests(PATH).len(), 4, "{name}");
        }
    }
}

/// Guard: a run in which every page is truncated once writes only complete responses.
#[test]
fn a9_a_run_with_every_page_truncated_once_writes_the_same_bytes() {
    let portal = TestPortal::small();
    let expected = reference(&portal);
    let truncated = corrupted_once(&portal, |response| {
        // At a different position on each page.
        let all = response.bytes();
        let at = all.iter().map(|byte| usize::from(*byte)).sum::<usize>() % all.len();
        vec![Step::Send(all[..at].to_vec())]
    });
    let lake = TestLake::new();
    let _ = run_at(&lake, &truncated.origin(), &ONE_PARTITION).expect(0);
    assert_eq!(truncated.requests(PATH).len(), 5);
    assert!(data(lake.path()) == expected);
}

/// Guard: the body must be as long as its `Content-Length`. Without that header the JSON must be complete.
#[test]
fn a11_a_wrong_or_missing_content_length_costs_a_retry_and_no_row() {
    let portal = TestPortal::small();
    let expected = reference(&portal);
    let length = |response: &Response, add: i64| {
        let length = i64::try_from(response.body.len()).unwrap() + add;
        response.with_headers(&format!("content-length: {length}\r\n"))
    };
    let cut = |response: &Response| {
        let response = response.with_headers("");
        Response { body: response.body[..response.body.len() - 1].to_vec(), ..response }
    };
    let no_answer = "PortalUnavailable: fetch page 1 of `year=2021/grade=grade-pk`: portal unavailable: no response after \
                     4 tries: ";
    let bad_body = "BadBody: decode page 1 of `year=2021/grade=grade-pk`: ";
    type Lie = Box<dyn Fn(&Response) -> Response + Send + Sync>;
    let cases: [(&str, [Lie; 2], usize, Option<&str>); 5] = [
        ("too long", [Box::new(move |it| length(it, 10)), Box::new(move |it| length(it, 10))], 4, Some(no_answer)),
        ("too short", [Box::new(move |it| length(it, -10)), Box::new(move |it| length(it, -10))], 4, Some(bad_body)),
        ("missing, complete body", [Box::new(|it| it.with_headers("")), Box::new(|it| it.with_headers(""))], 2, None),
        ("missing, truncated body", [Box::new(cut), Box::new(cut)], 4, Some(bad_body)),
        (
            "nonsense",
            [
                Box::new(|it| it.with_headers("content-length: many\r\n")),
                Box::new(|it| it.with_headers("content-length: many\r\n")),
            ],
            4,
            Some(no_answer),
        ),
    ];
    for (name, [once, always], n_requests, error) in cases {
        let lake = TestLake::new();
        let wrong = corrupted_once(&portal, move |response| vec![Step::Send(once(response).bytes())]);
        let _ = run_at(&lake, &wrong.origin(), &ONE_PARTITION).expect(0);
        // The run requests page 1 once more at the end.
        assert_eq!(wrong.requests(PATH).len(), n_requests + 1, "{name}");
        assert!(data(lake.path()) == expected, "{name}");

        let lake = TestLake::new();
        let wrong = corrupted(&portal, move |response| vec![Step::Send(always(response).bytes())]);
        let one_by_one = [&ONE_PARTITION[..], &["--in-flight", "1"]].concat();
        let Some(error) = error else {
            let _ = run_at(&lake, &wrong.origin(), &one_by_one).expect(0);
            assert!(data(lake.path()) == expected, "{name}");
            continue;
        };
        let found = run_at(&lake, &wrong.origin(), &one_by_one).expect(3);
        assert!(found.stderr.starts_with(&format!("failed: {error}")), "{name}: {}", found.stderr);
        assert_eq!((wrong.requests(PATH).len(), data(lake.path()).len()), (12, 0), "{name}");
    }
}

/// Guard: a body that is not a page is retried, since it may be a proxy's transient error page.
#[test]
fn a12_a13_html_or_an_error_object_instead_of_a_page_is_retried_and_the_page_written() {
    let portal = TestPortal::small();
    let expected = reference(&portal);
    for (head, body) in [
        ("content-type: text/html\r\n", "<!doctype html><title>Just a moment</title>"),
        ("", "<html>502 Bad Gateway</html>"),
        ("", r#"{"detail": "Request was throttled. Expected available in 1 second."}"#),
        ("", ""),
    ] {
        let once = corrupted_once(&portal, move |response| {
            let response = response.with_body(body);
            vec![Step::Send(
                [response.head.replace("content-type: application/json\r\n", head).as_bytes(), &response.body].concat(),
            )]
        });
        let lake = TestLake::new();
        let _ = run_at(&lake, &once.origin(), &ONE_PARTITION).expect(0);
        assert_eq!(once.requests(PATH).len(), 5, "{body}");
        assert!(data(lake.path()) == expected, "{body}");
    }
}

/// Guard: each try has a total timeout, so a trickle of bytes does not keep it alive.
#[test]
fn a14_a_dripping_response_is_given_up_after_the_total_timeout() {
    let portal = TestPortal::small();
    let each = Duration::from_millis(20);
    let in_head = corrupted(&portal, move |response| vec![Step::Drip { bytes: response.bytes(), each }]);
    let in_body = corrupted(&portal, move |response| {
        vec![Step::Send(response.head.clone().into_bytes()), Step::Drip { bytes: response.body.clone(), each }]
    });
    for dripping in [in_head, in_body] {
        let client = client(&dripping.origin(), |settings| {
            settings.idle_timeout = Duration::from_secs(30);
            settings.total_timeout = Duration::from_millis(300);
            settings.tries = 2;
        });
        let started = Instant::now();
        let error = Runtime::new().unwrap().block_on(get(&client)).unwrap_err();
        assert_eq!(error.to_string(), "no response after 2 tries");
        // The whole response has more than 10,000 bytes and would take minutes.
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        assert_eq!(dripping.requests(PATH).len(), 2);
    }
}

/// Guard: waiting for memory neither counts towards the timeout of a try nor uses up a try.
///
/// Found by use: B6.
#[test]
fn a42_a_page_that_waits_for_memory_does_not_use_up_the_timeout_of_its_try() {
    let portal = TestPortal::small();
    let client = client(&portal.origin(), |settings| {
        settings.total_timeout = Duration::from_millis(300);
        settings.tries = 1;
    });
    Runtime::new().unwrap().block_on(async {
        // All the memory, including the share of the one page that may exceed it.
        let mut all = client.page_memory().room();
        all.hold(1 << 30).await;
        let mut page = std::pin::pin!(get(&client));
        assert!(
            tokio::time::timeout(Duration::from_millis(900), &mut page).await.is_err(),
            "expected the request to wait"
        );
        drop(all);
        assert!(page.await.is_ok());
    });
}

/// Guard: a body that stalls is abandoned after the idle timeout.
#[test]
fn a15_a_response_that_stalls_anywhere_is_given_up_after_the_idle_timeout() {
    let portal = TestPortal::small();
    for n_bytes in [0, 10, 10_000] {
        let stalling =
            corrupted(&portal, move |response| vec![Step::Send(response.bytes()[..n_bytes].to_vec()), Step::Stall]);
        let client = client(&stalling.origin(), |settings| {
            settings.idle_timeout = Duration::from_millis(200);
            settings.tries = 2;
        });
        let started = Instant::now();
        let error = Runtime::new().unwrap().block_on(get(&client)).unwrap_err();
        assert_eq!(error.to_string(), "no response after 2 tries");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
}

/// Guard: every wait and every request of a call ends at its deadline, whatever the portal does.
#[test]
fn a14_a15_no_call_outlives_its_deadline_under_any_fault() {
    let portal = TestPortal::small();
    let each = Duration::from_millis(20);
    let busy = |retry_after: &str| {
        format!("HTTP/1.1 503 Service Unavailable\r\nretry-after: {retry_after}\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    };
    type Corrupt = Box<dyn Fn(&Response) -> Vec<Step> + Send + Sync>;
    let (often, late) = (busy("0"), busy("2"));
    let faults: [(&str, Corrupt); 9] = [
        ("sends nothing", Box::new(|_| vec![Step::Stall])),
        ("stalls in the head", Box::new(|response| vec![Step::Send(response.bytes()[..20].to_vec()), Step::Stall])),
        (
            "stalls after the head",
            Box::new(|response| vec![Step::Send(response.head.clone().into_bytes()), Step::Stall]),
        ),
        ("drips", Box::new(move |response| vec![Step::Drip { bytes: response.bytes(), each }])),
        ("hangs up", Box::new(|_| Vec::new())),
        ("resets", Box::new(|_| vec![Step::Reset])),
        ("is always busy", Box::new(move |_| vec![Step::Send(often.clone())])),
        ("is busy and requests a wait", Box::new(move |_| vec![Step::Send(late.clone())])),
        (
            "truncates the body",
            Box::new(|response| vec![Step::Send(response.bytes()[..response.bytes().len() - 1].to_vec())]),
        ),
    ];
    let runtime = Runtime::new().unwrap();
    for (name, corrupt) in faults {
        let corrupted = corrupted(&portal, corrupt);
        // Only the deadline limits this client.
        let client = client(&corrupted.origin(), |settings| {
            settings.tries = u32::MAX;
            settings.backoff = Duration::from_millis(50);
            settings.max_backoff = Duration::from_secs(60);
        });
        let left = Duration::from_millis(400);
        let started = Instant::now();
        let deadline = started + left;
        runtime.block_on(async { get(&client.until(deadline.into())).await.unwrap_err() });
        // A busy machine may be late, but by less than the 10 s that a function reserves for its report.
        assert!(started.elapsed() < left + Duration::from_secs(9), "{name}: {:?}", started.elapsed());
    }
}

/// Returns a gzip member of 1 MiB that decompresses to 1 GiB.
fn bomb() -> Vec<u8> {
    const SEGMENT: usize = 4 << 20;
    const N_SEGMENTS: usize = 256;
    let zeros = vec![0; SEGMENT];
    // A segment that ends on a byte boundary can be repeated.
    let mut segment = Vec::with_capacity(1 << 16);
    Compress::new(Compression::best(), false).compress_vec(&zeros, &mut segment, FlushCompress::Sync).unwrap();
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let (mut of_segment, mut sum) = (Crc::new(), Crc::new());
    of_segment.update(&zeros);
    for _ in 0..N_SEGMENTS {
        bytes.extend(&segment);
        sum.combine(&of_segment);
    }
    bytes.extend([3, 0]);
    bytes.extend(sum.sum().to_le_bytes());
    bytes.extend(u32::try_from(SEGMENT * N_SEGMENTS).unwrap().to_le_bytes());
    assert!(bytes.len() < 2 << 20, "{} bytes", bytes.len());
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Guard: the limit counts decompressed bytes, and decompression stops there.
#[test]
fn a23_a24_a_huge_body_and_a_gzip_bomb_are_rejected_within_160_mib_of_memory() {
    const MAX_KIB: u64 = 160 << 10;
    let portal = TestPortal::small();
    let packed = bomb();
    type Corrupt = Box<dyn Fn(&Response) -> Vec<Step> + Send + Sync>;
    let huge: [(&str, Corrupt); 3] = [
        (
            "a gzip bomb",
            Box::new(move |response| {
                let headers = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", packed.len());
                vec![Step::Send(response.with_headers(&headers).head.into_bytes()), Step::Send(packed.clone())]
            }),
        ),
        (
            "a body of 1 GiB without a length",
            Box::new(|response| {
                let head = response.with_headers("").head.into_bytes();
                vec![Step::Send(head), Step::Repeat { bytes: vec![b' '; 1 << 16], times: 1 << 14 }]
            }),
        ),
        (
            "a length of 1 GiB",
            Box::new(|response| {
                vec![Step::Send(response.with_headers("content-length: 1073741824\r\n").head.into()), Step::Stall]
            }),
        ),
    ];
    for (name, corrupt) in huge {
        // The second partition stalls, so that the run is still alive when it is measured.
        let portal = RawPortal::before(portal.server.address(), move |request, response| {
            match (is_data(request), request.target.contains("grade-k/")) {
                (true, _) => corrupt(response),
                (_, true) => vec![Step::Stall],
                _ => whole(response),
            }
        });
        let lake = TestLake::new();
        let (folder, origin) = (lake.path().to_str().unwrap(), portal.origin());
        let mut run = rollcall(&["run", "--quiet", "--lake", folder, "--portal", &origin, "--years", "2021"]);
        run.args(["--grades", "grade-pk,grade-k"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut run = Killed(run.spawn().unwrap());
        let mut reported = String::new();
        BufReader::new(run.0.stderr.take().unwrap()).read_line(&mut reported).unwrap();
        assert!(
            reported.starts_with("failed: ") && reported.contains("expected at most 46137344 bytes, found more"),
            "{name}: {reported}"
        );
        let status = fs::read_to_string(format!("/proc/{}/status", run.0.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak <= MAX_KIB, "{name}: {peak} KiB");
        assert_eq!(portal.requests(PATH).len(), 1, "{name}");
    }
}

/// Guard: the limit is the largest accepted size, with and without a `Content-Length`.
#[test]
fn a23_a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_rejected() {
    let portal = TestPortal::small();
    let plain = corrupted(&portal, whole);
    let unannounced = corrupted(&portal, |response| {
        vec![Step::Send(response.with_headers("").head.into_bytes()), Step::Send(response.body.clone())]
    });
    let runtime = Runtime::new().unwrap();
    for origin in [plain.origin(), unannounced.origin()] {
        let get = |limit: usize| {
            let client = client(&origin, |settings| settings.body_limit_bytes = limit);
            runtime.block_on(get(&client)).map(|body| body.len()).map_err(|error| error.to_string())
        };
        let size = get(usize::MAX).unwrap();
        assert_eq!(get(size), Ok(size));
        assert_eq!(get(size - 1), Err(format!("expected at most {} bytes, found more", size - 1)));
    }
}

/// Guard: any encoding other than a single gzip is rejected or is not a page.
#[test]
fn a24_an_unknown_or_nested_encoding_is_rejected() {
    let portal = TestPortal::small();
    let refused = |found: &str| format!("portal refused the request: HTTP 200: `content encoding {found}`");
    let twice = |response: &Response| gzip(&gzip(&response.body));
    type Pack = Box<dyn Fn(&Response) -> Vec<u8> + Send + Sync>;
    let plain = || -> Pack { Box::new(|response| response.body.clone()) };
    let cases: [(&str, Pack, String, usize); 8] = [
        ("br", plain(), refused("br"), 1),
        ("zstd", plain(), refused("zstd"), 1),
        ("deflate", plain(), refused("deflate"), 1),
        ("rot13", plain(), refused("rot13"), 1),
        ("gzip, gzip", Box::new(twice), refused("gzip, gzip"), 1),
        ("gzip, br", plain(), refused("gzip, br"), 1),
        ("gzip\r\ncontent-encoding: gzip", Box::new(twice), refused("gzip, gzip"), 1),
        ("gzip", plain(), "no response after 4 tries".into(), 12),
    ];
    for (encoding, pack, error, n_requests) in cases {
        let packed = corrupted(&portal, move |response| {
            let body = pack(response);
            let headers = format!("content-encoding: {encoding}\r\ncontent-length: {}\r\n", body.len());
            vec![Step::Send(Response { body, ..response.with_headers(&headers) }.bytes())]
        });
        let lake = TestLake::new();
        let found = run_at(&lake, &packed.origin(), &ONE_PARTITION).expect(3);
        assert!(found.stderr.contains(&error), "{encoding}: {}", found.stderr);
        assert_eq!((packed.requests(PATH).len(), data(lake.path()).len()), (n_requests, 0), "{encoding}");
    }
}

/// Guard: several gzip members form one body, which must be complete and followed by nothing.
///
/// Found by use: B10.
#[test]
fn a36_gzip_of_several_members_under_any_of_its_names_is_read_and_truncated_or_trailing_data_is_retried() {
    let portal = TestPortal::small();
    let expected = reference(&portal);
    let in_members =
        |response: &Response, n_bytes: usize| response.body.chunks(n_bytes).flat_map(gzip).collect::<Vec<u8>>();
    let packed = move |response: &Response, encoding: &str, body: Vec<u8>| {
        let headers = format!("content-encoding: {encoding}\r\ncontent-length: {}\r\n", body.len());
        vec![Step::Send(Response { body, ..response.with_headers(&headers) }.bytes())]
    };
    for (encoding, n_bytes) in [("gzip", 1000), ("gzip", 1), ("x-gzip", 1 << 20), ("GZIP", 1 << 20), ("X-Gzip", 7000)] {
        let whole = corrupted(&portal, move |response| packed(response, encoding, in_members(response, n_bytes)));
        let lake = TestLake::new();
        let _ = run_at(&lake, &whole.origin(), &ONE_PARTITION).expect(0);
        assert!(data(lake.path()) == expected, "{encoding}, members of {n_bytes}");
        assert_eq!(whole.requests(PATH).len(), 3);
    }
    type Corrupt = fn(Vec<u8>) -> Vec<u8>;
    let corrupt: [(&str, Corrupt); 3] = [
        ("the last member truncated", |body| body[..body.len() - 9].to_vec()),
        ("garbage", |body| [&body, &b"garbage"[..]].concat()),
        ("the beginning of a member", |body| [&body, &[0x1f, 0x8b, 8][..]].concat()),
    ];
    for (name, corrupt) in corrupt {
        let corrupted =
            corrupted_once(&portal, move |response| packed(response, "gzip", corrupt(in_members(response, 1000))));
        let lake = TestLake::new();
        let _ = run_at(&lake, &corrupted.origin(), &ONE_PARTITION).expect(0);
        assert_eq!(corrupted.requests(PATH).len(), 5, "{name}");
        assert!(data(lake.path()) == expected, "{name}");
    }
}

/// Guard: text is stored exactly or set aside. No replacement characters are written.
#[test]
fn a31_unusual_text_is_stored_exactly_or_rescued_and_never_replaced() {
    let portal = TestPortal::start(Config { n_schools: 1500, ..Config::default() });
    let name = |row: usize, json: &str| {
        let field = "school_name".to_owned();
        Fault::new(Action::SetField { row: Some(row), field, json: json.to_owned() }).on_path("ccd/directory/")
    };
    portal.server.set_faults(vec![
        name(0, r#""A\u0000B""#),
        name(1, r#""\ufeff\u00e9\ud83d\ude00\u202e""#),
        // Half of a surrogate pair, which UTF-8 cannot represent: one value in more than a thousand.
        name(2, r#""half \ud800""#),
    ]);
    let lake = TestLake::new();
    let _ = lake.run(&portal, &["--dataset", "ccd_directory", "--years", "2021"]).expect(0);
    let sql = "select school_name, _rescued as aside from ccd_school.us_education_ccd_directory_data \
               where strpos(school_name, chr(0)) > 0 or strpos(school_name, '\u{feff}') > 0 or _rescued is not null \
               order by school_name";
    let found = lake.rollcall("query", &[sql, "--format", "json"]).expect(0).json();
    assert_eq!(
        found,
        serde_json::json!([
            {"school_name": "A\0B", "aside": null},
            {"school_name": "\u{feff}é😀\u{202e}", "aside": null},
            {"school_name": null, "aside": r#"{"school_name":"half \ud800"}"#},
        ])
    );
    let replaced = "select count(*) as n from ccd_school.us_education_ccd_directory_data \
                    where strpos(school_name, '\u{fffd}') > 0";
    assert_eq!(lake.rollcall("query", &[replaced, "--format", "csv"]).expect(0).stdout, "n\n0\n");
}

/// Guard: the rows decide whether a partition is unchanged. Requests forbid cached responses, and a 304 is rejected.
#[test]
fn a34_no_response_comes_from_a_cache_and_an_etag_skips_nothing() {
    let portal = TestPortal::small();
    let with_etag = |response: &Response| {
        let headers = format!("etag: \"same\"\r\ncontent-length: {}\r\n", response.body.len());
        vec![Step::Send(response.with_headers(&headers).bytes())]
    };
    let first = corrupted(&portal, with_etag);
    let lake = TestLake::new();
    let _ = run_at(&lake, &first.origin(), &ONE_PARTITION).expect(0);
    let before = data(lake.path());
    // Other rows under the same ETag are written.
    let field = "enrollment".to_owned();
    portal.server.set_faults(vec![Fault::new(Action::SetField { row: Some(0), field, json: "7777".into() })]);
    let second = run_at(&lake, &first.origin(), &ONE_PARTITION).expect(0);
    assert!(second.stdout.contains("1 partition: 1 written"), "{}", second.stdout);
    assert_ne!(data(lake.path()), before);
    let requests = first.requests("");
    assert_eq!(first.requests(PATH).len(), 6);
    for request in requests {
        let head = request.head.to_lowercase();
        assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
        assert!(!head.contains("\r\nif-"), "{head}");
    }
    let kept =
        corrupted(&portal, |_| vec![Step::Send(b"HTTP/1.1 304 Not Modified\r\netag: \"same\"\r\n\r\n".to_vec())]);
    let third = run_at(&lake, &kept.origin(), &ONE_PARTITION).expect(3);
    assert!(third.stderr.contains("portal refused the request: HTTP 304"), "{}", third.stderr);
}
