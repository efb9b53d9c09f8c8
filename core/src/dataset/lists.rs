//! Lists of codes: the label of each code.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::dataset::Dataset;
use crate::dataset::registry::LOOKUPS;

/// The label of each code of a list.
pub type Codes<'l> = BTreeMap<i64, Cow<'l, str>>;

/// The portal's lists of codes, by name: `datasets/lookups/codes.csv`.
pub(crate) static CODE_LISTS: LazyLock<BTreeMap<String, Codes<'static>>> = LazyLock::new(|| {
    let text = LOOKUPS.iter().find(|(stem, _)| *stem == "codes").map_or("", |(_, text)| *text);
    let mut lists: BTreeMap<String, Codes<'_>> = BTreeMap::new();
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    for (list, code, label) in reader.deserialize::<(String, i64, String)>().flatten() {
        lists.entry(list).or_default().insert(code, label.into());
    }
    lists
});

impl Dataset {
    /// Returns a list of codes by name: the descriptor's own, or one of the portal's.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Codes<'_>> {
        match self.lists.get(name) {
            Some(own) => {
                Some(own.iter().filter_map(|(code, label)| Some((code.parse().ok()?, label.as_str().into()))).collect())
            }
            None => CODE_LISTS.get(name).cloned(),
        }
    }

    /// Returns the names of all lists.
    pub(super) fn list_names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str).chain(CODE_LISTS.keys().map(String::as_str))
    }
}

/// Returns whether a list has only negative codes, so that a column with it is a measure.
#[must_use]
pub fn is_of_measure(codes: &Codes<'_>) -> bool {
    codes.keys().all(|code| *code < 0)
}
