//! A lake in a bucket, with the same keys as in a folder.
//!
//! A data object is replaced by one conditional `PutObject`. A reader therefore sees either the old object or the new one,
//! and a writer that was overtaken changes nothing. The object's stamp is in its metadata.

mod stamp;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, ObjectIdentifier};
use bytes::Bytes;
use jiff::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use rollcall_core::file::Footer;
use rollcall_core::file::Stamp;
use rollcall_core::keys;
use rollcall_core::ports::{BoxError, Condition, Content, Listed, ObjectFacts, Put, Store, StoreError};

use crate::s3::stamp::{from_metadata, to_metadata};
use crate::sdk_error::{cause, status};

/// Another write to the same key is in progress.
const CONFLICT: u16 = 409;

const NOT_FOUND: u16 = 404;

/// Number of bytes read from the end of a file to get its footer. A longer footer needs a second request.
const FOOTER_BYTES: u64 = 64 * 1024;

/// Maximum number of objects deleted by one request.
const MAX_KEYS_PER_CALL: usize = 1000;

/// Maximum number of times that an object without a stamp is looked at again because it was replaced meanwhile.
const MAX_HEADS: u32 = 4;

/// Tag on a run's objects. The bucket's lifecycle rule deletes old objects by this tag, because a rule's prefix cannot
/// contain a wildcard.
const RUN_TAG: &str = "rollcall=run";

const PRECONDITION_FAILED: u16 = 412;

const NOT_SATISFIABLE: u16 = 416;

/// A lake in a bucket. Clones share the client.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
}

/// What is at the end of an object.
enum Tail {
    Footer(Box<Footer>),
    /// No object, or one that rollcall did not write.
    None,
    /// The object no longer has the etag.
    Replaced,
}

/// Returns a time of the SDK as a timestamp, if it is in the calendar's range.
fn time(time: &aws_sdk_s3::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

impl S3Store {
    /// Returns the lake in `bucket`.
    #[must_use]
    pub fn new(config: &SdkConfig, bucket: impl Into<String>) -> Self {
        // A custom endpoint, such as an emulator, has no per-bucket host names.
        let has_custom_endpoint = config.endpoint_url().is_some();
        let s3 = aws_sdk_s3::config::Builder::from(config).force_path_style(has_custom_endpoint).build();
        Self { client: Client::from_conf(s3), bucket: bucket.into() }
    }

    /// Returns the bucket name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    fn put_ledger_object(&self, key: &str, bytes: Bytes) -> PutObjectFluentBuilder {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(if key.ends_with(".zst") { "application/zstd" } else { "application/json" })
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(bytes));
        if keys::is_run_object(key) { put.tagging(RUN_TAG) } else { put }
    }

    /// Sends a write that takes effect only while `condition` holds.
    async fn put_if(&self, put: PutObjectFluentBuilder, key: &str, condition: &Condition) -> Result<Put, StoreError> {
        let put = match condition {
            Condition::Absent => put.if_none_match("*"),
            Condition::Matches(etag) => put.if_match(etag),
        };
        match put.send().await {
            Ok(done) => Ok(Put::Done(done.e_tag.unwrap_or_default())),
            Err(error) if is_precondition_failed(status(&error), condition) => Ok(Put::Lost),
            Err(error) => Err(self.failed("write", key, cause(error))),
        }
    }

    /// Reads the footer of an object.
    ///
    /// - `etag`: the version to read; `None` for the current one.
    async fn footer_of(&self, key: &str, etag: Option<&str>) -> Result<Tail, StoreError> {
        let mut n_bytes = FOOTER_BYTES;
        loop {
            let call = self.client.get_object().bucket(&self.bucket).key(key).range(format!("bytes=-{n_bytes}"));
            let found = match call.set_if_match(etag.map(str::to_owned)).send().await {
                Ok(found) => found,
                Err(error) if status(&error) == Some(PRECONDITION_FAILED) => return Ok(Tail::Replaced),
                Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
                    return Ok(if etag.is_some() { Tail::Replaced } else { Tail::None });
                }
                // An empty object does not satisfy any range.
                Err(error) if status(&error) == Some(NOT_SATISFIABLE) => return Ok(Tail::None),
                Err(error) => return Err(self.failed("read", key, cause(error))),
            };
            let size = found.content_range().and_then(|range| range.rsplit('/').next()?.parse::<u64>().ok());
            let tail = found.body.collect().await.map_err(|error| self.failed("read", key, error))?.into_bytes();
            let size = size.unwrap_or(tail.len() as u64);
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&tail, size) {
                Ok(()) => {
                    let footer = reader.finish().ok().and_then(|metadata| Footer::from_metadata(&metadata));
                    return Ok(footer.map_or(Tail::None, |footer| Tail::Footer(Box::new(footer))));
                }
                // Always more than before, so the loop terminates.
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > n_bytes => n_bytes = needed as u64,
                Err(_) => return Ok(Tail::None),
            }
        }
    }

    fn failed(&self, action: &str, key: &str, source: impl Into<BoxError>) -> StoreError {
        StoreError { message: format!("{action} `s3://{}/{key}`", self.bucket), source: source.into() }
    }
}

impl Store for S3Store {
    /// An object without a stamp in its metadata, such as one that was uploaded from a folder, has one in its footer,
    /// except for the time, which is that of the upload.
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        for _ in 0..MAX_HEADS {
            let found = match self.client.head_object().bucket(&self.bucket).key(key).send().await {
                Ok(found) => found,
                Err(error) if status(&error) == Some(NOT_FOUND) => return Ok(None),
                Err(error) => return Err(self.failed("read", key, cause(error))),
            };
            let etag = found.e_tag.unwrap_or_default();
            let stamp = match found.metadata.as_ref().and_then(from_metadata) {
                Some(stamp) => Some(stamp),
                None => match self.footer_of(key, Some(&etag)).await? {
                    Tail::Replaced => continue,
                    Tail::None => None,
                    Tail::Footer(footer) => found.last_modified.as_ref().and_then(time).map(|fetched_at| {
                        let Footer { edition, partition, n_rows, .. } = *footer;
                        Stamp { edition, partition, n_rows, fetched_at, run: None }
                    }),
                },
            };
            let size_bytes = found.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
            return Ok(Some(ObjectFacts { etag, size_bytes, stamp, is_readable: true }));
        }
        Err(self.failed("read", key, "it was replaced between every two requests"))
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: &Condition, stamp: &Stamp) -> Result<Put, StoreError> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .set_metadata(Some(to_metadata(stamp)))
            .content_type("application/vnd.apache.parquet")
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(bytes));
        self.put_if(put, key, condition).await
    }

    async fn copy(&self, key: &str, etag: &str, to: &str) -> Result<Put, StoreError> {
        // `=` in a key has to be encoded in this header.
        let source = format!("{}/{key}", self.bucket).replace('=', "%3D");
        let copy = self.client.copy_object().bucket(&self.bucket).key(to).copy_source(source);
        match copy.copy_source_if_match(etag).checksum_algorithm(ChecksumAlgorithm::Sha256).send().await {
            Ok(done) => Ok(Put::Done(done.copy_object_result.and_then(|copied| copied.e_tag).unwrap_or_default())),
            Err(error) if is_precondition_failed(status(&error), &Condition::Matches(etag.to_owned())) => Ok(Put::Lost),
            Err(error) => Err(self.failed("copy", key, cause(error))),
        }
    }

    async fn remove(&self, key: &str, etag: &str) -> Result<Put, StoreError> {
        match self.client.delete_object().bucket(&self.bucket).key(key).if_match(etag).send().await {
            Ok(_) => Ok(Put::Done(String::new())),
            Err(error) if is_precondition_failed(status(&error), &Condition::Matches(etag.to_owned())) => Ok(Put::Lost),
            Err(error) => Err(self.failed("remove", key, cause(error))),
        }
    }

    async fn footer(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        Ok(match self.footer_of(key, None).await? {
            Tail::Footer(footer) => Some(*footer),
            Tail::None | Tail::Replaced => None,
        })
    }

    async fn read(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let found = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => found,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(self.failed("read", key, cause(error))),
        };
        let etag = found.e_tag.unwrap_or_default();
        let bytes = found.body.collect().await.map_err(|error| self.failed("read", key, error))?;
        Ok(Some(Content { bytes: bytes.into_bytes(), etag }))
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let put = self.put_ledger_object(key, bytes).send().await;
        put.map_err(|error| self.failed("write", key, cause(error)))?;
        Ok(())
    }

    async fn replace(&self, key: &str, bytes: Bytes, condition: &Condition) -> Result<Put, StoreError> {
        let put = self.put_ledger_object(key, bytes);
        self.put_if(put, key, condition).await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        for keys in keys.chunks(MAX_KEYS_PER_CALL) {
            let first = keys.first().map_or("", String::as_str);
            let objects = keys
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build())
                .collect::<Result<Vec<_>, _>>()
                .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
                .map_err(|error| self.failed("delete", first, error))?;
            let call = self.client.delete_objects().bucket(&self.bucket).delete(objects);
            let done = call.send().await.map_err(|error| self.failed("delete", first, cause(error)))?;
            if let Some(refused) = done.errors().first() {
                let source =
                    format!("{}: {}", refused.code().unwrap_or_default(), refused.message().unwrap_or_default());
                return Err(self.failed("delete", refused.key().unwrap_or_default(), source));
            }
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("list", prefix, cause(error)))?;
            listed.extend(page.contents.into_iter().flatten().filter_map(|object| {
                // Placeholders for folders, which the AWS console creates, are not data.
                object.key.as_ref().filter(|key| !key.ends_with('/'))?;
                let modified_at = time(object.last_modified.as_ref()?)?;
                Some(Listed { key: object.key?, etag: object.e_tag.unwrap_or_default(), modified_at })
            }));
        }
        listed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }
}

/// Checks whether a response means that the condition no longer holds: the object was replaced (412), another write is
/// in progress (409), or the object that should match was removed (404). In all cases, the caller inspects the object
/// again.
fn is_precondition_failed(status: Option<u16>, condition: &Condition) -> bool {
    match status {
        Some(PRECONDITION_FAILED | CONFLICT) => true,
        Some(NOT_FOUND) => matches!(condition, Condition::Matches(_)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o4_the_meaning_of_a_refused_write_depends_on_its_condition() {
        let matches = Condition::Matches("e".to_owned());
        assert!(
            is_precondition_failed(Some(412), &Condition::Absent)
                && is_precondition_failed(Some(409), &matches)
                && is_precondition_failed(Some(404), &matches)
        );
        // Without an object to match, 404 refers to the bucket.
        assert!(
            !is_precondition_failed(Some(404), &Condition::Absent)
                && !is_precondition_failed(Some(403), &matches)
                && !is_precondition_failed(None, &matches)
        );
    }
}
