//! Validates the columns.

use std::collections::BTreeSet;

use crate::dataset::check::names::{MAX_COMMENT_BYTES, add_taken, check_comment, check_history, check_sql_name};
use crate::dataset::check::place::{Place, PlacedMistakes};
use crate::dataset::{Column, ColumnKind, Dataset, MAX_WIDTH};
use crate::file::columns::RESCUED;
use crate::text::{excerpt, nearest_hint};

impl Dataset {
    /// Checks the columns.
    ///
    /// - `names`: the names of the axes; those of the columns are added.
    pub(super) fn check_columns(&self, mistakes: &mut PlacedMistakes<'_>, names: &mut BTreeSet<String>) {
        if self.columns.is_empty() {
            mistakes.add(Place::Top("column"), || "`column`: expected at least one, found none".to_owned());
        }
        let mut fields: BTreeSet<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        for (i, column) in self.columns.iter().enumerate() {
            let place = |key| Place::Column(i, key);
            check_sql_name(mistakes, place("name"), &column.name);
            check_history(mistakes, place("name"), &column.name, false);
            if column.name == RESCUED || !names.insert(column.name.clone()) {
                add_taken(mistakes, place("name"), &column.name);
            } else if !fields.insert(column.field()) {
                add_taken(mistakes, place(if column.field.is_some() { "field" } else { "name" }), column.field());
            }
            if column.field().is_empty() || column.field().chars().any(char::is_control) {
                mistakes.add(place("field"), || {
                    format!(
                        "`column.field` of `{}`: expected the name of a field in the portal's rows, found `{}`",
                        excerpt(&column.name),
                        excerpt(column.field())
                    )
                });
            }
            if column.optional && self.key.contains(&column.name) {
                mistakes.add(place("optional"), || {
                    format!(
                        "`column.optional` of `{}`: expected a column that is not in `key`, found a key column",
                        excerpt(&column.name)
                    )
                });
            }
            self.check_codes(mistakes, i, column);
            check_width(mistakes, i, column);
            let what = format!("`column.comment` of `{}`", excerpt(&column.name));
            check_comment(mistakes, place("comment"), &what, &column.comment, MAX_COMMENT_BYTES);
        }
        for (i, column) in self.columns.iter().enumerate() {
            self.check_starts_with(mistakes, i, column);
        }
    }

    /// Checks that `codes` names a list, and that `total` is one of its codes.
    fn check_codes(&self, mistakes: &mut PlacedMistakes<'_>, i: usize, column: &Column) {
        let name = || excerpt(&column.name);
        let keys = [("codes", column.codes.is_some()), ("total", column.total.is_some())];
        for (key, _) in keys.iter().filter(|(_, is_set)| *is_set) {
            if column.kind == ColumnKind::String {
                mistakes.add(Place::Column(i, key), || {
                    format!("`column.{key}` of `{}`: expected a column of numbers, found type string", name())
                });
            }
        }
        let Some(list) = &column.codes else {
            if column.total.is_some() {
                mistakes.add(Place::Column(i, "total"), || {
                    format!("`column.total` of `{}`: expected a column with `codes`, found one without", name())
                });
            }
            return;
        };
        match self.list(list) {
            None => self.add_unknown_list(mistakes, Place::Column(i, "codes"), &column.name, list),
            Some(codes) => {
                if let Some(total) = column.total.filter(|total| !codes.contains_key(total)) {
                    mistakes.add(Place::Column(i, "total"), || {
                        format!("`column.total` of `{}`: expected a code of the list `{list}`, found {total}", name())
                    });
                }
            }
        }
    }

    /// Checks that `starts_with` names only integers, and strings with a smaller `width`, which are padded first.
    fn check_starts_with(&self, mistakes: &mut PlacedMistakes<'_>, i: usize, column: &Column) {
        let place = Place::Column(i, "starts_with");
        let Some(width) = column.width.filter(|_| column.kind == ColumnKind::String) else {
            if !column.starts_with.is_empty() {
                mistakes.add(place, || {
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
                mistakes.add(place, || {
                    let names = self.columns.iter().map(|column| column.name.as_str());
                    let hint = if found == "no such column" { nearest_hint(other, names) } else { String::new() };
                    format!(
                        "`column.starts_with` of `{}`: expected integer columns, or string columns with a `width` below \
                         {width}, each followed by 1 to {} more digits, found `{}`: {found}{hint}",
                        excerpt(&column.name),
                        width.saturating_sub(1),
                        excerpt(other)
                    )
                });
            }
        }
    }
}

/// Checks that only text has a width, and that it is not too large.
fn check_width(mistakes: &mut PlacedMistakes<'_>, i: usize, column: &Column) {
    let Some(width) = column.width else { return };
    let place = Place::Column(i, "width");
    let name = || excerpt(&column.name);
    if !(1..=MAX_WIDTH).contains(&width) {
        mistakes.add(place, || format!("`column.width` of `{}`: expected 1 to {MAX_WIDTH}, found {width}", name()));
    }
    if column.kind != ColumnKind::String {
        mistakes.add(place, || {
            format!(
                "`column.width` of `{}`: expected a column of type string, found type {}",
                name(),
                column.kind.glue_type()
            )
        });
    }
}
