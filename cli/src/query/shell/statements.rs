//! Splits what is entered into statements.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

/// What was entered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entered<'i> {
    /// Statements, without the semicolons between them, and without comments that stand alone.
    pub(super) statements: Vec<&'i str>,
    /// Whether the last one ends with a semicolon.
    pub(super) is_complete: bool,
}

impl<'i> Entered<'i> {
    /// Splits input at the semicolons between statements. An open quote or comment makes it incomplete.
    pub(super) fn new(input: &'i str) -> Self {
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, input).tokenize_with_location() else {
            return Self { statements: vec![input], is_complete: false };
        };
        let (mut statements, mut start, mut has_words) = (Vec::new(), 0, false);
        for token in tokens {
            match token.token {
                Token::SemiColon => {
                    let end = byte_of(input, token.span.start).unwrap_or(input.len());
                    if has_words {
                        statements.extend(input.get(start..end).map(str::trim));
                    }
                    (start, has_words) = (end + 1, false);
                }
                Token::Whitespace(_) => {}
                _ => has_words = true,
            }
        }
        let is_complete = !has_words && start > 0;
        if has_words {
            statements.extend(input.get(start..).map(str::trim));
        }
        Self { statements, is_complete }
    }
}

/// Returns the position of a place in text, in bytes.
fn byte_of(text: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let start = if line == 0 { 0 } else { text.match_indices('\n').nth(line - 1)?.0 + 1 };
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let (offset, _) = text.get(start..)?.char_indices().nth(column)?;
    Some(start + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_split_at_semicolons_between_statements() {
        for (input, expected, is_complete) in [
            ("select 1;", &["select 1"][..], true),
            (
                "select ';' as a;\nselect 2 -- ; no\n, 'é;' as b; ;",
                &["select ';' as a", "select 2 -- ; no\n, 'é;' as b"],
                true,
            ),
            ("select 1; -- done", &["select 1"], true),
            ("select 1;\n/* and; */ ", &["select 1"], true),
            ("select 1", &["select 1"], false),
            ("select 1; select", &["select 1", "select"], false),
            ("-- only;", &[], false),
            ("select 'a;", &["select 'a;"], false),
            ("select 1 /* a;", &["select 1 /* a;"], false),
            (";", &[], true),
        ] {
            assert_eq!(Entered::new(input), Entered { statements: expected.to_vec(), is_complete }, "{input}");
        }
    }
}
