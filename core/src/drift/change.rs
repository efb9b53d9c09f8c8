//! A change at the portal, as data and as words.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::dataset::years::describe_years;
use crate::text::excerpt;

/// A change at the portal since a descriptor was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A column is new. Its values are kept in `_rescued`.
    ColumnAdded {
        /// Name of the field.
        column: String,
        /// Type that it would have.
        #[serde(rename = "type")]
        kind: &'static str,
    },
    /// A column is new, and rows differ by it: the key no longer identifies a row.
    DimensionAdded {
        /// Name of the field.
        column: String,
        /// Type that it would have.
        #[serde(rename = "type")]
        kind: &'static str,
    },
    /// A column is gone.
    ColumnRemoved {
        /// Name of the field.
        column: String,
    },
    /// A column's type is another one.
    ColumnRetyped {
        /// Name of the field.
        column: String,
        /// The descriptor's type.
        from: &'static str,
        /// The portal's type.
        to: &'static str,
    },
    /// A column has another list of codes.
    CodesReplaced {
        /// Name of the field.
        column: String,
        /// The descriptor's list.
        from: String,
        /// The portal's list; empty if there is none.
        to: String,
    },
    /// The portal lists no columns for the endpoint.
    ColumnsUnlisted,
    /// A list has a new code.
    CodeAdded {
        /// Name of the list.
        list: String,
        /// The code.
        code: i64,
        /// Its label.
        label: String,
    },
    /// A code of a list is gone.
    CodeRemoved {
        /// Name of the list.
        list: String,
        /// The code.
        code: i64,
        /// Its label.
        label: String,
    },
    /// A code has another label.
    CodeRenamed {
        /// Name of the list.
        list: String,
        /// The code.
        code: i64,
        /// The known label.
        from: String,
        /// The portal's label.
        to: String,
    },
    /// There are new years.
    YearsAdded {
        /// The years.
        years: BTreeSet<i32>,
    },
    /// Years are gone.
    YearsRemoved {
        /// The years.
        years: BTreeSet<i32>,
    },
    /// The portal has a new endpoint.
    EndpointAdded {
        /// Its path.
        path: String,
    },
    /// The portal no longer lists the endpoint.
    EndpointRemoved {
        /// Its path.
        path: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColumnAdded { column, kind } => write!(f, "column `{}` added ({kind})", excerpt(column)),
            Self::DimensionAdded { column, kind } => {
                write!(f, "dimension `{}` added ({kind}): a row for each of its codes", excerpt(column))
            }
            Self::ColumnRemoved { column } => write!(f, "column `{}` removed", excerpt(column)),
            Self::ColumnRetyped { column, from, to } => {
                write!(f, "column `{}` retyped from {from} to {to}", excerpt(column))
            }
            Self::CodesReplaced { column, from, to } if to.is_empty() => {
                write!(f, "column `{}` no longer has the list `{}`", excerpt(column), excerpt(from))
            }
            Self::CodesReplaced { column, from, to } => {
                write!(f, "column `{}` has list `{}` instead of `{}`", excerpt(column), excerpt(to), excerpt(from))
            }
            Self::ColumnsUnlisted => f.write_str("no columns listed"),
            Self::CodeAdded { list, code, label } => {
                write!(f, "code {code} of list `{}` added: `{}`", excerpt(list), excerpt(label))
            }
            Self::CodeRemoved { list, code, label } => {
                write!(f, "code {code} of list `{}` removed: `{}`", excerpt(list), excerpt(label))
            }
            Self::CodeRenamed { list, code, from, to } => write!(
                f,
                "code {code} of list `{}` renamed from `{}` to `{}`",
                excerpt(list),
                excerpt(from),
                excerpt(to)
            ),
            Self::YearsAdded { years } => write!(f, "years {} added", describe_years(years.iter().copied())),
            Self::YearsRemoved { years } => write!(f, "years {} removed", describe_years(years.iter().copied())),
            Self::EndpointAdded { path } => write!(f, "endpoint `{}` added", excerpt(path)),
            Self::EndpointRemoved { path } => write!(f, "endpoint `{}` removed", excerpt(path)),
        }
    }
}
