//! The shell of `rollcall query`: one statement after the other, with history and completion.

mod commands;
mod input;

use std::path::PathBuf;
use std::process::ExitCode;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::describe::describe;
use crate::lake;
use crate::output;
use crate::output::Format;
use crate::query::session::Session;
use crate::query::shell::commands::COMMANDS;
use crate::query::shell::input::{SqlInput, Words};
use crate::query::shipped::{self, find_sql};
use crate::tables;
use crate::{escape, exit};

/// Reads statements from the terminal and runs them, until the end of input.
pub(super) async fn run(session: &Session<'_>) -> anyhow::Result<ExitCode> {
    let store = session.store;
    output::print_message(&format!(
        "lake `{}`; end SQL with a semicolon; Tab completes, .help lists commands, Ctrl-D leaves",
        escape::visible(&store.root().display().to_string())
    ));
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor: Editor<SqlInput, FileHistory> = Editor::with_config(config)?;
    let history = history_file();
    if let Some(history) = &history {
        // There is none yet in the first session.
        let _ = editor.load_history(history);
    }
    loop {
        let tables = lake::catalog(store).tables().await?;
        editor.set_helper(Some(SqlInput { words: Words::of(&tables) }));
        match tokio::task::block_in_place(|| editor.readline("rollcall> ")) {
            Ok(line) => match line.trim() {
                "" => {}
                ".quit" | ".exit" => break,
                statement => answer(statement, session).await,
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(history) = &history {
        let saved = history.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(ReadlineError::from);
        if let Err(error) = saved.and_then(|()| editor.save_history(history)) {
            output::print_message(&format!("warning: write `{}`: {error}", history.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command or a statement. Ctrl-C ends it, and not the shell. An error is printed.
async fn answer(statement: &str, session: &Session<'_>) {
    let store = session.store;
    let answered = async {
        match statement.split_once(char::is_whitespace).unwrap_or((statement, "")) {
            (".help", _) => Ok(output::print(&help())?),
            (".queries", _) => Ok(output::print(&shipped::list())?),
            (".tables", _) => tables::list(store, Format::Table).await,
            (".describe", table) => describe(store, table.trim(), Format::Table).await,
            _ => {
                for statement in statements(statement) {
                    session.print(&find_sql(statement)?).await?;
                }
                Ok(())
            }
        }
    };
    tokio::select! {
        answered = answered => if let Err(error) = answered {
            exit::report(&error);
        },
        _ = tokio::signal::ctrl_c() => output::print_message("interrupted"),
    }
}

/// Splits input into its statements, without the semicolons between them. Input that is no SQL is one statement.
fn statements(input: &str) -> Vec<&str> {
    let tokens = Tokenizer::new(&GenericDialect {}, input).tokenize_with_location().unwrap_or_default();
    let ends = tokens.iter().filter(|token| token.token == Token::SemiColon).map(|token| token.span.start);
    let ends = ends.filter_map(|end| byte_of(input, end)).chain([input.len()]);
    let statements = ends.scan(0, |start, end| {
        let statement = input.get(*start..end).unwrap_or_default().trim();
        *start = end + 1;
        Some(statement)
    });
    statements.filter(|statement| !statement.is_empty()).collect()
}

/// Returns the position of a place in text, in bytes.
fn byte_of(text: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let start = if line == 0 { 0 } else { text.match_indices('\n').nth(line - 1)?.0 + 1 };
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let (offset, _) = text.get(start..)?.char_indices().nth(column)?;
    Some(start + offset)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_split_at_semicolons_between_statements() {
        for (input, expected) in [
            ("select 1;", &["select 1"][..]),
            (
                "select ';' as a;\nselect 2 -- ; no\n, 'é;' as b; ;",
                &["select ';' as a", "select 2 -- ; no\n, 'é;' as b"],
            ),
            ("top_ten_pk_states", &["top_ten_pk_states"]),
            ("select 'abc", &["select 'abc"]),
            (";", &[]),
        ] {
            assert_eq!(statements(input), expected);
        }
    }
}
