//! The scanner of the limit program: from the bytes of a page to typed columns, without any check that is not needed.
//!
//! It has no dependencies, so that its tests run with all others, which do not build the program.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod column;
mod separator;
mod template;
mod words;

pub use column::{Column, Columns, FIELDS, Kind, Values};
pub use template::scan;
