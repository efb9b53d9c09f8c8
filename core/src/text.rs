//! Formats text for messages: excerpts of external text, numbers and years.

use std::collections::BTreeSet;

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

/// Returns what a body is that should have been data: a web page by its title, or an excerpt.
#[must_use]
pub fn body_in_words(text: &str) -> String {
    match web_page(text) {
        Some(title) => format!("a web page, `{title}`, instead of data"),
        None => format!("`{}`", excerpt(text)),
    }
}

/// Returns the title of a web page, or else its first words; `None` if the text is none.
#[must_use]
pub fn web_page(text: &str) -> Option<String> {
    /// Where the title stands at the latest.
    const HEAD: usize = 4_000;
    let text = text.trim();
    let head = text.char_indices().nth(HEAD).map_or(text, |(end, _)| text.get(..end).unwrap_or_default());
    // Keeps the length, so that positions are the same in both.
    let lower = head.to_ascii_lowercase();
    if !lower.starts_with("<!doctype html") && !lower.starts_with("<html") {
        return None;
    }
    let title = lower.find("<title").and_then(|at| Some(at + lower.get(at..)?.find('>')? + 1));
    let title = title.and_then(|start| head.get(start..start + lower.get(start..)?.find("</title")?));
    let title = title.map(str::trim).filter(|title| !title.is_empty());
    let words = || {
        let texts = head.split('<').filter_map(|tag| Some(tag.split_once('>')?.1.trim()));
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    };
    Some(excerpt(&title.map_or_else(words, str::to_owned)))
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

/// Returns the candidates that are most like a word, those most like it first.
#[must_use]
pub fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>, max: usize) -> Vec<&'c str> {
    let word = word.to_lowercase();
    let rated = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate));
    let mut rated: Vec<(f64, &str)> = rated.collect();
    rated.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    rated.into_iter().take(max).map(|(_, candidate)| candidate).collect()
}

/// Returns the candidate that differs from a word by the fewest letters, or `None` if more than a third of them differ. For
/// short words, of which many are alike.
#[must_use]
pub fn misspelled<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const MIN_SIMILARITY: f64 = 0.66;
    let word = word.to_lowercase();
    let similarity = |candidate: &str| strsim::normalized_damerau_levenshtein(&word, candidate);
    let rated = candidates.into_iter().map(|candidate| (similarity(candidate), candidate));
    // Of several that are equally like it, the first by name.
    let best = rated.max_by(|(one, a), (other, b)| one.total_cmp(other).then_with(|| b.cmp(a)));
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

/// Formats years: `1986-2019, 2021`.
#[must_use]
pub fn in_ranges(years: &BTreeSet<i32>) -> String {
    let starts = years.iter().filter(|year| !years.contains(&(*year - 1)));
    let range = |start: &i32| {
        let end = (*start..).take_while(|year| years.contains(year)).last().unwrap_or(*start);
        if end == *start { start.to_string() } else { format!("{start}-{end}") }
    };
    starts.map(range).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_page_is_named_by_its_title() {
        for (body, expected) in [
            ("{\"detail\": 1}", "`{\"detail\": 1}`"),
            (
                "<!DOCTYPE html><html><head><title>\n Just a moment...\n</title></head>",
                "a web page, `Just a moment...`, instead of data",
            ),
            ("<html><body>Enable <b>JavaScript</b></body></html>", "a web page, `Enable JavaScript`, instead of data"),
            ("<HTML><TITLE lang='en'>502 Bad Gateway</TITLE>", "a web page, `502 Bad Gateway`, instead of data"),
            ("<html><title>cut sho", "a web page, `cut sho`, instead of data"),
            ("<html><title>é</title>", "a web page, `é`, instead of data"),
            ("<?xml version='1.0'?>", "`<?xml version='1.0'?>`"),
        ] {
            assert_eq!(body_in_words(body), expected);
        }
    }

    #[test]
    fn a_misspelled_word_differs_by_few_letters() {
        let functions = ["abs", "avg", "cos", "floor", "length", "log", "max", "row", "sum"];
        for (word, expected) in
            [("agv", Some("avg")), ("Summ", Some("sum")), ("lenght", Some("length")), ("foo", None), ("json_get", None)]
        {
            assert_eq!(misspelled(word, functions), expected, "{word}");
        }
        assert_eq!(closest("stat", ["code", "state", "label", "status"], 2), ["state", "status"]);
    }

    #[test]
    fn years_are_listed_as_ranges() {
        for (years, expected) in
            [(vec![2021], "2021"), (vec![1986, 1987, 1988, 1990], "1986-1988, 1990"), (vec![1, 3, 4], "1, 3-4")]
        {
            assert_eq!(in_ranges(&years.into_iter().collect()), expected);
        }
    }

    #[test]
    fn an_excerpt_is_truncated_and_cannot_forge_a_log_line() {
        assert_eq!(excerpt("a\nb\u{1b}[31m\"c\""), "a\\nb\\u{1b}[31m\"c\"");
        assert_eq!(excerpt(&"x".repeat(300)).chars().count(), 201);
    }
}
