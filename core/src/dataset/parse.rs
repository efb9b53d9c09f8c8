//! Parses a descriptor from TOML.

use crate::dataset::Dataset;
use crate::dataset::check::line_at;
use crate::error::Error;
use crate::text::nearest_hint;

impl Dataset {
    /// Parses and validates a descriptor.
    ///
    /// # Errors
    /// [`Error::InvalidDescriptor`] with the line and key of a value that does not parse, or with every broken rule.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let invalid = |mistakes| Error::InvalidDescriptor { file: file.to_owned(), mistakes };
        let dataset: Self = toml::from_str(text).map_err(|error| invalid(vec![locate(text, &error)]))?;
        let mistakes = dataset.mistakes(text);
        if mistakes.len() == 0 { Ok(dataset) } else { Err(invalid(mistakes.into_messages())) }
    }
}

/// Describes a parse error, with its line and key.
fn locate(text: &str, error: &toml::de::Error) -> String {
    const LIMIT: usize = 500;
    let message: String = error.message().replace('\n', ", ").chars().take(LIMIT).collect();
    let Some(span) = error.span() else {
        return message;
    };
    // A field that is missing from the whole file has no line.
    if span.start == 0 && span.end >= text.trim_end().len() && message.starts_with("missing field") {
        return message;
    }
    let line = line_at(text, span.start);
    let source = text.lines().nth(line - 1).unwrap_or_default();
    let hint = hint(&message);
    // Otherwise the line is not one of a key and its value.
    let is_key = |key: &str| key.trim().chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    match source.split_once('=').filter(|(key, _)| is_key(key)) {
        Some((key, _)) => format!("line {line}, key `{}`: {message}{hint}", key.trim()),
        None => format!("line {line}: {message}{hint}"),
    }
}

/// Returns a hint line with the word that was probably meant, if a message of serde says what it expected:
/// `unknown field `wide`, expected one of `name`, `width``.
fn hint(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    match words.next() {
        Some(found) if message.starts_with("unknown ") => nearest_hint(found, words),
        _ => String::new(),
    }
}
