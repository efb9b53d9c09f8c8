//! Fetches single pages from the portal and decodes them.

use bytes::Bytes;
use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::page_error::page_error;
use crate::memory::Room;
use crate::page::{Page, PageDecoder};
use crate::partition::PartitionKey;
use crate::ports::portal::{PageRequest, Portal, PortalError, Reading, Response};

/// A decoded page with metadata about its request.
pub(super) struct FetchedPage {
    pub(super) page: Page,
    pub(super) received_at: Timestamp,
    /// Size of its body and its rows in bytes.
    pub(super) n_bytes: usize,
    /// Held until the rows are added to the partition's table.
    pub(super) room: Option<Room>,
    pub(super) tries: u32,
    pub(super) has_tries_left: bool,
}

/// Fetches and decodes pages of one partition.
pub(super) struct PageFetcher<'f, P> {
    pub(super) portal: &'f P,
    pub(super) decoder: &'f PageDecoder<'f>,
    pub(super) dataset: &'f Dataset,
    pub(super) partition: &'f PartitionKey,
    pub(super) path: &'f str,
}

impl<P> Clone for PageFetcher<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for PageFetcher<'_, P> {}

impl<P: Portal> PageFetcher<'_, P> {
    /// Fetches page `page` (1-based) and decodes it.
    pub(super) async fn page(self, page: u32, request: PageRequest) -> Result<FetchedPage, Error> {
        let is_ahead = request.room.is_some();
        let decode = |body: &Bytes| match self.decoder.decode(page, body) {
            Err(error @ Error::BadBody { .. }) => Reading::Invalid { reason: error.chain(), result: Err(error) },
            decoded => Reading::Done(decoded),
        };
        let response = self.portal.get(self.path, page, request, decode).await;
        let response = response.map_err(|error| page_error(error, self.dataset, self.partition, page))?;
        let Response { result, size_bytes, received_at, tries, has_tries_left, mut room } = response;
        let decoded = result?;
        let row_bytes = decoded.batch.get_array_memory_size();
        let has_room = room.as_mut().is_none_or(|room| room.try_hold(row_bytes));
        if is_ahead && !has_room {
            return Err(page_error(PortalError::Outgrown { tries }, self.dataset, self.partition, page));
        }
        Ok(FetchedPage { page: decoded, received_at, n_bytes: size_bytes + row_bytes, room, tries, has_tries_left })
    }
}
