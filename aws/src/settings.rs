//! What a function reads from its environment, once, before it takes events.

/// Bucket of the lake.
pub const BUCKET: &str = "ROLLCALL_BUCKET";
/// Origin of the portal; the live one when it is not set.
pub const PORTAL: &str = "ROLLCALL_PORTAL";
/// Requests in flight of one page-fetch.
pub const IN_FLIGHT: &str = "ROLLCALL_IN_FLIGHT";
/// What stands before a secret's name in Secrets Manager.
pub const SECRET_PREFIX: &str = "ROLLCALL_SECRET_PREFIX";

/// A variable that a function cannot start with.
#[derive(Debug, thiserror::Error)]
#[error("read environment variable `{variable}`: expected {expected}, found {found}")]
pub struct BadSetting {
    variable: &'static str,
    expected: &'static str,
    found: String,
}

impl BadSetting {
    /// - `found`: the value, or `None` where there is none.
    pub(crate) fn new(variable: &'static str, expected: &'static str, found: Option<&str>) -> Self {
        let found =
            found.map_or_else(|| "none".to_owned(), |found| format!("`{}`", rollcall_core::text::excerpt(found)));
        Self { variable, expected, found }
    }
}

/// A variable's value; `None` when it is unset or empty.
pub(crate) fn optional(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// A variable's value.
///
/// # Errors
/// [`BadSetting`] naming the variable.
pub(crate) fn required(variable: &'static str, expected: &'static str) -> Result<String, BadSetting> {
    optional(variable).ok_or_else(|| BadSetting::new(variable, expected, None))
}
