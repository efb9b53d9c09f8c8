//! The store: a bucket or a folder with the lake's objects.

use std::future::Future;
use std::io;

use bytes::Bytes;
use jiff::Timestamp;

use crate::file::footer::Footer;
use crate::file::stamp::Stamp;
use crate::partition::PartitionKey;
use crate::ports::cause::BoxError;

/// A bucket or a folder with the lake's objects.
pub trait Store: Send + Sync {
    /// Returns what is known about the data object at `key` without reading its rows, or `None` if there is no object.
    fn head(&self, key: &str) -> impl Future<Output = Result<Option<ObjectFacts>, StoreError>> + Send;

    /// Reads the footer of the data object at `key`. Returns `None` if there is no object, or rollcall did not write
    /// it.
    fn footer(&self, key: &str) -> impl Future<Output = Result<Option<Footer>, StoreError>> + Send;

    /// Writes a data object atomically, provided that `condition` holds at that moment.
    fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: &Condition,
        stamp: &Stamp,
    ) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Removes a data object, provided that it still has this `etag`.
    fn remove(&self, key: &str, etag: &str) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Copies the data object at `key` to the key `to`, with its stamp, provided that it has this `etag`. Replaces an
    /// existing copy. May share the bytes with the original, since an object is replaced but never changed.
    fn copy(&self, key: &str, etag: &str, to: &str) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Reads a whole object. Returns `None` if there is none.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Content>, StoreError>> + Send;

    /// Writes a ledger object atomically, replacing any existing one.
    fn write(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes an object atomically that is only kept to save requests: it may be lost or damaged if the power fails.
    ///
    /// - `make`: returns its content, which may take a millisecond or two of computing. A store that has threads for
    ///   blocking calls computes it there, beside the task that waits.
    fn write_unflushed(
        &self,
        key: &str,
        make: impl FnOnce() -> io::Result<Bytes> + Send + 'static,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move {
            let failed = |error: io::Error| StoreError { message: format!("write `{key}`"), source: error.into() };
            self.write(key, make().map_err(failed)?).await
        }
    }

    /// Writes a ledger object atomically, provided that `condition` holds.
    fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        condition: &Condition,
    ) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Deletes ledger objects. Missing ones count as deleted.
    fn delete(&self, keys: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lists every object whose key starts with `prefix`, sorted by key. `prefix` ends in `/`. A folder that cannot be
    /// listed is returned as a single entry whose key ends in `/`.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;
}

/// The content of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its bytes.
    pub bytes: Bytes,
    /// Changes with every write. [`Condition::Matches`] compares it.
    pub etag: String,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key. A key that ends in `/` stands for a folder that could not be listed.
    pub key: String,
    /// As in [`ObjectFacts`] or [`Content`]. Empty if the object cannot be inspected.
    pub etag: String,
    /// When it was written. For a data object in a folder, when its oldest page was received.
    pub modified_at: Timestamp,
}

/// What a store knows about a data object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Changes with every write. [`Condition::Matches`] compares it.
    pub etag: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// The writer's description. `None` if rollcall did not write the object, or it cannot be read.
    pub stamp: Option<Stamp>,
    /// Whether the object could be read. If not, its content is unknown.
    pub is_readable: bool,
}

impl ObjectFacts {
    /// Returns the writer's description, unless it names another partition.
    #[must_use]
    pub fn stamp_of(&self, partition: &PartitionKey) -> Option<&Stamp> {
        self.stamp.as_ref().filter(|stamp| stamp.is_of(partition))
    }
}

/// The condition of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no object (`If-None-Match: *`).
    Absent,
    /// The object has this etag (`If-Match`).
    Matches(String),
}

/// The outcome of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Committed, with the new etag (empty after a removal).
    Done(String),
    /// The condition no longer holds. Nothing was changed.
    Lost,
}

/// A store error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// The operation and its object, without the cause.
    pub message: String,
    /// The cause.
    #[source]
    pub source: BoxError,
}
