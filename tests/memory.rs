//! The memory limit of a run under extreme responses: valid or nearly valid, and as wide, long, numerous, compressed or
//! uneven as possible.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::process::Stdio;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rollcall_tests::raw_portal::{RawPortal, Request, Response, Step};
use rollcall_tests::{Killed, TestLake, TestPortal, rollcall};
use serde_json::Value;

/// Maximum memory of a run with 8 requests in flight.
const MAX_KIB: u64 = 240 << 10;

/// The fields that follow the district in a directory row. Each value is as long as in a recorded row.
const REST: &str = r#""lea_name":"ARTS AND TECHNOLOGY PCS","state_leaid":"104","seasch":"181","street_mailing":"5300 BLAINE ST NE","city_mailing":"WASHINGTON","state_mailing":"DC","zip_mailing":"20019","street_location":"5300 BLAINE ST NE","city_location":"WASHINGTON","state_location":"DC","zip_location":"20019","phone":"2023986811","fips":11,"latitude":38.892,"longitude":-76.9246,"csa":null,"cbsa":null,"urban_centric_locale":11,"county_code":"11001","school_level":1,"school_type":1,"school_status":1,"lowest_grade_offered":-1,"highest_grade_offered":5,"bureau_indian_education":0,"title_i_status":5,"title_i_eligible":1,"title_i_schoolwide":1,"charter":1,"magnet":0,"shared_time":0,"virtual":null,"teachers_fte":46,"free_lunch":615,"reduced_price_lunch":0,"free_or_reduced_price_lunch":615,"elem_cedp":1,"high_cedp":0,"middle_cedp":0,"ungrade_cedp":0,"enrollment":618,"state_leg_district_lower":"","state_leg_district_upper":"","ncessch_num":110000100215,"congress_district_id":null,"direct_certification":null,"lunch_program":null"#;

/// An extreme response: name, pages, rows per page, the rows, and what a run reports.
struct Extreme {
    name: &'static str,
    n_pages: usize,
    n_rows: usize,
    is_packed: bool,
    /// Appends a row, given its number, year and page.
    row: fn(&mut String, usize, i32, usize),
    /// Number of spaces in the envelope.
    n_blanks: usize,
    /// `None` if the partition is written.
    error: Option<&'static str>,
}

fn full(text: &mut String, n: usize, year: i32, name: impl FnOnce(&mut String)) {
    let district = n / 100_000;
    let _ = write!(text, "{{\"year\":{year},\"ncessch\":\"11{n:010}\",\"school_id\":\"00215\",\"school_name\":\"");
    name(text);
    let _ = write!(text, "\",\"leaid\":\"11{district:05}\",{REST}}}");
}

fn plain(text: &mut String, n: usize, year: i32, _: usize) {
    full(text, n, year, |text| text.push_str("ARTS AND TECHNOLOGY PCS"));
}

fn long_name(text: &mut String, n: usize, year: i32, _: usize) {
    full(text, n, year, |text| text.extend(std::iter::repeat_n('x', 100_000)));
}

fn random_name(text: &mut String, n: usize, year: i32, _: usize) {
    full(text, n, year, |text| {
        let mut random = fastrand::Rng::with_seed(n as u64);
        text.extend((0..200_000).map(|_| random.alphanumeric()));
    });
}

fn longer_from_page_2(text: &mut String, n: usize, year: i32, page: usize) {
    if page == 1 { plain(text, n, year, page) } else { long_name(text, n, year, page) }
}

fn lean(text: &mut String, n: usize, year: i32, _: usize) {
    let _ = write!(text, "{{\"year\":{year},\"ncessch\":\"11{n:010}\"}}");
}

fn keyless(text: &mut String, _: usize, year: i32, _: usize) {
    let _ = write!(text, "{{\"year\":{year}}}");
}

fn many_fields(text: &mut String, _: usize, year: i32, _: usize) {
    let _ = write!(text, "{{\"year\":{year}");
    (0..1_400_000).for_each(|i| write!(text, ",\"{i}\":1").unwrap());
    text.push('}');
}

const EXTREMES: [Extreme; 12] = {
    const PLAIN: Extreme =
        Extreme { name: "plain", n_pages: 1, n_rows: 1, is_packed: false, row: plain, n_blanks: 0, error: None };
    const LARGE: Option<&str> = Some("BodyTooLarge");
    [
        Extreme { name: "wide", n_pages: 3, n_rows: 10_000, is_packed: true, ..PLAIN },
        Extreme { name: "wide, uncompressed", n_pages: 3, n_rows: 10_000, ..PLAIN },
        Extreme { name: "long", n_rows: 34_000, ..PLAIN },
        Extreme { name: "many pages", n_pages: 100, n_rows: 50, ..PLAIN },
        Extreme { name: "long text", n_rows: 150, is_packed: true, row: long_name, ..PLAIN },
        Extreme { name: "uneven pages", n_pages: 4, n_rows: 60, row: longer_from_page_2, ..PLAIN },
        Extreme { name: "blanks", n_blanks: 44_000_000, is_packed: true, ..PLAIN },
        Extreme { name: "too many spaces", n_blanks: 45 << 20, is_packed: true, error: LARGE, ..PLAIN },
        Extreme { name: "lean rows", n_rows: 350_000, is_packed: true, row: lean, error: LARGE, ..PLAIN },
        Extreme { name: "many fields", row: many_fields, is_packed: true, error: LARGE, ..PLAIN },
        Extreme {
            name: "no keys",
            n_rows: 1_100_000,
            is_packed: true,
            row: keyless,
            error: Some("SchemaDrift"),
            ..PLAIN
        },
        Extreme {
            name: "random text",
            n_pages: 8,
            n_rows: 75,
            row: random_name,
            error: Some("PartitionTooLarge"),
            ..PLAIN
        },
    ]
};

impl Extreme {
    fn body(&self, year: i32, page: usize, host: &str) -> String {
        let count = self.n_pages * self.n_rows;
        let next = match page < self.n_pages {
            true => format!("\"http://{host}/api/v1/schools/ccd/directory/{year}/?page={}\"", page + 1),
            false => "null".to_owned(),
        };
        let mut text = format!("{{\"count\":{count},\"next\":{next},{}\"results\":[", " ".repeat(self.n_blanks));
        for i in 0..self.n_rows {
            if i > 0 {
                text.push(',');
            }
            (self.row)(&mut text, (page - 1) * self.n_rows + i, year, page);
        }
        text.push_str("]}");
        text
    }

    fn serve(&self, request: &Request, response: &Response, year: i32) -> Vec<Step> {
        let page = request.target.split_once("page=").map_or(1, |(_, page)| page.parse().unwrap());
        let host = request.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let body = self.body(year, page, host);
        if !self.is_packed {
            return vec![Step::Send(response.with_body(body).bytes())];
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let headers = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", packed.len());
        vec![Step::Send(response.with_headers(&headers).head.into_bytes()), Step::Send(packed)]
    }
}

/// Returns the peak memory of a running process in KiB.
fn peak(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

/// Guard: the memory limits on pages and partitions, both individually and in total. At least `ROLLCALL_RESPONSES`
/// responses are served.
///
/// Found by use: B6.
#[test]
fn a42_extreme_responses_are_written_or_rejected_by_name_within_240_mib() {
    let least = std::env::var("ROLLCALL_RESPONSES").map_or(20, |text| text.parse().unwrap());
    let behind = TestPortal::small();
    let (mut n_served, mut round) = (0, 0);
    while n_served < least {
        // The combination in flight differs in each round.
        let mut order: Vec<usize> = (0..EXTREMES.len()).collect();
        fastrand::Rng::with_seed(round).shuffle(&mut order);
        round += 1;
        let extreme_of = move |year: i32| &EXTREMES[order[usize::try_from(year - 1990).unwrap()]];
        let for_portal = extreme_of.clone();
        let portal = RawPortal::before(behind.server.address(), move |request, response| {
            let year = request.target.split_once("/directory/").map(|(_, rest)| rest[..4].parse().unwrap());
            year.map_or_else(
                || vec![Step::Send(response.bytes())],
                |year| for_portal(year).serve(request, response, year),
            )
        });
        let lake = TestLake::new();
        let (folder, origin) = (lake.path().to_str().unwrap(), portal.origin());
        let mut run = rollcall(&["run", "--lake", folder, "--portal", &origin, "--dataset", "ccd_directory"]);
        run.args(["--years", "1990-2001", "--format", "json", "--retry-wait", "0"]);
        let mut run = Killed(run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let mut most = 0;
        while run.0.try_wait().unwrap().is_none() {
            most = peak(run.0.id()).map_or(most, |peak| peak.max(most));
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut text = String::new();
        run.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        for receipt in report["partitions"].as_array().unwrap() {
            let extreme = extreme_of(i32::try_from(receipt["partition"]["year"].as_i64().unwrap()).unwrap());
            assert_eq!(receipt["error"]["name"].as_str(), extreme.error, "{}: {receipt}", extreme.name);
        }
        n_served += portal.requests("/directory/").len();
        eprintln!("round {round}: {n_served} responses, {} MiB", most >> 10);
        assert!(most <= MAX_KIB, "{most} KiB");
    }
}
