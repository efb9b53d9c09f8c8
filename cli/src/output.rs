//! The only file that prints: data to stdout, messages to stderr.
//!
//! Messages, tables and JSON are printed without terminal control characters; data keeps them if
//! stdout is a file or a pipe.
//! Callers that build a line for [`print()`] must first pass outside text through [`visible`](crate::escape::visible).

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::escape::{escaped, is_control_in_lines, json_text, message_text};
use crate::progress;

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

/// Prints data, unchanged if stdout is a file or a pipe, and escaped as by [`print()`] if it is a terminal.
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

/// Prints a value as indented JSON to stdout.
pub(crate) fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&json_text(serde_json::to_string_pretty(value)?))?;
    Ok(())
}

/// Prints a human-readable message to stderr, without disturbing a progress bar.
pub(crate) fn print_message(text: &str) {
    progress::suspend_bars(|| {
        // If stderr is closed, there is nowhere left to report the error.
        let _ = writeln!(io::stderr().lock(), "{}", message_text(text));
    });
}
