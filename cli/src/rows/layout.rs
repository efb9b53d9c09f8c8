//! Fits the columns of a table to the width of a terminal.

use std::cmp::Reverse;

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
    /// How little its values tell. Columns that tell little are hidden first.
    pub(super) dullness: Dullness,
}

/// How little the values of a column tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dullness {
    /// They differ.
    None,
    /// They are all the same.
    Same,
    /// They are all null, in a column that is there for exceptions.
    Empty,
}

/// The columns that fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Whether each column is shown.
    is_shown: Vec<bool>,
    /// Width at which text is truncated.
    pub(super) max_text: usize,
}

impl Layout {
    /// Shows every column in full.
    pub(super) fn whole(n_columns: usize) -> Self {
        Self { is_shown: vec![true; n_columns], max_text: usize::MAX }
    }

    /// Truncates text, and if that is not enough hides columns until a line has at most `width` cells: first those whose
    /// values are the same in all rows, then others. Of either, those nearest the middle go first.
    pub(super) fn fit(columns: &[Column], width: usize) -> Self {
        let mut layout = Self::whole(columns.len());
        let mut hideable: Vec<usize> = (0..columns.len()).collect();
        let middle = |index: usize| (2 * index + 1).abs_diff(columns.len());
        let dullness = |index: usize| columns.get(index).map_or(Dullness::None, |column| column.dullness);
        hideable.sort_by_key(|index| (Reverse(dullness(*index)), middle(*index), *index));
        // The last one stays, whatever its width.
        hideable.pop();
        for index in hideable {
            if layout.width(columns, MIN_TEXT) <= width {
                break;
            }
            if let Some(is_shown) = layout.is_shown.get_mut(index) {
                *is_shown = false;
            }
        }
        let widest = columns.iter().map(|column| column.width).max().unwrap_or_default();
        let max_text = (MIN_TEXT..=widest).rev().find(|max_text| layout.width(columns, *max_text) <= width);
        // If not even the narrowest column fits, the terminal wraps it.
        layout.max_text = max_text.unwrap_or(MIN_TEXT);
        layout
    }

    /// Returns the shown columns, as 0-based positions; `None` stands for hidden ones between them.
    pub(super) fn shown(&self) -> impl Iterator<Item = Option<usize>> {
        let is_hidden = |index: usize| self.is_shown.get(index) == Some(&false);
        (0..self.is_shown.len()).filter_map(move |index| match is_hidden(index) {
            false => Some(Some(index)),
            true => (index == 0 || !is_hidden(index - 1)).then_some(None),
        })
    }

    /// Returns the hidden columns, as 0-based positions.
    pub(super) fn hidden(&self) -> impl Iterator<Item = usize> {
        self.is_shown.iter().enumerate().filter(|(_, is_shown)| !**is_shown).map(|(index, _)| index)
    }

    fn width(&self, columns: &[Column], max_text: usize) -> usize {
        let widths = self.shown().map(|shown| match shown.and_then(|i| columns.get(i)) {
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
        Column { width, is_text: true, dullness: Dullness::None }
    }

    const fn number(width: usize) -> Column {
        Column { width, is_text: false, dullness: Dullness::None }
    }

    fn shown(layout: &Layout) -> Vec<Option<usize>> {
        layout.shown().collect()
    }

    #[test]
    fn text_is_truncated_before_columns_are_hidden() {
        let columns = [number(4), text(60), number(10), text(20)];
        let layout = |width| Layout::fit(&columns, width);
        for (width, max_text) in [(100, 60), (99, 59), (60, 20), (44, 12)] {
            assert_eq!(layout(width), Layout { max_text, ..Layout::whole(4) }, "{width}");
        }
        let hiding = layout(43);
        assert_eq!((shown(&hiding), hiding.max_text), (vec![Some(0), None, Some(2), Some(3)], 60));
        assert_eq!(hiding.hidden().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn columns_that_tell_little_are_hidden_first() {
        let dull = |dullness| Column { dullness, ..number(10) };
        let (same, empty) = (dull(Dullness::Same), dull(Dullness::Empty));
        let columns = [number(10), same, number(10), same, empty];
        for (width, expected) in [
            (58, vec![Some(0), Some(1), Some(2), Some(3), Some(4)]),
            (57, vec![Some(0), Some(1), Some(2), Some(3), None]),
            (48, vec![Some(0), None, Some(2), Some(3), None]),
            (30, vec![Some(0), None, Some(2), None]),
            (20, vec![Some(0), None]),
        ] {
            assert_eq!(shown(&Layout::fit(&columns, width)), expected, "{width}");
        }
    }

    #[test]
    fn every_line_fits_and_as_little_as_necessary_is_hidden() {
        let columns: Vec<Column> = (0..59).map(|i| if i % 3 == 0 { text(i) } else { number(8) }).collect();
        let mut n_before = 0;
        for width in 12..998 {
            let layout = Layout::fit(&columns, width);
            assert!(layout.width(&columns, layout.max_text) <= width, "{width}: {layout:?}");
            let n_shown = layout.shown().flatten().count();
            assert!(n_shown >= n_before.max(1), "{width}: {layout:?}");
            n_before = n_shown;
        }
        assert_eq!(Layout::fit(&columns, 998), Layout { max_text: 57, ..Layout::whole(59) });
        assert_eq!(Layout::fit(&[], 80).shown().count(), 0);
        assert_eq!(Layout::fit(&[text(50)], 5), Layout { max_text: 12, ..Layout::whole(1) });
    }
}
