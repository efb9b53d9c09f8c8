//! The simulator responds as the portal does.

use std::collections::{HashMap, HashSet};

use crate::support::{PREK, all_rows, ask, get, small, start};
use rollcall_simulator::{Config, published_totals};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const RACE_SEX: &str = "/api/v1/schools/ccd/enrollment/2014/grade-8/race/sex/";

fn keys(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

#[tokio::test]
async fn a_page_is_compact_json_with_absolute_links() {
    let portal = start(small()).await;
    let first = get(&portal, PREK).await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json")));
    let (head, rows) = first.text().split_once("\"results\":").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (count, origin) = (first.json()["count"].as_u64().unwrap(), portal.origin());
    assert_eq!(head, format!("{{\"count\":{count},\"next\":\"{origin}{PREK}?page=2\",\"previous\":null,"));
    let row = &rows[1..=rows.find('}').unwrap()];
    let names: Vec<_> = keys(row).into_iter().filter(|key| !key.chars().any(|c| c.is_ascii_digit())).collect();
    assert_eq!(names, ["year", "ncessch", "ncessch_num", "grade", "race", "sex", "enrollment", "fips", "leaid"]);

    let second = get(&portal, &format!("{PREK}?page=2")).await.json();
    assert_eq!(second["previous"], format!("{origin}{PREK}"));
}

#[tokio::test]
async fn links_keep_the_filters_in_alphabetical_order() {
    let portal = start(small()).await;
    let page = get(&portal, &format!("{RACE_SEX}?sex=1&page=2&race=1,2,3&foo=1")).await.json();
    let origin = portal.origin();
    assert_eq!(page["next"], format!("{origin}{RACE_SEX}?foo=1&page=3&race=1%2C2%2C3&sex=1"));
    assert_eq!(page["previous"], format!("{origin}{RACE_SEX}?foo=1&race=1%2C2%2C3&sex=1"));
}

#[tokio::test]
async fn every_row_is_served_exactly_once() {
    let portal = start(small()).await;
    for path in [PREK, RACE_SEX, "/api/v1/schools/ccd/directory/2013/"] {
        let (count, rows) = all_rows(&portal, path).await;
        let key = |row: &Value| (row["ncessch"].to_string(), row["race"].to_string(), row["sex"].to_string());
        let keys: HashSet<_> = rows.iter().map(key).collect();
        assert_eq!((rows.len() as u64, keys.len() as u64), (count, count), "{path}");
        assert!(count > 100, "{path}: more than one page");
    }
}

#[tokio::test]
async fn clients_cannot_choose_the_page_size() {
    let portal = start(small()).await;
    assert_eq!(get(&portal, &format!("{PREK}?limit=7&page_size=7")).await.rows().len(), 100);
}

#[tokio::test]
async fn a_page_beyond_the_last_is_404() {
    let portal = start(small()).await;
    for page in ["99", "0", "x"] {
        let reply = get(&portal, &format!("{PREK}?page={page}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (404, r#"{"detail":"Invalid page."}"#));
    }
    let empty = get(&portal, &format!("{PREK}?fips=6")).await;
    assert_eq!(empty.text(), r#"{"count":0,"next":null,"previous":null,"results":[]}"#);
}

#[tokio::test]
async fn a_path_without_its_slash_is_redirected() {
    let portal = start(small()).await;
    let reply = get(&portal, "/api/v1/schools/ccd/enrollment/2021/grade-pk?fips=1").await;
    assert_eq!((reply.status, reply.header("location")), (301, Some(format!("{PREK}?fips=1").as_str())));
}

#[tokio::test]
async fn errors_have_the_statuses_of_the_portal() {
    let portal = start(small()).await;
    let cases = [
        ("/api/v1/schools/ccd/enrollment/1985/grade-pk/", 500),
        ("/api/v1/schools/ccd/enrollment/2025/grade-pk/", 500),
        ("/api/v1/schools/ccd/enrollment/2021/grade-77/", 404),
        ("/api/v1/schools/ccd/nothing/2021/", 404),
        ("/api/v1/schools/ccd/nothing/2021", 404),
        ("/", 404),
    ];
    for (path, status) in cases {
        let reply = get(&portal, path).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some("text/html; charset=utf-8")), "{path}");
    }
    for method in ["POST", "HEAD", "DELETE"] {
        assert_eq!(ask(&portal, method, PREK, "").await.unwrap().status, 405, "{method}");
    }
}

#[tokio::test]
async fn an_unsupported_filter_is_ignored_and_a_supported_one_is_not() {
    let portal = start(small()).await;
    let count = async |query: &str| get(&portal, &format!("{PREK}?{query}")).await.json()["count"].as_u64().unwrap();
    let all = count("").await;
    for query in ["enrollment=500", "foo=1", "year=2021", "grade=-1", "race=99,1"] {
        assert_eq!(count(query).await, all, "{query}");
    }
    assert_eq!(count("fips=48").await + count("fips=17").await, count("fips=17,48").await);
    assert_eq!(count("fips=48&race=1").await, 0);
    let texan = get(&portal, &format!("{PREK}?fips=48")).await.rows().remove(0);
    for query in [format!("ncessch={}", texan["ncessch"]), format!("ncessch_num={}", texan["ncessch_num"])] {
        assert_eq!(count(&query.replace('"', "")).await, 1, "{query}");
    }
    assert!((1..all).contains(&count(&format!("leaid={}", texan["leaid"]).replace('"', "")).await));
}

#[tokio::test]
async fn leaid_lacks_its_leading_zero_in_enrollment_but_not_in_the_directory() {
    let portal = start(small()).await;
    let school = get(&portal, PREK).await.rows().remove(0);
    let listed = get(&portal, "/api/v1/schools/ccd/directory/2021/").await.rows().remove(0);
    assert_eq!(school["ncessch"], listed["ncessch"]);
    assert_eq!((school["fips"].as_i64(), school["ncessch"].as_str().map(str::len)), (Some(1), Some(12)));
    assert_eq!(format!("0{}", school["leaid"].as_str().unwrap()), listed["leaid"].as_str().unwrap());
    assert_eq!(school["leaid"].as_str().unwrap().len(), 6);
}

#[tokio::test]
async fn the_state_totals_of_2021_prek_are_the_published_ones() {
    for n_schools in [60, 600, 5_000] {
        let portal = start(Config { n_schools, page_size: 10_000, ..Config::default() }).await;
        let (_, rows) = all_rows(&portal, PREK).await;
        let mut totals: HashMap<u64, u64> = HashMap::new();
        for row in &rows {
            *totals.entry(row["fips"].as_u64().unwrap()).or_default() += row["enrollment"].as_u64().unwrap_or(0);
        }
        for (fips, state, total) in published_totals() {
            assert_eq!(totals.remove(&fips.into()), Some(total.into()), "{state} of {n_schools} schools");
        }
        assert!(totals.values().all(|total| *total < 20_000), "{totals:?}");
        assert!(!totals.contains_key(&6), "California reports no pre-K");
    }
}

#[tokio::test]
async fn prek_of_2021_has_only_nulls_and_other_cells_have_negative_codes_too() {
    let portal = start(Config { n_schools: 3_000, ..Config::default() }).await;
    let (_, prek) = all_rows(&portal, PREK).await;
    assert!(prek.iter().any(|row| row["enrollment"].is_null()));
    assert!(prek.iter().all(|row| { row["enrollment"].as_i64().is_none_or(|students| students >= 0) }));
    for path in ["/api/v1/schools/ccd/enrollment/2020/grade-pk/", "/api/v1/schools/ccd/enrollment/2021/grade-99/"] {
        let (count, rows) = all_rows(&portal, path).await;
        for value in [Value::Null, (-1).into(), (-2).into(), (-3).into()] {
            let n = rows.iter().filter(|row| row["enrollment"] == value).count() as u64;
            assert!((1..count / 20).contains(&n), "{path}: {n} of {value}");
        }
    }
    let california = get(&portal, "/api/v1/schools/ccd/enrollment/1999/grade-pk/race/?fips=6").await.json();
    assert_eq!(california["count"], 0);
}

#[tokio::test]
async fn two_simulators_serve_the_same_bytes() {
    let (one, other) = (start(small()).await, start(small()).await);
    for path in [RACE_SEX, "/api/v1/schools/ccd/directory/1999/?page=2", "/api/v1/api-endpoints/"] {
        let bytes = get(&one, path).await.text().replace(&one.origin(), "");
        assert_eq!(bytes, get(&other, path).await.text().replace(&other.origin(), ""), "{path}");
        assert_eq!(bytes, get(&one, path).await.text().replace(&one.origin(), ""), "{path}, requested again");
    }
}

#[tokio::test]
async fn partitions_with_a_fixed_size_have_that_many_rows() {
    let portal = start(Config { rows: Some(1_050), ..small() }).await;
    for path in [PREK, RACE_SEX] {
        let (count, rows) = all_rows(&portal, path).await;
        assert_eq!((count, rows.len()), (1_050, 1_050), "{path}");
    }
    let (_, rows) = all_rows(&portal, PREK).await;
    assert!(rows.windows(2).all(|pair| pair[0]["ncessch"].as_str() < pair[1]["ncessch"].as_str()));
}

#[tokio::test]
async fn gzip_is_sent_only_to_clients_that_accept_it() {
    let portal = start(small()).await;
    let plain = get(&portal, PREK).await;
    assert_eq!(plain.header("content-encoding"), None);
    for _ in 0..2 {
        let packed = ask(&portal, "GET", PREK, "Accept-Encoding: br, gzip\r\n").await.unwrap();
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() < plain.body.len());
        assert_eq!(packed.unzipped(), plain.body);
    }
    let portal = start(Config { gzip: false, ..small() }).await;
    let reply = ask(&portal, "GET", PREK, "Accept-Encoding: gzip\r\n").await.unwrap();
    assert_eq!(reply.header("content-encoding"), None);
}

#[tokio::test]
async fn a_connection_serves_several_requests_and_each_is_logged() {
    let portal = start(small()).await;
    let mut stream = TcpStream::connect(portal.address()).await.unwrap();
    let request = |end: &str| format!("GET /api/v1/api-changes/?a=1 HTTP/1.1\r\nHost: x\r\nX-Test: yes\r\n{end}\r\n");
    let both = format!("{}{}", request(""), request("Connection: close\r\n"));
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2);

    let requests = portal.requests();
    assert_eq!(requests.len(), 2);
    let seen = &requests[0];
    assert_eq!((seen.path.as_str(), seen.query.as_str(), seen.status), ("/api/v1/api-changes/", "a=1", 200));
    assert!(seen.headers.contains(&("x-test".to_owned(), "yes".to_owned())));
    assert!(seen.answered.unwrap() >= seen.started);
    assert_eq!(portal.max_in_flight(), 1);
}

#[tokio::test]
async fn a_stopped_simulator_refuses_connections() {
    let portal = start(small()).await;
    let address = portal.address();
    portal.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn metadata_lists_endpoints_and_releases() {
    let portal = start(Config { latency: std::time::Duration::MAX, ..small() }).await;
    let endpoints = get(&portal, "/api/v1/api-endpoints/").await;
    assert!(
        endpoints
            .text()
            .starts_with(r#"{"count":123,"next":null,"previous":null,"results":[{"endpoint_id":1,"page_id":1,"#)
    );
    let years: HashSet<_> =
        endpoints.rows().iter().map(|row| row["years_available"].as_str().unwrap().to_owned()).collect();
    for text in ["1986&ndash;2024", "1980, 1984&ndash;2022", "1991, 1993, 1995, 1997, and 1999&ndash;2020"] {
        assert!(years.contains(text), "{text}");
    }
    let versions = get(&portal, "/api/v1/api-changes/").await.rows();
    assert_eq!(versions[0]["version"], "0.1.0 - Beta");
}

#[tokio::test]
async fn further_releases_are_the_newest_and_can_be_replaced() {
    let portal = start(Config { releases: vec!["0.27.0".to_owned()], ..small() }).await;
    let releases = async || -> Vec<String> {
        let rows = get(&portal, "/api/v1/api-changes/").await.rows();
        let text = |row: &Value| format!("{} {}", row["version"], row["release_date"]).replace('"', "");
        rows.iter().map(text).collect()
    };
    assert_eq!(releases().await[3..6], ["0.26.1 7/14/2026", "0.27.0 7/21/2026", "0.24.0 11/3/2025"]);
    portal.set_releases(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
    assert_eq!(releases().await[3..7], ["0.26.1 7/14/2026", "a 7/21/2026", "b 7/28/2026", "c 8/4/2026"]);
    portal.set_releases(Vec::new());
    assert_eq!(releases().await.len(), 6);
}
