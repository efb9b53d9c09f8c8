//! The terminal that rows are shown on: how many of them it shows, and how to see the others.

use unicode_width::UnicodeWidthStr;

use crate::words::{counted, thousands};

/// Rows that even the lowest terminal shows.
const MIN_ROWS: usize = 10;
/// Lines that the names of hidden columns take at most.
const NAME_LINES: usize = 2;
/// Lines beside the rows: the heading, two of the footer beside those names, a note below it, and the prompt.
const OTHER_LINES: usize = 5 + NAME_LINES;

/// How much of the rows a terminal shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Cells of a line.
    pub(crate) width: usize,
    pub(crate) n_lines: usize,
    /// Maximum number of rows, 0 for all; `None` for as many as fit.
    pub(crate) max_rows: Option<usize>,
    /// Whether the rows are shown in the shell, which has commands instead of flags.
    pub(crate) is_in_shell: bool,
}

impl Screen {
    /// Returns how many rows are shown.
    ///
    /// - `n_lines_each`: lines of a row.
    pub(super) fn n_rows(self, n_lines_each: usize) -> usize {
        match self.max_rows {
            Some(0) => usize::MAX,
            Some(n_rows) => n_rows,
            None => (self.n_lines.saturating_sub(OTHER_LINES) / n_lines_each.max(1)).max(MIN_ROWS),
        }
    }

    /// Returns the lines below the rows: how many there are, the columns that are hidden, and how to see all.
    pub(super) fn footer(self, n_shown: usize, n_rows: u64, n_columns: usize, hidden: &[&str]) -> String {
        let is_short = (n_shown as u64) < n_rows;
        let mut text = match is_short {
            false => counted(n_rows, "row"),
            true => format!("first {} of {}", thousands(n_shown as u64), counted(n_rows, "row")),
        };
        if !hidden.is_empty() {
            text.push_str(&format!(", {} of {n_columns} columns", n_columns - hidden.len()));
        }
        let mut lines = vec![format!("({text})")];
        lines.extend(self.named(hidden));
        if is_short || !hidden.is_empty() {
            lines.push(self.how_to_see_all(!hidden.is_empty()).to_owned());
        }
        lines.join("\n") + "\n"
    }

    /// Returns lines with as many names of hidden columns as fit.
    fn named(self, hidden: &[&str]) -> Vec<String> {
        let lines = |n_named: usize| {
            let (named, others) = hidden.split_at_checked(n_named)?;
            let mut parts: Vec<String> = named.iter().map(|name| format!("{name},")).collect();
            match others.len() {
                0 => parts.last_mut().map(String::pop).map(drop)?,
                n_others => parts.push(format!("and {n_others} more")),
            }
            self.wrapped("hidden:", &parts)
        };
        (1..=hidden.len()).rev().find_map(lines).unwrap_or_default()
    }

    /// Returns parts after a word, in a few lines; `None` if that is not enough.
    fn wrapped(self, word: &str, parts: &[String]) -> Option<Vec<String>> {
        let mut lines = vec![word.to_owned()];
        for part in parts {
            match lines.last_mut() {
                Some(line) if line.width() + 1 + part.width() <= self.width => line.push_str(&format!(" {part}")),
                _ => lines.push(format!("  {part}")),
            }
        }
        let fits = lines.len() <= NAME_LINES && lines.iter().all(|line| line.width() <= self.width);
        fits.then_some(lines)
    }

    fn how_to_see_all(self, hides_columns: bool) -> &'static str {
        let texts = match (self.is_in_shell, hides_columns) {
            (false, false) => ["all: --max-rows 0, or --output FILE.csv"; 2],
            (true, false) => ["all: .format csv"; 2],
            (false, true) => {
                ["all: --format vertical, --format csv, or select fewer columns", "all: --format vertical or csv"]
            }
            (true, true) => {
                ["all: .format vertical, .format csv, or select fewer columns", "all: .format vertical or csv"]
            }
        };
        let [long, short] = texts;
        if long.len() <= self.width { long } else { short }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(width: usize, n_lines: usize, max_rows: Option<usize>) -> Screen {
        Screen { width, n_lines, max_rows, is_in_shell: false }
    }

    #[test]
    fn as_many_rows_as_fit_are_shown_but_at_least_ten() {
        assert_eq!(screen(80, 24, None).n_rows(1), 17);
        assert_eq!(screen(80, 50, None).n_rows(1), 43);
        assert_eq!(screen(80, 50, None).n_rows(4), 10);
        assert_eq!(screen(80, 10, None).n_rows(1), 10);
        assert_eq!(screen(80, 24, Some(40)).n_rows(1), 40);
        assert_eq!(screen(80, 24, Some(0)).n_rows(1), usize::MAX);
    }

    #[test]
    fn as_many_hidden_columns_as_fit_are_named() {
        let hidden = ["first", "second", "学校", "last"];
        for (width, expected) in [
            (33, &["hidden: first, second, 学校, last"][..]),
            (32, &["hidden: first, second, 学校,", "  last"]),
            (20, &["hidden: first,", "  second, 学校, last"]),
            (19, &["hidden: first,", "  and 3 more"]),
            (13, &[]),
        ] {
            assert_eq!(screen(width, 24, None).named(&hidden), expected, "{width}");
        }
        assert!(screen(80, 24, None).named(&[]).is_empty());
    }

    #[test]
    fn a_footer_says_how_to_see_all() {
        let footer = |screen: Screen, n_rows, hidden: &[&str]| screen.footer(2, n_rows, 4, hidden);
        assert_eq!(footer(screen(80, 24, None), 2, &[]), "(2 rows)\n");
        assert_eq!(
            footer(screen(80, 24, None), 3_000, &[]),
            "(first 2 of 3,000 rows)\nall: --max-rows 0, or --output FILE.csv\n"
        );
        assert_eq!(
            footer(screen(80, 24, None), 2, &["b"]),
            "(2 rows, 3 of 4 columns)\nhidden: b\nall: --format vertical, --format csv, or select fewer columns\n"
        );
        let shell = Screen { is_in_shell: true, ..screen(40, 24, None) };
        assert_eq!(footer(shell, 2, &["b"]), "(2 rows, 3 of 4 columns)\nhidden: b\nall: .format vertical or csv\n");
        assert_eq!(footer(shell, 3, &[]), "(first 2 of 3 rows)\nall: .format csv\n");
    }
}
