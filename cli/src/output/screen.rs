//! Text as a whole screen of a terminal.

use unicode_width::UnicodeWidthChar;

/// Moves the cursor to the upper left corner.
const HOME: &str = "\u{1b}[H";
/// Clears the rest of the line.
const CLEAR_LINE: &str = "\u{1b}[K";
/// Clears everything from the cursor on.
const CLEAR_REST: &str = "\u{1b}[J";

/// Returns what draws `text` over what a terminal of this size shows. If not all of it fits, the last line counts the others
/// and says `more`. Nothing is cleared before it is drawn over, so nothing flickers, and the last line has no end, so
/// nothing scrolls.
pub(super) fn drawing(text: &str, more: &str, width: usize, height: usize) -> String {
    let width = width.max(1);
    let mut rows: Vec<String> = text.lines().flat_map(|line| rows_of(line, width)).collect();
    if rows.len() > height {
        let n_shown = height.saturating_sub(1);
        let more = format!("... {} more lines; {more}", rows.len() - n_shown);
        rows.truncate(n_shown);
        rows.extend(rows_of(&more, width).into_iter().take(1));
    }
    let rows: Vec<String> = rows.iter().map(|row| format!("{CLEAR_LINE}{row}")).collect();
    // The line below the last row, so that what is cleared is never a part of that row.
    let rest = if rows.len() < height { format!("\n{CLEAR_REST}") } else { String::new() };
    format!("{HOME}{}{rest}", rows.join("\n"))
}

/// Returns a line as rows of at most `width` cells, or one character if that is wider.
fn rows_of(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut n_cells = 0;
    for character in line.chars() {
        let n_more = character.width().unwrap_or(0);
        if n_cells > 0 && n_cells + n_more > width {
            rows.push(String::new());
            n_cells = 0;
        }
        n_cells += n_more;
        if let Some(row) = rows.last_mut() {
            row.push(character);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_a_screen_is_counted() {
        let drawn = |height| drawing("one\ntwo two\n\nthree\n", "see", 20, height).replace('\u{1b}', "^");
        assert_eq!(drawn(5), "^[H^[Kone\n^[Ktwo two\n^[K\n^[Kthree\n^[J");
        assert_eq!(drawn(4), "^[H^[Kone\n^[Ktwo two\n^[K\n^[Kthree");
        assert_eq!(drawn(3), "^[H^[Kone\n^[Ktwo two\n^[K... 2 more lines; se");
        assert_eq!(drawn(1), "^[H^[K... 4 more lines; se");
    }

    #[test]
    fn a_line_that_is_wider_than_the_screen_takes_several_rows() {
        assert_eq!(drawing("abcde\nf", "", 2, 9).replace('\u{1b}', "^"), "^[H^[Kab\n^[Kcd\n^[Ke\n^[Kf\n^[J");
        // A character may take two cells, or none.
        assert_eq!(rows_of("\u{65e5}\u{672c}x", 4), ["\u{65e5}\u{672c}", "x"]);
        assert_eq!(rows_of("a\u{65e5}\u{672c}", 4), ["a\u{65e5}", "\u{672c}"]);
        assert_eq!(rows_of("\u{65e5}\u{672c}", 1), ["\u{65e5}", "\u{672c}"]);
        assert_eq!(rows_of("e\u{301}e\u{301}e", 2), ["e\u{301}e\u{301}", "e"]);
    }
}
