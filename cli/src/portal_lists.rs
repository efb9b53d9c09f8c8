//! The lists in which the portal describes itself, each requested once per command.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use rollcall_adapters::http_portal::HttpPortal;
use rollcall_core::memory::{Memory, Room};
use rollcall_core::metadata::{ENDPOINTS_PATH, VARIABLES_PATH};
use rollcall_core::plan::release::CHANGES_PATH;
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading, Response};
use url::Url;

use crate::progress::asking::{Retries, saying};

/// Bodies by path and page, with the time when they arrived.
type Pages = HashMap<(String, u32), (Bytes, Timestamp)>;

/// Pages of lists that were read before.
#[derive(Clone, Default)]
pub(crate) struct ListCache(Arc<Mutex<Pages>>);

impl ListCache {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A portal for requests of lists only: it says what it asks for if that takes long, and remembers every page that was read,
/// except of the list of releases.
pub(crate) struct CachedLists {
    portal: HttpPortal,
    retries: Retries,
    cache: ListCache,
}

impl CachedLists {
    pub(crate) fn new(portal: &HttpPortal, cache: ListCache) -> Self {
        let retries = Retries::new();
        Self { portal: portal.reporting_retries(retries.learn()), retries, cache }
    }
}

/// Returns what a path of the portal has, in words.
fn in_words(path: &str) -> &'static str {
    match path.split('?').next() {
        Some(ENDPOINTS_PATH) => "list of endpoints",
        Some(VARIABLES_PATH) => "list of columns",
        Some(CHANGES_PATH) => "list of releases",
        _ => "metadata",
    }
}

impl Portal for CachedLists {
    fn root(&self) -> &Url {
        self.portal.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        // A command for all datasets takes hours, in which there may be a release. It must be the one before page 1.
        if path == CHANGES_PATH {
            return saying(in_words(path), &self.retries, self.portal.get(path, page, request, read)).await;
        }
        let key = (path.to_owned(), page);
        let known = self.cache.pages().get(&key).cloned();
        if let Some((body, received_at)) = known
            && let Reading::Done(result) = read(&body)
        {
            let size_bytes = body.len();
            return Ok(Response { result, size_bytes, received_at, tries: 1, has_tries_left: true, room: None });
        }
        let cache = self.cache.clone();
        let read_and_keep = move |body: &Bytes| {
            let reading = read(body);
            if matches!(reading, Reading::Done(_)) {
                cache.pages().insert(key.clone(), (body.clone(), Timestamp::now()));
            }
            reading
        };
        saying(in_words(path), &self.retries, self.portal.get(path, page, request, read_and_keep)).await
    }

    fn page_memory(&self) -> Memory {
        self.portal.page_memory()
    }

    fn partition_memory(&self) -> Memory {
        self.portal.partition_memory()
    }

    async fn hold(&self, room: &mut Room, n_bytes: usize) -> Result<(), PortalError> {
        self.portal.hold(room, n_bytes).await
    }
}
