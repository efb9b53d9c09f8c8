//! Checks that the documents agree with the program: the picture and output of a run, the errors, the version.

use std::fs;
use std::process::Command;

use rollcall_core::Error;
use rollcall_tests::{Outcome, binary, rollcall, workspace};

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Stdout of the script that runs the README's first command.
fn picture(args: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.arg("docs/picture.py").arg(binary()).args(args).current_dir(workspace());
    Outcome::from_output(command.output().expect("python3 starts")).expect(0).stdout
}

/// Returns the names in backticks that start the rows of a Markdown table.
fn first_cells(markdown: &str) -> Vec<&str> {
    markdown.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect()
}

#[test]
fn the_picture_of_a_run_is_what_the_binary_prints() {
    assert!(picture(&[]) == read("docs/run.svg"), "docs/run.svg is out of date: run `make picture`");
}

#[test]
fn the_readme_shows_what_its_first_command_prints() {
    let readme = read("README.md");
    let (_, block) = readme.split_once("```console\n$ cargo run --locked -- ").expect("the README runs the program");
    let (block, _) = block.split_once("```\n").expect("the block ends");
    let (arguments, output) = block.split_once('\n').expect("the command's output follows");
    assert!(read("docs/picture.py").contains(&format!("\nARGUMENTS = \"{arguments}\"\n")), "{arguments}");
    assert_eq!(output, picture(&["--text"]));
}

#[test]
fn the_readme_has_at_most_200_lines_and_runs_the_program_before_its_tests() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 200, "{} lines", readme.lines().count());
    let commands: Vec<&str> =
        readme.lines().filter(|line| line.starts_with("$ cargo run ") || line.starts_with("$ make check")).collect();
    let [first, second] = commands.as_slice() else { panic!("{commands:?}") };
    assert!(first.starts_with("$ cargo run --locked -- run --sample "), "{first}");
    assert_eq!(*second, "$ make check");
}

#[test]
fn every_error_has_a_row_in_its_document_and_no_row_is_without_an_error() {
    // No code returns `NoReceipt`: publishing assigns it to a partition without a receipt.
    let expected: Vec<&str> = Error::NAMES.iter().copied().chain(["NoReceipt"]).collect();
    assert_eq!(first_cells(&read("docs/errors.md")), expected);
}

#[test]
fn the_newest_release_in_the_changelog_is_the_version_of_the_program() {
    let changelog = read("CHANGELOG.md");
    let headings: Vec<&str> = changelog.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings.first(), Some(&"Unreleased"));
    let (version, date) = headings.get(1).and_then(|heading| heading.split_once(" - ")).expect("there is a release");
    assert!(date.parse::<jiff::civil::Date>().is_ok(), "{date}");
    let printed = Outcome::from_output(rollcall(&["--version"]).output().expect("the binary starts")).expect(0).stdout;
    assert_eq!(printed, format!("rollcall {version}\n"));
}
