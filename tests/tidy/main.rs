//! Rules for the project, checked in its own files: dependencies, imports, names, and lists that must agree.

mod code;
mod data;
mod dependencies;
mod documents;
mod imports;
mod infrastructure;
mod promises;
mod structure;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_tests::workspace;
use toml::Table;

pub fn read(path: impl AsRef<Path>) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn toml(path: impl AsRef<Path>) -> Table {
    read(path).parse().expect("the file is TOML")
}

/// Returns every file of the project, including files that are not committed yet.
pub fn project_files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .expect("git starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("paths of the project are UTF-8");
    // A deletion may not be committed yet.
    let files = listed.split_terminator('\0').map(PathBuf::from).filter(|file| workspace().join(file).is_file());
    files.collect()
}

pub fn with_extension(extension: &str) -> Vec<PathBuf> {
    let files = project_files().into_iter().filter(|file| file.extension().is_some_and(|found| found == extension));
    let files: Vec<PathBuf> = files.collect();
    assert!(!files.is_empty(), "expected files that end in .{extension}");
    files
}

/// Returns the names, without extension, of the files in a folder that end in `.extension`.
pub fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    with_extension(extension)
        .into_iter()
        .filter(|file| file.parent() == Some(Path::new(folder)))
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .collect()
}

/// Returns a Rust file up to its tests, which come last. Returns nothing for a file that contains only tests.
fn before_tests<'s>(file: &Path, source: &'s str) -> &'s str {
    if file.ends_with("tests.rs") {
        return "";
    }
    source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Returns the code of a Rust file without tests and comments.
pub fn product_code(file: &Path) -> String {
    let source = read(file);
    let lines = before_tests(file, &source).lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the number of lines of a Rust file before its tests.
pub fn product_lines(file: &Path) -> usize {
    before_tests(file, &read(file)).lines().count()
}

/// Returns the folders of the workspace's packages.
pub fn workspace_members() -> Vec<String> {
    let members = toml("Cargo.toml")["workspace"]["members"].as_array().expect("the workspace has members").clone();
    members.iter().filter_map(|member| Some(member.as_str()?.to_owned())).collect()
}
