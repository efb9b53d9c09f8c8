//! Text tables, with columns separated by spaces.

use std::io::{self, IsTerminal};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};
use unicode_width::UnicodeWidthStr;

use crate::escape::visible;

/// Least width of a last column that wraps.
const MIN_LAST: u16 = 28;

/// Rows below a header. Cells are [`visible`], so that each row is one line.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// Appends a row.
    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = impl ToString>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| visible(&cell.to_string()).into_owned()).collect();
        if let (Some(last), Some(cell)) = (self.0.column_mut(cells.len().saturating_sub(1)), cells.last())
            && last.constraint().is_some()
            && cell.width() > usize::from(MIN_LAST)
        {
            // Only a long text may wrap; a number beside others may not.
            last.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(MIN_LAST)));
        }
        self.0.add_row(cells);
    }
}

/// Returns an empty table.
///
/// On a terminal the last column wraps to fit if its texts are long, unless too little is left for it. Other columns never wrap, so that names
/// can be copied, and piped text never wraps, so that each row is one line.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = whole_table(header);
    if io::stdout().is_terminal() {
        table.0.set_content_arrangement(ContentArrangement::Dynamic);
        for column in table.0.column_iter_mut() {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// Returns an empty table that never wraps.
pub(crate) fn whole_table(header: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| visible(name).into_owned()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Table(table)
}

/// Right-aligns columns, given by 0-based position.
pub(crate) fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.0.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Returns a table as text without trailing spaces.
pub(crate) fn render(table: &Table) -> String {
    table.0.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_display_width() {
        let mut table = whole_table(&["name", "n"]);
        for name in ["abcd", "学校", "e\u{301}e\u{301}", "\u{1b}"] {
            table.add_row([name, "1"]);
        }
        align_right(&mut table, &[1]);
        // Each character of 学校 takes two terminal cells; a combining accent takes none.
        assert_eq!(render(&table), "name    n\nabcd    1\n学校    1\ne\u{301}e\u{301}      1\n\\u{1b}  1\n");
    }
}
