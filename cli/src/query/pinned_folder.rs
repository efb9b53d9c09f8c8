//! The files of a lake for one query, each pinned to the version that the query saw first.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::path::Path as ObjectPath;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::StreamExt;
use futures::stream::BoxStream;

/// Time limit for a disk access, and the shorter limit that applies once an access has timed out.
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_AFTER_TIMEOUT: Duration = Duration::from_secs(1);

/// A folder that serves a file only while it is still the version that was first seen.
///
/// The engine opens a file separately for its footer and for each range of its columns. If a run replaced the file in
/// between, the engine would combine the old footer with new bytes. This folder fails the later read instead, with
/// [`Error::Precondition`].
#[derive(Debug)]
pub(crate) struct PinnedFolder {
    folder: LocalFileSystem,
    etags: Mutex<BTreeMap<ObjectPath, String>>,
    /// Whether a file was found to have been replaced. Kept here, because the engine reduces an error to its message.
    is_stale: AtomicBool,
    /// Whether an access timed out.
    has_timed_out: AtomicBool,
}

impl PinnedFolder {
    /// Opens the files below `root`.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        Ok(Self {
            folder: LocalFileSystem::new_with_prefix(root)?,
            etags: Mutex::default(),
            is_stale: AtomicBool::new(false),
            has_timed_out: AtomicBool::new(false),
        })
    }

    /// Checks whether a file was found to be replaced or missing, so that the query must start over.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    /// Pins a file to its current version, and returns its metadata.
    ///
    /// # Errors
    /// [`Error::Precondition`] if the file was pinned to another version before.
    pub(crate) async fn pin(&self, key: &str) -> Result<ObjectMeta> {
        let location = ObjectPath::parse(key)?;
        let inspect = async {
            // Rejects pipes, because opening one could block forever. Folders are rejected by `head`.
            let found = tokio::fs::metadata(self.folder.path_to_filesystem(&location)?).await;
            if found.is_ok_and(|found| !found.is_file() && !found.is_dir()) {
                return Err(failed("expected a regular file, found a pipe, socket or device".to_owned()));
            }
            self.folder.head(&location).await
        };
        let meta = self.within_timeout(inspect).await?;
        if let (Ok(mut etags), Some(etag)) = (self.etags.lock(), meta.e_tag.clone())
            && *etags.entry(location).or_insert_with(|| etag.clone()) != etag
        {
            self.is_stale.store(true, Ordering::Relaxed);
            let source = "expected the version that the query saw first, found another".into();
            return Err(Error::Precondition { path: key.to_owned(), source });
        }
        Ok(meta)
    }

    /// Awaits a disk access for a limited time. The thread of an access that times out is abandoned.
    async fn within_timeout<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let has_timed_out = self.has_timed_out.load(Ordering::Relaxed);
        let timeout = if has_timed_out { TIMEOUT_AFTER_TIMEOUT } else { TIMEOUT };
        tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
            self.has_timed_out.store(true, Ordering::Relaxed);
            Err(failed(format!("expected the disk to respond within {} s, found no response", timeout.as_secs())))
        })
    }

    /// Reads all requested bytes at once. A stream could hang later, beyond the reach of this call's time limit.
    async fn read(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let found = self.folder.get_opts(location, options).await?;
        if is_head {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = found.bytes().await?;
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }
}

fn failed(source: String) -> Error {
    Error::Generic { store: "PinnedFolder", source: source.into() }
}

impl fmt::Display for PinnedFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pinned {}", self.folder)
    }
}

/// Returns the error for an operation that queries do not need.
fn unsupported<T>(operation: &str) -> Result<T> {
    Err(Error::NotImplemented { operation: operation.to_owned(), implementer: "PinnedFolder".to_owned() })
}

#[async_trait::async_trait]
impl ObjectStore for PinnedFolder {
    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let etag = self.etags.lock().ok().and_then(|etags| etags.get(location).cloned());
        let Some(etag) = etag else {
            let source = "expected a file that the query pinned first".into();
            return Err(Error::NotFound { path: location.to_string(), source });
        };
        let found = self.within_timeout(self.read(location, options.with_if_match(Some(etag)))).await;
        if matches!(found, Err(Error::Precondition { .. } | Error::NotFound { .. })) {
            self.is_stale.store(true, Ordering::Relaxed);
        }
        found
    }

    // `LocalFileSystem`'s own implementation would not compare etags.
    async fn get_ranges(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            found.push(self.get_range(location, range.clone()).await?);
        }
        Ok(found)
    }

    async fn put_opts(&self, _: &ObjectPath, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        unsupported("put")
    }

    async fn put_multipart_opts(&self, _: &ObjectPath, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unsupported("put")
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        locations.map(|_| unsupported("delete")).boxed()
    }

    fn list(&self, _: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { unsupported("list") }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&ObjectPath>) -> Result<ListResult> {
        unsupported("list")
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> Result<()> {
        unsupported("copy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_is_not_read_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"old footer, old columns").unwrap();
        let pinned = PinnedFolder::new(folder.path()).unwrap();
        let meta = pinned.pin("a").await.unwrap();
        assert_eq!(pinned.get_range(&meta.location, 0..3).await.unwrap().as_ref(), b"old");
        assert!(!pinned.is_stale());
        let replacement = folder.path().join("b");
        std::fs::write(&replacement, b"new footer, new columns").unwrap();
        std::fs::rename(&replacement, &path).unwrap();
        for read in [
            pinned.get_range(&meta.location, 12..15).await.map(|_| ()),
            pinned.get_ranges(&meta.location, &[12..15, 16..20]).await.map(|_| ()),
            pinned.get(&meta.location).await.map(|_| ()),
        ] {
            assert!(matches!(read, Err(Error::Precondition { .. })), "{read:?}");
        }
        assert!(pinned.is_stale());
    }

    #[tokio::test]
    async fn a_file_pinned_twice_must_be_the_same_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"old").unwrap();
        let pinned = PinnedFolder::new(folder.path()).unwrap();
        pinned.pin("a").await.unwrap();
        pinned.pin("a").await.unwrap();
        assert!(!pinned.is_stale());
        let replacement = folder.path().join("b");
        std::fs::write(&replacement, b"new, longer").unwrap();
        std::fs::rename(&replacement, &path).unwrap();
        assert!(matches!(pinned.pin("a").await, Err(Error::Precondition { .. })));
        assert!(pinned.is_stale());
    }

    #[tokio::test]
    async fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let pinned = PinnedFolder::new(folder.path()).unwrap();
        let error = pinned.pin("pipe").await.unwrap_err();
        assert!(error.to_string().contains("expected a regular file"), "{error}");
    }
}
