//! Fetches single pages from the portal and decodes them.

use std::sync::Arc;

use bytes::Bytes;
use futures::channel::oneshot::Sender;
use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::kept_pages::KeptPages;
use crate::fetch::kept_pages::page_set::compress;
use crate::fetch::kept_pages::to_keep::{Compress, ToKeep};
use crate::fetch::page_error::page_error;
use crate::fetch::page_rules::PageRules;
use crate::memory::Room;
use crate::page::{Page, PageDecoder};
use crate::partition::PartitionKey;
use crate::ports::portal::{PageRequest, Portal, PortalError, Reading, Response};
use crate::ports::store::Store;

/// A decoded page with metadata about its request.
pub(super) struct FetchedPage {
    pub(super) page: Page,
    pub(super) received_at: Timestamp,
    /// Size of its body and its rows in bytes.
    n_bytes: usize,
    /// Held until the rows are added to the partition's table.
    pub(super) room: Option<Room>,
    pub(super) tries: u32,
    pub(super) has_tries_left: bool,
}

impl FetchedPage {
    /// Returns the size to expect of another page of the partition in bytes. Pages have the same number of rows and
    /// therefore about the same size. An eighth is added to allow for differences.
    pub(super) fn n_bytes_of_next(&self) -> usize {
        self.n_bytes + self.n_bytes / 8
    }
}

/// Fetches and decodes pages of one partition.
pub(super) struct PageFetcher<'f, 'k, P, S> {
    pub(super) portal: &'f P,
    pub(super) kept: &'k KeptPages<'k, S>,
    /// Shared with the requests, which may outlive a fetch that fails.
    pub(super) decoder: &'f Arc<PageDecoder>,
    pub(super) dataset: &'f Dataset,
    pub(super) partition: &'f PartitionKey,
    pub(super) path: &'f str,
}

impl<P, S> Clone for PageFetcher<'_, '_, P, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, S> Copy for PageFetcher<'_, '_, P, S> {}

impl<'k, P: Portal, S: Store> PageFetcher<'_, 'k, P, S> {
    /// Fetches page 1 and decodes it. Also returns how to compress its body if it is to be kept.
    pub(super) async fn first(self) -> Result<(FetchedPage, Option<Compress>), Error> {
        self.request(1, PageRequest::default(), self.kept.includes_page_1()).await
    }

    /// Fetches page 1 again.
    ///
    /// - `tries`: number of earlier requests for it.
    pub(super) async fn first_again(self, tries: u32) -> Result<FetchedPage, Error> {
        Ok(self.request(1, PageRequest { tries, room: None }, false).await?.0)
    }

    /// Reads page `page` (2 or more) if it is kept; otherwise fetches it. A page that has a slot and follows the
    /// rules is sent to be kept.
    pub(super) async fn page(
        self,
        page: u32,
        mut request: PageRequest,
        rules: &PageRules<'_>,
        keep: Sender<ToKeep<'k>>,
    ) -> Result<FetchedPage, Error> {
        if let Some(found) = self.kept_page(page, &mut request).await? {
            self.portal.skip_page();
            return Ok(found);
        }
        // The page that is due does not wait for a slot: later pages of this partition may hold all of them, and
        // nothing advances those pages while the partition waits for this one. Without a slot, it is not kept.
        let slot = if request.room.is_some() { self.kept.slot().await } else { self.kept.free_slot() };
        self.kept.request(page)?;
        let (fetched, compress) = self.request(page, request, slot.is_some()).await?;
        rules.check(page, &fetched.page)?;
        if let Some(compress) = compress {
            // Nobody receives it if the fetch has failed.
            let _ = keep.send(ToKeep { page, received_at: fetched.received_at, compress, slot });
        }
        Ok(fetched)
    }

    /// Reads and decodes a kept page. Returns `None` if it is not kept or cannot be decoded.
    async fn kept_page(&self, page: u32, request: &mut PageRequest) -> Result<Option<FetchedPage>, Error> {
        let Some((body, received_at)) = self.kept.read(page).await? else { return Ok(None) };
        let Ok(decoded) = self.decoder.decode(page, &body) else { return Ok(None) };
        let n_bytes = body.len() + decoded.batch.get_array_memory_size();
        let is_ahead = request.room.is_some();
        let mut room = request.room.take().unwrap_or_else(|| self.portal.page_memory().room());
        if !room.try_hold(n_bytes) {
            let tries = request.tries;
            let held = match is_ahead {
                true => Err(PortalError::Outgrown { tries }),
                false => self.portal.hold(&mut room, n_bytes).await,
            };
            held.map_err(|error| page_error(error, self.dataset, self.partition, page))?;
        }
        let (room, tries, has_tries_left) = (Some(room), request.tries, true);
        Ok(Some(FetchedPage { page: decoded, received_at, n_bytes, room, tries, has_tries_left }))
    }

    /// Requests a page and decodes it. With `keeps`, also returns how to compress its body.
    async fn request(
        self,
        page: u32,
        request: PageRequest,
        keeps: bool,
    ) -> Result<(FetchedPage, Option<Compress>), Error> {
        let is_ahead = request.room.is_some();
        let decoder = Arc::clone(self.decoder);
        let decode = move |body: &Bytes| match decoder.decode(page, body) {
            Err(error @ Error::BadBody { .. }) => Reading::Invalid { reason: error.chain(), result: Err(error) },
            decoded => Reading::Done(decoded.map(|decoded| (decoded, keeps.then(|| body.clone())))),
        };
        let response = self.portal.get(self.path, page, request, decode).await;
        let response = response.map_err(|error| page_error(error, self.dataset, self.partition, page))?;
        let Response { result, size_bytes, received_at, tries, has_tries_left, mut room } = response;
        let (decoded, body) = result?;
        let row_bytes = decoded.batch.get_array_memory_size();
        let has_room = room.as_mut().is_none_or(|room| room.try_hold(row_bytes));
        if is_ahead && !has_room {
            return Err(page_error(PortalError::Outgrown { tries }, self.dataset, self.partition, page));
        }
        let n_bytes = size_bytes + row_bytes;
        let compress = body.map(|body| self.compress_later(body));
        Ok((FetchedPage { page: decoded, received_at, n_bytes, room, tries, has_tries_left }, compress))
    }

    /// Returns how to compress a body. Until then, the body has room of its own; without room, it is compressed at
    /// once.
    fn compress_later(&self, body: Bytes) -> Compress {
        let mut room = self.portal.page_memory().room();
        if room.try_hold(body.len()) {
            return Box::new(move || {
                let compressed = compress(&body);
                drop((body, room));
                compressed.map(Bytes::from)
            });
        }
        let compressed = compress(&body);
        Box::new(|| compressed.map(Bytes::from))
    }
}
