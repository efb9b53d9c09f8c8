//! Package dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use rollcall_tests::workspace;

use crate::toml;

/// Returns the packages that a package is built from, including itself, without dependencies of tests and build
/// scripts.
fn tree(package: &str) -> BTreeSet<String> {
    let packages = cargo_tree("{p}", &["--package", package, "--edges", "normal"]);
    packages.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Returns a line for each package of a selection, repeated for each dependent.
fn cargo_tree(format: &str, selection: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--format", format])
        .args(selection)
        .current_dir(workspace())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names of packages are UTF-8")
}

#[test]
fn core_is_built_without_http_tls_aws_or_a_runtime() {
    let packages = tree("rollcall-core");
    assert!(packages.contains("rollcall-core") && packages.contains("parquet"), "{packages:?}");
    let is_foreign = |name: &&String| {
        name.starts_with("aws-")
            || ["reqwest", "hyper", "rustls", "tokio", "datafusion", "lambda_runtime"].contains(&name.as_str())
    };
    assert_eq!(packages.iter().filter(is_foreign).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn dependencies_between_the_crates_point_one_way_and_the_simulator_uses_none_of_them() {
    for (package, expected) in [
        ("rollcall-core", ["rollcall-core"].as_slice()),
        ("rollcall-adapters", &["rollcall-adapters", "rollcall-core"]),
        ("rollcall-aws", &["rollcall-adapters", "rollcall-aws", "rollcall-core"]),
        ("rollcall-planner", &["rollcall-adapters", "rollcall-aws", "rollcall-core", "rollcall-planner"]),
        ("rollcall-page-fetch", &["rollcall-adapters", "rollcall-aws", "rollcall-core", "rollcall-page-fetch"]),
        ("rollcall-catalog", &["rollcall-adapters", "rollcall-aws", "rollcall-catalog", "rollcall-core"]),
        ("rollcall-simulator", &["rollcall-simulator"]),
        ("rollcall", &["rollcall", "rollcall-adapters", "rollcall-core", "rollcall-simulator"]),
    ] {
        let packages = tree(package);
        let ours: Vec<&str> = packages.iter().map(String::as_str).filter(|name| name.starts_with("rollcall")).collect();
        assert_eq!(ours, expected, "{package}");
    }
}

/// Returns the packages of a selection with their features, as Cargo builds them.
fn features(selection: &[&str]) -> BTreeMap<String, String> {
    let lines = cargo_tree("{p}|{f}", selection);
    let of_line = |line: &str| {
        let (package, features) = line.trim_end_matches(" (*)").split_once('|')?;
        Some((package.to_owned(), features.to_owned()))
    };
    lines.lines().filter_map(of_line).collect()
}

#[test]
fn the_sql_engine_is_built_with_the_same_features_with_and_without_aws() {
    let engine = features(&["--package", "datafusion", "--edges", "normal,build"]);
    let alone = features(&["--package", "rollcall", "--edges", "normal,build"]);
    let with_aws = features(&["--workspace", "--features", "rollcall/aws", "--edges", "all"]);
    assert!(engine.len() > 100 && with_aws.len() > alone.len());
    for package in engine.keys().filter(|package| alone.contains_key(*package)) {
        assert_eq!(alone[package], with_aws[package], "features of {package}; see cli/Cargo.toml");
    }
}

#[test]
fn tests_are_built_without_the_benchmarks_and_the_lints_need_no_second_build() {
    let tested = features(&["--workspace", "--features", "rollcall/aws", "--edges", "all"]);
    let benchmarks = "rollcall/aws,rollcall-bench/micro,rollcall-limit/program";
    let linted = features(&["--workspace", "--features", benchmarks, "--edges", "all"]);
    let has_criterion =
        |packages: &BTreeMap<_, _>| packages.keys().any(|package: &String| package.starts_with("criterion"));
    assert!(has_criterion(&linted) && !has_criterion(&tested));
    for (package, features) in tested.iter().filter(|(package, _)| !package.starts_with("rollcall")) {
        assert_eq!(&linted[package], features, "features of {package}; see Cargo.toml");
    }
}

#[test]
fn no_shipped_package_has_the_fuzzing_feature() {
    let with_aws = features(&["--workspace", "--features", "rollcall/aws", "--edges", "all"]);
    let mut n_found = 0;
    for name in ["rollcall-core", "rollcall-adapters"] {
        assert!(
            toml(format!("{}/Cargo.toml", &name["rollcall-".len()..]))["features"].get("fuzzing").is_some(),
            "{name}"
        );
        for (package, features) in with_aws.iter().filter(|(package, _)| package.starts_with(&format!("{name} v"))) {
            assert!(!features.contains("fuzzing"), "{package} is built with {features}");
            n_found += 1;
        }
    }
    assert_eq!(n_found, 2);
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    const ALLOWED: [&str; 11] = [
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "ISC",
        "MIT",
        "Unicode-3.0",
        "Unlicense",
        "Zlib",
    ];
    // Words of licence expressions that are not licences.
    const SYNTAX: [&str; 5] = ["OR", "AND", "WITH", "LLVM-exception", ""];
    let lines = cargo_tree("{p}|{l}", &["--workspace", "--features", "rollcall/aws", "--edges", "normal,build"]);
    let mut n_packages = 0;
    for line in lines.lines() {
        let Some((package, licence)) = line.trim_end_matches(" (*)").split_once('|') else { continue };
        assert!(!licence.is_empty(), "{package} names no licence");
        let words = licence.split([' ', '/', '(', ')']);
        let other: Vec<&str> = words.filter(|word| !ALLOWED.contains(word) && !SYNTAX.contains(word)).collect();
        assert_eq!(other, Vec::<&str>::new(), "{package}: {licence}");
        n_packages += 1;
    }
    assert!(n_packages > 200, "{n_packages}");
}

#[test]
fn there_is_one_arrow_one_parquet_and_one_datafusion() {
    let lock = toml("Cargo.lock");
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().expect("the lock lists packages") {
        let name = package["name"].as_str().expect("a package has a name");
        if name == "arrow" || name == "parquet" || name.starts_with("arrow-") || name.starts_with("datafusion") {
            versions.entry(name).or_default().push(package["version"].as_str().expect("a package has a version"));
        }
    }
    for name in ["arrow-array", "arrow-schema", "parquet", "datafusion"] {
        assert!(versions.contains_key(name), "{name}");
    }
    versions.retain(|_, found| found.len() > 1);
    assert_eq!(versions, BTreeMap::new());
}
