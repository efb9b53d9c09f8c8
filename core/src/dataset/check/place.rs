//! Where in a descriptor a mistake is: its key, and its line in the file.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::mistakes::Mistakes;

/// A key of a descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// A key of the dataset.
    Top(&'static str),
    /// A key of the axis with this index.
    Axis(usize, &'static str),
    /// A key of the column with this index.
    Column(usize, &'static str),
    /// A key of the secret.
    Secret(&'static str),
}

/// Formats the key as messages name it, such as `column.width` in backticks.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top(key) => write!(f, "`{key}`"),
            Self::Axis(_, key) => write!(f, "`axis.{key}`"),
            Self::Column(_, key) => write!(f, "`column.{key}`"),
            Self::Secret(key) => write!(f, "`secret.{key}`"),
        }
    }
}

impl Place {
    /// Returns the position of the key in the file, or of the table that lacks it.
    fn offset(self, file: &Spanned<DeTable<'_>>) -> Option<usize> {
        let table = file.get_ref();
        let in_table = |value: &Spanned<DeValue<'_>>, key: &str| match value.get_ref() {
            DeValue::Table(fields) => fields.get_key_value(key).map_or(value.span(), |(key, _)| key.span()).start,
            _ => value.span().start,
        };
        let in_list = |list: &str, index: usize, key: &str| match table.get(list)?.get_ref() {
            DeValue::Array(items) => Some(in_table(items.get(index)?, key)),
            _ => None,
        };
        match self {
            Self::Top(key) => table.get_key_value(key).map(|(key, _)| key.span().start),
            Self::Axis(index, key) => in_list("axis", index, key),
            Self::Column(index, key) => in_list("column", index, key),
            Self::Secret(key) => Some(in_table(table.get("secret")?, key)),
        }
    }
}

/// The mistakes found so far in a descriptor.
pub(super) struct PlacedMistakes<'t> {
    text: &'t str,
    /// The file with positions, once a mistake has been found.
    file: Option<Spanned<DeTable<'t>>>,
    /// Each mistake with its line; 0 if it has none.
    found: Vec<(usize, String)>,
}

impl<'t> PlacedMistakes<'t> {
    /// - `text`: the descriptor, which is valid TOML.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, file: None, found: Vec::new() }
    }

    /// Adds one mistake. Its message starts with the line and the key.
    pub(super) fn add(&mut self, place: Place, describe: impl FnOnce() -> String) {
        if self.file.is_none() {
            self.file = DeTable::parse(self.text).ok();
        }
        let offset = self.file.as_ref().and_then(|file| place.offset(file));
        let line = offset.map(|offset| line_at(self.text, offset));
        self.found.push(match line {
            Some(line) => (line, format!("line {line}, {}", describe())),
            None => (0, describe()),
        });
    }

    /// Returns the mistakes in the order of their lines.
    pub(super) fn into_mistakes(mut self) -> Mistakes {
        self.found.sort_by_key(|(line, _)| *line);
        let mut mistakes = Mistakes::default();
        self.found.into_iter().for_each(|(_, message)| mistakes.add(|| message));
        mistakes
    }
}

/// Returns the line (1-based) of a position in a text.
pub(in crate::dataset) fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}
