//! Progress bars, shown only if stderr is a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    MultiProgress::with_draw_target(target)
});

/// Runs `write`, which prints to stderr, with the bars hidden for its duration.
pub(crate) fn suspend_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Stderr for the log: writes without disturbing a bar.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        suspend_bars(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Progress of a run on this machine: partitions done, pages received, time left.
pub(crate) struct RunBar {
    bar: ProgressBar,
    n_pages: AtomicU64,
    size_bytes: AtomicU64,
}

impl RunBar {
    /// Shows a bar for `n_partitions`.
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

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Counts one more page, of `size_bytes`.
    pub(crate) fn page_received(&self, size_bytes: usize) {
        let n_pages = self.n_pages.fetch_add(1, Ordering::Relaxed) + 1;
        let size_bytes = size_bytes as u64;
        let size_bytes = self.size_bytes.fetch_add(size_bytes, Ordering::Relaxed) + size_bytes;
        self.bar.set_message(format!("{n_pages} pages, {}", crate::words::size(size_bytes)));
    }
}

/// Progress of a run on AWS: partitions done, partitions failed, time left.
#[cfg(feature = "aws")]
pub(crate) struct ExecutionBar {
    bar: ProgressBar,
}

#[cfg(feature = "aws")]
impl ExecutionBar {
    /// Shows a spinner while the execution is planning.
    pub(crate) fn new() -> Self {
        let bar = BARS.add(ProgressBar::new_spinner());
        bar.set_message("planning");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Updates the bar.
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
    /// Removes the bar.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} partitions  {msg}  {elapsed} elapsed, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
