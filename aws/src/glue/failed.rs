//! Catalog errors.

use rollcall_core::ports::{BoxError, CatalogError};

pub(super) fn no_table() -> CatalogError {
    failed("read table", "expected the template's table, found none\nhint: deploy the template again")
}

pub(super) fn failed(message: &str, source: impl Into<BoxError>) -> CatalogError {
    CatalogError { message: message.to_owned(), source: source.into() }
}
