//! A page on its way into the lake.

use std::io;

use async_lock::SemaphoreGuard;
use bytes::Bytes;
use jiff::Timestamp;

/// Returns the compressed body of a page.
pub(in crate::fetch) type Compress = Box<dyn FnOnce() -> io::Result<Bytes> + Send>;

/// A page that is to be kept.
pub(in crate::fetch) struct ToKeep<'k> {
    pub(in crate::fetch) page: u32,
    pub(in crate::fetch) received_at: Timestamp,
    pub(in crate::fetch) compress: Compress,
    /// Held until the page is written, which limits how many are not.
    pub(in crate::fetch) slot: Option<SemaphoreGuard<'k>>,
}
