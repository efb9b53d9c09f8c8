//! Validates the columns.

use crate::dataset::{Column, ColumnKind, Dataset};
use crate::error::mistakes::Mistakes;
use crate::text::excerpt;

impl Dataset {
    /// Checks that `starts_with` names only integers, and strings with a smaller `width`, which are padded first.
    pub(super) fn check_starts_with(&self, mistakes: &mut Mistakes, column: &Column) {
        let Some(width) = column.width.filter(|_| column.kind == ColumnKind::String) else {
            if !column.starts_with.is_empty() {
                mistakes.add(|| {
                    format!(
                        "`column.starts_with` of `{}`: expected a column of type string with a `width`, found one without",
                        excerpt(&column.name)
                    )
                });
            }
            return;
        };
        for (other, n_more) in &column.starts_with {
            let found = match self.columns.iter().find(|column| column.name == *other) {
                None => Some("no such column".to_owned()),
                Some(_) if *n_more == 0 || *n_more >= width => Some(format!("{n_more} more digits")),
                Some(other) if other.kind == ColumnKind::Double => Some("type double".to_owned()),
                Some(other) if other.kind == ColumnKind::String => match other.width {
                    None => Some("type string without a `width`".to_owned()),
                    Some(found) => (found >= width).then(|| format!("`width` {found}")),
                },
                Some(_) => None,
            };
            if let Some(found) = found {
                mistakes.add(|| {
                    format!(
                        "`column.starts_with` of `{}`: expected integer columns, or string columns with a `width` below \
                         {width}, each followed by 1 to {} more digits, found `{}`: {found}",
                        excerpt(&column.name),
                        width.saturating_sub(1),
                        excerpt(other)
                    )
                });
            }
        }
    }
}
