//! Generates nearly valid pages, from a grammar and by mutating tokens.
//!
//! Corpus files are plain response bodies, so that people can read them and an ordinary test can decode them.
#![forbid(unsafe_code)]

use std::ops::Range;

use arbitrary::{Result, Unstructured};

/// Values as JSON text: numbers at every boundary, text with and without escapes, values that fit no column.
const VALUES: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "00",
    "01",
    "-",
    "null",
    "true",
    "2021",
    "\"2021\"",
    // Around 32 bits.
    "2147483646",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "4294967303",
    // Around the largest integers that a double represents exactly.
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740992",
    "-9007199254740993",
    // 18, 19 and 20 digits; around 64 bits.
    "999999999999999999",
    "-999999999999999999",
    "1000000000000000000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "9999999999999999999",
    "10000000000000000000",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551623",
    "170141183460469231731687303715884105727",
    "170141183460469231731687303715884105728",
    // Fractions and exponents.
    "1.0",
    "-2.000",
    "2.5",
    "1.",
    ".5",
    "1e0",
    "1E+2",
    "1e-2",
    "1e400",
    "-1e400",
    "1e-400",
    "5e-324",
    "0.1",
    "1e",
    "29.00000000000000000001",
    "2147483648.0",
    "9007199254740993.0",
    // Text.
    "\"\"",
    "\"a\"",
    "\"12\"",
    "\"012\"",
    "\"0012\"",
    "\"00012\"",
    "\"-5\"",
    "\"1.50\"",
    "\"1e3\"",
    "\" 5\"",
    "\"2147483648\"",
    "\"9223372036854775808\"",
    "\"NaN\"",
    "\"inf\"",
    "\"caf\u{e9}\"",
    "\"\u{1f600}\"",
    "\"a\\\"b\"",
    "\"\\\\\"",
    "\"\\u0036\"",
    "\"\\n\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\x\"",
    "\"\t\"",
    "\"\u{7f}\u{80}\"",
    "\"grade-pk\"",
    // Nested.
    "[]",
    "{}",
    "[1,[2]]",
    "{\"a\":{\"a\":[]}}",
    "[",
    "{\"a\":1,\"a\":2}",
];

const KEYS: &[&str] = &[
    "\"year\"",
    "\"grade\"",
    "\"id\"",
    "\"text\"",
    "\"int\"",
    "\"big\"",
    "\"real\"",
    "\"new\"",
    "\"_rescued\"",
    "\"\"",
    "\"i\\u006et\"",
    "\"count\"",
    "\"next\"",
    "\"results\"",
    "\"previous\"",
];

/// Keys of a complete row, with values that fit.
const ROW: &[(&str, &str)] = &[
    ("\"year\"", "2021"),
    ("\"grade\"", "-1"),
    ("\"id\"", "\"12\""),
    ("\"text\"", "\"a\""),
    ("\"int\"", "7"),
    ("\"big\"", "7"),
    ("\"real\"", "0.5"),
];

const SPACES: &[&str] = &["", " ", "\n", "\t", "\r\n", "  ", "\u{a0}", "\u{c}"];

/// Mutates a page. Usually changes a few tokens, rarely generates a new page, and otherwise mutates bytes like libFuzzer.
pub fn mutate_page(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let entropy = entropy(seed);
    let mut choices = Unstructured::new(&entropy);
    let changed = match choices.int_in_range(0..=15) {
        Ok(0) => write_page(&mut choices).ok(),
        Ok(1..=9) => std::str::from_utf8(&data[..size]).ok().and_then(|text| change_tokens(text, &mut choices).ok()),
        _ => None,
    };
    match changed {
        Some(text) if text.len() <= max_size => {
            data[..text.len()].copy_from_slice(text.as_bytes());
            text.len()
        }
        _ => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
}

/// Returns bytes that depend only on the seed, as a source of choices.
fn entropy(seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.by_ref().skip(4).take(256).flatten().collect()
}

/// Generates a page from the grammar. As in the portal's pages, most rows match the declaration, with the same field order
/// and the same white space.
fn write_page(choices: &mut Unstructured<'_>) -> Result<String> {
    let n_rows = choices.int_in_range(0..=4)?;
    let mut fields = ROW.to_vec();
    let n_swaps = choices.int_in_range(0..=3)?;
    for _ in 0..n_swaps {
        let (one, other) = (choices.choose_index(fields.len())?, choices.choose_index(fields.len())?);
        fields.swap(one, other);
    }
    let space = if choices.ratio(1, 3)? { *choices.choose(SPACES)? } else { "" };
    let mut rows = Vec::new();
    for _ in 0..n_rows {
        let mut row = fields.clone();
        for (_, value) in row.iter_mut().skip(2) {
            if choices.ratio(1, 2)? {
                *value = *choices.choose(VALUES)?;
            }
        }
        if choices.ratio(1, 4)? {
            let at = choices.choose_index(row.len())?;
            match choices.int_in_range(0..=2)? {
                0 => drop(row.remove(at)),
                1 => row.insert(at, (*choices.choose(KEYS)?, *choices.choose(VALUES)?)),
                _ => row[at].0 = *choices.choose(KEYS)?,
            }
        }
        let row: Vec<String> = row.iter().map(|(key, value)| format!("{space}{key}{space}:{space}{value}")).collect();
        rows.push(format!("{{{}{space}}}", row.join(",")));
    }
    let rows = rows.join(&format!("{space},{space}"));
    let next = if choices.ratio(1, 4)? { "\"https://portal.test/?page=2\"" } else { "null" };
    let mut envelope = vec![format!("\"count\":{n_rows}"), format!("\"next\":{next}"), "\"previous\":null".to_owned()];
    let at = if choices.ratio(1, 4)? { choices.int_in_range(0..=envelope.len())? } else { envelope.len() };
    envelope.insert(at, format!("\"results\":[{space}{rows}{space}]"));
    Ok(format!("{{{}{space}}}", envelope.join(&format!("{space},"))))
}

/// Changes one to four tokens: replaces, inserts, removes or swaps values, keys, white space or punctuation.
fn change_tokens(text: &str, choices: &mut Unstructured<'_>) -> Result<String> {
    let mut tokens: Vec<&str> = tokens(text).map(|span| &text[span]).collect();
    if tokens.is_empty() {
        return write_page(choices);
    }
    for _ in 0..choices.int_in_range(1..=4)? {
        if tokens.is_empty() {
            break;
        }
        let at = choices.choose_index(tokens.len())?;
        match choices.int_in_range(0..=9)? {
            0..=4 => {
                // A key is followed by a colon; any other token is replaced by a value.
                let is_key = tokens.get(at + 1).is_some_and(|next| *next == ":");
                tokens[at] = *choices.choose(if is_key { KEYS } else { VALUES })?;
            }
            5 => tokens.insert(at, choices.choose(SPACES)?),
            6 => drop(tokens.remove(at)),
            7 => {
                let other = choices.choose_index(tokens.len())?;
                tokens.swap(at, other);
            }
            8 => {
                // A field, or a row with its comma.
                let end = (at + choices.int_in_range(1..=32)?).min(tokens.len());
                let copy = tokens[at..end].to_vec();
                let to = choices.int_in_range(0..=tokens.len())?;
                tokens.splice(to..to, copy);
            }
            _ => tokens.insert(at, choices.choose(&[",", ":", "{", "}", "[", "]", "\"", "null"])?),
        }
    }
    Ok(tokens.concat())
}

/// Yields the tokens of text that may be JSON: strings, white space, punctuation, and runs of anything else.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let run = |at: usize, is_in: fn(&u8) -> bool| at + bytes[at..].iter().take_while(|byte| is_in(byte)).count();
        at = match bytes.get(start)? {
            b'"' => {
                let mut end = start + 1;
                while end < bytes.len() && bytes[end] != b'"' {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                (end + 1).min(bytes.len())
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => start + 1,
            byte if byte.is_ascii_whitespace() => run(start, u8::is_ascii_whitespace),
            _ => run(start, |byte| !byte.is_ascii_whitespace() && !b"\"{}[],:".contains(byte)),
        };
        // An escape may have ended in the middle of a character.
        at = text.ceil_char_boundary(at);
        Some(start..at)
    })
}
