//! The datasets built into the program.

use crate::dataset::Dataset;
use crate::dataset::registry::DATASETS;
use crate::error::Error;
use crate::text::excerpt;

impl Dataset {
    /// Returns the names of the built-in datasets.
    #[must_use]
    pub fn built_in_names() -> Vec<&'static str> {
        DATASETS.iter().map(|(name, _)| *name).collect()
    }

    /// Returns a built-in dataset by name.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`], which lists the known names, for any other name. Never [`Error::InvalidDescriptor`]: a
    /// test parses every built-in descriptor.
    pub fn built_in(name: &str) -> Result<Self, Error> {
        match DATASETS.iter().find(|(known, _)| *known == name) {
            Some((name, text)) => Self::parse(&format!("datasets/{name}.toml"), text),
            None => Err(Error::InvalidRequest {
                mistakes: vec![format!(
                    "`dataset`: expected one of {}, found `{}`",
                    Self::built_in_names().join(", "),
                    excerpt(name)
                )],
            }),
        }
    }
}

/// Returns the text of a built-in descriptor.
pub(crate) fn built_in_text(name: &str) -> Option<&'static str> {
    DATASETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
