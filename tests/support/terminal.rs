//! The real binary on a terminal of its own.

use std::process::{Command, Stdio};

use crate::{Outcome, binary, python, workspace};

/// Runs the binary on a terminal of `columns` cells. The outcome's stdout is everything that the terminal shows, with line
/// feeds as line ends.
///
/// - `typed`: what is typed, each item once one of the shell's prompts has appeared again.
#[must_use]
pub fn on_terminal(columns: u16, typed: &[&str], args: &[&str]) -> Outcome {
    on_terminal_after("> \r", columns, typed, args)
}

/// Same as [`on_terminal`], but types each item once `prompt` has appeared again.
#[must_use]
pub fn on_terminal_after(prompt: &str, columns: u16, typed: &[&str], args: &[&str]) -> Outcome {
    on_terminal_of("xterm", prompt, columns, typed, args)
}

/// Runs the binary on a terminal of 80 cells that can neither move its cursor nor clear a line.
#[must_use]
pub fn on_dumb_terminal(args: &[&str]) -> Outcome {
    on_terminal_of("dumb", "", 80, &[], args)
}

fn on_terminal_of(kind: &str, prompt: &str, columns: u16, typed: &[&str], args: &[&str]) -> Outcome {
    let typed = serde_json::json!(typed).to_string();
    let mut command = Command::new(python());
    command.arg(workspace().join("tests/support/terminal.py")).args([&columns.to_string(), prompt, &typed]);
    command.arg(binary()).args(args).stdin(Stdio::null());
    command.env_remove("ROLLCALL_LAKE").env_remove("ROLLCALL_LOG").env("TERM", kind);
    // A pager would wait for a key.
    command.env("PAGER", "");
    // The shell's history stays out of the user's home.
    let home = tempfile::tempdir().expect("a temporary folder can be created");
    command.env("XDG_STATE_HOME", home.path());
    let mut outcome = Outcome::from_output(command.output().expect("Python starts"));
    outcome.stdout = outcome.stdout.replace("\r\n", "\n");
    outcome
}
