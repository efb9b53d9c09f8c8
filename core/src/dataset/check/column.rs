//! The rules for a column.

use crate::dataset::{Column, ColumnKind, Dataset};
use crate::error::mistakes::Mistakes;
use crate::text::excerpt;

impl Dataset {
    /// Checks that a padded text begins with a number, or with a narrower text, whose own padding is checked before.
    pub(super) fn check_starts_with(&self, mistakes: &mut Mistakes, column: &Column) {
        let Some(width) = column.width.filter(|_| column.kind == ColumnKind::String) else {
            if !column.starts_with.is_empty() {
                mistakes.add(|| {
                    format!(
                        "`column.starts_with` of `{}`: expected only beside a `width`, found it without",
                        excerpt(&column.name)
                    )
                });
            }
            return;
        };
        for (other, n_more) in &column.starts_with {
            let found = match self.columns.iter().find(|column| column.name == *other) {
                None => Some("no column of this name".to_owned()),
                Some(_) if *n_more == 0 || *n_more >= width => Some(format!("{n_more} digits after it")),
                Some(other) if other.kind == ColumnKind::Double => Some("a column of type double".to_owned()),
                Some(other) if other.kind == ColumnKind::String => match other.width {
                    None => Some("text without a `width`".to_owned()),
                    Some(found) => (found >= width).then(|| format!("text of `width` {found}")),
                },
                Some(_) => None,
            };
            if let Some(found) = found {
                mistakes.add(|| {
                    format!(
                        "`column.starts_with` of `{}`: expected numbers and texts of less `width` than {width}, each with 1 to \
                         {} digits after it, found `{}`: {found}",
                        excerpt(&column.name),
                        width.saturating_sub(1),
                        excerpt(other)
                    )
                });
            }
        }
    }
}
