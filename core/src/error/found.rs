//! What a check found in place of what it expected, as part of an error's message.

use std::fmt;

use crate::file::value_counts::LostValues;

/// What a partition has less of than the one committed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shrunk {
    /// Rows.
    Rows {
        /// Rows committed; `None` for an object that cannot be read.
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
                write!(f, "rows in place of an object that cannot be read, found {after}")
            }
            Self::Values(LostValues { column, before, after }) => {
                write!(f, "at least half of the {before} values of `{column}` committed before, found {after}")
            }
        }
    }
}

/// What was found in the place of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFound {
    /// No value, or an empty one.
    None,
    /// A value that could be found by chance in what a portal says.
    Short {
        /// Characters that it should have at least.
        fewest_chars: usize,
    },
    /// A value that cannot be sent.
    NoHeader,
}

impl fmt::Display for SecretFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Short { fewest_chars } => write!(f, "one of fewer than {fewest_chars} characters"),
            Self::NoHeader => f.write_str("one that no header can hold, such as one of two lines"),
        }
    }
}

/// Who holds the lock of a lake, in words.
#[derive(Debug)]
pub struct LockHolder(pub String);

/// What came instead of the rows that page 1 promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountFound {
    /// This many rows were received in all.
    Received(u64),
    /// A later page gave another `count`.
    OnPage {
        /// Page, from 1.
        page: u32,
        /// Its `count`.
        count: u64,
    },
    /// Page 1, looked at again after the last page, holds other rows than at first.
    Changed,
    /// A page that should have been full was not, or the last one was too long.
    PageLength {
        /// Page, from 1.
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
            Self::OnPage { page, count } => write!(f, "page {page} says {count}"),
            Self::Changed => f.write_str("found page 1 changed while the others were read"),
            Self::PageLength { page, n_rows, expected } => {
                write!(f, "page {page} holds {n_rows} where {expected} were due")
            }
        }
    }
}
