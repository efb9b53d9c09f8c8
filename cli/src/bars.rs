//! The progress bars on stderr, and how other text is written without disturbing them.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressDrawTarget};

pub(crate) static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
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
        // A log that cannot be written must not stop what it tells of. The subscriber would report it to stderr too, and panic.
        Ok(suspend_bars(|| io::stderr().write(bytes)).unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

/// Hides the bars before the process ends abruptly.
pub(crate) fn clear() {
    // If stderr is closed, there is nothing to hide.
    let _ = BARS.clear();
}
