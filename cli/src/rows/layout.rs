//! Fits the columns of a table to the width of a terminal.

/// Columns between which a terminal shows spaces.
const GAP: usize = 2;
/// Width of the column that stands for hidden ones: `…` and the gap.
const HIDDEN: usize = 1 + GAP;
/// Narrowest width to which text is truncated before columns are hidden.
const MIN_TEXT: usize = 12;

/// A column to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    /// Terminal cells of its widest value or its name.
    pub(super) width: usize,
    /// Whether it may be truncated. Numbers never are: a part of a number looks like another number.
    pub(super) is_text: bool,
}

/// The columns that fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Columns shown on the left, from the first.
    pub(super) n_left: usize,
    /// Columns shown on the right, to the last.
    pub(super) n_right: usize,
    /// Width at which text is truncated.
    pub(super) max_text: usize,
}

impl Layout {
    /// Shows every column in full.
    pub(super) fn whole(n_columns: usize) -> Self {
        Self { n_left: n_columns, n_right: 0, max_text: usize::MAX }
    }

    /// Truncates text, and if that is not enough hides columns in the middle, until a line has at most `width` cells.
    pub(super) fn fit(columns: &[Column], width: usize) -> Self {
        let fits = |layout: &Self, max_text| layout.width(columns, max_text) <= width;
        let n_columns = columns.len();
        let mut layouts = std::iter::once(Self::whole(n_columns)).chain((1..n_columns).rev().map(Self::ends));
        let layout = layouts.find(|layout| fits(layout, MIN_TEXT));
        let mut layout = layout.unwrap_or_else(|| Self::ends(n_columns.min(1)));
        let widest = columns.iter().map(|column| column.width).max().unwrap_or_default();
        let max_text = (MIN_TEXT..=widest).rev().find(|max_text| fits(&layout, *max_text));
        // If not even the narrowest column fits, the terminal wraps it.
        layout.max_text = max_text.unwrap_or(MIN_TEXT);
        layout
    }

    /// Shows the first and last columns.
    fn ends(n_shown: usize) -> Self {
        Self { n_left: n_shown.div_ceil(2), n_right: n_shown / 2, max_text: usize::MAX }
    }

    /// Returns the shown columns, as 0-based positions; `None` stands for the hidden ones.
    pub(super) fn shown(&self, n_columns: usize) -> impl Iterator<Item = Option<usize>> {
        let hides = self.n_left + self.n_right < n_columns;
        let right = n_columns - self.n_right..n_columns;
        (0..self.n_left).map(Some).chain(hides.then_some(None)).chain(right.map(Some))
    }

    fn width(&self, columns: &[Column], max_text: usize) -> usize {
        let widths = self.shown(columns.len()).map(|shown| match shown.and_then(|i| columns.get(i)) {
            Some(column) if column.is_text => column.width.min(max_text) + GAP,
            Some(column) => column.width + GAP,
            None => HIDDEN,
        });
        widths.sum::<usize>().saturating_sub(GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn text(width: usize) -> Column {
        Column { width, is_text: true }
    }

    const fn number(width: usize) -> Column {
        Column { width, is_text: false }
    }

    #[test]
    fn text_is_truncated_before_columns_are_hidden() {
        let columns = [number(4), text(60), number(10), text(20)];
        let layout = |width| Layout::fit(&columns, width);
        assert_eq!(layout(100), Layout { n_left: 4, n_right: 0, max_text: 60 });
        assert_eq!(layout(99), Layout { n_left: 4, n_right: 0, max_text: 59 });
        assert_eq!(layout(60), Layout { n_left: 4, n_right: 0, max_text: 20 });
        assert_eq!(layout(44), Layout { n_left: 4, n_right: 0, max_text: 12 });
        let hiding = layout(43);
        assert_eq!(hiding, Layout { n_left: 2, n_right: 1, max_text: 16 });
        assert_eq!(hiding.shown(4).collect::<Vec<_>>(), [Some(0), Some(1), None, Some(3)]);
    }

    #[test]
    fn every_line_fits_and_as_little_as_necessary_is_hidden() {
        let columns: Vec<Column> = (0..59).map(|i| if i % 3 == 0 { text(i) } else { number(8) }).collect();
        let mut n_before = 0;
        for width in 12..998 {
            let layout = Layout::fit(&columns, width);
            assert!(layout.width(&columns, layout.max_text) <= width, "{width}: {layout:?}");
            let n_shown = layout.n_left + layout.n_right;
            assert!(n_shown >= n_before.max(1), "{width}: {layout:?}");
            n_before = n_shown;
        }
        assert_eq!(Layout::fit(&columns, 998), Layout { n_left: 59, n_right: 0, max_text: 57 });
        assert_eq!(Layout::fit(&[], 80).shown(0).count(), 0);
        assert_eq!(Layout::fit(&[text(50)], 5), Layout { n_left: 1, n_right: 0, max_text: 12 });
    }
}
