//! What the shell's line editor knows of SQL: where a statement ends, and which words there are.

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use crate::query::shell::commands::COMMANDS;
use crate::query::shell::names::Names;
use crate::query::shell::statements::Entered;
use crate::query::shipped::SHIPPED;

/// The line editor's helper.
#[derive(Debug, Default)]
pub(super) struct SqlInput {
    pub(super) names: Names,
    /// The lines before the one that is edited.
    pub(super) lines_before: String,
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
        let qualifier = before.get(..start).and_then(|before| before.strip_suffix('.')).map(|before| {
            let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).map_or(0, |i| i + 1);
            before.get(start..).unwrap_or_default()
        });
        Ok((
            start,
            match qualifier {
                Some(qualifier) => self.names.within(qualifier, word, &format!("{}\n{line}", self.lines_before)),
                None if word.is_empty() => Vec::new(),
                None => self.names.starting(word),
            },
        ))
    }
}

impl Validator for SqlInput {}

/// Checks whether the input can be run: SQL that ends with a semicolon, a command, or the name of a shipped query.
pub(super) fn is_complete(input: &str) -> bool {
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
        let input = SqlInput::default();
        let history = MemHistory::new();
        let complete = |line: &str| input.complete(line, line.len(), &Context::new(&history)).unwrap();
        assert_eq!(complete(".d"), (0, vec![".describe".to_owned()]));
        assert_eq!(complete("select "), (7, vec![]));
        let input = SqlInput { names: Names::of(&[]), lines_before: String::new() };
        let complete = |line: &str, at| input.complete(line, at, &Context::new(&history)).unwrap();
        assert_eq!(complete("se", 2), (0, vec!["select".to_owned()]));
        assert_eq!(complete("x COAL", 6), (2, vec!["coalesce".to_owned()]));
        // Only what is before the cursor counts.
        assert_eq!(complete("selx", 3), (0, vec!["select".to_owned()]));
        // Keywords do not follow a dot.
        assert_eq!(complete("t.se", 4), (2, vec![]));
    }
}
