//! The shell of `rollcall query`: one statement after the other, with history and completion.

mod commands;
mod input;
mod names;
mod statements;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use rollcall_adapters::folder::FolderStore;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::describe::describe;
use crate::exit::BadInput;
use crate::lake;
use crate::lake::args::LakeArgs;
use crate::output;
use crate::output::Format;
use crate::query::session::Session;
use crate::query::shell::commands::COMMANDS;
use crate::query::shell::input::{SqlInput, is_complete};
use crate::query::shell::names::Names;
use crate::query::shell::statements::Entered;
use crate::query::shipped::{self, find_sql};
use crate::rows::RowFormat;
use crate::tables;
use crate::{escape, exit};

const PROMPT: &str = "rollcall> ";
/// Prompt while a statement is unfinished.
const CONTINUED: &str = "     ...> ";

/// Reads statements from the terminal and runs them, until the end of input.
pub(super) async fn run(mut session: Session<'_>) -> anyhow::Result<ExitCode> {
    let store = session.store;
    output::print_note(&format!(
        "lake `{}`; end SQL with a semicolon; Tab completes, .help lists commands, Ctrl-D leaves",
        escape::visible(&store.root().display().to_string())
    ));
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<SqlInput, FileHistory> = Editor::with_config(config)?;
    let mut history = history_file();
    if let Some(file) = &history {
        // There is no folder and no file yet in the first session.
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = editor.load_history(file);
    }
    loop {
        // A catalog that cannot be read is reported by each query; its words are then not completed.
        let tables = lake::catalog(store).tables().await.unwrap_or_default();
        editor.set_helper(Some(SqlInput { names: Names::of(&tables), lines_before: String::new() }));
        let line = match tokio::task::block_in_place(|| read(&mut editor)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        editor.add_history_entry(line.as_str())?;
        if let Some(file) = &history
            && let Err(error) = editor.append_history(file)
        {
            output::print_message(&format!("warning: write `{}`: {error}", file.display()));
            history = None;
        }
        match line.trim().trim_end_matches(';').trim_end() {
            "" => {}
            ".quit" | ".exit" | "quit" | "exit" => break,
            command if command.starts_with(".format") => match format_of(command) {
                Ok(format) => session.view.format = format,
                Err(error) => drop(exit::report(&error.into())),
            },
            command if command.starts_with('.') => answer(run_command(command, store)).await,
            _ => answer(run_statements(&line, &session)).await,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads lines until they can be run.
///
/// The editor shows no prompt before the later lines of its own input, so each line is read by itself.
fn read(editor: &mut Editor<SqlInput, FileHistory>) -> rustyline::Result<String> {
    let mut input = editor.readline(PROMPT)?;
    while !is_complete(&input) {
        input.push('\n');
        if let Some(helper) = editor.helper_mut() {
            helper.lines_before.clone_from(&input);
        }
        input.push_str(&editor.readline(CONTINUED)?);
    }
    Ok(input)
}

/// Waits for an answer. Ctrl-C ends it, and not the shell. An error is printed.
async fn answer(answer: impl Future<Output = anyhow::Result<()>>) {
    tokio::select! {
        answered = answer => if let Err(error) = answered {
            exit::report(&error);
        },
        _ = tokio::signal::ctrl_c() => output::print_message("interrupted"),
    }
}

async fn run_command(command: &str, store: &FolderStore) -> anyhow::Result<()> {
    match command.split_once(char::is_whitespace).unwrap_or((command, "")) {
        (".help", _) => Ok(output::print(&help())?),
        (".queries", _) => Ok(output::print(&shipped::list())?),
        (".tables", _) => tables::list(store, Format::Table).await,
        (".describe", table) => describe(store, table.trim(), Format::Table).await,
        (other, _) => {
            let other = escape::visible(other);
            Err(BadInput(format!(
                "run `{other}`: expected a command, found another word\nhint: .help lists the commands"
            ))
            .into())
        }
    }
}

async fn run_statements(input: &str, session: &Session<'_>) -> anyhow::Result<()> {
    let lake = LakeArgs::of(session.store.root().to_path_buf());
    for statement in Entered::new(input).statements {
        session.print(&find_sql(statement, &lake)?).await?;
    }
    Ok(())
}

/// Returns the format that a command names.
fn format_of(command: &str) -> Result<RowFormat, BadInput> {
    let name = command.trim_start_matches(".format").trim();
    RowFormat::from_str(name, true).map_err(|_| {
        let formats = RowFormat::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let formats: Vec<String> = formats.map(|format| format.get_name().to_owned()).collect();
        BadInput(format!("run `.format`: expected {}, found `{}`", formats.join(", "), escape::visible(name)))
    })
}

fn help() -> String {
    COMMANDS.iter().map(|(name, what)| format!("{name:<10} {what}\n")).collect()
}

/// Returns the file that keeps what was entered; `None` if the user has no home folder.
fn history_file() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    Some(state.or_else(|| folder("LOCALAPPDATA"))?.join("rollcall").join("query_history"))
}
