//! Escapes what a terminal would obey.
//!
//! Text from outside may hold what a terminal obeys: codes that recolour it, retitle it or type into it, ends of lines that
//! forge a line of ours, marks that turn the order of what follows.

use std::borrow::Cow;
use std::io::{self, IsTerminal};

/// JSON that means the same and can be shown on a terminal.
pub(crate) fn json_text(text: String) -> String {
    let is_escaped = |c: char| !c.is_ascii_control() && is_obeyed(c) || c == '\u{7f}';
    if !text.contains(is_escaped) {
        return text;
    }
    // These stand in strings alone, which hold no control character of ASCII as it is.
    let mut json = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) { json.push_str(&format!("\\u{:04x}", u32::from(c))) } else { json.push(c) }
    }
    json
}

/// Whether a terminal obeys a character rather than showing it: control characters of ASCII and beyond, ends of lines of
/// Unicode, marks of direction.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(crate) fn is_obeyed_in_lines(c: char) -> bool {
    is_obeyed(c) && c != '\n' && c != '\t'
}

/// Text in one line, of which a terminal obeys nothing: `a\nb`, `\u{1b}[31m`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// The text of a value of data as stdout may show it: as it is in a file or a pipe, [`visible`] on a terminal.
pub(crate) fn visible_on_terminal(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { visible(text) } else { Cow::Borrowed(text) }
}

/// A message of which a terminal obeys nothing. Lines of its own are hints, and indented in a list; any other end of a line
/// came with text from outside.
pub(crate) fn message(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            let is_ours = line.starts_with("hint: ") || line.starts_with("  ");
            shown.push_str(if is_ours { "\n" } else { "\\n" });
        }
        shown.push_str(&visible(line));
    }
    shown
}

pub(crate) fn escaped(text: &str, is_obeyed: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_obeyed(c) { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{render, whole_table};

    /// What a terminal would obey: colour, title, start of line, 8-bit codes, DEL, ends of lines and marks of direction.
    const HOSTILE: &str = "\u{1b}[31m\u{1b}]0;t\u{7}\r\u{9b}2J\u{90}\u{7f}\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}\0";

    /// Found by use: W3.
    #[test]
    fn d14_nothing_that_a_terminal_obeys_is_left_in_words_tables_and_json() {
        let shown =
            "\\u{1b}[31m\\u{1b}]0;t\\u{7}\\r\\u{9b}2J\\u{90}\\u{7f}\\u{2028}\\u{2029}\\u{202e}\\u{2066}\\u{61c}\\0";
        assert_eq!(visible(HOSTILE), shown);
        assert_eq!(visible("one\ntwo\tthree"), "one\\ntwo\\tthree");
        assert_eq!(escaped(&format!("one\n\ttwo {HOSTILE}"), is_obeyed_in_lines), format!("one\n\ttwo {shown}"));
        let hint = "  - one\n    hint: what to do\nhint: what else to do";
        assert_eq!(
            message(&format!("error: a\nforged: {HOSTILE}\tb\n{hint}")),
            format!("error: a\\nforged: {shown}\\tb\n{hint}")
        );
        // Letters, accents, emoji of several characters and no-break spaces are shown.
        let plain = "Peña e\u{301} 学校 👩\u{200d}🏫 a\u{a0}b \\n";
        assert_eq!(visible(plain), plain);

        let mut table = whole_table(&["a\nb", "c"]);
        table.add_row([HOSTILE, "one\ntwo"]);
        assert_eq!(render(&table).lines().count(), 2);
        assert!(!render(&table).replace('\n', "").contains(is_obeyed));

        let json = json_text(serde_json::to_string_pretty(&[HOSTILE, plain]).unwrap());
        assert!(!json.replace('\n', "").contains(is_obeyed), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [HOSTILE, plain]);
    }
}
