//! Documents: their links, and what no file may mention.

use std::fs;
use std::process::Command;

use rollcall_tests::{python, workspace};

use crate::{project_files, read, with_extension};

/// Checks whether `text` contains `path`, other than as the end of a longer one.
fn holds_path(text: &str, path: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "._-/}>)~".contains(c);
    text.match_indices(path).any(|(at, _)| !text[..at].ends_with(is_inside))
}

#[test]
fn no_file_mentions_the_machine_or_the_tools_it_was_written_with() {
    let folder = workspace();
    let outside = folder.parent().expect("the project is in a folder").to_str().expect("its path is UTF-8");
    // If the project is at the root of the file system, there is no such path.
    let outside = (outside != "/").then(|| format!("{outside}/"));
    // In halves, so that this file does not contain them.
    let tools = [["clau", "de"], ["chat", "gpt"], ["open", "ai"], ["copi", "lot"]].map(|halves| halves.concat());
    for file in project_files() {
        // Package names and checksums are not under our control.
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

/// Returns the link targets of a Markdown text, without those in code.
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
fn every_link_from_a_document_to_a_file_is_valid() {
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
fn the_tables_of_the_whole_portal_are_those_that_the_script_prints() {
    let script = workspace().join("docs/scale.py");
    let run = Command::new(python()).arg(script).arg("--check").output().expect("python starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
