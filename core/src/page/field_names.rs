//! Names of fields that the descriptor does not know.

use std::collections::BTreeSet;

/// Names of fields that the descriptor does not know: as many as people read, each as long as they read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldNames(BTreeSet<String>);

impl FieldNames {
    /// Most names that are kept; of more, those that are first in the alphabet.
    pub const MOST: usize = 20;
    const MOST_CHARACTERS: usize = 64;

    pub(super) fn add(&mut self, name: &str) {
        match name.char_indices().nth(Self::MOST_CHARACTERS).and_then(|(end, _)| name.get(..end)) {
            Some(beginning) => self.insert(&format!("{beginning}…")),
            None => self.insert(name),
        }
    }

    /// A row may hold thousands of names: one that has no place costs a comparison.
    fn insert(&mut self, name: &str) {
        if self.0.len() >= Self::MOST && self.0.last().is_some_and(|last| last.as_str() <= name) {
            return;
        }
        self.0.insert(name.to_owned());
        if self.0.len() > Self::MOST {
            self.0.pop_last();
        }
    }

    /// Adds the names of another page.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|name| self.insert(name));
    }

    /// The names, in the order of the alphabet.
    #[must_use]
    pub fn into_names(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}
