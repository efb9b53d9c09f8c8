//! The lake's files as one query reads them: each as it was when the query began, or not at all.

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

/// The time in which the disk must answer, and the time that it has once it did not.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN_THEN: Duration = Duration::from_secs(1);

/// A folder that gives a file's bytes only while it is the file first seen.
///
/// The engine opens a file anew for its footer and for each range of its columns. A run may replace the file between
/// two of these, and the old footer would then be read with new bytes; here the later read is refused instead, as
/// [`Error::Precondition`].
#[derive(Debug)]
pub(crate) struct PinnedFolder {
    folder: LocalFileSystem,
    etags: Mutex<BTreeMap<ObjectPath, String>>,
    /// A read was refused: told here, since the engine keeps no more of the cause than its words.
    is_stale: AtomicBool,
    /// A read had no answer.
    is_silent: AtomicBool,
}

impl PinnedFolder {
    /// The files below `root`.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        Ok(Self {
            folder: LocalFileSystem::new_with_prefix(root)?,
            etags: Mutex::default(),
            is_stale: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        })
    }

    /// Whether a file was found replaced or gone, so that the query must begin again.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    /// Looks at a file, which every later read and look must find unchanged.
    pub(crate) async fn pin(&self, key: &str) -> Result<ObjectMeta> {
        let location = ObjectPath::parse(key)?;
        let look = async {
            // A pipe would be waited for without end. A folder, which is none of ours, is found out by the other look.
            let found = tokio::fs::metadata(self.folder.path_to_filesystem(&location)?).await;
            if found.is_ok_and(|found| !found.is_file() && !found.is_dir()) {
                return Err(failed("expected a regular file, found a pipe, socket or device".to_owned()));
            }
            self.folder.head(&location).await
        };
        let meta = self.answer(look).await?;
        if let (Ok(mut etags), Some(etag)) = (self.etags.lock(), meta.e_tag.clone())
            && *etags.entry(location).or_insert_with(|| etag.clone()) != etag
        {
            self.is_stale.store(true, Ordering::Relaxed);
            let source = "expected the file as the query first saw it, found another".into();
            return Err(Error::Precondition { path: key.to_owned(), source });
        }
        Ok(meta)
    }

    /// What a call to the disk answers, in time: the threads of those that do not are left behind.
    async fn answer<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let is_silent = self.is_silent.load(Ordering::Relaxed);
        let within = if is_silent { ANSWER_WITHIN_THEN } else { ANSWER_WITHIN };
        tokio::time::timeout(within, call).await.unwrap_or_else(|_| {
            self.is_silent.store(true, Ordering::Relaxed);
            Err(failed(format!("expected an answer of the disk within {} s, found none", within.as_secs())))
        })
    }

    /// The bytes asked for, read as a whole: a file that is only opened may not answer later.
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

/// A query reads: everything that would write is refused.
fn refused<T>(operation: &str) -> Result<T> {
    Err(Error::NotImplemented { operation: operation.to_owned(), implementer: "PinnedFolder".to_owned() })
}

#[async_trait::async_trait]
impl ObjectStore for PinnedFolder {
    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let etag = self.etags.lock().ok().and_then(|etags| etags.get(location).cloned());
        let Some(etag) = etag else {
            let source = "expected a file that the query looked at first".into();
            return Err(Error::NotFound { path: location.to_string(), source });
        };
        let found = self.answer(self.read(location, options.with_if_match(Some(etag)))).await;
        if matches!(found, Err(Error::Precondition { .. } | Error::NotFound { .. })) {
            self.is_stale.store(true, Ordering::Relaxed);
        }
        found
    }

    // The folder's own opens the file again without comparing.
    async fn get_ranges(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            found.push(self.get_range(location, range.clone()).await?);
        }
        Ok(found)
    }

    async fn put_opts(&self, _: &ObjectPath, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refused("put")
    }

    async fn put_multipart_opts(&self, _: &ObjectPath, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        refused("put")
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        locations.map(|_| refused("delete")).boxed()
    }

    fn list(&self, _: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { refused("list") }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&ObjectPath>) -> Result<ListResult> {
        refused("list")
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> Result<()> {
        refused("copy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_replaced_is_not_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"old footer, old columns").unwrap();
        let pinned = PinnedFolder::new(folder.path()).unwrap();
        let meta = pinned.pin("a").await.unwrap();
        assert_eq!(pinned.get_range(&meta.location, 0..3).await.unwrap().as_ref(), b"old");
        assert!(!pinned.is_stale());
        let beside = folder.path().join("b");
        std::fs::write(&beside, b"new footer, new columns").unwrap();
        std::fs::rename(&beside, &path).unwrap();
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
    async fn a_file_that_is_looked_at_twice_must_be_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"old").unwrap();
        let pinned = PinnedFolder::new(folder.path()).unwrap();
        pinned.pin("a").await.unwrap();
        pinned.pin("a").await.unwrap();
        assert!(!pinned.is_stale());
        let beside = folder.path().join("b");
        std::fs::write(&beside, b"new, longer").unwrap();
        std::fs::rename(&beside, &path).unwrap();
        assert!(matches!(pinned.pin("a").await, Err(Error::Precondition { .. })));
        assert!(pinned.is_stale());
    }

    #[tokio::test]
    async fn what_is_no_regular_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let pinned = PinnedFolder::new(folder.path()).unwrap();
        let error = pinned.pin("pipe").await.unwrap_err();
        assert!(error.to_string().contains("expected a regular file"), "{error}");
    }
}
