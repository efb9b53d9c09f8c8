//! Every sentence and every fault of SEMANTICS.md has a test, and every test that ARCHITECTURE.md names exists.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{read, with_extension};

/// Returns the names of functions in test code. The lints reject unused ones, so each is a test or called by one.
fn names_of_tests() -> BTreeSet<String> {
    let is_test_file =
        |file: &Path| file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests");
    let mut names = BTreeSet::new();
    for file in with_extension("rs").iter().chain(&with_extension("py")) {
        let text = read(file);
        let tests =
            if is_test_file(file) { Some(text.as_str()) } else { text.split_once("#[cfg(test)]").map(|parts| parts.1) };
        for line in tests.unwrap_or_default().lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let line = line.strip_prefix("async ").unwrap_or(line);
            let name = line.strip_prefix("fn ").or_else(|| line.strip_prefix("def "));
            names.extend(name.and_then(|rest| rest.split(['(', '<']).next()).map(str::to_owned));
        }
    }
    names
}

/// Returns what is in backticks and looks like the name of a test.
fn tests_named_in(text: &str) -> BTreeSet<String> {
    let is_name = |word: &str| {
        word.matches('_').count() > 1 && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split('`').skip(1).step_by(2).filter(|word| is_name(word)).map(str::to_owned).collect()
}

/// Problems found by use, by kind: harm to data or secrets (H), harm beyond the one faulty thing (B), misleading words
/// (W). Each was fixed everywhere it could occur. A test's doc comment names the problem that it guards against.
const FOUND_BY_USE: [(char, u32); 3] = [('H', 12), ('B', 14), ('W', 12)];

#[test]
fn every_problem_found_by_use_has_a_test() {
    let mut missing: BTreeSet<String> =
        FOUND_BY_USE.iter().flat_map(|(letter, n)| (1..=*n).map(move |number| format!("{letter}{number}"))).collect();
    for file in with_extension("rs") {
        let source = read(&file);
        let mut lines = source.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            let Some(ids) = line.strip_prefix("/// Found by use: ") else { continue };
            let ids = ids.strip_suffix('.').unwrap_or_else(|| panic!("{}: {line}", file.display()));
            let is_of_test =
                lines.peek().is_some_and(|next| next.starts_with("#[test]") || next.starts_with("#[tokio::test"));
            assert!(is_of_test, "{}: {line}", file.display());
            for id in ids.split(", ") {
                missing.remove(id);
            }
        }
    }
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn every_promise_and_every_fault_has_an_existing_test() {
    let text = read("SEMANTICS.md");
    let (promises, faults) = text.split_once("\n## Faults\n").expect("faults come last");
    let tests = names_of_tests();
    let mut wrong = Vec::new();
    // Sentences are numbered without gaps. Each ends at the next one or at an empty line.
    let starts_sentence = |line: &str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    let mut sentences: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in promises.lines() {
        if starts_sentence(line) {
            sentences.push(line.to_owned());
            is_open = true;
        } else if line.is_empty() {
            is_open = false;
        } else if let (true, Some(sentence)) = (is_open, sentences.last_mut()) {
            sentence.push_str(line);
        }
    }
    for (number, sentence) in (1..).zip(&sentences) {
        let named = tests_named_in(sentence);
        if !sentence.starts_with(&format!("{number}. ")) || named.is_empty() || !named.is_subset(&tests) {
            wrong.push(sentence.clone());
        }
    }
    assert!(sentences.len() > 20, "{}", sentences.len());
    let mut missing: BTreeSet<String> = [('A', 44), ('L', 11), ('O', 11), ('G', 13), ('W', 20), ('D', 14), ('F', 10)]
        .iter()
        .flat_map(|(letter, n)| (1..=*n).map(move |number| format!("{letter}{number}")))
        .collect();
    assert_eq!(missing.len(), 123);
    let mut n_not_shown = 0;
    for line in faults.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, fault, expected, evidence] = cells.as_slice() else { panic!("{line}") };
        if !missing.remove(*id) || fault.is_empty() || expected.is_empty() {
            wrong.push(line.to_owned());
        }
        let named = tests_named_in(evidence);
        n_not_shown += usize::from(evidence.starts_with("not shown here; "));
        let is_of_fault = |name: &String| name.split('_').any(|word| word == id.to_lowercase());
        let is_shown = !named.is_empty() && named.is_subset(&tests) && named.iter().any(is_of_fault);
        if !is_shown && !evidence.starts_with("not shown here; ") {
            wrong.push(line.to_owned());
        }
    }
    assert_eq!((wrong, missing), (Vec::new(), BTreeSet::new()));
    assert!(n_not_shown <= 8, "{n_not_shown}");
}

/// Long test names are abbreviated in ARCHITECTURE.md: `room::name_of_…`.
#[test]
fn every_invariant_names_an_existing_test() {
    let text = read("ARCHITECTURE.md");
    let (_, rest) = text.split_once("\n## Invariants and their tests\n").expect("the heading of the invariants");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let tests = names_of_tests();
    let named: Vec<&str> = section
        .lines()
        .filter_map(|line| line.rsplit_once("| `"))
        .flat_map(|(_, cell)| cell.split('`').step_by(2))
        .filter_map(|path| path.rsplit("::").next())
        .filter(|name| name.matches('_').count() > 1)
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let is_missing = |name: &&str| match name.strip_suffix('…') {
        Some(start) => !tests.iter().any(|test| test.starts_with(start)),
        None => !tests.contains(*name),
    };
    assert_eq!(named.into_iter().filter(is_missing).collect::<Vec<_>>(), Vec::<&str>::new());
}
