//! Every dataset of `datasets/` is served, with rows that fit its descriptor.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::descriptors::{Descriptor, Lists, built_in, lists};
use crate::support::{all_rows, get, start};
use rollcall_simulator::{Config, Simulator};
use serde_json::Value;

/// A dataset with everything that a descriptor can have.
const WAVES: &str = r#"
name = "test_waves"
title = "Waves by school"
path = "schools/test/waves/{year}/{wave}/race/"
key = ["ncessch", "race", "kind", "lep"]

[[axis]]
name = "year"
type = "int"
years = "1999, 2001-2003"

[[axis]]
name = "wave"
type = "int"
values = [1, 2]

[[column]]
name = "ncessch"
type = "string"
width = 12
starts_with = { leaid = 5, fips = 10 }
comment = "School"

[[column]]
name = "leaid"
type = "string"
width = 7
starts_with = { fips = 5 }

[[column]]
name = "fips"
type = "int"
codes = "fips"

[[column]]
name = "county_code"
type = "string"
width = 5
starts_with = { fips = 3 }

[[column]]
name = "race"
type = "int"
codes = "race_groups"
total = 99

[[column]]
name = "kind"
type = "string"
codes = "kind"

[[column]]
name = "lep"
type = "int"
codes = "lep_groups"

[[column]]
name = "students_sat"
field = "students_SAT"
type = "int"
codes = "missing"
comment = "Students – all"

[[column]]
name = "teachers"
type = "double"
codes = "missing"

[[column]]
name = "geo_longitude"
type = "double"

[[column]]
name = "cohort_year"
type = "int"

[[column]]
name = "lea_name"
type = "string"

[[column]]
name = "minutes"
type = "bigint"
optional = true

[[column]]
name = "zip"
type = "string"
width = 5

[[column]]
name = "city"
type = "string"

[lists.race_groups]
1 = "One"
2 = "Two"
99 = "Total"
-1 = "Missing/not reported"

[lists.kind]
7 = "Seven"
8 = "Eight"

[lists.lep_groups]
1 = "Learners"
99 = "All students"

[lists.missing]
-1 = "Missing/not reported"
-3 = "Suppressed data"
"#;

/// A dataset whose keys the source repeats.
const REPEATED: &str = r#"
name = "test_repeated"
title = "Funds by college"
path = "college-university/test/funds/{year}/"
key = ["ein"]
repeated_keys = "keep"
reason = "The source has two rows for some."
axis = [{ name = "year", type = "int" }]

[[column]]
name = "ein"
type = "string"

[[column]]
name = "funds"
type = "double"
"#;

fn further() -> Config {
    Config { descriptors: vec![WAVES.to_owned(), REPEATED.to_owned()], n_schools: 600, ..Config::default() }
}

fn waves() -> (Descriptor, Lists) {
    let waves = Descriptor(WAVES.parse().unwrap());
    let own = waves.0["lists"].as_table().unwrap().iter();
    let own = own.map(|(name, codes)| {
        (name.clone(), codes.as_table().unwrap().keys().map(|code| code.parse().unwrap()).collect::<BTreeSet<i64>>())
    });
    let all = lists().into_iter().chain(own).collect();
    (waves, all)
}

fn values<'a>(rows: &'a [Value], field: &str) -> BTreeSet<String> {
    rows.iter().map(|row: &'a Value| row[field].to_string()).collect()
}

#[tokio::test]
async fn every_dataset_has_rows_that_fit_its_descriptor() {
    let portal = start(Config { n_schools: 600, ..Config::default() }).await;
    let lists = lists();
    for descriptor in built_in() {
        // The thin portal is tested with the first partition too. No school offers the last grade of districts.
        let place = usize::from(descriptor.text("name") != "ccd_districts_enrollment");
        let (path, codes) = descriptor.paths().remove(place);
        let (count, rows) = all_rows(&portal, &path).await;
        assert!(count > 0 && rows.len() as u64 == count, "{path}: {count} of {}", rows.len());
        if !descriptor.is_of_sample() {
            assert!(count <= 300, "{path}: {count}");
            descriptor.check(&rows, &codes, &lists);
        }
    }
}

#[tokio::test]
async fn a_thin_portal_has_twenty_rows_in_each_partition() {
    let portal = start(Config { n_schools: 600, rows_per_partition: Some(20), ..Config::default() }).await;
    let lists = lists();
    for descriptor in built_in() {
        for (path, codes) in descriptor.paths() {
            let (count, rows) = all_rows(&portal, &path).await;
            assert_eq!((count, rows.len()), (20, 20), "{path}");
            if !descriptor.is_of_sample() {
                descriptor.check(&rows, &codes, &lists);
            }
        }
    }
}

#[tokio::test]
async fn a_further_descriptor_adds_its_dataset() {
    let portal = start(further()).await;
    let (waves, lists) = waves();
    for (path, codes) in waves.paths() {
        let (count, rows) = all_rows(&portal, &path).await;
        assert_eq!((count, rows.len()), (300, 300));
        waves.check(&rows, &codes, &lists);
        assert_eq!(values(&rows, "race"), ["1", "2", "99"].map(str::to_owned).into());
        assert_eq!(values(&rows, "kind"), ["\"7\"", "\"8\""].map(str::to_owned).into());
        assert_eq!(values(&rows, "lep"), ["99".to_owned()].into(), "the path does not name the dimension");
        for missing in [Value::Null, (-1).into(), (-3).into()] {
            let n = rows.iter().filter(|row| row["students_SAT"] == missing).count();
            assert!((1..30).contains(&n), "{n} of {missing}");
        }
    }
    let absent: Vec<bool> = {
        let mut absent = Vec::new();
        for year in [1999, 2001, 2002, 2003] {
            let path = format!("/api/v1/schools/test/waves/{year}/2/race/");
            absent.push(get(&portal, &path).await.rows().iter().all(|row| row.get("minutes").is_none()));
        }
        absent
    };
    assert!(absent.contains(&true) && absent.contains(&false), "{absent:?}");
    let error =
        Simulator::start(Config { descriptors: vec!["name = 1".to_owned()], ..further() }, ([127, 0, 0, 1], 0).into());
    assert_eq!(error.await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn keys_are_repeated_and_empty_only_where_the_descriptor_keeps_them() {
    let portal = start(further()).await;
    let rows = get(&portal, "/api/v1/college-university/test/funds/2020/").await.rows();
    let keys: HashSet<&str> = rows.iter().map(|row| row["ein"].as_str().unwrap()).collect();
    let n_empty = rows.iter().filter(|row| row["ein"] == "").count();
    assert_eq!((rows.len(), n_empty, keys.len()), (300, 19, 263));
    let repeated = rows.windows(2).find(|pair| pair[0]["ein"] == pair[1]["ein"]).unwrap();
    assert_ne!(repeated[0]["funds"], repeated[1]["funds"], "the rows differ in their other values");
}

#[tokio::test]
async fn filters_pages_and_errors_are_as_for_the_sample() {
    let path = "/api/v1/schools/test/waves/2003/1/race/";
    let portal = start(Config { page_size: 70, ..further() }).await;
    let (count, rows) = all_rows(&portal, path).await;
    let fips = rows[0]["fips"].clone();
    let of_state = |rows: &[Value]| rows.iter().filter(|row| row["fips"] == fips).cloned().collect();
    let expected: Vec<Value> = of_state(&rows);
    assert!((1..300).contains(&expected.len()));
    assert_eq!(all_rows(&portal, &format!("{path}?fips={fips}")).await.1, expected);

    let n_rows = async |query: &str| get(&portal, &format!("{path}?{query}")).await.json()["count"].as_u64().unwrap();
    let school = rows[0]["ncessch"].as_str().unwrap();
    let of_school = rows.iter().filter(|row| row["ncessch"] == school).count() as u64;
    let without_zeros = school.trim_start_matches('0');
    for (query, expected) in [
        (format!("ncessch={school}"), of_school),
        (format!("ncessch={without_zeros}"), of_school),
        ("race=1,2&race=1%2C2%2C99".to_owned(), count),
        ("year=2003&wave=1&lep=99".to_owned(), count),
        ("wave=2".to_owned(), 0),
        ("race=white".to_owned(), 0),
        ("students_SAT=3&teachers=1&foo=1".to_owned(), count),
    ] {
        assert_eq!(n_rows(&query).await, expected, "{query}");
    }
    assert_eq!(get(&portal, &format!("{path}?page=6")).await.status, 404);
    for (path, status) in [
        ("/api/v1/schools/test/waves/2000/1/race/", 500),
        ("/api/v1/schools/test/waves/2003/3/race/", 404),
        ("/api/v1/schools/test/waves/2003/1/race/sex/", 404),
        ("/api/v1/schools/test/waves/2003/1/race", 301),
    ] {
        assert_eq!(get(&portal, path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn rows_depend_only_on_their_dataset_and_their_partition() {
    let (one, other) =
        (start(further()).await, start(Config { descriptors: vec![WAVES.to_owned()], ..further() }).await);
    let body = async |portal: &rollcall_simulator::Running, path: &str| {
        get(portal, path).await.text().replace(&portal.origin(), "")
    };
    let path = |year: u16, wave: u16| format!("/api/v1/schools/test/waves/{year}/{wave}/race/");
    let first = body(&one, &path(2003, 1)).await;
    assert_eq!(first, body(&other, &path(2003, 1)).await);
    let measures = |text: &str| -> Vec<String> {
        let page: Value = serde_json::from_str(text).unwrap();
        page["results"].as_array().unwrap().iter().map(|row| row["students_SAT"].to_string()).collect()
    };
    for (year, wave) in [(2003, 2), (2002, 1)] {
        assert_ne!(measures(&first), measures(&body(&one, &path(year, wave)).await), "{year} {wave}");
    }
    let golden = [
        r#"{"year":2003,"wave":1,"ncessch":"010001500038","leaid":"100015","fips":1,"county_code":"01027","race":99,"#,
        r#""kind":"7","lep":99,"students_SAT":54,"teachers":2560.01,"geo_longitude":-100.22,"cohort_year":2000,"#,
        r#""lea_name":"Sample lea name 722","minutes":11584,"zip":"59010","city":"Sample City 015"},"#,
    ];
    assert!(first.contains(&format!("\"results\":[{}", golden.concat())), "{first:.500}");
}

#[tokio::test]
async fn metadata_lists_every_dataset_with_its_fields() {
    let portal = start(further()).await;
    let endpoints = get(&portal, "/api/v1/api-endpoints/").await.rows();
    let by_path: BTreeMap<String, &Value> = endpoints
        .iter()
        .map(|row| (row["endpoint_url"].as_str().unwrap().trim_end_matches('/').to_owned(), row))
        .collect();
    let ids: HashSet<i64> = endpoints.iter().map(|row| row["endpoint_id"].as_i64().unwrap()).collect();
    assert_eq!((by_path.len(), ids.len()), (125, 125));
    for descriptor in built_in() {
        let path = format!("/api/v1/{}", descriptor.text("path").trim_end_matches('/'));
        let endpoint = by_path[&path];
        if let (Some(years), false) = (descriptor.axes()[0].get("years"), descriptor.is_of_sample()) {
            assert_eq!(endpoint["years_available"], years.as_str().unwrap().replace('-', "&ndash;"), "{path}");
        }
        let list = format!("/api/v1/api-endpoint-varlist/?endpoint_id={}", endpoint["endpoint_id"]);
        let variables = get(&portal, &list).await.rows();
        assert_eq!(variables.len(), descriptor.axes().len() + descriptor.columns().len(), "{path}");
    }
    let waves = by_path["/api/v1/schools/test/waves/{year}/{wave}/race"];
    assert_eq!(waves["years_available"], "1999, 2001&ndash;2003");
    assert_eq!((&waves["section"], &waves["class_name"]), (&"Schools".into(), &"TEST".into()));
    assert_eq!(waves["example_endpoint_url"], "/api/v1/schools/test/waves/2003/2/race/");

    let id = waves["endpoint_id"].as_i64().unwrap();
    let variables = get(&portal, &format!("/api/v1/api-endpoint-varlist/?endpoint_id={id}")).await.rows();
    let find = |name: &str| variables.iter().find(|row| row["variable"] == name).unwrap();
    let text = |row: &Value| {
        let cell = |name: &str| row[name].as_str().unwrap().to_owned();
        [cell("format"), cell("data_type"), cell("string_length"), cell("is_filter")].join(" ")
    };
    for (name, expected) in [
        ("year", "numeric integer 4 1"),
        ("wave", "numeric integer 4 1"),
        ("ncessch", "string string 12 1"),
        ("leaid", "string string 7 1"),
        ("race", "race_groups integer 2 1"),
        ("kind", "kind string 100 1"),
        ("lep", "lep_groups integer 2 1"),
        ("students_SAT", "missing integer 8 None"),
        ("teachers", "missing float 20 None"),
        ("minutes", "numeric integer 12 None"),
    ] {
        assert_eq!(text(find(name)), expected, "{name}");
    }
    assert_eq!(find("race")["endpoint_id"], id.to_string());
    assert_eq!(find("students_SAT")["label"], "Students &ndash; all");
    assert_eq!(find("kind")["values"], r#""7" : "Seven","8" : "Eight""#);
    let all = get(&portal, "/api/v1/api-endpoint-varlist/").await.rows();
    assert!(all.len() > variables.len());
}

#[tokio::test]
async fn a_further_descriptor_replaces_the_dataset_with_its_path() {
    let other = REPEATED.replace("college-university/test/funds/", "school-districts/saipe/");
    let other = other.replace("type = \"int\" }]", "type = \"int\", years = \"2031-2032\" }]");
    let portal = start(Config { descriptors: vec![other], ..further() }).await;
    let listed = get(&portal, "/api/v1/api-endpoints/?endpoint_id=30").await.rows();
    assert_eq!((listed.len(), &listed[0]["years_available"]), (1, &"2031&ndash;2032".into()));
    assert_eq!(listed[0]["endpoint_url"], "/api/v1/school-districts/saipe/{year}/");
    let variables = get(&portal, "/api/v1/api-endpoint-varlist/?endpoint_id=30").await.rows();
    let names: Vec<&str> = variables.iter().map(|row| row["variable"].as_str().unwrap()).collect();
    assert_eq!(names, ["year", "ein", "funds"]);
    let statuses = [2021, 2031].map(|year| format!("/api/v1/school-districts/saipe/{year}/"));
    for (path, status) in statuses.iter().zip([500, 200]) {
        assert_eq!(get(&portal, path).await.status, status, "{path}");
    }
}
