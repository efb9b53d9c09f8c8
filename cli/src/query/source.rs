//! Where the SQL of `rollcall query` comes from.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use crate::escape::visible;
use crate::exit::BadInput;
use crate::query::shipped::find_sql;

/// What `rollcall query` is to do.
pub(super) enum Source {
    Sql(String),
    /// Read one statement after the other from the terminal.
    Shell,
    /// List the shipped queries.
    List,
}

impl Source {
    /// Reads the SQL from the argument, a file or stdin.
    ///
    /// Without an argument or a file, it is read from stdin; if that is a terminal, a shell opens; if it is empty, the
    /// shipped queries are listed.
    pub(super) fn of(query: Option<&str>, file: Option<&Path>) -> Result<Self, BadInput> {
        match (query, file) {
            (Some("-"), _) => Ok(Self::Sql(non_empty(stdin()?, "stdin")?)),
            (Some(query), _) => Ok(Self::Sql(find_sql(query)?)),
            (None, Some(file)) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| BadInput(format!("read `{name}`: {error}")))?;
                Ok(Self::Sql(non_empty(text, &name)?))
            }
            (None, None) if io::stdin().is_terminal() && io::stdout().is_terminal() => Ok(Self::Shell),
            (None, None) if io::stdin().is_terminal() => Ok(Self::List),
            (None, None) => {
                let sql = stdin()?;
                Ok(if sql.trim().is_empty() { Self::List } else { Self::Sql(sql) })
            }
        }
    }
}

fn stdin() -> Result<String, BadInput> {
    let mut sql = String::new();
    let read = io::stdin().lock().read_to_string(&mut sql);
    read.map_err(|error| BadInput(format!("read stdin: expected SQL: {error}")))?;
    Ok(sql)
}

fn non_empty(sql: String, from: &str) -> Result<String, BadInput> {
    // Some editors put a mark before the text.
    let sql = sql.strip_prefix('\u{feff}').map_or(sql.clone(), str::to_owned);
    if sql.trim().is_empty() {
        return Err(BadInput(format!("read `{}`: expected SQL, found nothing", visible(from))));
    }
    Ok(sql)
}
