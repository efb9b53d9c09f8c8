//! The fast way through a page whose rows all look alike.
//!
//! The portal writes every row of a page with the same fields in the same order and the same white space. What stands
//! between the values is learned from the first row; every row must then hold exactly that, with a null, an integer or a
//! plain string in each place, each of which fits its column. Anything else, and the page is left to the serde way,
//! which alone decides what is right: whatever is taken here is taken there, with the same columns.

use super::{Envelope, Sink, Slot};

/// What stands before the value of one field, and where the value goes.
struct Place<'t> {
    /// From the end of the value before: white space, comma, key, colon.
    before: &'t [u8],
    slot: Slot,
}

/// What a row looks like.
struct Template<'t> {
    places: Vec<Place<'t>>,
    /// From the end of the last value to the row's closing brace.
    end: &'t [u8],
}

/// A value that needs no second look.
enum Scanned<'t> {
    Null,
    Integer(i64),
    Text(&'t str),
}

/// A place in the text, moving forward.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn peek(self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over these bytes, if they come next.
    #[inline]
    fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.text.as_bytes().get(self.at..)?.starts_with(expected).then(|| self.at += expected.len())
    }

    /// The text of a string without escapes. A control character is left to serde, which refuses it.
    #[inline]
    fn string(&mut self) -> Option<&'t str> {
        self.take(b"\"")?;
        let bytes = self.text.as_bytes().get(self.at..)?;
        let length = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let found = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.take(b"\"")?;
        Some(found)
    }

    /// An integer of at most 18 digits. What follows it is for the caller to check: a fraction makes it another number.
    #[inline]
    fn integer(&mut self) -> Option<i64> {
        const MOST_DIGITS: usize = 18;
        let is_negative = self.take(b"-").is_some();
        let start = self.at;
        let mut value = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // Overflow comes after the limit below, which is checked once.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let n_digits = self.at - start;
        let has_leading_zero = self.text.as_bytes().get(start) == Some(&b'0') && (n_digits > 1 || is_negative);
        // A negative zero is a float to serde.
        if n_digits == 0 || n_digits > MOST_DIGITS || has_leading_zero {
            return None;
        }
        Some(if is_negative { -value } else { value })
    }

    #[inline]
    fn value(&mut self) -> Option<Scanned<'t>> {
        match self.peek()? {
            b'"' => self.string().map(Scanned::Text),
            b'n' => self.take(b"null").map(|()| Scanned::Null),
            _ => self.integer().map(Scanned::Integer),
        }
    }
}

impl Sink {
    /// Reads a whole page, if all of it is as expected. Otherwise `None`; this sink is of no use then.
    pub(super) fn scan(&mut self, text: &str) -> Option<Envelope> {
        const RESULTS: &str = "\"results\":";
        // What comes before the rows is read by serde, with no rows in it.
        let (head, _) = text.split_once(RESULTS)?;
        let envelope = self.read(&format!("{head}{RESULTS}[]}}")).ok()?;
        let mut cursor = Cursor { text, at: head.len() + RESULTS.len() };
        cursor.skip_white_space();
        cursor.take(b"[")?;
        cursor.skip_white_space();
        let template = self.learn(cursor)?;
        loop {
            self.scan_row(&template, &mut cursor)?;
            cursor.skip_white_space();
            if cursor.take(b",").is_none() {
                break;
            }
            cursor.skip_white_space();
        }
        cursor.take(b"]")?;
        cursor.skip_white_space();
        cursor.take(b"}")?;
        cursor.skip_white_space();
        if cursor.at < text.len() {
            return None;
        }
        for _ in 0..self.n_rows {
            self.rescued.append_null();
        }
        Some(envelope)
    }

    /// What the row at `cursor` looks like, if it holds every field once and no other.
    fn learn<'t>(&self, mut cursor: Cursor<'t>) -> Option<Template<'t>> {
        let bytes = cursor.text.as_bytes();
        let mut places: Vec<Place<'t>> = Vec::with_capacity(self.fields.len());
        let mut is_seen = vec![false; self.fields.len()];
        let mut start = cursor.at;
        cursor.take(b"{")?;
        loop {
            cursor.skip_white_space();
            let key = cursor.string()?;
            let found = self.fields.iter().position(|field| field.name == key)?;
            if std::mem::replace(is_seen.get_mut(found)?, true) {
                return None;
            }
            cursor.skip_white_space();
            cursor.take(b":")?;
            cursor.skip_white_space();
            places.push(Place { before: bytes.get(start..cursor.at)?, slot: self.fields.get(found)?.slot });
            cursor.value()?;
            start = cursor.at;
            cursor.skip_white_space();
            if cursor.take(b",").is_none() {
                break;
            }
        }
        cursor.take(b"}")?;
        is_seen.iter().all(|seen| *seen).then_some(Template { places, end: bytes.get(start..cursor.at)? })
    }

    fn scan_row(&mut self, template: &Template<'_>, cursor: &mut Cursor<'_>) -> Option<()> {
        self.n_rows += 1;
        for place in &template.places {
            cursor.take(place.before)?;
            let value = cursor.value()?;
            let fits = match place.slot {
                Slot::Axis(axis) => matches!(value, Scanned::Integer(code) if self.codes.get(axis) == Some(&code)),
                Slot::Column(column) => {
                    let builder = self.columns.get_mut(column)?;
                    match value {
                        Scanned::Null => {
                            builder.append_null();
                            true
                        }
                        Scanned::Integer(integer) => builder.append_i64(integer),
                        Scanned::Text(text) => builder.append_text(text),
                    }
                }
            };
            if !fits {
                return None;
            }
        }
        cursor.take(template.end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Page, PageDecoder, Sink};
    use crate::testing::{enrollment, page, partition, row};
    use proptest::prelude::*;

    /// The page as each way reads it: by the scanner where it takes it, and by serde.
    fn both(body: &str) -> (Option<Result<Page, crate::Error>>, Result<Page, crate::Error>) {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = PageDecoder::new(&dataset, &partition);
        let mut sink = Sink::new(&decoder, body.len(), false);
        let scanned = sink.scan(body).map(|envelope| decoder.assemble(1, body, envelope, sink));
        (scanned, decoder.decode_by_serde(1, body))
    }

    /// Whether the scanner takes a body. If so, serde must read the same page.
    fn agree(body: &str) -> bool {
        let (scanned, decoded) = both(body);
        let scanned = match scanned {
            Some(Ok(scanned)) => scanned,
            // Rows that are as expected, in an envelope that is not.
            Some(Err(_)) => {
                decoded.unwrap_err();
                return false;
            }
            None => return false,
        };
        let decoded = decoded.unwrap_or_else(|error| panic!("{body}\nscanned, and refused by serde: {error}"));
        assert_eq!(scanned.batch, decoded.batch, "{body}");
        assert_eq!((scanned.count, &scanned.next), (decoded.count, &decoded.next), "{body}");
        assert_eq!((&scanned.misfits, scanned.n_unknown), (&decoded.misfits, decoded.n_unknown), "{body}");
        true
    }

    #[test]
    fn a_page_of_the_portal_is_scanned_compact_or_spaced() {
        let rows = [row(1, "5"), row(2, "null"), row(3, "-2"), row(4, "0"), row(5, "\"7\"")];
        let compact = page(5, None, &rows);
        assert!(agree(&compact));
        assert!(agree(&page(5, Some(2), &rows)));
        assert!(agree(
            &compact.replace("\":", "\" : ").replace(",\"", " ,\n\"").replace("\"results\" :", "\"results\":")
        ));
        assert!(agree(&compact.replace("},{", "} ,\t{")));
        assert!(agree(&compact.replace("\"previous\":null", "\"previous\":{\"a\":[1]}")));
    }

    #[test]
    fn what_is_not_plain_is_left_to_serde() {
        let plain = page(2, None, &[row(1, "5"), row(2, "6")]);
        for (from, to) in [
            ("\"enrollment\":6", "\"enrollment\":6.0"),
            ("\"enrollment\":6", "\"enrollment\":6e1"),
            ("\"enrollment\":6", "\"enrollment\":-0"),
            ("\"enrollment\":6", "\"enrollment\":06"),
            ("\"enrollment\":6", "\"enrollment\":2147483648"),
            ("\"enrollment\":6", "\"enrollment\":4294967302"),
            ("\"enrollment\":6", "\"enrollment\":1234567890123456789"),
            ("\"enrollment\":6", "\"enrollment\":true"),
            ("\"enrollment\":6", "\"enrollment\":\"many\""),
            ("\"enrollment\":6", "\"enrollment\":\"\\u0036\""),
            ("\"enrollment\":6", "\"enrollment\":"),
            ("\"enrollment\":6", "\"enrollment\": 6"),
            ("\"enrollment\":6", "\"enrollment\":6,\"new\":1"),
            ("\"enrollment\":6,", ""),
            ("\"enrollment\":6", "\"fips\":6"),
            ("000000000002", "00000\n000002"),
            (
                "\"grade\":-1,\"race\":99,\"sex\":99,\"enrollment\":6",
                "\"grade\":0,\"race\":99,\"sex\":99,\"enrollment\":6",
            ),
            ("6,\"fips\":1,\"leaid\":\"100002\"}", "6,\"fips\":1,\"leaid\":\"100002\"]"),
            ("\"count\":2", "\"count\":2,\"count\":2"),
            ("]}", "],\"count\":2}"),
            ("]}", "]} x"),
            ("]}", "]"),
            ("\"results\":[", "\"meta\":{\"results\":[]},\"results\":["),
            ("\"results\":[", "\"results\":[],\"results\":["),
        ] {
            assert!(plain.contains(from), "{from}");
            assert!(!agree(&plain.replace(from, to)), "{to}");
        }
        assert!(!agree(&page(0, None, &[])));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn the_scanner_takes_nothing_that_serde_reads_otherwise(
            values in prop::collection::vec(
                prop::sample::select(vec![
                    "0", "-1", "-2", "7", "null", "2147483647", "2147483648", "-2147483648", "4294967303", "-0", "1.0",
                    "1e2", "\"12\"", "\"012\"", "\"\"", "\"a\\\"b\"", "\"caf\u{e9}\"", "[]", "999999999999999999",
                    "9999999999999999999", "18446744073709551623",
                ]),
                1..5,
            ),
            mutations in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(
                vec!['"', '\\', ',', ':', '{', '}', '[', ']', ' ', '\n', '0', '9', '-', '.', 'e', 'n', 'é', '\u{1}'],
            ), any::<bool>()), 0..3),
        ) {
            let rows: Vec<String> = values.iter().zip(1..).map(|(value, school)| row(school, value)).collect();
            let mut body: Vec<char> = page(rows.len() as u64, None, &rows).chars().collect();
            for (index, found, replaces) in mutations {
                let at = index.index(body.len());
                if replaces { body[at] = found } else { body.insert(at, found) }
            }
            agree(&body.into_iter().collect::<String>());
        }
    }
}
