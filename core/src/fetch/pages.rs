//! One page: from the portal to columns.

use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::page_error::page_error;
use crate::memory::Room;
use crate::page::{Page, PageDecoder};
use crate::partition::PartitionKey;
use crate::ports::portal::{Asked, Body, Portal, PortalError};

/// A page, with what it took to get it.
pub(super) struct FetchedPage {
    pub(super) page: Page,
    pub(super) received_at: Timestamp,
    /// Bytes of its body and of its rows.
    pub(super) n_bytes: usize,
    pub(super) permit: Option<Room>,
    pub(super) tries: u32,
    pub(super) may_ask_again: bool,
}

/// Gets and decodes pages of one partition.
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
    /// One page. A body that is none is asked for again, since a proxy's error page or a cut answer passes.
    pub(super) async fn page(self, page: u32, mut asked: Asked) -> Result<FetchedPage, Error> {
        let is_ahead = asked.room.is_some();
        loop {
            let body = self.portal.get(self.path, page, asked).await;
            let body = body.map_err(|error| page_error(error, self.dataset, self.partition, page))?;
            let Body { bytes, received_at, tries, may_ask_again, mut permit } = body;
            match self.decoder.decode(page, &bytes) {
                Ok(decoded) => {
                    let row_bytes = decoded.batch.get_array_memory_size();
                    let n_bytes = bytes.len() + row_bytes;
                    drop(bytes);
                    let has_room = permit.as_mut().is_none_or(|room| room.try_hold(row_bytes));
                    if is_ahead && !has_room {
                        return Err(page_error(PortalError::Outgrown { tries }, self.dataset, self.partition, page));
                    }
                    return Ok(FetchedPage { page: decoded, received_at, n_bytes, permit, tries, may_ask_again });
                }
                Err(error @ Error::BadBody { .. }) if may_ask_again => {
                    tracing::warn!(partition = %self.partition, page, tries, error = error.chain(), "page asked for again");
                }
                Err(error) => return Err(error),
            }
            asked = Asked { tries, was_useful: false, room: permit.filter(|_| is_ahead) };
        }
    }
}
