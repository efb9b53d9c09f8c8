//! What the shell's line editor knows of SQL: where a statement ends, and which words there are.

use std::collections::BTreeSet;

use rollcall_adapters::file_catalog::CatalogTable;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::query::shell::commands::COMMANDS;
use crate::query::shell::statements::Entered;
use crate::query::shipped::SHIPPED;

/// Keywords that are completed.
const KEYWORDS: [&str; 40] = [
    "select",
    "from",
    "where",
    "group by",
    "order by",
    "having",
    "limit",
    "offset",
    "join",
    "left join",
    "using",
    "on",
    "and",
    "or",
    "not",
    "in",
    "is null",
    "is not null",
    "between",
    "like",
    "case",
    "when",
    "then",
    "else",
    "end",
    "as",
    "with",
    "union all",
    "distinct",
    "desc",
    "asc",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "round",
    "coalesce",
    "cast",
    "show tables",
];

/// Words that are completed.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeSet<String>);

impl Words {
    /// Returns keywords, the shipped queries, and the names of tables, views and columns.
    pub(super) fn of(tables: &[CatalogTable]) -> Self {
        let mut words: BTreeSet<String> = KEYWORDS.into_iter().map(str::to_owned).collect();
        words.extend(SHIPPED.iter().map(|shipped| shipped.name.to_owned()));
        for table in tables {
            words.extend(table.names().map(str::to_owned));
            words.extend(table.partition_keys.iter().chain(&table.columns).map(|column| column.name.clone()));
        }
        Self(words)
    }

    /// Returns the words that start as `start` does, whatever its case.
    fn starting(&self, start: &str) -> Vec<String> {
        let start = start.to_lowercase();
        self.0.iter().filter(|word| word.starts_with(&start)).cloned().collect()
    }
}

/// The line editor's helper.
#[derive(Debug, Default)]
pub(super) struct SqlInput {
    pub(super) words: Words,
}

impl Helper for SqlInput {}

impl Highlighter for SqlInput {}

impl Hinter for SqlInput {
    type Hint = String;
}

impl Completer for SqlInput {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or_default();
        if before.starts_with('.') && !before.contains(char::is_whitespace) {
            let commands = COMMANDS.iter().map(|(name, _)| (*name).to_owned());
            return Ok((0, commands.filter(|name| name.starts_with(before)).collect()));
        }
        let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |i| i + 1);
        let word = before.get(start..).unwrap_or_default();
        Ok((start, if word.is_empty() { Vec::new() } else { self.words.starting(word) }))
    }
}

impl Validator for SqlInput {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let is_complete = is_complete(context.input());
        Ok(if is_complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Checks whether the input can be run: SQL that ends with a semicolon, a command, or the name of a shipped query.
fn is_complete(input: &str) -> bool {
    let input = input.trim();
    let is_named = ["quit", "exit"].contains(&input) || SHIPPED.iter().any(|shipped| shipped.name == input);
    input.is_empty() || input.starts_with('.') || is_named || Entered::new(input).is_complete
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustyline::history::MemHistory;

    #[test]
    fn a_statement_ends_with_a_semicolon() {
        for complete in
            ["select 1;", "select\n 1 ; ", "select 1; -- x", ".tables", ".describe x", "top_ten_pk_states", ""]
        {
            assert!(is_complete(complete), "{complete}");
        }
        for incomplete in ["select 1", "select 'a;", "-- a;", "top_ten"] {
            assert!(!is_complete(incomplete), "{incomplete}");
        }
    }

    #[test]
    fn words_are_completed_at_the_cursor() {
        let words = ["enrollment", "enrollment_labeled", "select"].map(str::to_owned);
        let input = SqlInput { words: Words(words.into()) };
        let history = MemHistory::new();
        let complete = |line: &str| input.complete(line, line.len(), &Context::new(&history)).unwrap();
        assert_eq!(complete("select sum(ENR"), (11, vec!["enrollment".to_owned(), "enrollment_labeled".to_owned()]));
        assert_eq!(complete("se"), (0, vec!["select".to_owned()]));
        assert_eq!(complete("select "), (7, vec![]));
        assert_eq!(complete(".d"), (0, vec![".describe".to_owned()]));
        assert_eq!(complete(".describe enrollment_"), (10, vec!["enrollment_labeled".to_owned()]));
        // Only what is before the cursor counts.
        assert_eq!(input.complete("selx", 3, &Context::new(&history)).unwrap(), (0, vec!["select".to_owned()]));
    }
}
