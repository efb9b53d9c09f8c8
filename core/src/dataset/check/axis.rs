//! Validates the axes.

use std::collections::BTreeSet;

use crate::dataset::check::names::{MAX_COMMENT_BYTES, check_comment};
use crate::dataset::partitions::{OTHER_FIELDS, plural};
use crate::dataset::{Axis, AxisKind, CodedValue};
use crate::error::mistakes::Mistakes;
use crate::text::excerpt;

/// The only axis that may be of type int: its values are the years that the portal lists.
const YEAR: &str = "year";

/// Maximum length of a folder name such as `grade=grade-pk`, in bytes. File systems allow 255, and the ledger appends
/// `.json`.
const MAX_FOLDER_BYTES: usize = 250;

impl Axis {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let name = excerpt(&self.name);
        match self.kind {
            AxisKind::Int if self.name != YEAR => mistakes.add(|| {
                format!(
                    "`axis.type` of `{name}`: expected string, with `values`, found int, which is only for an axis named \
                     `{YEAR}`"
                )
            }),
            AxisKind::Int if !self.values.is_empty() => mistakes.add(|| {
                format!(
                    "`axis.values` of `{name}`: expected none for type int (the portal lists the years), found {}",
                    self.values.len()
                )
            }),
            AxisKind::String if self.values.is_empty() => mistakes.add(|| {
                format!("`axis.values` of `{name}`: expected at least one for type string, found none")
            }),
            _ => {}
        }
        let field = plural(self);
        if OTHER_FIELDS.contains(&field.as_str()) {
            mistakes.add(|| {
                format!(
                    "`axis.name`: expected a name whose plural is not already a request field, found `{name}` (`{field}`)"
                )
            });
        }
        check_comment(mistakes, &format!("`axis.comment` of `{name}`"), &self.comment, MAX_COMMENT_BYTES);
        let mut seen = BTreeSet::new();
        let mut codes = BTreeSet::new();
        for CodedValue { value, code } in &self.values {
            if !codes.insert(code) {
                mistakes.add(|| format!("`axis.values` of `{name}`: expected each code once, found {code} again"));
            }
            if value.is_empty()
                || !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            {
                mistakes.add(|| {
                    format!(
                        "`axis.values` of `{name}`: expected lower-case letters, digits, `-` and `_`, found `{}`",
                        excerpt(value)
                    )
                });
            }
            let n_bytes = self.name.len() + "=".len() + value.len();
            if n_bytes > MAX_FOLDER_BYTES {
                mistakes.add(|| {
                    format!(
                        "`axis.values` of `{name}`: expected at most {MAX_FOLDER_BYTES} bytes for `{name}=` and the value, \
                         found {n_bytes}: `{}`",
                        excerpt(value)
                    )
                });
            }
            if !seen.insert(value) {
                mistakes.add(|| {
                    format!("`axis.values` of `{name}`: expected each value once, found `{}` again", excerpt(value))
                });
            }
        }
        if let Some(total) = &self.total
            && !seen.contains(total)
        {
            mistakes.add(|| {
                format!("`axis.total` of `{name}`: expected one of the axis's values, found `{}`", excerpt(total))
            });
        }
    }
}
