//! The environment variables of the functions, read once at the start.

/// Bucket of the lake.
pub const BUCKET: &str = "ROLLCALL_BUCKET";
/// Origin of the portal. Default: the live portal.
pub const PORTAL: &str = "ROLLCALL_PORTAL";
/// Maximum number of requests in flight per page-fetch call.
pub const IN_FLIGHT: &str = "ROLLCALL_IN_FLIGHT";
/// Memory of the function in MB. Lambda sets it.
pub const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// Namespace of the metrics of a run. Default: `rollcall`.
pub const NAMESPACE: &str = "ROLLCALL_METRICS_NAMESPACE";
/// Prefix of the databases in Glue, so that several stacks fit into one account. Default: none.
pub const DATABASE_PREFIX: &str = "ROLLCALL_DATABASE_PREFIX";
/// Days to keep an edition after it was replaced or removed; 0 or unset to keep all.
pub const HISTORY_DAYS: &str = "ROLLCALL_HISTORY_DAYS";
/// Prefix of a secret's name in Secrets Manager.
pub const SECRET_PREFIX: &str = "ROLLCALL_SECRET_PREFIX";

/// A missing or invalid variable, which keeps a function from starting.
#[derive(Debug, thiserror::Error)]
#[error("read environment variable `{variable}`: expected {expected}, found {found}")]
pub struct BadSetting {
    variable: &'static str,
    expected: &'static str,
    found: String,
}

impl BadSetting {
    /// - `found`: the value, or `None` if the variable is not set.
    pub(crate) fn new(variable: &'static str, expected: &'static str, found: Option<&str>) -> Self {
        let found =
            found.map_or_else(|| "none".to_owned(), |found| format!("`{}`", rollcall_core::text::excerpt(found)));
        Self { variable, expected, found }
    }
}

/// Returns the value of a variable, or `None` if it is unset or empty.
pub(crate) fn optional(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Returns the value of a variable.
///
/// # Errors
/// [`BadSetting`], with the name of the variable, if it is unset or empty.
pub(crate) fn required(variable: &'static str, expected: &'static str) -> Result<String, BadSetting> {
    optional(variable).ok_or_else(|| BadSetting::new(variable, expected, None))
}
