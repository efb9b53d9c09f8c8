//! What the project promises of itself, read from its own files: directions, versions, names, lists that must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_core::Error;
use rollcall_tests::{rollcall, state_machine, workspace};
use serde_json::Value;
use toml::Table;

const CRATES: [&str; 5] = ["core", "adapters", "cli", "simulator", "tests"];

fn read(path: impl AsRef<Path>) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn toml(path: impl AsRef<Path>) -> Table {
    read(path).parse().expect("the file is TOML")
}

/// Every file that is, or is about to be, part of the project.
fn project_files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .expect("git starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("paths of the project are UTF-8");
    // A file may be deleted and not yet committed so.
    let files = listed.split_terminator('\0').map(PathBuf::from).filter(|file| workspace().join(file).is_file());
    files.collect()
}

fn with_extension(extension: &str) -> Vec<PathBuf> {
    let files = project_files().into_iter().filter(|file| file.extension().is_some_and(|found| found == extension));
    let files: Vec<PathBuf> = files.collect();
    assert!(!files.is_empty(), "expected files that end in .{extension}");
    files
}

/// Names of the files of a folder that end in `.extension`, without it.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    with_extension(extension)
        .into_iter()
        .filter(|file| file.parent() == Some(Path::new(folder)))
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .collect()
}

/// Packages that a package is built with, itself among them, without what only its tests and build scripts use.
fn tree(package: &str) -> BTreeSet<String> {
    let packages = cargo_tree("{p}", &["--package", package, "--edges", "normal"]);
    packages.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// A line for each package of a selection, as often as it is depended on.
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

/// A Rust file down to its tests, which come last, without its comments.
fn product_code(file: &Path) -> String {
    let source = read(file);
    let product = source.split("\n#[cfg(test)]\nmod ").next().expect("a split has a first part");
    let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
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

/// Packages of a selection with their features, as cargo builds them.
fn features(selection: &[&str]) -> BTreeMap<String, String> {
    let lines = cargo_tree("{p}|{f}", selection);
    let of_line = |line: &str| {
        let (package, features) = line.trim_end_matches(" (*)").split_once('|')?;
        Some((package.to_owned(), features.to_owned()))
    };
    lines.lines().filter_map(of_line).collect()
}

#[test]
fn what_the_sql_engine_is_built_from_is_the_same_with_aws() {
    let engine = features(&["--package", "datafusion", "--edges", "normal,build"]);
    let alone = features(&["--package", "rollcall", "--edges", "normal,build"]);
    let with_aws = features(&["--workspace", "--features", "rollcall/aws", "--edges", "all"]);
    assert!(engine.len() > 100 && with_aws.len() > alone.len());
    for package in engine.keys().filter(|package| alone.contains_key(*package)) {
        assert_eq!(alone[package], with_aws[package], "features of {package}; see cli/Cargo.toml");
    }
}

#[test]
fn what_the_tests_are_built_from_has_nothing_of_the_benchmarks_and_the_lints_check_those_without_a_second_build() {
    let tested = features(&["--workspace", "--features", "rollcall/aws", "--edges", "all"]);
    let linted = features(&["--workspace", "--features", "rollcall/aws,rollcall-bench/micro", "--edges", "all"]);
    let has_criterion =
        |packages: &BTreeMap<_, _>| packages.keys().any(|package: &String| package.starts_with("criterion"));
    assert!(has_criterion(&linted) && !has_criterion(&tested));
    for (package, features) in tested.iter().filter(|(package, _)| !package.starts_with("rollcall")) {
        assert_eq!(&linted[package], features, "features of {package}; see Cargo.toml");
    }
}

#[test]
fn what_fuzzing_calls_is_in_nothing_that_is_shipped() {
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
fn every_fuzz_target_is_run_and_begins_with_a_corpus() {
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
fn everything_that_is_built_in_has_a_licence_that_allows_it() {
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
    // What an expression says of these words: which of them, all of them, and more than them.
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

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let root = toml("Cargo.toml");
    assert_eq!(root["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let members: Vec<&str> = root["workspace"]["members"]
        .as_array()
        .expect("the workspace has members")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    assert!(CRATES.iter().all(|name| members.contains(name)), "{members:?}");
    // The tests' package is never shipped, and its lints would be in the way of `expect`.
    for member in members.iter().filter(|member| **member != "tests") {
        let manifest = toml(Path::new(member).join("Cargo.toml"));
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{member}");
    }
    // Put together here, so that this file does not hold them itself.
    let traces = [["allow(", "unsafe_code"], ["unsafe", " {"], ["unsafe", " fn "], ["unsafe", " impl "]];
    for file in with_extension("rs") {
        let source = read(&file);
        let found: Vec<String> =
            traces.iter().map(|halves| halves.concat()).filter(|trace| source.contains(trace)).collect();
        assert_eq!(found, Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn one_file_writes_the_keys_of_objects() {
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

/// SQL without comments and without text in quotes.
fn bare_sql(sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    lines.join("\n").split('\'').step_by(2).collect()
}

/// Words directly followed by `(`.
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
fn the_queries_use_exactly_the_functions_listed_and_no_semicolon() {
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

/// Names in backquotes that open a row of a Markdown table.
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
    assert_eq!(names, BTreeSet::from(["grades", "races", "sexes", "states"].map(str::to_owned)));
    for name in names {
        let text = read(format!("datasets/lookups/{name}.csv"));
        let (head, rows): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
        assert!(head.iter().any(|line| line.starts_with("# Source: Education Data Portal")), "{name}");
        assert!(rows[0].starts_with("code,label"), "{name}");
        let codes: Vec<i32> = rows[1..]
            .iter()
            .map(|row| row.split(',').next().and_then(|code| code.parse().ok()).expect("a code is a number"))
            .collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{name}: {codes:?}");
    }
}

#[test]
fn the_names_of_errors_are_the_variants_of_the_enum_in_its_order() {
    let source = read("core/src/error.rs");
    let (_, body) = source.split_once("pub enum Error {\n").expect("the enum exists");
    let (body, _) = body.split_once("\n}\n").expect("the enum has an end");
    // Variants stand at the first level; their fields and their comments do not look like this.
    let variants: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .filter_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).next())
        .collect();
    assert_eq!(variants, Error::NAMES);
}

/// Whether `text` holds `path`, and not as the end of a longer one.
fn holds_path(text: &str, path: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "._-/}>)~".contains(c);
    text.match_indices(path).any(|(at, _)| !text[..at].ends_with(is_inside))
}

#[test]
fn no_file_names_the_machine_it_was_written_on_or_what_it_was_written_with() {
    let folder = workspace();
    let outside = folder.parent().expect("the project is in a folder").to_str().expect("its path is UTF-8");
    // In the root of the file system there is nothing that a path could give away.
    let outside = (outside != "/").then(|| format!("{outside}/"));
    // In halves, so that this file does not hold them.
    let tools = [["clau", "de"], ["chat", "gpt"], ["open", "ai"], ["copi", "lot"]].map(|halves| halves.concat());
    for file in project_files() {
        // Names of packages and their checksums are not ours.
        if file.ends_with("Cargo.lock") {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(folder.join(&file)).expect("a file can be read")).into_owned();
        if let Some(outside) = &outside {
            assert!(!holds_path(&text, outside), "{} names {outside}", file.display());
        }
        let text = text.to_lowercase();
        let found: Vec<&String> = tools.iter().filter(|tool| text.contains(tool.as_str())).collect();
        assert_eq!(found, Vec::<&String>::new(), "{}", file.display());
    }
}

/// Targets of the links of a Markdown text, those in code left out.
fn links(markdown: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        if is_code {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        links.extend(prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
        links.extend(prose.strip_prefix('[').and_then(|rest| Some(rest.split_once("]: ")?.1.trim().to_owned())));
    }
    links
}

#[test]
fn links_are_found_in_prose_and_not_in_code() {
    let markdown = "See [a](a.md#x) and [`b`](b/).\n`[c](c.md)`\n```\n[d](d.md)\n```\n[e]: e.md\n";
    assert_eq!(links(markdown), ["a.md#x", "b/", "e.md"]);
}

#[test]
fn every_link_from_a_document_to_a_file_leads_there() {
    let mut broken = Vec::new();
    for file in with_extension("md") {
        for link in links(&read(&file)) {
            let is_elsewhere = ["http://", "https://", "mailto:", "#"].iter().any(|start| link.starts_with(start));
            let target = link.split('#').next().unwrap_or_default();
            let folder = workspace().join(&file).parent().expect("a file is in a folder").to_owned();
            if !is_elsewhere && !folder.join(target).exists() {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_file_of_behaviour_tests_is_built() {
    // A file that the package does not list would look like tests and never run.
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
fn every_planted_bug_applies_to_the_code_as_it_is() {
    let patches = with_extension("patch");
    assert!(patches.len() > 4, "{patches:?}");
    for patch in patches {
        let check = Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(workspace()).output();
        let check = check.expect("git is installed");
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{}: make it anew\n{said}", patch.display());
    }
}

/// Every value under `key` in a JSON document, however deep.
fn values_of<'v>(key: &str, value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key));
            fields.values().for_each(|value| values_of(key, value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| values_of(key, value, found)),
        _ => {}
    }
}

#[test]
fn the_state_machine_hands_each_function_the_fields_of_its_example() {
    let fields = |value: &Value| -> BTreeSet<String> {
        let fields = value.as_object().expect("the value is an object").keys();
        fields.map(|name| name.trim_end_matches(".$").to_owned()).collect()
    };
    let example = |path: &str| -> Value { serde_json::from_str(&read(path)).expect("an example is JSON") };
    let states = &state_machine()["States"];
    let planner = &states["PlanPartitions"]["Parameters"]["Payload"];
    assert_eq!(fields(planner), fields(&example("functions/planner/event.json")));
    let item = &states["FetchPartitions"]["ItemSelector"];
    assert_eq!(fields(item), fields(&example("functions/page-fetch/event.json")));
    // The catalog function is given the planner's answer and what the states between add to it.
    let added = ["FetchPartitions", "ReadCrawler"].map(|state| match &states[state]["Catch"][0]["ResultPath"] {
        Value::String(path) => path.clone(),
        _ => states[state]["ResultPath"].as_str().expect("the state adds a field").to_owned(),
    });
    let mut expected = fields(&example("functions/planner/answer.json"));
    expected.extend(added.map(|path| path.trim_start_matches("$.").to_owned()));
    assert_eq!(fields(&example("functions/catalog/event.json")), expected);
}

#[test]
fn the_state_machine_retries_errors_that_there_are_and_says_so_in_its_readme() {
    let machine = state_machine();
    let mut lists = Vec::new();
    values_of("ErrorEquals", &machine, &mut lists);
    let retried: BTreeSet<&str> =
        lists.iter().filter_map(|list| list.as_array()).flatten().filter_map(Value::as_str).collect();
    // Names with a dot are the services'.
    let ours: BTreeSet<&str> = retried.into_iter().filter(|name| !name.contains('.')).collect();
    assert!(ours.iter().all(|name| Error::NAMES.contains(name)), "{ours:?}");
    let readme = read("statemachine/README.md");
    assert!(ours.iter().all(|name| readme.contains(&format!("`{name}`"))), "{ours:?}");
    let mut states = Vec::new();
    values_of("States", &machine, &mut states);
    for (name, state) in states.iter().filter_map(|states| states.as_object()).flatten() {
        assert!(state["Comment"].is_string(), "{name} has no comment");
        assert!(state["Type"] != "Task" || state["TimeoutSeconds"].is_u64(), "{name} has no timeout");
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in the table");
    }
}

#[test]
fn the_tables_of_the_template_are_those_that_the_descriptors_declare() {
    let template = read("infra/template.yaml");
    let (_, tables) =
        template.split_once("# --- tables: printed by rollcall datasets template").expect("the part has a start");
    let (_, tables) = tables.split_once('\n').expect("the line has an end");
    let (tables, _) = tables.split_once("  # --- end of tables ---").expect("the part has an end");
    let printed = rollcall(&["datasets", "template"]).output().expect("the binary starts");
    let all = String::from_utf8(printed.stdout).expect("stdout is UTF-8");
    // The first line that differs says more than both texts.
    assert_eq!(all.lines().zip(tables.lines()).find(|(printed, found)| printed != found), None);
    assert!(all == tables, "one text is a prefix of the other");
    // One alone is a part of all.
    let printed = rollcall(&["datasets", "template", "ccd_directory"]).output().expect("the binary starts");
    let one = String::from_utf8(printed.stdout).expect("stdout is UTF-8");
    assert!(one.starts_with("  CcdDirectoryTable:\n") && tables.contains(&one), "{one}");
}

#[test]
fn the_template_watches_metrics_that_the_functions_write() {
    use rollcall_aws::metrics;
    use rollcall_core::ledger::Outcome;
    let script = read("tests/infra/check_template.py");
    let (_, list) = script.split_once("\nMETRICS = ").expect("the checks name the metrics");
    let (list, _) = list.split_once(['}', ']', ')']).expect("the list has an end");
    let named: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let mut written: BTreeSet<&str> = Outcome::ALL.iter().map(|outcome| metrics::partitions(*outcome)).collect();
    written.extend([metrics::PAGES, metrics::ROWS]);
    assert_eq!(named, written);
}

/// Names of functions in test code: what nothing calls would not pass the lints, so each is a test or a part of one.
fn names_of_tests() -> BTreeSet<String> {
    let is_test_file = |file: &Path| file.components().any(|part| part.as_os_str() == "tests");
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

/// What stands in backticks and looks like a test's name.
fn tests_named_in(text: &str) -> BTreeSet<String> {
    let is_name = |word: &str| {
        word.matches('_').count() > 1 && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split('`').skip(1).step_by(2).filter(|word| is_name(word)).map(str::to_owned).collect()
}

/// What months of use found, by what it harmed: data and secrets (H), others beside the one bad thing (B), what is said (W).
/// Each was fixed for its whole kind. The doc line of a test names what it keeps from coming back.
const FOUND_BY_USE: [(char, u32); 3] = [('H', 12), ('B', 14), ('W', 12)];

#[test]
fn everything_that_was_found_by_use_has_a_test() {
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
fn every_promise_and_every_fault_has_a_test_that_is_there() {
    let text = read("SEMANTICS.md");
    let (promises, faults) = text.split_once("\n## Faults\n").expect("faults come last");
    let tests = names_of_tests();
    let mut wrong = Vec::new();
    // Sentences are numbered without a gap; each ends where the next one or a paragraph begins.
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
    let mut missing: BTreeSet<String> = [('A', 42), ('L', 10), ('O', 10), ('G', 9), ('W', 16), ('D', 14), ('F', 10)]
        .iter()
        .flat_map(|(letter, n)| (1..=*n).map(move |number| format!("{letter}{number}")))
        .collect();
    assert_eq!(missing.len(), 111);
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
