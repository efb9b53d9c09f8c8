//! Lists objects of the lake.

use crate::error::Error;
use crate::ports::store::{Listed, Store};

/// Lists every object whose key starts with `prefix`, sorted by key.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed.
pub(crate) async fn list(store: &impl Store, prefix: &str) -> Result<Vec<Listed>, Error> {
    store.list(prefix).await.map_err(|source| Error::store_failed("list", prefix, source))
}
