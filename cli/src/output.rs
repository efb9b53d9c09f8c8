//! The only file that prints: data to stdout, messages to stderr.
//!
//! Messages, tables and JSON are printed without terminal control characters; data keeps them if
//! stdout is a file or a pipe.
//! Callers that build a line for [`print()`] must first pass outside text through [`visible`](crate::escape::visible).

mod screen;

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use serde::Serialize;
use terminal_size::{Height, Width, terminal_size_of};

use crate::bars;
use crate::escape::{escaped, is_control_in_lines, json_text, message_text};

/// Output format of most commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Prints lines, tables or JSON to stdout. Ignores a closed pipe, as in `| head`.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_out(&escaped(text, is_control_in_lines))
}

/// Prints lines or a table, through the user's pager if stdout is a terminal that is not high enough for all of it.
///
/// The pager is the variable `PAGER`, or `less`; an empty one means none.
pub(crate) fn print_long(text: &str) -> io::Result<()> {
    let text = escaped(text, is_control_in_lines);
    let height = terminal_size_of(io::stdout()).map(|(_, height)| usize::from(height.0));
    let is_long = height.is_some_and(|height| text.lines().count() >= height);
    let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    if is_long && composed().is_none() && io::stdout().is_terminal() && !pager.trim().is_empty() && page(&pager, &text)
    {
        return Ok(());
    }
    write_out(&text)
}

/// Shows text in a pager. Returns whether that worked.
fn page(pager: &str, text: &str) -> bool {
    // Ctrl-C is for the pager, which goes on; this process ends with it.
    #[cfg(unix)]
    let _ignored = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let mut command = if cfg!(unix) { Command::new("sh") } else { Command::new("cmd") };
    command.args([if cfg!(unix) { "-c" } else { "/C" }, pager]).stdin(Stdio::piped());
    // As git does: ends by itself if everything fits, and leaves the text on the screen.
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let Ok(mut pager) = command.spawn() else { return false };
    if let Some(mut stdin) = pager.stdin.take() {
        // The user may leave before all of it is read.
        let _ = stdin.write_all(text.as_bytes());
    }
    pager.wait().is_ok_and(|status| status.success())
}

/// Prints data, unchanged if stdout is a file or a pipe, and escaped as by [`print()`] if it is a terminal.
pub(crate) fn print_data(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { print(text) } else { write_out(text) }
}

fn write_out(text: &str) -> io::Result<()> {
    let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    if let Some(composed) = composed().as_mut() {
        composed.extend([text, end]);
        return Ok(());
    }
    let mut stdout = DataOut::default();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(end.as_bytes())
}

/// Returns an error that says what could not be written.
pub(crate) fn write_error(error: &io::Error) -> io::Error {
    let cause = error.to_string();
    let cause = cause.split(" (os error").next().unwrap_or_default().to_lowercase();
    io::Error::new(error.kind(), format!("write the result to standard output: {cause}"))
}

/// Stdout for data that is printed piece by piece; clones share what became of it. After the reader of a pipe is gone, as in
/// `| head`, writes have no effect.
#[derive(Debug, Clone, Default)]
pub(crate) struct DataOut {
    has_printed: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
}

impl DataOut {
    /// Checks whether anything was printed.
    pub(crate) fn has_printed(&self) -> bool {
        self.has_printed.load(Ordering::Relaxed)
    }

    /// Checks whether the reader is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

impl Write for DataOut {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if !data.is_empty() && !self.is_closed() {
            self.has_printed.store(true, Ordering::Relaxed);
            let mut stdout = io::stdout().lock();
            match stdout.write_all(data).and_then(|()| stdout.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.is_closed.store(true, Ordering::Relaxed);
                }
                result => result.map_err(|error| write_error(&error))?,
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was printed since [`compose`], which is not shown yet; `None` if everything is shown at once.
static COMPOSED: Mutex<Option<String>> = Mutex::new(None);

fn composed() -> MutexGuard<'static, Option<String>> {
    COMPOSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what is printed from now on, messages included, for [`end_composing`].
pub(crate) fn compose() {
    *composed() = Some(String::new());
}

/// Returns what was printed since [`compose`]. What follows is shown at once again.
pub(crate) fn end_composing() -> String {
    composed().take().unwrap_or_default()
}

/// Shows text on the terminal that stdout is, from its upper left corner, in place of what is there. What does not fit is
/// only counted, so that nothing scrolls.
///
/// - `more`: what to do to see the rest.
pub(crate) fn show_screen(text: &str, more: &str) -> io::Result<()> {
    let size = terminal_size_of(io::stdout());
    let height = size.map_or(usize::MAX, |(_, Height(height))| usize::from(height));
    DataOut::default().write_all(screen::drawing(text, more, terminal_width(size), height).as_bytes())
}

/// Returns the size of the terminal that stdout is, in cells of a line and lines; `None` if it is a file or a pipe.
pub(crate) fn screen_size() -> Option<(usize, usize)> {
    /// Lines of a terminal that does not say how many it has.
    const DEFAULT: usize = 24;
    let size = terminal_size_of(io::stdout());
    let n_lines = size.map(|(_, height)| usize::from(height.0)).filter(|n_lines| *n_lines > 0);
    io::stdout().is_terminal().then(|| (terminal_width(size), n_lines.unwrap_or(DEFAULT)))
}

/// Returns the width of a terminal in cells, also if it does not say its own.
pub(crate) fn terminal_width(size: Option<(Width, Height)>) -> usize {
    /// Width of a terminal that does not say its own.
    const DEFAULT: usize = 80;
    size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0).unwrap_or(DEFAULT)
}

/// Returns the width of lines of prose in cells: that of the terminal or else `COLUMNS`, but at most 100; 80 by default.
pub(crate) fn text_width() -> usize {
    const DEFAULT: usize = 80;
    const MAX: usize = 100;
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    screen_size().map(|(width, _)| width).or_else(variable).unwrap_or(DEFAULT).min(MAX)
}

/// Prints a value as indented JSON to stdout.
pub(crate) fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&json_text(serde_json::to_string_pretty(value)?))?;
    Ok(())
}

/// Whether only results, warnings and errors are printed.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Prints neither progress nor notes from now on.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Checks whether neither progress nor notes are printed.
pub(crate) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Prints a note to stderr: what a user may want to know, but need not act on.
pub(crate) fn print_note(text: &str) {
    if !is_quiet() {
        print_message(&format!("note: {text}"));
    }
}

/// Prints a human-readable message to stderr, without disturbing a progress bar.
pub(crate) fn print_message(text: &str) {
    let text = message_text(text);
    if let Some(composed) = composed().as_mut() {
        composed.extend([&text, "\n"]);
        return;
    }
    bars::suspend_bars(|| {
        // If stderr is closed, there is nowhere left to report the error.
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}
