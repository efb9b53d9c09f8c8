//! The progress bars on stderr, and how other text is written without disturbing them.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressDrawTarget};

pub(crate) static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    MultiProgress::with_draw_target(target)
});

/// Returns whether stderr is a terminal on which bars can be drawn. A file, a pipe and a dumb terminal are none.
pub(crate) fn are_drawn() -> bool {
    !BARS.is_hidden()
}

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

/// Keeps the terminal from showing `^C` when Ctrl-C is pressed: that would move what is drawn, and leave a part of it behind.
/// Dropping it undoes that.
pub(crate) struct HiddenInterrupt {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl HiddenInterrupt {
    pub(crate) fn new() -> Self {
        #[cfg(unix)]
        {
            let before = rustix::termios::tcgetattr(io::stderr()).ok();
            if let Some(mut hidden) = before.clone() {
                hidden.local_modes.remove(rustix::termios::LocalModes::ECHOCTL);
                set_mode(&hidden);
            }
            Self { before }
        }
        #[cfg(not(unix))]
        Self {}
    }
}

#[cfg(unix)]
impl Drop for HiddenInterrupt {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            set_mode(before);
        }
    }
}

/// Sets the mode of the terminal that stderr is. A process in the background would be stopped for that, and leaves it.
#[cfg(unix)]
fn set_mode(mode: &rustix::termios::Termios) {
    use rustix::termios::{OptionalActions, tcgetpgrp, tcsetattr};
    if tcgetpgrp(io::stderr()).is_ok_and(|group| group == rustix::process::getpgrp()) {
        // A terminal that refuses shows what it showed before.
        let _ = tcsetattr(io::stderr(), OptionalActions::Now, mode);
    }
}
