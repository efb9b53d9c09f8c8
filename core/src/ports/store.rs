//! Where the lake's objects live: a bucket or a folder.

use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;

use crate::file::footer::Footer;
use crate::file::stamp::Stamp;
use crate::ports::cause::BoxError;

/// Where the lake's objects live: a bucket or a folder.
pub trait Store: Send + Sync {
    /// What is known of the data object at `key` without reading its rows; `None` when there is none.
    fn head(&self, key: &str) -> impl Future<Output = Result<Option<ObjectFacts>, StoreError>> + Send;

    /// What the footer of the data object at `key` says; `None` when there is none, or it is not one of ours.
    fn footer(&self, key: &str) -> impl Future<Output = Result<Option<Footer>, StoreError>> + Send;

    /// Writes a data object whole or not at all, if `condition` still holds when it is committed.
    fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: &Condition,
        stamp: &Stamp,
    ) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Removes a data object, if it still is the one with `etag`.
    fn remove(&self, key: &str, etag: &str) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Reads a ledger object; `None` when there is none.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Content>, StoreError>> + Send;

    /// Writes a ledger object whole or not at all, whatever was there.
    fn write(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a ledger object whole or not at all, if `condition` still holds.
    fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        condition: &Condition,
    ) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Deletes ledger objects; those that are not there count as deleted.
    fn delete(&self, keys: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every object whose key starts with `prefix`, in the order of their keys. `prefix` ends in `/`. Where a part below it
    /// cannot be listed, its prefix stands for it, ending in `/`.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;
}

/// A ledger object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it holds.
    pub bytes: Bytes,
    /// Changes with every write; what [`Condition::Matches`] compares.
    pub etag: String,
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key. One that ends with `/` is of a folder that could not be listed.
    pub key: String,
    /// That of [`ObjectFacts`] or [`Content`]; empty where the object cannot be looked at.
    pub etag: String,
    /// When it was written; in a folder, for a data object, when its last page was received.
    pub modified_at: Timestamp,
}

/// What a store knows of a data object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Changes with every write; what [`Condition::Matches`] compares.
    pub etag: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// What the writer said of it; `None` when the object is not one of ours or cannot be read.
    pub stamp: Option<Stamp>,
    /// Whether it could be looked at. If not, what it holds is not known.
    pub is_readable: bool,
}

/// What must hold for a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No object is there (`If-None-Match: *`).
    Absent,
    /// The object there has this etag (`If-Match`).
    Matches(String),
}

/// What a conditional write came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is committed; the new etag (empty after a removal).
    Done(String),
    /// The condition does not hold any more; nothing was changed.
    Lost,
}

/// Why a store refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What was done to which object, without the cause.
    pub message: String,
    /// The cause.
    #[source]
    pub source: BoxError,
}
