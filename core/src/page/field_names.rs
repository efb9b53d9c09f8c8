//! Names of fields that are not in the descriptor.

use std::collections::BTreeSet;

/// Names of fields that are not in the descriptor. Both their number and their length are limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldNames(BTreeSet<String>);

impl FieldNames {
    /// Maximum number of names. If there are more, the first ones in alphabetical order are kept.
    pub const MAX: usize = 20;
    const MAX_CHARACTERS: usize = 64;

    pub(super) fn add(&mut self, name: &str) {
        match name.char_indices().nth(Self::MAX_CHARACTERS).and_then(|(end, _)| name.get(..end)) {
            Some(start) => self.insert(&format!("{start}…")),
            None => self.insert(name),
        }
    }

    /// Inserts a name. A row may have thousands of names; a name that is not kept costs only one comparison.
    fn insert(&mut self, name: &str) {
        if self.0.len() >= Self::MAX && self.0.last().is_some_and(|last| last.as_str() <= name) {
            return;
        }
        self.0.insert(name.to_owned());
        if self.0.len() > Self::MAX {
            self.0.pop_last();
        }
    }

    /// Adds the names of another page.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|name| self.insert(name));
    }

    /// Returns the names in alphabetical order.
    #[must_use]
    pub fn into_names(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}
