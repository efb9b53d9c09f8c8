//! Progress bars on a terminal; nothing when stderr is piped.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rollcall_core::memory::{Memory, Room};
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading, Response};
use tokio_util::sync::CancellationToken;
use url::Url;

static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    MultiProgress::with_draw_target(target)
});

/// Runs `write`, which prints to stderr, without tearing a bar.
pub(crate) fn beside_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Stderr as a log writes to it, beside any bar.
pub(crate) struct StderrBesideBars;

impl Write for StderrBesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        beside_bars(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The bar of a run: partitions done, pages received, time left.
pub(crate) struct RunBar {
    bar: ProgressBar,
    n_pages: AtomicU64,
    size_bytes: AtomicU64,
}

impl RunBar {
    /// A bar over `n_partitions`.
    pub(crate) fn new(n_partitions: usize) -> Self {
        let bar = BARS.add(ProgressBar::new(n_partitions as u64));
        bar.set_style(style());
        bar.set_message("0 pages");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, n_pages: AtomicU64::new(0), size_bytes: AtomicU64::new(0) }
    }

    /// Counts one more partition done.
    pub(crate) fn partition_done(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn page_received(&self, size_bytes: usize) {
        let n_pages = self.n_pages.fetch_add(1, Ordering::Relaxed) + 1;
        let size_bytes = size_bytes as u64;
        let size_bytes = self.size_bytes.fetch_add(size_bytes, Ordering::Relaxed) + size_bytes;
        self.bar.set_message(format!("{n_pages} pages, {}", crate::output::size(size_bytes)));
    }
}

/// The bar of a run on AWS: partitions done, failed, time left.
#[cfg(feature = "aws")]
pub(crate) struct ExecutionBar {
    bar: ProgressBar,
}

#[cfg(feature = "aws")]
impl ExecutionBar {
    /// A bar of an execution that plans.
    pub(crate) fn new() -> Self {
        let bar = BARS.add(ProgressBar::new_spinner());
        bar.set_message("planning");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Shows how far it is.
    pub(crate) fn show(&self, counts: rollcall_aws::execution::Counts) {
        if self.bar.length().is_none() {
            self.bar.set_style(style());
        }
        self.bar.set_length(counts.n_planned);
        self.bar.set_position(counts.n_done);
        self.bar.set_message(match counts {
            _ if counts.n_planned == 0 => "planning".to_owned(),
            _ if counts.n_done == counts.n_planned => "publishing".to_owned(),
            _ => format!("{} failed", counts.n_failed),
        });
    }
}

#[cfg(feature = "aws")]
impl Drop for ExecutionBar {
    /// Takes the bar away.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} partitions  {msg}  {elapsed} elapsed, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The portal of a run: it counts pages on the run's bar, and gives none any more once the run is asked to end.
pub(crate) struct RunPortal<'r, P> {
    pub(crate) portal: P,
    pub(crate) bar: &'r RunBar,
    pub(crate) stop: &'r CancellationToken,
}

impl<P: Portal> Portal for RunPortal<'_, P> {
    fn root(&self) -> &Url {
        self.portal.root()
    }

    async fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
    ) -> Result<Response<T>, PortalError> {
        let response = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(PortalError::Interrupted),
            response = self.portal.get(path, page, request, read) => response?,
        };
        self.bar.page_received(response.size_bytes);
        Ok(response)
    }

    fn page_memory(&self) -> Memory {
        self.portal.page_memory()
    }

    fn partition_memory(&self) -> Memory {
        self.portal.partition_memory()
    }

    async fn hold(&self, room: &mut Room, n_bytes: usize) -> Result<(), PortalError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(PortalError::Interrupted),
            held = self.portal.hold(room, n_bytes) => held,
        }
    }
}
