//! The simulated portal lists what the descriptors say.

use std::fs;

use rollcall_tests::{Outcome, TestPortal, rollcall, workspace};

/// Returns a descriptor without its years: those of the sample's schools are newer than the recorded metadata.
fn without_years(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("years = ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn descriptors_generated_from_the_simulated_portal_are_those_that_are_committed() {
    let portal = TestPortal::small();
    let out = tempfile::tempdir().expect("a temporary folder can be created");
    let folder = out.path().to_str().expect("the path is text");
    let codes = out.path().join("codes.csv");
    let args = ["datasets", "generate", "all", "--portal", &portal.origin(), "--out", folder];
    let with_codes = ["--codes", codes.to_str().expect("the path is text")];
    let run = rollcall(&[&args[..], &with_codes].concat()).output().expect("the binary starts");
    let outcome = Outcome::from_output(run).expect(0);
    assert!(outcome.stdout.starts_with("123 descriptors in "), "{}", outcome.stdout);

    let committed = workspace().join("datasets");
    let text = |path| fs::read_to_string(path).expect("the file is readable");
    assert_eq!(text(codes.clone()), text(committed.join("lookups/codes.csv")));
    fs::remove_file(codes).expect("the file can be removed");
    let mut with_other_years = Vec::new();
    for entry in fs::read_dir(out.path()).expect("the folder was written") {
        let entry = entry.expect("the entry is readable");
        let (generated, committed) = (text(entry.path()), text(committed.join(entry.file_name())));
        assert_eq!(without_years(&generated), without_years(&committed), "{}", entry.path().display());
        if generated != committed {
            with_other_years.push(entry.file_name().into_string().expect("the name is text"));
        }
    }
    with_other_years.sort_unstable();
    let of_sample = ["directory", "enrollment", "enrollment_race", "enrollment_race_sex", "enrollment_sex"];
    assert_eq!(with_other_years, of_sample.map(|name| format!("ccd_{name}.toml")));
}
