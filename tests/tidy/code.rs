//! Rules for the code and its tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_core::Error;
use rollcall_tests::workspace;

use crate::{product_code, project_files, read, stems, toml, with_extension, workspace_members};

const CRATES: [&str; 5] = ["core", "adapters", "cli", "simulator", "tests"];

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let root = toml("Cargo.toml");
    assert_eq!(root["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let members = workspace_members();
    assert!(CRATES.iter().all(|name| members.iter().any(|member| member == name)), "{members:?}");
    // The tests' package is never shipped, and the lints would reject its `expect`.
    for member in members.iter().filter(|member| *member != "tests") {
        let manifest = toml(Path::new(member).join("Cargo.toml"));
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{member}");
    }
    // In halves, so that this file does not contain them.
    let traces = [["allow(", "unsafe_code"], ["unsafe", " {"], ["unsafe", " fn "], ["unsafe", " impl "]];
    for file in with_extension("rs") {
        let source = read(&file);
        let found: Vec<String> =
            traces.iter().map(|halves| halves.concat()).filter(|trace| source.contains(trace)).collect();
        assert_eq!(found, Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn one_file_defines_the_keys_of_objects() {
    let mut writers = BTreeSet::new();
    for file in with_extension("rs") {
        if file.starts_with("tests") || file.starts_with("simulator") {
            continue;
        }
        let code = product_code(&file);
        if ["\"data/", "\"ledger/", "\"catalog/"].iter().any(|start| code.contains(start)) {
            writers.insert(file);
        }
    }
    assert_eq!(writers, BTreeSet::from([PathBuf::from("core/src/keys.rs")]));
}

#[test]
fn the_names_of_errors_are_the_variants_of_the_enum_in_its_order() {
    let source = read("core/src/error.rs");
    let (_, body) = source.split_once("pub enum Error {\n").expect("the enum exists");
    let (body, _) = body.split_once("\n}\n").expect("the enum has an end");
    // Variants are indented by one level and start with a capital; their fields and comments do not match this.
    let variants: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .filter_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).next())
        .collect();
    assert_eq!(variants, Error::NAMES);
}

#[test]
fn every_fuzz_target_is_run_and_has_a_corpus() {
    let manifest = toml("fuzz/Cargo.toml");
    let targets: BTreeSet<&str> = manifest["bin"]
        .as_array()
        .expect("the package lists its targets")
        .iter()
        .filter_map(|target| target["name"].as_str())
        .collect();
    let written = stems("fuzz/fuzz_targets", "rs");
    assert_eq!(targets, written.iter().map(String::as_str).collect());
    let makefile = read("Makefile");
    let line = makefile.lines().find_map(|line| line.strip_prefix("FUZZ_TARGETS := ")).expect("the list exists");
    assert_eq!(targets, line.split(' ').collect());
    for target in targets {
        let folder = Path::new("fuzz/corpus").join(target);
        let n_files = project_files().iter().filter(|file| file.starts_with(&folder)).count();
        assert!((5..=60).contains(&n_files), "{target}: {n_files} files");
    }
}

#[test]
fn every_file_of_behaviour_tests_is_built() {
    // Tests in a file that the package does not list would never run.
    let manifest = toml("tests/Cargo.toml");
    let built: BTreeSet<String> = manifest["test"]
        .as_array()
        .expect("the package lists its tests")
        .iter()
        .filter_map(|test| Some(test["path"].as_str()?.trim_end_matches(".rs").to_owned()))
        .collect();
    let mut written = stems("tests", "rs");
    written.remove("lib");
    for main in with_extension("rs").iter().filter(|file| file.starts_with("tests") && file.ends_with("main.rs")) {
        let folder = main.parent().and_then(Path::to_str).expect("the file is in a folder with a plain name");
        let text = read(main);
        let mut parts: BTreeSet<String> =
            text.lines().filter_map(|line| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())).collect();
        parts.insert("main".to_owned());
        assert_eq!(parts, stems(folder, "rs"), "{folder}");
        written.insert(format!("{}/main", folder.trim_start_matches("tests/")));
    }
    assert_eq!(built, written);
}

#[test]
fn every_planted_bug_applies_to_the_current_code() {
    let patches = with_extension("patch");
    assert!(patches.len() > 4, "{patches:?}");
    for patch in patches {
        let check = Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(workspace()).output();
        let check = check.expect("git is installed");
        let message = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{}: make the patch again\n{message}", patch.display());
    }
}
