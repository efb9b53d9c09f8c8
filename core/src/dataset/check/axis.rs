//! Validates the axes.

use std::collections::BTreeSet;

use crate::dataset::check::names::{MAX_COMMENT_BYTES, check_comment};
use crate::dataset::check::place::{Place, PlacedMistakes};
use crate::dataset::partitions::{OTHER_FIELDS, plural};
use crate::dataset::years::{YEAR, parse_years};
use crate::dataset::{Axis, AxisKind, CodedValue};
use crate::text::excerpt;

/// Maximum length of a folder name such as `grade=grade-pk`, in bytes. File systems allow 255, and the ledger appends
/// `.json`.
const MAX_FOLDER_BYTES: usize = 250;

impl Axis {
    /// Checks the axis with index `i`.
    pub(super) fn check(&self, mistakes: &mut PlacedMistakes<'_>, i: usize) {
        let name = excerpt(&self.name);
        let place = |key| Place::Axis(i, key);
        match self.kind {
            AxisKind::Int if self.name == YEAR && !self.values.is_empty() => mistakes.add(place("values"), || {
                format!(
                    "`axis.values` of `{name}`: expected none (the portal lists the years), found {}",
                    self.values.len()
                )
            }),
            AxisKind::Int if self.name == YEAR => {}
            AxisKind::String | AxisKind::Int if self.values.is_empty() => mistakes.add(place("values"), || {
                format!(
                    "`axis.values` of `{name}`: expected at least one (only an axis of type int named `{YEAR}` has none), \
                     found none"
                )
            }),
            AxisKind::Int => {
                let is_number = |value: &CodedValue| value.value == value.code.to_string() && i32::try_from(value.code).is_ok();
                if let Some(other) = self.values.iter().find(|value| !is_number(value)) {
                    mistakes.add(place("values"), || {
                        format!(
                            "`axis.values` of `{name}`: expected 32-bit numbers such as [1, 2] for type int, found `{}`",
                            excerpt(&other.value)
                        )
                    });
                }
            }
            AxisKind::String => {}
        }
        if let Some(years) = &self.years
            && (!self.is_year() || parse_years(years).is_none())
        {
            mistakes.add(place("years"), || {
                let expected = if self.is_year() {
                    "years such as `1980, 1984-2022`, in ascending order"
                } else {
                    "none but for years"
                };
                format!("`axis.years` of `{name}`: expected {expected}, found `{}`", excerpt(years))
            });
        }
        let field = plural(self);
        if OTHER_FIELDS.contains(&field.as_str()) {
            mistakes.add(place("name"), || {
                format!(
                    "`axis.name`: expected a name whose plural is not already a request field, found `{name}` (`{field}`)"
                )
            });
        }
        check_comment(
            mistakes,
            place("comment"),
            &format!("`axis.comment` of `{name}`"),
            &self.comment,
            MAX_COMMENT_BYTES,
        );
        let mut seen = BTreeSet::new();
        let mut codes = BTreeSet::new();
        for CodedValue { value, code } in &self.values {
            if !codes.insert(code) {
                mistakes.add(place("values"), || {
                    format!("`axis.values` of `{name}`: expected each code once, found {code} again")
                });
            }
            let is_new = seen.insert(value);
            if self.kind == AxisKind::Int {
                continue;
            }
            if value.is_empty()
                || !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            {
                mistakes.add(place("values"), || {
                    format!(
                        "`axis.values` of `{name}`: expected lower-case letters, digits, `-` and `_`, found `{}`",
                        excerpt(value)
                    )
                });
            }
            let n_bytes = self.name.len() + "=".len() + value.len();
            if n_bytes > MAX_FOLDER_BYTES {
                mistakes.add(place("values"), || {
                    format!(
                        "`axis.values` of `{name}`: expected at most {MAX_FOLDER_BYTES} bytes for `{name}=` and the value, \
                         found {n_bytes}: `{}`",
                        excerpt(value)
                    )
                });
            }
            if !is_new {
                mistakes.add(place("values"), || {
                    format!("`axis.values` of `{name}`: expected each value once, found `{}` again", excerpt(value))
                });
            }
        }
        if let Some(total) = self.total.as_ref().filter(|_| self.is_year()) {
            mistakes.add(place("total"), || {
                format!("`axis.total` of `{name}`: expected none for years, found `{}`", excerpt(total))
            });
        } else if let Some(total) = &self.total
            && !seen.contains(total)
        {
            mistakes.add(place("total"), || {
                format!("`axis.total` of `{name}`: expected one of the axis's values, found `{}`", excerpt(total))
            });
        }
    }
}
