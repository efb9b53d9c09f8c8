//! The portal that a run uses: it counts pages, records that the portal can be reached, and stops with the run.

use bytes::Bytes;
use rollcall_core::cost::Metered;
use rollcall_core::memory::{Memory, Room};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading, Response};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::progress::RunProgress;
use crate::run::reachability::SharedReachability;

/// The portal for one partition of a run.
///
/// It counts pages in the run's progress, records its first response as proof that the portal can be reached, and fails
/// every request once the run is told to stop.
pub(crate) struct RunPortal<'r, P> {
    pub(crate) portal: P,
    pub(crate) partition: &'r PartitionKey,
    pub(crate) progress: &'r RunProgress,
    pub(crate) reachability: &'r SharedReachability,
    pub(crate) stop: &'r CancellationToken,
}

impl<P: Portal> Portal for RunPortal<'_, P> {
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
        let response = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(PortalError::Interrupted),
            response = self.portal.get(path, page, request, read) => response,
        };
        if !response.as_ref().is_err_and(PortalError::is_unreachable) {
            self.reachability.set_reached();
        }
        let response = response?;
        self.progress.received(self.partition, response.size_bytes);
        Ok(response)
    }

    fn page_memory(&self) -> Memory {
        self.portal.page_memory()
    }

    fn partition_memory(&self) -> Memory {
        self.portal.partition_memory()
    }

    fn metered(&self) -> Metered {
        self.portal.metered()
    }

    fn expect_pages(&self, n_pages: u32) {
        self.progress.state().pages_known(self.partition, n_pages);
    }

    fn skip_page(&self) {
        self.progress.state().skipped(self.partition);
    }

    async fn hold(&self, room: &mut Room, n_bytes: usize) -> Result<(), PortalError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(PortalError::Interrupted),
            held = self.portal.hold(room, n_bytes) => held,
        }
    }
}
