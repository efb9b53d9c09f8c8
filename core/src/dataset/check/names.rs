//! The rules for names and comments, which databases, tables, columns and folders share.

use crate::error::mistakes::Mistakes;
use crate::text::excerpt;

/// Most bytes of the name of a database, a table or a column.
///
/// Source: AWS Glue API reference, structures `Column`, `TableInput`, `DatabaseInput`: `Name`, 1 to 255 bytes.
const MOST_NAME_BYTES: usize = 255;

/// Most bytes of a column's comment, and of a table's description.
///
/// Source: AWS Glue API reference, `Column`: `Comment`, not more than 255 bytes, a single line; `TableInput`: `Description`,
/// not more than 2048 bytes.
pub(super) const MOST_COMMENT_BYTES: usize = 255;
pub(super) const MOST_DESCRIPTION_BYTES: usize = 2048;

/// Words that SQL takes for a name in quotes only.
///
/// Source: Amazon Athena User Guide, "Reserved keywords in SQL SELECT statements", and `partition` of those in DDL.
const RESERVED_WORDS: [&str; 75] = [
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

/// Names that Glue, Athena and every file system take as they are.
pub(super) fn check_name(mistakes: &mut Mistakes, key: &str, value: &str) {
    let is_valid = value.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !is_valid {
        mistakes.add(|| {
            format!("`{key}`: expected a name of lower-case letters, digits and `_`, found `{}`", excerpt(value))
        });
    }
    if value.len() > MOST_NAME_BYTES {
        mistakes.add(|| {
            format!(
                "`{key}`: expected a name of at most {MOST_NAME_BYTES} bytes, found {}: `{}`",
                value.len(),
                excerpt(value)
            )
        });
    }
}

/// Such names that SQL takes without quotes, too.
pub(super) fn check_sql_name(mistakes: &mut Mistakes, key: &str, value: &str) {
    check_name(mistakes, key, value);
    if RESERVED_WORDS.contains(&value) {
        mistakes
            .add(|| format!("`{key}`: expected a name that SQL takes without quotes, found `{value}`, a word of SQL"));
    }
}

/// Such names of folders that query engines do not pass over.
pub(super) fn check_folder(mistakes: &mut Mistakes, key: &str, value: &str) {
    if value.starts_with('_') {
        mistakes.add(|| {
            format!(
                "`{key}`: expected a name that does not begin with `_`, since engines take such a folder for hidden, found \
                 `{}`",
                excerpt(value)
            )
        });
    }
}

/// What Glue takes as a comment.
pub(super) fn check_comment(mistakes: &mut Mistakes, key: &str, value: &str, most_bytes: usize) {
    if value.len() > most_bytes {
        mistakes.add(|| {
            format!(
                "{key}: expected at most {most_bytes} bytes, as AWS Glue takes them, found {}: `{}`",
                value.len(),
                excerpt(value)
            )
        });
    }
    if let Some(found) = value.chars().find(|c| c.is_control() && *c != '\t') {
        mistakes.add(|| {
            format!(
                "{key}: expected a single line, as AWS Glue takes it, found `{}` in `{}`",
                found.escape_debug(),
                excerpt(value)
            )
        });
    }
}
