//! What to do about an error, from the table of errors in the documentation.

/// The documentation of errors. Each row of its table has the name, the cause, and what to do.
const ERRORS: &str = include_str!("../../../docs/errors.md");

/// Returns what to do about an error if retrying was not enough, or an empty string for an unknown name.
///
/// - `name`: such as `PortalUnavailable`.
///
/// Where the text says `RUN`, it means the name of the run.
#[must_use]
pub fn next_step(name: &str) -> &'static str {
    let start = format!("| `{name}` |");
    let row = ERRORS.lines().find(|line| line.starts_with(&start));
    row.and_then(|row| row.trim_end_matches(['|', ' ']).rsplit('|').next()).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn every_error_has_a_next_step() {
        for name in Error::NAMES.iter().chain(&["NoReceipt"]) {
            assert!(!next_step(name).is_empty(), "{name}");
        }
        let expected = "if the message has a hint, follow it first; on AWS, redrive the execution; otherwise run `rollcall repair`";
        assert_eq!(next_step("CatalogFailed"), expected);
        assert_eq!(next_step("Bad"), "");
    }
}
