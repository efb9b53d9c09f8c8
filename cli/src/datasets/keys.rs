//! `rollcall datasets keys`: what each key of a descriptor means, from the documentation.

use crate::output;
use crate::table::{self, Table};

/// The documentation of descriptors. Each section has a table with a row for each key: name, value, meaning.
const DOCUMENTATION: &str = include_str!("../../../docs/descriptor.md");

/// Prints the keys by section.
pub(super) fn print_keys() -> anyhow::Result<()> {
    output::print_long(&sections().join("\n"))?;
    Ok(())
}

/// Returns each section that has keys: its title and their table.
fn sections() -> Vec<String> {
    let section = |section: &str| {
        let title = section.lines().next()?.replace('`', "");
        Some(format!("{title}\n\n{}", table::render(&keys(section)?)))
    };
    DOCUMENTATION.split("\n## ").skip(1).filter_map(section).collect()
}

/// Returns the table of a section; `None` if it has none.
fn keys(section: &str) -> Option<Table> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut table = table::table(&["key", "value", "meaning"]);
    let mut n_rows = 0;
    for row in rows {
        let cells: Vec<String> =
            row.trim_matches(['|', ' ']).splitn(3, " | ").map(|cell| cell.replace('`', "")).collect();
        table.add_row(cells);
        n_rows += 1;
    }
    (n_rows > 0).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_explained() {
        let sections = sections();
        let titles: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
        assert_eq!(titles[..3], ["The dataset", "[[axis]]", "[[column]]"]);
        let width = sections[2].lines().find(|line| line.starts_with("width ")).unwrap();
        assert!(width.contains("digits") && !width.contains('|'), "{width}");
    }
}
