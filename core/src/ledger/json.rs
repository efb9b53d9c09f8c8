//! Reads and writes the ledger's JSON objects.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ports::store::{Condition, Put, Store, StoreError};

/// Maximum number of objects read concurrently.
pub(crate) const READS_AT_ONCE: usize = 16;

/// Reads a JSON object from the ledger. Returns `None` if it is absent.
///
/// An object that cannot be parsed is logged as an error and treated as absent: the ledger is derived, so the next run
/// rewrites it.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub async fn read_json<T: for<'de> Deserialize<'de>>(store: &impl Store, key: &str) -> Result<Option<T>, Error> {
    let found = store.read(key).await.map_err(|source| Error::store_failed("read", key, source))?;
    Ok(found.and_then(|found| parse_json(key, &found.bytes)))
}

pub(crate) fn parse_json<T: for<'de> Deserialize<'de>>(key: &str, bytes: &[u8]) -> Option<T> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(key, %error, "ledger object unreadable, treated as absent");
            None
        }
    }
}

/// Parses a JSON object that is not derived from anything else.
///
/// # Errors
/// [`Error::StoreFailed`] if it cannot be parsed.
pub(crate) fn parse_exactly<T: for<'de> Deserialize<'de>>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = "parse it: expected what rollcall wrote, found something else".to_owned();
        Error::store_failed("read", key, StoreError { message, source: error.into() })
    })
}

/// Writes a JSON object to the ledger.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be written.
pub async fn write_json<T: Serialize + Sync>(store: &impl Store, key: &str, value: &T) -> Result<(), Error> {
    store.write(key, render(key, value)?).await.map_err(|source| Error::store_failed("write", key, source))
}

/// Writes a JSON object to the ledger, provided that `condition` holds.
pub(crate) async fn replace_json<T: Serialize + Sync>(
    store: &impl Store,
    key: &str,
    value: &T,
    condition: &Condition,
) -> Result<Put, Error> {
    store.replace(key, render(key, value)?, condition).await.map_err(|source| Error::store_failed("write", key, source))
}

pub(crate) fn render<T: Serialize>(key: &str, value: &T) -> Result<Bytes, Error> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| Error::store_failed("write", key, serialize_error(error)))?;
    text.push(b'\n');
    Ok(text.into())
}

fn serialize_error(error: serde_json::Error) -> StoreError {
    StoreError { message: "serialize".to_owned(), source: error.into() }
}

/// Renders a value as JSON on one line.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::store_failed("write", "", serialize_error(error)))
}
