//! The objects of a lake in a folder.

use std::fs;
use std::io::{self, Read};
use std::sync::PoisonError;
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use rollcall_core::file::{Footer, Stamp};
use rollcall_core::ports::{Condition, Content, Listed, ObjectFacts, Put, Store, StoreError};

use crate::folder::calls::CallTimeout;
use crate::folder::facts::{read_footer, unreadable};
use crate::folder::file::{self, is_absent, open_regular, sync_folder};
use crate::folder::listing::list_below;
use crate::folder::paths::check_within;
use crate::folder::store::{FolderStore, store_error};

/// Maximum number of files inspected concurrently for a listing.
const MAX_CONCURRENT_INSPECTIONS: usize = 32;

/// Maximum number of objects deleted in one call.
const MAX_DELETES_PER_CALL: usize = 100;

impl Store for FolderStore {
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let owned_key = key.to_owned();
        match self.blocking(key, move |store| store.head_blocking(&owned_key)).await {
            Err(error) if error.source.is::<CallTimeout>() => {
                tracing::warn!(key, %error, "object unreadable");
                Ok(Some(unreadable("unknown".to_owned(), 0)))
            }
            result => result,
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: &Condition, stamp: &Stamp) -> Result<Put, StoreError> {
        let (call_key, key) = (key, key.to_owned());
        let (condition, fetched_at, run) = (condition.clone(), stamp.fetched_at, stamp.run.clone());
        self.blocking(call_key, move |store| {
            let modified = SystemTime::try_from(fetched_at)
                .map_err(|error| store_error("write", &store.path(&key), io::Error::other(error)))?;
            let temporary = store.write_temporary(&bytes, Some(modified))?;
            tracing::debug!(key, size_bytes = bytes.len(), "object written to temporary file");
            let commit = store.commit_lock(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.is_met(&key, &condition)? {
                return Ok(Put::Lost);
            }
            store.rename(temporary, &store.path(&key), &bytes, Some(modified))?;
            tracing::debug!(key, "object committed");
            let etag = store.etag_blocking(&key)?.unwrap_or_default();
            if let Some(run) = run {
                let mut written = store.written.lock().unwrap_or_else(PoisonError::into_inner);
                written.insert(key, (etag.clone(), run));
            }
            Ok(Put::Done(etag))
        })
        .await
    }

    async fn copy(&self, key: &str, etag: &str, to: &str) -> Result<Put, StoreError> {
        let (call_key, key, etag, to) = (key, key.to_owned(), etag.to_owned(), to.to_owned());
        self.blocking(call_key, move |store| store.copy_blocking(&key, &etag, &to)).await
    }

    async fn remove(&self, key: &str, etag: &str) -> Result<Put, StoreError> {
        let (call_key, key) = (key, key.to_owned());
        let condition = Condition::Matches(etag.to_owned());
        self.blocking(call_key, move |store| {
            let commit = store.commit_lock(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.is_met(&key, &condition)? {
                return Ok(Put::Lost);
            }
            let path = store.path(&key);
            store
                .check_in_place()
                .and_then(|()| check_within(&store.root, &path))
                .and_then(|()| fs::remove_file(&path))
                .and_then(|()| sync_folder(&path))
                .map_err(|error| store_error("remove", &path, error))?;
            Ok(Put::Done(String::new()))
        })
        .await
    }

    async fn footer(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        let (call_key, key) = (key, key.to_owned());
        self.blocking(call_key, move |store| {
            let path = store.path(&key);
            match open_regular(&path).and_then(|(file, _)| read_footer(&file)) {
                Ok(metadata) => Ok(metadata.and_then(|metadata| Footer::from_metadata(&metadata))),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(store_error("read", &path, error)),
            }
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let (call_key, key) = (key, key.to_owned());
        self.blocking(call_key, move |store| {
            let path = store.path(&key);
            let read = || {
                let (mut file, metadata) = open_regular(&path)?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(Content { bytes: bytes.into(), etag: file::etag(&metadata)? })
            };
            match read() {
                Ok(content) => Ok(Some(content)),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(store_error("read", &path, error)),
            }
        })
        .await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (call_key, key) = (key, key.to_owned());
        self.blocking(call_key, move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            store.rename(temporary, &store.path(&key), &bytes, None)
        })
        .await
    }

    async fn write_unflushed(
        &self,
        key: &str,
        make: impl FnOnce() -> io::Result<Bytes> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (call_key, key) = (key, key.to_owned());
        self.blocking(call_key, move |store| {
            let path = store.path(&key);
            let bytes = make().map_err(|error| store_error("write", &path, error))?;
            store.write_unflushed_blocking(&path, &bytes)
        })
        .await
    }

    async fn replace(&self, key: &str, bytes: Bytes, condition: &Condition) -> Result<Put, StoreError> {
        let (call_key, key) = (key, key.to_owned());
        let condition = condition.clone();
        self.blocking(call_key, move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            let commit = store.commit_lock(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.is_met(&key, &condition)? {
                return Ok(Put::Lost);
            }
            store.rename(temporary, &store.path(&key), &bytes, None)?;
            Ok(Put::Done(store.etag_blocking(&key)?.unwrap_or_default()))
        })
        .await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        // In batches, because a call has a time limit, however many keys there are.
        for keys in keys.chunks(MAX_DELETES_PER_CALL) {
            let call_key = keys.first().cloned().unwrap_or_default();
            let keys = keys.to_vec();
            self.blocking(&call_key, move |store| keys.iter().try_for_each(|key| store.delete_blocking(key))).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let (call_key, prefix) = (prefix, prefix.to_owned());
        let keys = self.blocking(call_key, move |store| {
            let mut keys = Vec::new();
            let folder = store.path(&prefix);
            list_below(&folder, prefix.trim_end_matches('/'), &mut keys)
                .map_err(|error| store_error("list", &folder, error))?;
            keys.sort_unstable();
            Ok(keys)
        });
        // Each file is inspected in its own call, so that one that does not respond is still listed.
        let listed = keys.await?.into_iter().map(|key| async move {
            let path = self.path(&key);
            let inspected = self.blocking(&key, move |_| {
                let found =
                    file::readable_metadata(&path).and_then(|found| Ok((file::etag(&found)?, found.modified()?)));
                found.map_err(|error| store_error("inspect", &path, error))
            });
            let (etag, modified) = inspected.await.map_or((String::new(), None), |(etag, at)| (etag, Some(at)));
            // A file whose time is unknown does not count as old.
            let modified_at =
                modified.and_then(|modified| Timestamp::try_from(modified).ok()).unwrap_or(Timestamp::MAX);
            Listed { key, etag, modified_at }
        });
        Ok(stream::iter(listed).buffered(MAX_CONCURRENT_INSPECTIONS).collect().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_core::file::{Digest, Edition};
    use rollcall_core::lookup::Lookup;

    const KEY: &str = "data/t/year=2021/part-00000.parquet";

    fn lake() -> (tempfile::TempDir, FolderStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        (folder, store)
    }

    fn stamp(run: &str) -> Stamp {
        Stamp {
            edition: Edition { digest: Digest(1), schema_id: 1, encoding_version: 2 },
            partition: None,
            n_rows: 1,
            fetched_at: "2026-11-23T12:00:00Z".parse().unwrap(),
            run: Some(run.to_owned()),
        }
    }

    #[tokio::test]
    async fn an_object_names_the_run_that_wrote_it_in_this_process_until_it_is_replaced() {
        let (folder, store) = lake();
        let lookups = Lookup::built_in().unwrap();
        let [bytes, other] = [&lookups[0], &lookups[1]].map(|lookup| lookup.encode().unwrap().bytes);
        let Put::Done(etag) = store.put(KEY, bytes, &Condition::Absent, &stamp("r1")).await.unwrap() else { panic!() };
        let run = async |store: &FolderStore| store.head(KEY).await.unwrap().unwrap().stamp.unwrap().run;
        assert_eq!(run(&store).await.as_deref(), Some("r1"));
        let another = FolderStore::new(folder.path());
        assert_eq!(run(&another).await, None);
        let _ = another.put(KEY, other, &Condition::Matches(etag), &stamp("r2")).await.unwrap();
        assert_eq!((run(&store).await, run(&another).await.as_deref()), (None, Some("r2")));
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_inspected_is_an_error_and_does_not_count_as_absent() {
        let (folder, store) = lake();
        fs::create_dir(folder.path().join("data")).unwrap();
        // The name is too long for a file.
        let key = format!("data/{}/part-00000.parquet", "x".repeat(300));
        assert!(store.head(&key).await.is_err());
        assert!(store.footer(&key).await.is_err());
        assert!(store.read(&key).await.is_err());
        assert!(store.remove(&key, "etag").await.is_err());
        assert!(store.delete(vec![key]).await.is_err());
        let absent = KEY.to_owned();
        assert!(store.head(&absent).await.unwrap().is_none() && store.footer(&absent).await.unwrap().is_none());
        assert_eq!(store.remove(&absent, "etag").await.unwrap(), Put::Lost);
        store.delete(vec![absent]).await.unwrap();
    }

    #[tokio::test]
    async fn a_deletion_removes_folders_that_become_empty_but_not_the_lake() {
        let (folder, store) = lake();
        let keys: Vec<String> = (0..250).map(|i| format!("ledger/d/runs/r1/receipts/{i}.json")).collect();
        for key in &keys {
            store.write(key, Bytes::from_static(b"{}")).await.unwrap();
        }
        store.write("ledger/d/records.json", Bytes::from_static(b"[]")).await.unwrap();
        store.delete(keys).await.unwrap();
        assert!(!folder.path().join("ledger/d/runs").exists());
        assert_eq!(store.list("").await.unwrap().len(), 1);
        store.delete(vec!["ledger/d/records.json".to_owned()]).await.unwrap();
        assert!(folder.path().exists() && !folder.path().join("ledger").exists());
        // A folder at an object's path does not count as an object, and is not deleted.
        fs::create_dir_all(folder.path().join("data/t")).unwrap();
        assert!(store.delete(vec!["data/t".to_owned()]).await.is_err());
    }
}
