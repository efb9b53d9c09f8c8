//! Parses a descriptor from TOML.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::dataset::Dataset;
use crate::dataset::check::line_at;
use crate::dataset::words::{expected, hint, hint_of_place};
use crate::error::Error;
use crate::text::excerpt;

impl Dataset {
    /// Parses and validates a descriptor.
    ///
    /// # Errors
    /// [`Error::InvalidDescriptor`] with the line and key of a value that does not parse, or with every broken rule.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let invalid = |mistakes| Error::InvalidDescriptor { file: file.to_owned(), mistakes };
        let dataset: Self = toml::from_str(text).map_err(|error| invalid(vec![describe(text, &error)]))?;
        let mistakes = dataset.mistakes(text);
        if mistakes.len() == 0 { Ok(dataset) } else { Err(invalid(mistakes.into_messages())) }
    }
}

/// Describes a parse error with its line: one of TOML's syntax as the parser does, any other in the words of the rules.
fn describe(text: &str, error: &toml::de::Error) -> String {
    const LIMIT: usize = 500;
    let message: String = error.message().replace('\n', ", ").chars().take(LIMIT).collect();
    let Some(span) = error.span() else { return message };
    let line = line_at(text, span.start);
    let file = DeTable::parse(text).ok();
    let mut place = Place::default();
    let is_found = file.as_ref().is_some_and(|file| place.find(file.get_ref(), &span));
    if is_found {
        return format!("line {line}, {}", in_words(text, place, &message, &span));
    } else if file.is_some() && message.starts_with("missing field") {
        // A key that the whole file lacks has no line.
        return in_words(text, place, &message, &span);
    }
    let is_header = |name: &&str| text.lines().any(|line| line.trim().starts_with(&format!("[{name}]")));
    let table = ["axis", "column"].into_iter().find(|name| message.contains("duplicate key") && is_header(name));
    let hint = table.map_or_else(String::new, |name| format!("\n    hint: write `[[{name}]]`"));
    format!("line {line}: {message}{hint}")
}

/// Translates a message of serde, such as ``missing field `type` ``.
fn in_words<'t>(text: &str, mut place: Place<'t>, message: &'t str, span: &Range<usize>) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let word = words.next().unwrap_or_default();
    if message.starts_with("missing field") {
        place.path.push(word);
        return format!("{place}: expected {}, found none", expected(&place.path));
    }
    // Other keys are names that the descriptor chooses.
    let misplaced = match place.path.as_slice() {
        ["axis" | "column" | "secret", key] | ["lists", _, key] => Some(hint_of_place(key)),
        _ => None,
    };
    let hint = match misplaced {
        Some(hint) if !hint.is_empty() => hint,
        _ if message.starts_with("unknown ") => hint(word, words),
        _ => String::new(),
    };
    // A date is a table to serde, with a key of its own.
    if message.starts_with("unknown field") && place.path.last() == Some(&word) {
        let known = message.split_once("expected ").map_or("", |(_, known)| known);
        return format!("{place}: expected {known}, found an unknown key{hint}");
    }
    let found = excerpt(text.get(span.clone()).unwrap_or_default());
    format!("{place}: expected {}, found {found}{hint}", expected(&place.path))
}

/// Where in a descriptor an error is.
#[derive(Default)]
struct Place<'t> {
    /// The keys from the top of the file; none for the whole file.
    path: Vec<&'t str>,
    /// Name of the axis or column.
    name: Option<&'t str>,
}

impl<'t> Place<'t> {
    /// Goes to the key or value at exactly this position of the file. Returns whether there is one.
    fn find(&mut self, table: &'t DeTable<'_>, span: &Range<usize>) -> bool {
        table.iter().any(|(key, value)| {
            self.path.push(key.get_ref());
            let is_found = key.span() == *span || self.find_in(value, span);
            if !is_found {
                self.path.pop();
                self.name = self.name.filter(|_| !self.path.is_empty());
            }
            is_found
        })
    }

    fn find_in(&mut self, value: &'t Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
        let is_within = match value.get_ref() {
            DeValue::Table(table) => self.find(table, span),
            DeValue::Array(items) => items.iter().any(|item| {
                if self.path.len() == 1 {
                    self.name = item.get_ref().get("name").and_then(|name| name.get_ref().as_str());
                }
                self.find_in(item, span)
            }),
            _ => false,
        };
        is_within || value.span() == *span
    }
}

/// Formats the place as the rules do: `column.width` of `leaid`.
impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", excerpt(&self.path.join(".")))?;
        match self.name {
            Some(name) => write!(f, " of `{}`", excerpt(name)),
            None => Ok(()),
        }
    }
}
