//! Every file can be read without the files that use it: no import cycles, and no long files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::imports::{Crate, cycles};
use crate::{product_lines, workspace_members};

const MAX_LINES: usize = 450;
const MAX_MEDIAN_LINES: usize = 120;

/// Returns the crates that are shipped, by the paths of their root files.
fn crates() -> BTreeMap<PathBuf, Crate> {
    let roots = workspace_members().into_iter().filter(|member| member != "tests" && !member.starts_with("bench/"));
    let roots =
        roots.flat_map(|member| ["lib.rs", "main.rs"].map(|file| PathBuf::from(&member).join("src").join(file)));
    let roots = roots.filter(|root| rollcall_tests::workspace().join(root).is_file());
    roots.map(|root| (root.clone(), Crate::read(root))).collect()
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_cycle() {
    let crates = crates();
    assert!(crates.len() > 7, "{:?}", crates.keys());
    let found: Vec<String> = crates.values().flat_map(|found| cycles(&found.imports())).collect();
    assert!(found.is_empty(), "{} import cycles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn files_are_short() {
    let files = crates().into_values().flat_map(|found| found.files().into_iter().collect::<Vec<_>>());
    let mut lines: Vec<(usize, PathBuf)> = files.map(|file| (product_lines(&file), file)).collect();
    lines.sort_unstable();
    let long: Vec<_> = lines.iter().filter(|(n_lines, _)| *n_lines > MAX_LINES).collect();
    assert!(long.is_empty(), "expected at most {MAX_LINES} lines before the tests, found {long:?}");
    let median = lines[lines.len() / 2].0;
    assert!(median <= MAX_MEDIAN_LINES, "expected a median of at most {MAX_MEDIAN_LINES} lines, found {median}");
}
