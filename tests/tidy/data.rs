//! Descriptors, lookups and queries agree with the places that list them.

use std::collections::BTreeSet;

use rollcall_tests::rollcall;
use serde_json::Value;

use crate::{read, stems};

/// Returns SQL without comments and quoted text.
fn bare_sql(sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    lines.join("\n").split('\'').step_by(2).collect()
}

/// Returns the words directly followed by `(`.
fn functions(sql: &str) -> BTreeSet<String> {
    let bare = bare_sql(sql);
    let before_brackets = bare.split('(').collect::<Vec<_>>();
    let (_, before_brackets) = before_brackets.split_last().expect("a split has a last part");
    let words = before_brackets.iter().filter_map(|text| {
        let start = text.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |before| before + 1);
        text.get(start..).filter(|word| !word.is_empty())
    });
    words.map(str::to_lowercase).collect()
}

#[test]
fn functions_are_words_directly_followed_by_a_bracket() {
    let sql =
        "select sum(case when a in (1, 2) then round(b, 1) end), rank() over (order by c) -- f(x)\nfrom t('g(y)')";
    assert_eq!(functions(sql), BTreeSet::from(["rank", "round", "sum", "t"].map(str::to_owned)));
}

#[test]
fn the_queries_use_exactly_the_listed_functions_and_no_semicolon() {
    let mut used = BTreeSet::new();
    for name in stems("queries", "sql") {
        let sql = read(format!("queries/{name}.sql"));
        assert!(!sql.contains(';'), "{name}: Athena and a pasted query end where the file ends");
        used.extend(functions(&sql));
    }
    let listed = read("queries/functions.txt");
    let listed: Vec<&str> = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(listed.is_sorted() && !listed.is_empty(), "{listed:?}");
    assert_eq!(used, listed.into_iter().map(str::to_owned).collect());
}

/// Returns the names in backticks that start a row of a Markdown table.
fn rows_of_table(markdown: &str) -> BTreeSet<String> {
    let names = markdown.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_query_is_built_in_and_in_the_table_of_queries() {
    let files = stems("queries", "sql");
    assert_eq!(rows_of_table(&read("queries/README.md")), files);

    let output = rollcall(&["query"]).output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("stdout is UTF-8");
    let mut lines = listed.lines();
    assert_eq!(lines.next().map(|header| header.split_whitespace().collect()), Some(vec!["query", "question"]));
    let mut found = BTreeSet::new();
    for line in lines {
        let (name, question) = line.split_once(' ').expect("a row has two columns");
        let asked = read(format!("queries/{name}.sql"));
        let asked =
            asked.lines().next().and_then(|line| line.strip_prefix("-- ")).expect("a query opens with a comment");
        assert!(asked.ends_with(question.trim()), "{name}: listed with `{}`, opens with `{asked}`", question.trim());
        found.insert(name.to_owned());
    }
    assert_eq!(found, files);
}

#[test]
fn every_descriptor_is_built_in_under_the_name_of_its_file() {
    let output = rollcall(&["datasets", "list", "--format", "json"]).output().expect("the binary starts");
    let listed: Value = serde_json::from_slice(&output.stdout).expect("the list is JSON");
    let listed = listed.as_array().expect("the list is an array");
    let listed: Vec<&Value> = listed.iter().filter(|dataset| dataset["usable"] == true).collect();
    let names = listed.iter().filter_map(|dataset| dataset["name"].as_str()).map(str::to_owned);
    assert_eq!(names.collect::<BTreeSet<_>>(), stems("datasets", "toml"));
    for dataset in listed {
        let attribution = dataset["attribution"].as_str().expect("a dataset says whom to credit");
        assert!(attribution.ends_with("Education Data Portal, Urban Institute, under ODC-By 1.0"), "{attribution}");
    }
}

#[test]
fn every_look_up_names_its_source_and_lists_each_code_once() {
    let names = stems("datasets/lookups", "csv");
    assert_eq!(names, BTreeSet::from(["codes", "grades", "races", "sexes", "states"].map(str::to_owned)));
    for name in names {
        let text = read(format!("datasets/lookups/{name}.csv"));
        let (head, rows): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
        assert!(head.iter().any(|line| line.starts_with("# Source: Education Data Portal")), "{name}");
        let has_lists = name == "codes";
        assert!(rows[0].starts_with(if has_lists { "list,code,label" } else { "code,label" }), "{name}");
        let codes: Vec<(&str, i32)> = rows[1..]
            .iter()
            .map(|row| {
                let (list, row) = if has_lists { row.split_once(',').expect("a row has a list") } else { ("", *row) };
                (list, row.split(',').next().and_then(|code| code.parse().ok()).expect("a code is a number"))
            })
            .collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{name}: {codes:?}");
    }
}
