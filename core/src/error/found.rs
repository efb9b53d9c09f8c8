//! What a check found instead of what it expected, for an error message.

use std::fmt;

use crate::file::value_counts::LostValues;

/// What a partition lost compared with the committed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shrunk {
    /// Rows.
    Rows {
        /// Rows committed; `None` if the committed object cannot be read.
        before: Option<u64>,
        /// Rows fetched.
        after: u64,
    },
    /// Values of a column.
    Values(LostValues),
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows { before: Some(before), after } => {
                write!(f, "at least half of the {before} rows committed before, found {after}")
            }
            Self::Rows { before: None, after } => {
                write!(f, "rows to replace an object that cannot be read, found {after}")
            }
            Self::Values(LostValues { column, before, after }) => {
                write!(f, "at least half of the {before} values of `{column}` committed before, found {after}")
            }
        }
    }
}

/// What was found instead of a usable secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFound {
    /// No value, or an empty one.
    None,
    /// A value so short that a portal's response could contain it by chance.
    Short {
        /// Minimum number of characters.
        min_chars: usize,
    },
    /// A value that cannot be sent in a header.
    InvalidHeader,
}

impl fmt::Display for SecretFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Short { min_chars } => write!(f, "one shorter than {min_chars} characters"),
            Self::InvalidHeader => f.write_str("one that is not a valid HTTP header (for example, with a line break)"),
        }
    }
}

/// Describes the run that holds a lake's lock.
#[derive(Debug)]
pub struct LockHolder(pub String);

/// What was received instead of the number of rows in page 1's `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountFound {
    /// Total number of rows received.
    Received(u64),
    /// A later page has a different `count`.
    OnPage {
        /// Page, 1-based.
        page: u32,
        /// Its `count`.
        count: u64,
    },
    /// Page 1, fetched again after the last page, has different rows.
    Changed,
    /// A page before the last is not full, or the last one has too many rows.
    PageLength {
        /// Page, 1-based.
        page: u32,
        /// Rows on it.
        n_rows: u64,
        /// Rows expected on it.
        expected: u64,
    },
}

impl fmt::Display for CountFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(n_rows) => write!(f, "received {n_rows}"),
            Self::OnPage { page, count } => write!(f, "page {page} has `count` {count}"),
            Self::Changed => f.write_str("page 1 changed while the other pages were fetched"),
            Self::PageLength { page, n_rows, expected } => {
                write!(f, "page {page} has {n_rows} instead of {expected}")
            }
        }
    }
}
