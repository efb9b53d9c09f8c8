//! The law for the `Retry-After` header. `fuzz/` checks it on generated input, the test below on the corpus.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderValue;

use crate::http_portal::backoff::parse_retry_after;

/// Checks that a value of digits alone is a wait of that many seconds, and that any other wait comes from a valid date.
/// Returns the wait.
pub fn retry_after(bytes: &[u8]) -> Option<Duration> {
    let value = HeaderValue::from_bytes(bytes).ok()?;
    let now = Timestamp::UNIX_EPOCH;
    let found = parse_retry_after(&value, now);
    let text = value.to_str().unwrap_or_default().trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let expected = text.parse().unwrap_or(u64::from(u32::MAX));
        assert_eq!(found, Some(Duration::from_secs(expected)), "{text}");
    } else if let Some(wait) = found {
        let date = Timestamp::try_from(std::time::UNIX_EPOCH + wait);
        assert!(date.is_ok_and(|date| date >= now), "{text}: {wait:?}");
        assert!(text.is_ascii() && text.contains(' '), "not a date: {text}");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_holds_for_the_corpus_of_the_fuzz_target() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/retry_after");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        let (accepted, refused): (Vec<_>, Vec<_>) = files.partition(|bytes| retry_after(bytes).is_some());
        assert!(accepted.len() >= 5 && refused.len() >= 5, "{} accepted, {} refused", accepted.len(), refused.len());
    }
}
