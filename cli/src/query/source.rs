//! Where the SQL of `rollcall query` comes from.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use crate::escape::visible;
use crate::exit::BadInput;
use crate::lake::args::LakeArgs;
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
    pub(super) fn of(query: Option<&str>, file: Option<&Path>, lake: &LakeArgs) -> Result<Self, BadInput> {
        match (query, file) {
            (Some("-"), _) => Ok(Self::Sql(find_sql(&non_empty(&stdin()?, "stdin")?, lake)?)),
            (Some(query), _) => Ok(Self::Sql(find_sql(query, lake)?)),
            (None, Some(file)) if file.as_os_str() == "-" => Self::of(Some("-"), None, lake),
            (None, Some(file)) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| BadInput(format!("read `{name}`: {error}")))?;
                Ok(Self::Sql(non_empty(&text, &name)?))
            }
            (None, None) if io::stdin().is_terminal() && io::stdout().is_terminal() => Ok(Self::Shell),
            (None, None) if io::stdin().is_terminal() => Ok(Self::List),
            (None, None) => {
                let sql = stdin()?;
                let sql = without_mark(&sql);
                Ok(if sql.trim().is_empty() { Self::List } else { Self::Sql(find_sql(sql, lake)?) })
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

fn non_empty(sql: &str, from: &str) -> Result<String, BadInput> {
    let sql = without_mark(sql);
    if sql.trim().is_empty() {
        return Err(BadInput(format!("read `{}`: expected SQL, found nothing", visible(from))));
    }
    Ok(sql.to_owned())
}

/// Returns text without the byte order mark that some editors put before it.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}
