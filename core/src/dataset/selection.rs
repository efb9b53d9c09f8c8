//! Selects datasets: by name, by a pattern such as `ccd_*`, by section, or all.

use crate::metadata::Section;

/// A selection of datasets, as users write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetSelection {
    /// Every dataset.
    All,
    /// The datasets of a section: `schools`, `school-districts` or `college-university`.
    Section(Section),
    /// The datasets whose names match. `*` stands for any characters, `?` for one.
    Names(String),
}

impl DatasetSelection {
    /// Reads a selection. Every text is one: what is neither `all` nor a section is a name or a pattern.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match (text, Section::of_segment(text)) {
            ("all", _) => Self::All,
            (_, Some(section)) => Self::Section(section),
            (name, None) => Self::Names(name.to_owned()),
        }
    }

    /// Returns whether the selection is one name, without `*` and `?`.
    #[must_use]
    pub fn is_one_name(&self) -> bool {
        matches!(self, Self::Names(name) if !name.contains(['*', '?']))
    }

    /// Returns whether a dataset is selected.
    ///
    /// - `path`: its path at the portal, which starts with its section.
    #[must_use]
    pub fn has(&self, name: &str, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Section(section) => path.split('/').next() == Some(section.segment()),
            Self::Names(pattern) => matches(pattern.as_bytes(), name.as_bytes()),
        }
    }
}

/// Returns whether a name matches a pattern, in time proportional to the product of their lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to continue when the rest does not match: after the last `*`, with one more character of the name for it.
    let mut retry: Option<(&[u8], &[u8])> = None;
    let (mut pattern, mut name) = (pattern, name);
    loop {
        match (pattern, name) {
            ([b'*', rest @ ..], _) => {
                retry = Some((rest, name));
                pattern = rest;
            }
            ([b'?', rest @ ..], [_, rest_of_name @ ..]) => (pattern, name) = (rest, rest_of_name),
            ([wanted, rest @ ..], [found, rest_of_name @ ..]) if wanted == found => {
                (pattern, name) = (rest, rest_of_name);
            }
            ([], []) => return true,
            _ => match retry {
                Some((after_star, [_, rest_of_name @ ..])) => {
                    retry = Some((after_star, rest_of_name));
                    (pattern, name) = (after_star, rest_of_name);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_all_a_section_a_name_or_a_pattern() {
        let path = "school-districts/ccd/finance/{year}/";
        for (text, expected) in [
            ("all", true),
            ("school-districts", true),
            ("schools", false),
            ("ccd_districts_finance", true),
            ("ccd_districts", false),
            ("ccd_*", true),
            ("*_finance", true),
            ("*_*_*", true),
            ("*fin*x", false),
            ("ccd_districts_financ?", true),
            ("ccd_districts_finance?", false),
            ("*", true),
            ("", false),
        ] {
            assert_eq!(DatasetSelection::parse(text).has("ccd_districts_finance", path), expected, "{text}");
        }
        assert!(DatasetSelection::parse("ccd_directory").is_one_name());
        assert!(!DatasetSelection::parse("ccd_*").is_one_name() && !DatasetSelection::parse("all").is_one_name());
    }

    #[test]
    fn many_stars_do_not_take_long() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!DatasetSelection::parse(&pattern).has(&"a".repeat(2_000), ""));
    }
}
