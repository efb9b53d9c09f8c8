//! `rollcall datasets keys`: what each key of a descriptor means, from the documentation, and the names of the lists of codes.

use rollcall_core::generate::built_in_lists;

use crate::output;
use crate::words::wrapped;

/// The documentation of descriptors. A section has paragraphs, and a table with a row for each key: name, value, meaning.
const DOCUMENTATION: &str = include_str!("../../../docs/descriptor.md");

/// Cells that the name of a key takes.
const KEY_CELLS: usize = 15;

/// Prints the keys by section.
pub(super) fn print_keys() -> anyhow::Result<()> {
    output::print_long(&reference(output::text_width()))?;
    Ok(())
}

/// Returns the reference in lines of at most `width` cells.
fn reference(width: usize) -> String {
    let sections = DOCUMENTATION.split("\n## ").skip(1);
    let mut text: String = sections.map(|section| section_in_plain_text(section, width) + "\n").collect();
    let names: Vec<String> = built_in_lists().into_keys().collect();
    text.push_str(&format!("The portal's lists of codes\n\n{}", wrapped(&names.join(", "), 0, width)));
    text
}

/// Returns a section without Markdown's tables and links: a key and what it accepts, with its meaning below, or a paragraph.
fn section_in_plain_text(section: &str, width: usize) -> String {
    let (title, body) = section.split_once('\n').unwrap_or((section, ""));
    let mut text = title.replace('`', "") + "\n";
    for block in body.trim().split("\n\n") {
        text.push('\n');
        let rows: Vec<&str> = block.lines().filter(|line| line.starts_with("| `")).collect();
        if rows.is_empty() {
            text.push_str(&wrapped(&without_links(block), 0, width));
        }
        for row in rows {
            let mut cells = row.trim_matches(['|', ' ']).splitn(3, " | ").map(without_links);
            let mut cell = || cells.next().unwrap_or_default();
            let (key, value, meaning) = (cell().replace('`', ""), cell().replace('`', ""), cell());
            text.push_str(&format!("{key:KEY_CELLS$}{}", wrapped(&value, KEY_CELLS, width).trim_start()));
            text.push_str(&wrapped(&meaning, 4, width));
        }
    }
    text
}

/// Returns Markdown with only the text of each link.
fn without_links(markdown: &str) -> String {
    let mut text = markdown.to_owned();
    while let Some((before, rest)) = text.split_once("](")
        && let (Some((before, link)), Some((_, after))) = (before.rsplit_once('['), rest.split_once(')'))
    {
        text = format!("{before}{link}{after}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_every_section_and_list_without_tables_and_links_in_lines_that_fit() {
        for width in [60, 80, 100] {
            let text = reference(width);
            for expected in [
                "The dataset\n\nname           text, required\n    name that requests use",
                "`_history`",
                "[[axis]]\n\n",
                "[[column]]\n\n",
                "[lists.NAME]\n\n",
                "`ROLLCALL_SECRET_<NAME>`",
                "The portal's lists of codes\n\nacademic_rank, ",
                "fips, ",
            ] {
                assert!(text.contains(expected), "{expected}\n{text}");
            }
            assert!(!text.contains("](") && !text.contains('|') && !text.contains("codes.csv"), "{text}");
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest.is_some_and(|longest| longest <= width && longest > width - 5), "{longest:?}");
        }
    }
}
