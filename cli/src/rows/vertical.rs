//! Rows one below the other, with a line for each value, for tables that are wider than a terminal.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthStr;

use crate::escape::visible;
use crate::rows::screen::Screen;

/// Writes rows as they come. On a screen, the first rows are written and all are counted.
pub(crate) struct VerticalWriter<W> {
    to: W,
    screen: Option<Screen>,
    /// Names of the columns, padded to the same width.
    names: Vec<String>,
    n_shown: usize,
    n_rows: u64,
}

impl<W: Write> VerticalWriter<W> {
    pub(crate) fn new(schema: &Schema, screen: Option<Screen>, to: W) -> Self {
        let mut names: Vec<String> = schema.fields().iter().map(|field| visible(field.name()).into_owned()).collect();
        let width = names.iter().map(|name| name.width()).max().unwrap_or_default();
        for name in &mut names {
            name.push_str(&" ".repeat(width - name.width()));
        }
        Self { to, screen, names, n_shown: 0, n_rows: 0 }
    }

    /// Writes rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let max_rows = self.screen.map_or(usize::MAX, |screen| screen.n_rows(self.names.len() + 1));
        let n_more = batch.num_rows().min(max_rows.saturating_sub(self.n_shown));
        let options = FormatOptions::default().with_null("NULL");
        let values = batch.columns().iter().map(|values| ArrayFormatter::try_new(values, &options));
        let values = values.collect::<Result<Vec<_>, ArrowError>>()?;
        let mut text = String::new();
        for row in 0..n_more {
            text.push_str(&format!("row {}\n", self.n_shown + row + 1));
            for (name, values) in self.names.iter().zip(&values) {
                let value = values.value(row).try_to_string()?;
                text.push_str(format!("  {name}  {}", visible(&value)).trim_end_matches(' '));
                text.push('\n');
            }
        }
        self.to.write_all(text.as_bytes())?;
        self.n_shown += n_more;
        self.n_rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Writes, on a screen, how many rows there are.
    pub(crate) fn finish(mut self) -> anyhow::Result<W> {
        if let Some(screen) = self.screen {
            let footer = screen.footer(self.n_shown, self.n_rows, self.names.len(), &[]);
            self.to.write_all(footer.as_bytes())?;
        }
        Ok(self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    async fn vertical_of(sql: &str, screen: Option<Screen>) -> String {
        let batches = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
        let mut rows = VerticalWriter::new(&batches[0].schema(), screen, Vec::new());
        for batch in &batches {
            rows.write(batch).unwrap();
        }
        String::from_utf8(rows.finish().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn each_value_has_a_line_with_its_name() {
        let sql = "select * from (values (1, 'a\nb', ''), (23, null, '学校')) t(n, \"学校 name\", v)";
        assert_eq!(
            vertical_of(sql, None).await,
            "row 1\n  n          1\n  学校 name  a\\nb\n  v\nrow 2\n  n          23\n  学校 name  NULL\n  \
             v          学校\n"
        );
    }

    #[tokio::test]
    async fn a_screen_shows_the_first_rows_and_counts_all() {
        let screen = Screen { width: 40, n_lines: 24, max_rows: None, is_in_shell: false };
        let shown = vertical_of("select i from generate_series(1, 30000) t(i)", Some(screen)).await;
        assert_eq!(shown.lines().count(), 22);
        assert!(
            shown.ends_with("row 10\n  i  10\n(first 10 of 30,000 rows)\nall: --max-rows 0, or --output FILE.csv\n"),
            "{shown}"
        );
    }
}
