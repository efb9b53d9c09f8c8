//! Escapes characters that control a terminal.
//!
//! Text from outside may contain escape codes that recolor the terminal, retitle it or type into it, line breaks that forge
//! a line of our output, or marks that reverse the text after them.

use std::borrow::Cow;

/// Returns equivalent JSON that is safe to print on a terminal.
pub(crate) fn json_text(text: String) -> String {
    let is_escaped = |c: char| !c.is_ascii_control() && is_control(c) || c == '\u{7f}';
    if !text.contains(is_escaped) {
        return text;
    }
    // These characters appear only inside JSON strings. The other ASCII control characters are escaped there already.
    let mut json = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) { json.push_str(&format!("\\u{:04x}", u32::from(c))) } else { json.push(c) }
    }
    json
}

/// Checks whether a character controls a terminal or breaks a line: ASCII and C1 controls, Unicode line separators,
/// direction marks.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks whether a character must be escaped in multi-line text; line feeds and tabs need not be.
pub(crate) fn is_control_in_lines(c: char) -> bool {
    is_control(c) && c != '\n' && c != '\t'
}

/// Returns `text` as one line without control characters, escaped as in `a\nb` and `\u{1b}[31m`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

/// Returns a message without control characters.
///
/// Keeps a line break only before a hint or an indented list item. Any other line break comes from outside, and is
/// escaped.
pub(crate) fn message_text(text: &str) -> String {
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

/// Returns `text`, escaping the characters for which `is_escaped` is true.
pub(crate) fn escaped(text: &str, is_escaped: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{render, whole_table};

    /// Color, title, carriage return, 8-bit codes, DEL, line and paragraph separators, direction marks, NUL.
    const HOSTILE: &str = "\u{1b}[31m\u{1b}]0;t\u{7}\r\u{9b}2J\u{90}\u{7f}\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}\0";

    /// Found by use: W3.
    #[test]
    fn d14_messages_tables_and_json_contain_no_terminal_control_characters() {
        let shown =
            "\\u{1b}[31m\\u{1b}]0;t\\u{7}\\r\\u{9b}2J\\u{90}\\u{7f}\\u{2028}\\u{2029}\\u{202e}\\u{2066}\\u{61c}\\0";
        assert_eq!(visible(HOSTILE), shown);
        assert_eq!(visible("one\ntwo\tthree"), "one\\ntwo\\tthree");
        assert_eq!(escaped(&format!("one\n\ttwo {HOSTILE}"), is_control_in_lines), format!("one\n\ttwo {shown}"));
        let hint = "  - one\n    hint: what to do\nhint: what else to do";
        assert_eq!(
            message_text(&format!("error: a\nforged: {HOSTILE}\tb\n{hint}")),
            format!("error: a\\nforged: {shown}\\tb\n{hint}")
        );
        // Letters, accents, multi-code-point emoji and no-break spaces are unchanged.
        let plain = "Peña e\u{301} 学校 👩\u{200d}🏫 a\u{a0}b \\n";
        assert_eq!(visible(plain), plain);

        let mut table = whole_table(&["a\nb", "c"]);
        table.add_row([HOSTILE, "one\ntwo"]);
        assert_eq!(render(&table).lines().count(), 2);
        assert!(!render(&table).replace('\n', "").contains(is_control));

        let json = json_text(serde_json::to_string_pretty(&[HOSTILE, plain]).unwrap());
        assert!(!json.replace('\n', "").contains(is_control), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [HOSTILE, plain]);
    }
}
