//! Validates the names and comments of databases, tables, columns and folders.

use crate::dataset::check::place::{Place, PlacedMistakes};
use crate::history::tables::is_reserved_column;
use crate::text::excerpt;

/// Maximum length of a database, table or column name, in bytes.
///
/// Source: AWS Glue API reference, structures `Column`, `TableInput`, `DatabaseInput`: `Name`, 1 to 255 bytes.
const MAX_NAME_BYTES: usize = 255;

/// Maximum length of a column's comment, in bytes.
///
/// Source: AWS Glue API reference, `Column`: `Comment`, not more than 255 bytes, a single line.
pub(crate) const MAX_COMMENT_BYTES: usize = 255;

/// Maximum length of a table's description, in bytes.
///
/// Source: AWS Glue API reference, `TableInput`: `Description`, not more than 2048 bytes.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 2048;

/// SQL reserved words, which are valid names only in quotes.
///
/// Source: Amazon Athena User Guide, "Reserved keywords in SQL SELECT statements", and `partition` from the list for
/// DDL.
pub(crate) const RESERVED_WORDS: [&str; 75] = [
    "alter",
    "and",
    "as",
    "between",
    "by",
    "case",
    "cast",
    "constraint",
    "create",
    "cross",
    "cube",
    "current_catalog",
    "current_date",
    "current_path",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "deallocate",
    "delete",
    "describe",
    "distinct",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "execute",
    "exists",
    "extract",
    "false",
    "first",
    "for",
    "from",
    "full",
    "group",
    "grouping",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "last",
    "left",
    "like",
    "localtime",
    "localtimestamp",
    "natural",
    "normalize",
    "not",
    "null",
    "on",
    "or",
    "order",
    "outer",
    "partition",
    "prepare",
    "recursive",
    "right",
    "rollup",
    "select",
    "skip",
    "table",
    "then",
    "true",
    "uescape",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
];

/// Checks that Glue, Athena and every file system accept a name.
pub(super) fn check_name(mistakes: &mut PlacedMistakes<'_>, place: Place, value: &str) {
    let is_valid = value.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !is_valid {
        mistakes.add(place, || {
            format!(
                "{place}: expected lower-case letters, digits and `_`, not starting with a digit, found `{}`",
                excerpt(value)
            )
        });
    }
    if value.len() > MAX_NAME_BYTES {
        mistakes.add(place, || {
            format!("{place}: expected at most {MAX_NAME_BYTES} bytes, found {}: `{}`", value.len(), excerpt(value))
        });
    }
}

/// Checks that Glue, Athena and every file system accept a name, and that it needs no quotes in SQL.
pub(super) fn check_sql_name(mistakes: &mut PlacedMistakes<'_>, place: Place, value: &str) {
    check_name(mistakes, place, value);
    if RESERVED_WORDS.contains(&value) {
        mistakes.add(place, || format!("{place}: expected a name that is not reserved in SQL, found `{value}`"));
    }
}

/// Checks that query engines do not ignore a folder with this name.
pub(super) fn check_folder(mistakes: &mut PlacedMistakes<'_>, place: Place, value: &str) {
    if value.starts_with('_') {
        mistakes.add(place, || {
            format!(
                "{place}: expected a name that does not start with `_` (query engines ignore such folders), found `{}`",
                excerpt(value)
            )
        });
    }
}

/// Checks that an axis or column is not taken for a column of the table's history.
pub(super) fn check_history(mistakes: &mut PlacedMistakes<'_>, place: Place, name: &str, is_axis: bool) {
    if is_reserved_column(name, is_axis) {
        mistakes.add(place, || {
            format!("{place}: expected a name that the history of a table does not use, found `{name}`")
        });
    }
}

/// Adds a name that another axis or column already has.
pub(super) fn add_taken(mistakes: &mut PlacedMistakes<'_>, place: Place, name: &str) {
    mistakes
        .add(place, || format!("{place}: expected a unique name, found `{}`, which is already used", excerpt(name)));
}

/// Checks that Glue accepts a comment.
///
/// - `what`: the comment, as a message names it.
pub(super) fn check_comment(
    mistakes: &mut PlacedMistakes<'_>,
    place: Place,
    what: &str,
    value: &str,
    max_bytes: usize,
) {
    if value.len() > max_bytes {
        mistakes.add(place, || {
            format!(
                "{what}: expected at most {max_bytes} bytes (the limit of AWS Glue), found {}: `{}`",
                value.len(),
                excerpt(value)
            )
        });
    }
    if let Some(found) = value.chars().find(|c| c.is_control() && *c != '\t') {
        mistakes.add(place, || {
            format!(
                "{what}: expected a single line without control characters (a rule of AWS Glue), found `{}` in `{}`",
                found.escape_debug(),
                excerpt(value)
            )
        });
    }
}
