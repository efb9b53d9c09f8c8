//! The secret that a source requires.

use serde::{Deserialize, Serialize};

/// The name of a secret. A descriptor never contains its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Request header in which the value is sent.
    pub header: String,
    /// Name. On a laptop, the environment variable `ROLLCALL_SECRET_<NAME>` holds the value.
    pub name: String,
}

impl Secret {
    /// Returns the environment variable that holds the value on a laptop: the name in upper case, with `_` in place of
    /// everything but letters and digits.
    #[must_use]
    pub fn variable(&self) -> String {
        let name: String =
            self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        format!("ROLLCALL_SECRET_{name}")
    }
}
