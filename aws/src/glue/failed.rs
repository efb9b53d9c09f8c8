//! Catalog errors.

use rollcall_core::ports::{BoxError, CatalogError};

pub(super) fn no_table() -> CatalogError {
    failed("read table", "expected a table, found none\nhint: the next run of its dataset makes it")
}

pub(super) fn failed(message: &str, source: impl Into<BoxError>) -> CatalogError {
    CatalogError { message: message.to_owned(), source: source.into() }
}
