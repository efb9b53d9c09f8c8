//! Formats text for messages: excerpts of external text, and numbers.

/// Returns external text as a message may show it: control characters escaped, truncated to 200 characters.
#[must_use]
pub fn excerpt(text: &str) -> String {
    const LIMIT: usize = 200;
    let mut quoted: String = text.chars().take(LIMIT).flat_map(char::escape_debug).collect();
    // Double quotes are common in JSON and harmless on a terminal or in a log line.
    quoted = quoted.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(LIMIT).is_some() {
        quoted.push('…');
    }
    quoted
}

/// Returns a hint line with the candidate that is most like a word, or an empty string if none is.
#[must_use]
pub fn nearest_hint<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |nearest| format!("\n    hint: write `{nearest}`"))
}

/// Returns the candidate that is most like a word, or `None` if none is.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    /// Similarity from which a candidate was probably meant: 1 for equal words, 0 for words without a common letter.
    const MIN_SIMILARITY: f64 = 0.8;
    let word = word.to_lowercase();
    let rated = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY).map(|(_, candidate)| candidate)
}

/// Formats a number with thousands separators: `1234567` → `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_truncated_and_cannot_forge_a_log_line() {
        assert_eq!(excerpt("a\nb\u{1b}[31m\"c\""), "a\\nb\\u{1b}[31m\"c\"");
        assert_eq!(excerpt(&"x".repeat(300)).chars().count(), 201);
    }
}
