//! The only file that prints: data to stdout, messages to stderr.
//!
//! Messages, tables and JSON never contain what a terminal would obey; data does so only in a file or a pipe. What else is
//! printed consists of lines of ours, and its parts that come from outside are made [`visible`](crate::escape::visible) first.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::escape::{escaped, is_obeyed_in_lines, json_text, message};
use crate::progress;

/// How facts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For machines.
    Json,
}

/// Prints words, tables and JSON, of which every line is ours. A reader that has gone away (`| head`) is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_out(&escaped(text, is_obeyed_in_lines))
}

/// Prints data as it is into a file or a pipe; on a terminal as [`print()`] does.
pub(crate) fn print_data(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { print(text) } else { write_out(text) }
}

fn write_out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let result = stdout
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') || text.is_empty() { Ok(()) } else { stdout.write_all(b"\n") });
    match result.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints facts as JSON.
pub(crate) fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&json_text(serde_json::to_string_pretty(value)?))?;
    Ok(())
}

/// Tells people something, beside any progress bar.
pub(crate) fn complain(text: &str) {
    progress::beside_bars(|| {
        // There is nowhere left to report a stderr that is closed.
        let _ = writeln!(io::stderr().lock(), "{}", message(text));
    });
}
