//! Summaries, districts and totals agree with the enrollment of schools.

use std::collections::BTreeMap;

use crate::support::{all_rows, get, small, start, start_with};
use rollcall_simulator::{Action, Config, Fault, Running, published_totals};
use serde_json::Value;

const SCHOOLS: &str = "/api/v1/schools/ccd/enrollment/";
const DISTRICTS: &str = "/api/v1/school-districts/ccd/enrollment/";
const SUMS: &str = "summaries/?var=enrollment&stat=sum&by=fips";

/// Sums by the text of a key. Values that are null or negative add a key, but no students.
type Sums = BTreeMap<String, i64>;

fn add(sums: &mut Sums, rows: &[Value], key: impl Fn(&Value) -> String) {
    for row in rows {
        *sums.entry(key(row)).or_default() += row["enrollment"].as_i64().unwrap_or(0).max(0);
    }
}

fn year_and_state(row: &Value) -> String {
    format!("{} {}", row["year"], row["fips"])
}

fn school(row: &Value) -> String {
    row["ncessch"].to_string()
}

/// Sums the reported values of the partitions, by year and state. States without any are left out, as in summaries.
async fn summed(portal: &Running, level: &str, partitions: &[&str]) -> Sums {
    let mut sums = Sums::new();
    for partition in partitions {
        let (_, mut rows) = all_rows(portal, &format!("{level}{partition}/")).await;
        rows.retain(|row| row["enrollment"].as_i64().is_some_and(|students| students >= 0));
        add(&mut sums, &rows, year_and_state);
    }
    sums
}

/// Returns the rows of a summary.
async fn summary(portal: &Running, level: &str, filters: &str) -> Sums {
    let (count, rows) = all_rows(portal, &format!("{level}{SUMS}{filters}")).await;
    let mut sums = Sums::new();
    add(&mut sums, &rows, year_and_state);
    assert_eq!((rows.len() as u64, sums.len() as u64), (count, count));
    sums
}

#[tokio::test]
async fn a_summary_is_the_sum_of_the_pages() {
    let fixed = Config { rows: Some(250), ..small() };
    let thin = Config { rows_per_partition: Some(90), ..small() };
    for config in [small(), fixed, thin, Config { n_schools: 60, ..small() }] {
        let portal = start(config).await;
        for level in [SCHOOLS, DISTRICTS] {
            for (filters, partitions) in [
                ("&year=2021&grade=-1", &["2021/grade-pk"][..]),
                ("&year=2020,2021&grade=-1", &["2020/grade-pk", "2021/grade-pk"]),
                ("&grade=0,12&year=1999", &["1999/grade-k", "1999/grade-12"]),
                ("&grade=99&year=2022", &["2022/grade-99"]),
                ("&year=2022", &["2022/grade-99"]),
                ("&year=1985,2030&grade=-1,77", &[]),
            ] {
                let expected = summed(&portal, level, partitions).await;
                assert_eq!(summary(&portal, level, filters).await, expected, "{level}{SUMS}{filters}");
                assert_eq!(expected.is_empty(), partitions.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_summary_has_the_envelope_and_the_filters_of_a_page() {
    let portal = start(small()).await;
    let rows: Vec<String> = published_totals()
        .into_iter()
        .filter(|(fips, ..)| [15, 48].contains(fips))
        .map(|(fips, _, students)| format!("{{\"year\":2021,\"fips\":{fips},\"enrollment\":{students}}}"))
        .rev()
        .collect();
    let path = format!("{SCHOOLS}{SUMS}&year=2021&grade=-1");
    let two = get(&portal, &format!("{path}&fips=48,15")).await.text();
    assert_eq!(two, format!("{{\"count\":2,\"next\":null,\"previous\":null,\"results\":[{}]}}", rows.join(",")));
    assert_eq!(get(&portal, &format!("{path}&fips=6")).await.json()["count"], 0, "California reports no pre-K");
    assert_eq!(get(&portal, &format!("{path}&page=2")).await.status, 404);
    // 39 years of 57 states, of which the smallest have a single school that does not report in some years.
    let all = get(&portal, &format!("{SCHOOLS}{SUMS}")).await.json();
    assert_eq!((&all["count"], all["results"].as_array().unwrap().len()), (&2_196.into(), 100));
    assert!(all["next"].as_str().unwrap().ends_with("?by=fips&page=2&stat=sum&var=enrollment"), "{}", all["next"]);
    let without_slash = path.replace("summaries/", "summaries");
    assert_eq!(get(&portal, &without_slash).await.status, 301);
}

#[tokio::test]
async fn an_unsupported_argument_of_a_summary_is_400() {
    let portal = start(small()).await;
    for level in [SCHOOLS, DISTRICTS] {
        let reply = get(&portal, &format!("{level}summaries/?var=race&stat=sum&by=fips&year=2021")).await;
        let expected = r#"[{"API ERROR": "'race' is not a valid 'var' argument"}]"#;
        assert_eq!((reply.status, reply.text().as_str()), (400, expected));
        assert_eq!(get(&portal, &format!("{level}summaries/")).await.status, 400);
    }
}

#[tokio::test]
async fn faults_change_a_summary() {
    let json = "7".to_owned();
    let set = Fault::new(Action::SetField { row: Some(0), field: "enrollment".to_owned(), json });
    let portal = start_with(set.on_path("schools/ccd/enrollment/summaries/")).await;
    let path = format!("{SCHOOLS}{SUMS}&year=2021&grade=-1");
    let faulty = get(&portal, &path).await.rows();
    portal.set_faults(vec![Fault::new(Action::DropRow { index: 0 }).on_path("summaries/").times(1)]);
    let dropped = get(&portal, &path).await.rows();
    let rows = get(&portal, &path).await.rows();
    assert_eq!((&faulty[0]["enrollment"], &rows[0]["enrollment"]), (&7.into(), &21_946.into()));
    assert_eq!((&faulty[1..], &dropped[..]), (&rows[1..], &rows[1..]));
}

#[tokio::test]
async fn a_district_has_the_students_of_its_schools() {
    for config in [small(), Config { rows: Some(130), ..small() }] {
        let portal = start(config).await;
        for partition in ["2021/grade-pk", "2014/grade-8", "1986/grade-99", "2022/grade-13"] {
            let (_, schools) = all_rows(&portal, &format!("{SCHOOLS}{partition}/")).await;
            let (_, districts) = all_rows(&portal, &format!("{DISTRICTS}{partition}/")).await;
            let mut expected = Sums::new();
            add(&mut expected, &schools, |row| row["ncessch"].as_str().unwrap()[..7].to_owned());
            let mut found = Sums::new();
            add(&mut found, &districts, |row| format!("{:0>7}", row["leaid"].as_str().unwrap()));
            assert_eq!(found, expected, "{partition}");
            assert_eq!(districts.len(), found.len(), "one row a district");
            let ids: Vec<u64> = districts.iter().map(|row| row["leaid"].as_str().unwrap().parse().unwrap()).collect();
            assert!(ids.is_sorted(), "{partition}");
            for (row, id) in districts.iter().zip(ids) {
                let names: Vec<&String> = row.as_object().unwrap().keys().collect();
                assert_eq!(names, ["enrollment", "fips", "grade", "leaid", "race", "sex", "year"]);
                assert_eq!(
                    (row["fips"].as_u64(), &row["race"], &row["sex"]),
                    (Some(id / 100_000), &99.into(), &99.into())
                );
                assert_eq!((row["year"].to_string().as_str(), &row["grade"]), (&partition[..4], &schools[0]["grade"]));
            }
            let state = districts[0]["fips"].as_u64().unwrap();
            let in_state = districts.iter().filter(|row| row["fips"] == state).count();
            let filtered = get(&portal, &format!("{DISTRICTS}{partition}/?fips={state}")).await.json();
            assert_eq!(filtered["count"], in_state);
        }
        assert_eq!(get(&portal, &format!("{DISTRICTS}2021/grade-999/")).await.json()["count"], 0);
    }
}

#[tokio::test]
async fn the_total_of_a_school_is_the_sum_of_its_grades() {
    for config in [small(), Config { rows: Some(130), ..small() }] {
        let portal = start(config).await;
        for year in [2013, 2021] {
            let mut of_grades = Sums::new();
            let codes = (1..=15).map(|code| code.to_string()).chain(["pk".to_owned(), "k".to_owned()]);
            for code in codes {
                let (_, rows) = all_rows(&portal, &format!("{SCHOOLS}{year}/grade-{code}/")).await;
                add(&mut of_grades, &rows, school);
            }
            let (_, mut totals) = all_rows(&portal, &format!("{SCHOOLS}{year}/grade-99/")).await;
            let mut expected = Sums::new();
            totals.retain(|row| row["enrollment"].as_i64().is_some_and(|students| students >= 0));
            add(&mut expected, &totals, school);
            assert!(expected.len() > 100);
            of_grades.retain(|school, _| expected.contains_key(school));
            assert_eq!(of_grades, expected, "{year}");
        }
    }
}

#[tokio::test]
async fn totals_by_race_and_sex_are_the_rows_of_the_plain_endpoint() {
    let portal = start(small()).await;
    for partition in ["2021/grade-pk", "2014/grade-8", "2005/grade-99", "1990/grade-1"] {
        let (_, plain) = all_rows(&portal, &format!("{SCHOOLS}{partition}/")).await;
        for axes in ["race/sex/?race=99&sex=99", "race/?race=99", "sex/?sex=99"] {
            let (_, totals) = all_rows(&portal, &format!("{SCHOOLS}{partition}/{axes}")).await;
            assert_eq!(totals, plain, "{partition}/{axes}");
        }
    }
}
