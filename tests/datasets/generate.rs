//! Descriptors from the recorded metadata: they are those that are committed, and their keys are those that were found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rollcall_core::dataset::Dataset;
use rollcall_core::generate::{Generated, built_in_lists, generate};
use rollcall_tests::{Outcome, rollcall, workspace};

use crate::metadata::{read, recorded};

fn run(args: &[&str]) -> Outcome {
    Outcome::from_output(rollcall(args).output().expect("the binary starts"))
}

#[test]
fn generating_all_descriptors_again_changes_nothing() {
    let Some(folder) = recorded() else { return };
    let out = tempfile::tempdir().expect("a temporary folder can be created");
    let codes = out.path().join("codes.csv");
    let args = ["datasets", "generate", "all", "--metadata", folder.to_str().expect("the path is text")];
    let paths = ["--out", out.path().to_str().expect("the path is text")];
    let with_codes = ["--codes", codes.to_str().expect("the path is text")];
    let outcome = run(&[&args[..], &paths, &with_codes].concat()).expect(0);
    assert!(outcome.stdout.starts_with("123 descriptors in "), "{}", outcome.stdout);

    let committed = workspace().join("datasets");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(out.path()).expect("the folder was written") {
        let name = entry.expect("the entry is readable").file_name();
        let file = if name == "codes.csv" { committed.join("lookups/codes.csv") } else { committed.join(&name) };
        let text = |path| fs::read_to_string(path).expect("the file is readable");
        assert_eq!(text(out.path().join(&name)), text(file), "{}", name.display());
        names.insert(name);
    }
    assert_eq!(names.len(), 124);

    // With the lists that are built in, no descriptor has lists of its own.
    let outcome = run(&[&args[..], &["--out", committed.to_str().expect("the path is text")]].concat()).expect(0);
    assert!(outcome.stdout.ends_with(", 0 written, 123 unchanged\n"), "{}", outcome.stdout);
}

#[test]
fn keys_are_those_found_in_recorded_rows_and_by_others() {
    let Some(folder) = recorded() else { return };
    let metadata = read(&folder);
    let found = fs::read_to_string(folder.join("endpoint_keys.csv")).expect("the keys are recorded");
    let found: BTreeMap<u32, Vec<String>> = found
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let key = fields[fields.len() - 1].split('+').map(str::to_owned).collect();
            (fields[0].parse().expect("the first field is an id"), key)
        })
        .collect();
    assert_eq!(found.len(), 123);
    // The sfa_cohort_type of endpoint 97 is in the column `type_of_cohort`, as the list of keys says too.
    let mut different = Vec::new();
    for endpoint in &metadata.endpoints {
        let Generated { dataset, .. } = generate(&metadata, endpoint, &built_in_lists()).expect("the rules cover it");
        let key: Vec<&str> = dataset.key.iter().map(String::as_str).collect();
        if key != found[&endpoint.id] {
            different.push((endpoint.id, dataset.name));
        }
    }
    // Written by hand: race and sex are 99 in every row of the first.
    assert_eq!(different, [(25, "ccd_enrollment".to_owned())]);
}

#[test]
fn a_selection_is_a_name_a_pattern_or_a_section() {
    let Some(folder) = recorded() else { return };
    let folder = folder.to_str().expect("the path is text");
    let n_descriptors = |selection: &str| {
        let outcome = run(&["datasets", "generate", selection, "--metadata", folder]).expect(0);
        outcome.stdout.lines().filter(|line| line.starts_with("path = ")).count()
    };
    assert_eq!(n_descriptors("meps"), 1);
    assert_eq!(n_descriptors("ccd_*"), 11);
    assert_eq!(n_descriptors("schools"), 62);
    assert_eq!(n_descriptors("school-districts"), 12);
    assert_eq!(n_descriptors("college-university"), 49);
    let outcome = run(&["datasets", "generate", "nasa_*", "--metadata", folder]).expect(2);
    assert_eq!(
        outcome.stderr,
        "error: generate `nasa_*`: expected a dataset among the 123 endpoints of the metadata, found none\n"
    );
}

#[test]
fn a_generated_descriptor_is_a_descriptor_of_its_own() {
    let Some(folder) = recorded() else { return };
    let folder = folder.to_str().expect("the path is text");
    let outcome = run(&["datasets", "generate", "crdc_sat_act_participation_lep_sex", "--metadata", folder]).expect(0);
    let dataset = Dataset::parse("x.toml", &outcome.stdout).expect("the descriptor is valid");
    assert_eq!(dataset.path, "schools/crdc/sat-act-participation/{year}/lep/sex/");
    assert_eq!(dataset.key, ["crdc_id", "sex", "race", "disability", "lep"]);
    let column = dataset.columns.iter().find(|column| column.name == "students_sat_act").expect("it is a column");
    assert_eq!(column.field(), "students_SAT_ACT");
}
