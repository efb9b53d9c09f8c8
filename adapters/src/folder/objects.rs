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

use crate::folder::calls::NoAnswer;
use crate::folder::facts::{read_footer, unreadable};
use crate::folder::file::{self, is_absent, open_regular, sync_folder};
use crate::folder::listing::list_below;
use crate::folder::paths::check_within;
use crate::folder::store::{FolderStore, refused};

/// Files of a listing looked at at once.
const LOOKS_AT_ONCE: usize = 32;

/// Objects deleted in one call.
const DELETED_AT_ONCE: usize = 100;

impl Store for FolderStore {
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let of_work = key.to_owned();
        match self.blocking(key, move |store| store.head_now(&of_work)).await {
            Err(error) if error.source.is::<NoAnswer>() => {
                tracing::warn!(key, %error, "object unreadable");
                Ok(Some(unreadable("unknown".to_owned(), 0)))
            }
            answer => answer,
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: &Condition, stamp: &Stamp) -> Result<Put, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        let (condition, fetched_at, run) = (condition.clone(), stamp.fetched_at, stamp.run.clone());
        self.blocking(of_call, move |store| {
            let modified = SystemTime::try_from(fetched_at)
                .map_err(|error| refused("write", &store.path(&key), io::Error::other(error)))?;
            let temporary = store.write_temporary(&bytes, Some(modified))?;
            tracing::debug!(key, size_bytes = bytes.len(), "object written beside the tree");
            let commit = store.commit_of(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            store.rename(temporary, &store.path(&key), &bytes, Some(modified))?;
            tracing::debug!(key, "object committed");
            let etag = store.etag_now(&key)?.unwrap_or_default();
            if let Some(run) = run {
                let mut written = store.written.lock().unwrap_or_else(PoisonError::into_inner);
                written.insert(key, (etag.clone(), run));
            }
            Ok(Put::Done(etag))
        })
        .await
    }

    async fn remove(&self, key: &str, etag: &str) -> Result<Put, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        let condition = Condition::Matches(etag.to_owned());
        self.blocking(of_call, move |store| {
            let commit = store.commit_of(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            let path = store.path(&key);
            store
                .check_held()
                .and_then(|()| check_within(&store.root, &path))
                .and_then(|()| fs::remove_file(&path))
                .and_then(|()| sync_folder(&path))
                .map_err(|error| refused("remove", &path, error))?;
            Ok(Put::Done(String::new()))
        })
        .await
    }

    async fn footer(&self, key: &str) -> Result<Option<Footer>, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        self.blocking(of_call, move |store| {
            let path = store.path(&key);
            match open_regular(&path).and_then(|(file, _)| read_footer(&file)) {
                Ok(metadata) => Ok(metadata.and_then(|metadata| Footer::from_metadata(&metadata))),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(refused("read", &path, error)),
            }
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        self.blocking(of_call, move |store| {
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
                Err(error) => Err(refused("read", &path, error)),
            }
        })
        .await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (of_call, key) = (key, key.to_owned());
        self.blocking(of_call, move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            store.rename(temporary, &store.path(&key), &bytes, None)
        })
        .await
    }

    async fn replace(&self, key: &str, bytes: Bytes, condition: &Condition) -> Result<Put, StoreError> {
        let (of_call, key) = (key, key.to_owned());
        let condition = condition.clone();
        self.blocking(of_call, move |store| {
            let temporary = store.write_temporary(&bytes, None)?;
            let commit = store.commit_of(&key);
            let _commit = commit.lock().unwrap_or_else(PoisonError::into_inner);
            if !store.holds(&key, &condition)? {
                return Ok(Put::Lost);
            }
            store.rename(temporary, &store.path(&key), &bytes, None)?;
            Ok(Put::Done(store.etag_now(&key)?.unwrap_or_default()))
        })
        .await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        // A call has a time in which it must answer, however many keys there are.
        for keys in keys.chunks(DELETED_AT_ONCE) {
            let of_call = keys.first().cloned().unwrap_or_default();
            let keys = keys.to_vec();
            self.blocking(&of_call, move |store| keys.iter().try_for_each(|key| store.delete_now(key))).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let (of_call, prefix) = (prefix, prefix.to_owned());
        let keys = self.blocking(of_call, move |store| {
            let mut keys = Vec::new();
            let folder = store.path(&prefix);
            list_below(&folder, prefix.trim_end_matches('/'), &mut keys)
                .map_err(|error| refused("list", &folder, error))?;
            keys.sort_unstable();
            Ok(keys)
        });
        // Each is looked at by itself: one that does not answer is listed all the same.
        let looks = keys.await?.into_iter().map(|key| async move {
            let path = self.path(&key);
            let look = self.blocking(&key, move |_| {
                let found = file::look(&path).and_then(|found| Ok((file::etag(&found)?, found.modified()?)));
                found.map_err(|error| refused("look at", &path, error))
            });
            let (etag, modified) = look.await.map_or((String::new(), None), |(etag, at)| (etag, Some(at)));
            // What has no time that can be told is not old.
            let modified_at =
                modified.and_then(|modified| Timestamp::try_from(modified).ok()).unwrap_or(Timestamp::MAX);
            Listed { key, etag, modified_at }
        });
        Ok(stream::iter(looks).buffered(LOOKS_AT_ONCE).collect().await)
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
    async fn what_this_process_wrote_is_of_its_run_until_it_is_replaced() {
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
    async fn what_cannot_be_looked_at_is_an_error_and_not_taken_for_absent() {
        let (folder, store) = lake();
        fs::create_dir(folder.path().join("data")).unwrap();
        // No file can have such a name.
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
    async fn a_deletion_takes_the_folders_that_nothing_is_left_in_and_leaves_the_lake() {
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
        // What is in the place of an object is no object, and is not gone.
        fs::create_dir_all(folder.path().join("data/t")).unwrap();
        assert!(store.delete(vec!["data/t".to_owned()]).await.is_err());
    }
}
