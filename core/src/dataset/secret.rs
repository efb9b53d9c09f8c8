//! A secret that a source asks for, by name.

use serde::{Deserialize, Serialize};

/// A secret by name; its value is never part of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Request header that carries it.
    pub header: String,
    /// Name: locally the environment variable `ROLLCALL_SECRET_<NAME>` holds the value.
    pub name: String,
}

impl Secret {
    /// The environment variable that holds the value locally: upper case, everything else than letters and digits as `_`.
    #[must_use]
    pub fn variable(&self) -> String {
        let name: String =
            self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        format!("ROLLCALL_SECRET_{name}")
    }
}
