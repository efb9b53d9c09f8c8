//! A set of kept pages as it is stored in the lake: one object per page, and one that describes the set.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys::{self, KeptKey};
use crate::ledger::json::{read_json, render};
use crate::ledger::listing::list;
use crate::partition::PartitionKey;
use crate::ports::store::{Listed, Store};

/// Maximum size of a kept page, decompressed, in bytes. A larger one is cut off, and thus no page.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// Fast: takes about as long as decoding the page. A recorded page of enrollment by race and sex takes 6 bytes per row.
const ZSTD_LEVEL: i32 = 1;

/// The object that describes a set of kept pages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::fetch) struct PageSet {
    /// URL of the portal.
    pub(in crate::fetch) portal: String,
    /// The portal's release when the run started.
    pub(in crate::fetch) portal_release: Option<String>,
    /// Etag of the object before page 1.
    pub(in crate::fetch) etag: Option<String>,
    pub(in crate::fetch) n_pages: u32,
    /// When page 1 was last received.
    pub(in crate::fetch) seen_at: Timestamp,
    /// Keys of what other runs kept.
    pub(in crate::fetch) taken_over: Vec<String>,
    /// Whether the partition was committed, or found unchanged, from these pages.
    pub(in crate::fetch) is_committed: bool,
}

impl PageSet {
    /// Reads the description of the set whose keys start with `prefix`. Returns `None` if there is none.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be read.
    pub(in crate::fetch) async fn read(store: &impl Store, prefix: &str) -> Result<Option<Self>, Error> {
        read_json(store, &format!("{prefix}{}", keys::PAGE_SET)).await
    }

    /// Writes the description of the set whose keys start with `prefix`. Like the pages, it may be lost if the power
    /// fails.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be written.
    pub(in crate::fetch) async fn write(&self, store: &impl Store, prefix: &str) -> Result<(), Error> {
        let key = format!("{prefix}{}", keys::PAGE_SET);
        let bytes = render(&key, self)?;
        let written = store.write_unflushed(&key, move || Ok(bytes)).await;
        written.map_err(|source| Error::store_failed("write", &key, source))
    }
}

/// A page in the lake.
#[derive(Debug, Clone)]
pub(in crate::fetch) struct KeptPage {
    pub(in crate::fetch) key: String,
    pub(in crate::fetch) received_at: Timestamp,
}

impl KeptPage {
    /// Parses the key of a kept page, and returns its page number. Returns `None` for any other object of a set.
    pub(in crate::fetch) fn parse(key: String) -> Option<(u32, Self)> {
        let (page, received_at) = keys::parse_kept_page(key.rsplit('/').next()?)?;
        Some((page, Self { key, received_at }))
    }

    /// Reads the body. Returns `None` if the object is gone or damaged.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the lake cannot be read.
    pub(in crate::fetch) async fn read(&self, store: &impl Store) -> Result<Option<Bytes>, Error> {
        let key = &self.key;
        let content = store.read(key).await.map_err(|source| Error::store_failed("read", key, source))?;
        let body = content.map(|content| decompress(&content.bytes)).transpose();
        Ok(body.map(|body| body.map(Bytes::from)).unwrap_or_else(|error| {
            tracing::warn!(key, %error, "kept page damaged");
            None
        }))
    }
}

/// The objects of every set of kept pages below a prefix, by partition, version and run.
pub(in crate::fetch) type Sets = BTreeMap<(PartitionKey, u128, String), Vec<String>>;

/// Lists the sets of kept pages below `prefix`.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be listed.
pub(in crate::fetch) async fn list_sets(store: &impl Store, dataset: &Dataset, prefix: &str) -> Result<Sets, Error> {
    Ok(group(dataset, list(store, prefix).await?))
}

/// Groups listed objects by the set to which they belong.
pub(in crate::fetch) fn group(dataset: &Dataset, listed: Vec<Listed>) -> Sets {
    let mut sets = Sets::new();
    for listed in listed {
        if let Some(KeptKey { partition, version, run, .. }) = keys::parse_kept(dataset, &listed.key) {
            sets.entry((partition, version, run.to_owned())).or_default().push(listed.key);
        }
    }
    sets
}

fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    zstd::Decoder::new(bytes)?.take(MAX_BODY_BYTES).read_to_end(&mut body)?;
    Ok(body)
}

/// Compresses a body, with a checksum.
///
/// # Errors
/// Returns the errors of zstd.
pub(in crate::fetch) fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(body)
}
