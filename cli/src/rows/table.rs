//! Rows as a table: aligned columns below their names, numbers to the right, `NULL` for nulls.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use rollcall_core::file::RESCUED;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape::visible;
use crate::rows::layout::{Column, Dullness, Layout};
use crate::rows::screen::Screen;

/// How a null is shown.
const NULL: &str = "NULL";
/// Rows after which a table is written, so that memory does not grow with their number.
const BLOCK: usize = 10_000;

/// Writes rows as a table.
///
/// Without a screen, all rows and columns are written, in blocks: a value wider than those of all blocks before it widens
/// its column from there on. On a screen, the first rows are written and all are counted.
pub(crate) struct TableWriter<W> {
    to: W,
    screen: Option<Screen>,
    columns: Vec<Column>,
    names: Vec<String>,
    layout: Option<Layout>,
    /// Rows that are not written yet.
    rows: Vec<Vec<String>>,
    n_shown: usize,
    n_rows: u64,
}

impl<W: Write> TableWriter<W> {
    /// Starts a table.
    pub(crate) fn new(schema: &Schema, screen: Option<Screen>, to: W) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| visible(field.name()).into_owned()).collect();
        let columns = schema.fields().iter().zip(&names).map(|(field, name)| Column {
            width: name.width(),
            is_text: !field.data_type().is_numeric(),
            dullness: Dullness::None,
        });
        let columns = columns.collect();
        Self { to, screen, columns, names, layout: None, rows: Vec::new(), n_shown: 0, n_rows: 0 }
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.n_rows += batch.num_rows() as u64;
        let max_rows = self.screen.map_or(usize::MAX, |screen| screen.n_rows(1));
        let n_more = batch.num_rows().min(max_rows - self.n_shown);
        self.n_shown += n_more;
        let options = FormatOptions::default().with_null(NULL);
        let values = batch.columns().iter().map(|values| ArrayFormatter::try_new(values, &options));
        let values = values.collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..n_more {
            let cells = values.iter().zip(&mut self.columns).map(|(values, column)| {
                let cell = values.value(row).try_to_string()?;
                let cell = visible(&cell).into_owned();
                column.width = column.width.max(cell.width());
                Ok(cell)
            });
            self.rows.push(cells.collect::<Result<_, ArrowError>>()?);
            if self.rows.len() == BLOCK {
                self.write_block()?;
            }
        }
        // A screen shows its rows at once, and counts the others after that.
        if self.n_shown == max_rows { self.write_block() } else { Ok(()) }
    }

    /// Writes what remains and, on a screen, how much there is.
    pub(crate) fn finish(mut self) -> anyhow::Result<W> {
        self.write_block()?;
        if let Some(screen) = self.screen {
            let footer = screen.footer(self.n_shown, self.n_rows, self.columns.len(), &self.hidden());
            self.to.write_all(footer.as_bytes())?;
        }
        Ok(self.to)
    }

    fn write_block(&mut self) -> anyhow::Result<()> {
        if self.rows.is_empty() && self.layout.is_some() {
            return Ok(());
        }
        let mut text = String::new();
        let is_first = self.layout.is_none();
        if is_first {
            self.find_dull();
        }
        let layout = self.layout.take().unwrap_or_else(|| match self.screen {
            Some(screen) => Layout::fit(&self.columns, screen.width),
            None => Layout::whole(self.columns.len()),
        });
        if is_first {
            push_line(&mut text, &layout, &self.columns, &self.names);
        }
        for row in self.rows.drain(..) {
            push_line(&mut text, &layout, &self.columns, &row);
        }
        self.to.write_all(text.as_bytes())?;
        self.layout = Some(layout);
        Ok(())
    }

    /// Finds the columns that have the same value in all rows of a screen.
    fn find_dull(&mut self) {
        let Some((first, others @ [_, ..])) = self.rows.split_first() else { return };
        for (i, (column, cell)) in self.columns.iter_mut().zip(first).enumerate() {
            let is_same = others.iter().all(|row| row.get(i) == Some(cell));
            let is_rescued = self.names.get(i).is_some_and(|name| name == RESCUED);
            column.dullness = match is_same {
                false => Dullness::None,
                // Nulls in another column may be what was asked for.
                true if is_rescued && cell == NULL => Dullness::Empty,
                true => Dullness::Same,
            };
        }
    }

    /// Returns the names of the columns that do not fit.
    fn hidden(&self) -> Vec<&str> {
        let hidden = self.layout.iter().flat_map(Layout::hidden);
        hidden.filter_map(|index| self.names.get(index).map(String::as_str)).collect()
    }
}

/// Appends a line: the cells of the shown columns, truncated and padded.
fn push_line(text: &mut String, layout: &Layout, columns: &[Column], cells: &[String]) {
    let mut n_blank = 0;
    for shown in layout.shown() {
        text.extend(std::iter::repeat_n(' ', n_blank));
        let Some((i, column)) = shown.and_then(|i| Some((i, columns.get(i)?))) else {
            text.push('…');
            n_blank = 2;
            continue;
        };
        let cell = cells.get(i).map(String::as_str).unwrap_or_default();
        if column.is_text {
            let width = column.width.min(layout.max_text);
            let before = text.len();
            push_truncated(text, cell, width);
            n_blank = width.saturating_sub(text.get(before..).unwrap_or_default().width()) + 2;
        } else {
            text.extend(std::iter::repeat_n(' ', column.width.saturating_sub(cell.width())));
            text.push_str(cell);
            n_blank = 2;
        }
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// Appends text of at most `width` terminal cells, with `…` in place of what does not fit.
fn push_truncated(text: &mut String, cell: &str, width: usize) {
    if cell.width() <= width {
        return text.push_str(cell);
    }
    let mut left = width.saturating_sub(1);
    for c in cell.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or_default()) else { break };
        left = rest;
        text.push(c);
    }
    text.push('…');
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    /// Returns the rows of a query that reads no tables.
    async fn table_of(sql: &str, screen: Option<Screen>) -> String {
        let batches = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
        let mut table = TableWriter::new(&batches[0].schema(), screen, Vec::new());
        for batch in &batches {
            table.write(batch).unwrap();
        }
        String::from_utf8(table.finish().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn nulls_differ_from_empty_text_and_numbers_are_aligned() {
        let sql = "select * from (values (1, 'a'), (23, ''), (null, null), (4, '学校 e\u{301}')) t(n, name)";
        assert_eq!(table_of(sql, None).await, "   n  name\n   1  a\n  23\nNULL  NULL\n   4  学校 e\u{301}\n");
    }

    #[tokio::test]
    async fn a_screen_shows_what_fits_and_counts_the_rest() {
        let sql = "select 'a long name' as name, 12345 as b, 67890 as c, i as last from generate_series(1, 30000) t(i)";
        let screen = |width, max_rows| Some(Screen { width, n_lines: 24, max_rows, is_in_shell: false });
        assert_eq!(
            table_of(sql, screen(30, Some(2))).await,
            "name         …      c  last\na long name  …  67890     1\na long name  …  67890     2\n\
             (first 2 of 30,000 rows, 3 of 4 columns)\nhidden: b\nall: --format vertical or csv\n"
        );
        let text = "select 'a text that does not fit' as a, '学校学校学校学校学校' as b, 1 as n";
        assert_eq!(
            table_of(text, screen(31, None)).await,
            "a              b              n\na text that …  学校学校学校…  1\n(1 row)\n"
        );
        // Elsewhere nothing is left out, in whatever block it comes.
        let whole = table_of(sql, None).await;
        assert_eq!(whole.lines().count(), 30_001);
        assert!(whole.ends_with("\na long name  12345  67890  30000\n"));
    }
}
