//! The scanner: a fast way to read a page whose rows look alike.
//!
//! The portal writes every row on a page with the same fields, in the same order and with the same whitespace. The
//! scanner learns a template from the first row: the text between the values, including the partition's axis values.
//! Every other row must match the template, with a null, a number or a plain string that fits the column at each place.
//!
//! Serde reads a row that does not match. If serde refuses the row, or if many rows do not match, serde reads the whole
//! page. Serde alone decides what is valid: it accepts every page that the scanner accepts, with the same columns.

mod cursor;

use serde::de::DeserializeSeed;

use crate::page::page_builder::{Envelope, PageBuilder, Slot};
use crate::page::scan::cursor::{Cursor, Scanned};
use crate::page::serde_rows::RowSeed;

/// The page is left to serde if more rows than this, and more than one in [`ODD_RATIO`], do not match the template.
const MAX_ODD_ROWS: u64 = 16;
const ODD_RATIO: u64 = 8;

/// Maximum size of the envelope before the rows, which is copied so that serde can read it separately.
const MAX_HEAD_BYTES: usize = 1 << 16;

/// The place of one column's value in a row.
struct Place<'t> {
    /// The text since the previous value: whitespace, comma, key and colon, and any axis fields in between.
    before: &'t [u8],
    column: usize,
}

/// The text that all rows on a page have in common.
struct Template<'t> {
    places: Vec<Place<'t>>,
    /// Optional columns whose field the rows lack.
    absent: Vec<usize>,
    /// The text from the end of the last value to the row's closing brace.
    end: &'t [u8],
    /// Size of the first row in bytes.
    length: usize,
}

impl PageBuilder {
    /// Reads a whole page and leaves odd rows to serde. Returns `None` if the page cannot be scanned; in that case,
    /// this builder must not be used again.
    pub(super) fn scan(&mut self, text: &str) -> Option<Envelope> {
        const RESULTS: &str = "\"results\":";
        // Serde reads the envelope before the rows, with an empty list of rows.
        let (head, _) = text.split_once(RESULTS)?;
        if head.len() > MAX_HEAD_BYTES {
            return None;
        }
        let envelope = self.read(&format!("{head}{RESULTS}[]}}")).ok()?;
        let mut cursor = Cursor { text, at: head.len() + RESULTS.len() };
        cursor.skip_white_space();
        cursor.take_byte(b'[')?;
        cursor.skip_white_space();
        let template = self.learn(cursor)?;
        self.reserve(envelope.count?, text.len() - cursor.at, template.length);
        let mut n_odd = 0;
        loop {
            if self.n_rows == self.max_rows {
                return None;
            }
            let start = cursor;
            if self.scan_row(&template, &mut cursor).is_none() {
                n_odd += 1;
                if n_odd > MAX_ODD_ROWS && n_odd * ODD_RATIO > self.n_rows {
                    return None;
                }
                cursor = start;
                self.read_row(&mut cursor)?;
            }
            cursor.skip_white_space();
            if cursor.take_byte(b',').is_none() {
                break;
            }
            cursor.skip_white_space();
        }
        cursor.take_byte(b']')?;
        cursor.skip_white_space();
        cursor.take_byte(b'}')?;
        cursor.skip_white_space();
        if cursor.at < text.len() {
            return None;
        }
        self.fill_rescued()?;
        Some(envelope)
    }

    /// Reserves capacity for the rows of a page, estimated from its size, but for no more rows than the partition has.
    fn reserve(&mut self, count: u64, size_bytes: usize, row_bytes: usize) {
        let n_by_size = size_bytes / row_bytes;
        // Some rows may be shorter than the first one.
        let n_rows = n_by_size + n_by_size / 16;
        let n_rows = usize::try_from(count.min(self.max_rows)).map_or(n_rows, |max| n_rows.min(max));
        for column in &mut self.columns {
            column.reserve(n_rows, size_bytes);
        }
    }

    /// Learns the template from the row at `cursor`. The row must belong to this partition and have every declared
    /// field exactly once, except those of optional columns, and no other field.
    fn learn<'t>(&self, mut cursor: Cursor<'t>) -> Option<Template<'t>> {
        let bytes = cursor.text.as_bytes();
        let mut places: Vec<Place<'t>> = Vec::with_capacity(self.columns.len());
        let mut is_seen = vec![false; self.fields.len()];
        let row_start = cursor.at;
        let mut start = row_start;
        cursor.take_byte(b'{')?;
        loop {
            cursor.skip_white_space();
            let key = cursor.string()?;
            let found = self.fields.iter().position(|field| field.name == key)?;
            if std::mem::replace(is_seen.get_mut(found)?, true) {
                return None;
            }
            cursor.skip_white_space();
            cursor.take_byte(b':')?;
            cursor.skip_white_space();
            let value_start = cursor.at;
            match (self.fields.get(found)?.slot, cursor.value()?) {
                (Slot::Column(column), _) => {
                    places.push(Place { before: bytes.get(start..value_start)?, column });
                    start = cursor.at;
                }
                // The template includes the text that follows, so no row can have a longer number here.
                (Slot::Axis(axis), value) if value.code().as_ref() == self.codes.get(axis) => {}
                (Slot::Axis(_), _) => return None,
            }
            cursor.skip_white_space();
            if cursor.take_byte(b',').is_none() {
                break;
            }
        }
        cursor.take_byte(b'}')?;
        let end = bytes.get(start..cursor.at)?;
        let mut absent = Vec::new();
        for (field, _) in self.fields.iter().zip(is_seen).filter(|(_, is_seen)| !is_seen) {
            match field.slot {
                Slot::Column(column) if self.may_be_absent(column) => absent.push(column),
                _ => return None,
            }
        }
        Some(Template { places, absent, end, length: cursor.at - row_start })
    }

    /// Reads one row with serde, every value from its own text, because a value may not fit.
    #[cold]
    fn read_row(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let row = cursor.object()?;
        let n_rows = usize::try_from(self.n_rows).ok()?;
        self.columns.iter_mut().for_each(|column| column.truncate(n_rows));
        self.fill_rescued()?;
        self.is_exact_pass = true;
        let mut deserializer = serde_json::Deserializer::from_str(row);
        let read = RowSeed(self).deserialize(&mut deserializer).and_then(|()| deserializer.end());
        self.is_exact_pass = false;
        cursor.at += row.len();
        read.ok()
    }

    /// Fills `_rescued` with nulls for the scanned rows, which have no leftover fields.
    fn fill_rescued(&mut self) -> Option<()> {
        let n_missing = usize::try_from(self.n_rows).ok()?.checked_sub(self.rescued.len())?;
        if n_missing > 0 {
            self.rescued.append_nulls(n_missing);
        }
        Some(())
    }

    #[inline]
    fn scan_row(&mut self, template: &Template<'_>, cursor: &mut Cursor<'_>) -> Option<()> {
        for place in &template.places {
            cursor.take(place.before)?;
            let value = cursor.value()?;
            let column = self.columns.get_mut(place.column)?;
            let fits = match value {
                Scanned::Null => {
                    column.append_null();
                    true
                }
                Scanned::Integer(integer) => column.append_i64(integer),
                Scanned::Decimal(text) => column.append_decimal(text),
                Scanned::Text(text) => column.append_text(text),
            };
            if !fits {
                return None;
            }
        }
        cursor.take(template.end)?;
        // If padding is not valid, serde reads the row again from its text.
        if !self.settle_padding() {
            return None;
        }
        self.n_rows += 1;
        for column in &template.absent {
            self.append_absent(*column);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::Dataset;
    use crate::page::{Page, PageDecoder};
    use crate::partition::{AxisValue, PartitionKey};
    use crate::testing::{enrollment, page, partition, row};
    use proptest::prelude::*;

    /// Reads a page with the scanner, if possible, and with serde.
    fn both(body: &str) -> (Option<Result<Page, crate::Error>>, Result<Page, crate::Error>) {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = PageDecoder::new(&dataset, &partition);
        let mut builder = decoder.builder(false);
        let scanned = builder.scan(body).map(|envelope| decoder.assemble(1, body, envelope, builder));
        (scanned, decoder.decode_by_serde(1, body))
    }

    /// Returns whether the scanner accepts a body. If so, serde must read the same page.
    fn agree(body: &str) -> bool {
        let (scanned, decoded) = both(body);
        let scanned = match scanned {
            Some(Ok(scanned)) => scanned,
            // The rows are valid, but the envelope is not.
            Some(Err(_)) => {
                decoded.unwrap_err();
                return false;
            }
            None => return false,
        };
        let decoded =
            decoded.unwrap_or_else(|error| panic!("{body}\naccepted by the scanner, but refused by serde: {error}"));
        assert_eq!(scanned.batch, decoded.batch, "{body}");
        assert_eq!((scanned.count, &scanned.next), (decoded.count, &decoded.next), "{body}");
        assert_eq!((&scanned.misfits, scanned.n_unknown), (&decoded.misfits, decoded.n_unknown), "{body}");
        true
    }

    #[test]
    fn a_page_of_the_portal_is_scanned_with_or_without_white_space() {
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

    /// Found by use: W4.
    #[test]
    fn a40_the_scanner_accepts_any_spelling_of_an_axis_code_and_refuses_another_code() {
        for year in ["2021", "2021.0", "2021.00", "\"2021\"", "\"2021.0\"", "\"2.021e3\""] {
            let rows = [row(1, "5"), row(2, "6")].map(|row| row.replace(":2021,", &format!(":{year},")));
            assert!(agree(&page(2, None, &rows)), "{year}");
            let others = [rows[0].clone(), row(2, "6").replace(":2021,", ":2020,")];
            assert!(!agree(&page(2, None, &others)), "{year}");
        }
        // With two spellings on one page, serde reads the row that differs from the first one.
        let mixed = [row(1, "5"), row(2, "6").replace(":2021,", ":2.021e3,"), row(3, "7")];
        assert!(agree(&page(3, None, &mixed)));
    }

    #[test]
    fn an_odd_row_is_read_by_serde_and_the_others_are_scanned() {
        let plain = page(3, None, &[row(1, "5"), row(2, "6"), row(3, "null")]);
        for (from, to) in [
            ("\"enrollment\":6", "\"enrollment\":6.0"),
            ("\"enrollment\":6", "\"enrollment\":6e1"),
            ("\"enrollment\":6", "\"enrollment\":-0"),
            ("\"enrollment\":6", "\"enrollment\":2147483648"),
            ("\"enrollment\":6", "\"enrollment\":4294967302"),
            ("\"enrollment\":6", "\"enrollment\":1234567890123456789"),
            ("\"enrollment\":6", "\"enrollment\":true"),
            ("\"enrollment\":6", "\"enrollment\":\"many\""),
            ("\"enrollment\":6", "\"enrollment\":\"\\u0036\""),
            ("\"enrollment\":6", "\"enrollment\":[{\"a\":\"}\\\"\"}]"),
            ("\"enrollment\":6", "\"enrollment\": 6"),
            ("\"enrollment\":6", "\"enrollment\":6,\"new\":1"),
            ("\"enrollment\":6,", ""),
            ("000000000002", "00000\\ud800000002"),
        ] {
            assert!(plain.contains(from), "{from}");
            assert!(agree(&plain.replace(from, to)), "{to}");
        }
    }

    #[test]
    fn a_page_with_many_odd_rows_is_left_to_serde() {
        let with_odd_rows = |n_odd: u64| {
            // The other rows are compared with the first row.
            let is_odd = |i: u64| (1..=n_odd).contains(&i);
            let rows: Vec<String> = (0..200).map(|i| row(i, if is_odd(i) { "6.0" } else { "6" })).collect();
            page(200, None, &rows)
        };
        assert!(agree(&with_odd_rows(16)));
        assert!(!agree(&with_odd_rows(17)));
    }

    #[test]
    fn an_invalid_page_and_an_odd_envelope_are_not_scanned() {
        let plain = page(2, None, &[row(1, "5"), row(2, "6")]);
        for (from, to) in [
            ("\"enrollment\":6", "\"enrollment\":06"),
            ("\"enrollment\":6", "\"enrollment\":"),
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

    #[test]
    fn fractions_are_scanned_and_escapes_are_read_by_serde() {
        let dataset = Dataset::parse(
            "d.toml",
            "name='d'\ntitle='D'\nattribution='A'\npath='d/{year}/'\ndatabase='d'\ntable='d'\nkey=['id']\n\
             [[axis]]\nname='year'\ntype='int'\n[[column]]\nname='id'\ntype='bigint'\n\
             [[column]]\nname='share'\ntype='double'\n[[column]]\nname='name'\ntype='string'\n",
        )
        .unwrap();
        let partition = PartitionKey::new(vec![("year".into(), AxisValue::Int(2021))]);
        let decoder = PageDecoder::new(&dataset, &partition);
        let mut is_accepted = Vec::new();
        for share in
            ["0.5", "-0.0", "123456789012345.123456789012345", "1.5e3", "1.", ".5", "01.5", "1.1234567890123456"]
        {
            for name in ["A \\\"B\\\" \\u00e9", "Caf\u{e9}", "\\x", "\\ud800"] {
                let row = |id: u32, share: &str, name: &str| {
                    format!("{{\"year\":2021,\"id\":{id},\"share\":{share},\"name\":\"{name}\"}}")
                };
                let body = page(2, None, &[row(1, "1.5", "A"), row(2, share, name)]);
                let mut builder = decoder.builder(false);
                let scanned =
                    builder.scan(&body).map(|envelope| decoder.assemble(1, &body, envelope, builder).unwrap());
                let decoded = decoder.decode_by_serde(1, &body);
                is_accepted.push(scanned.is_some());
                if let Some(scanned) = scanned {
                    assert_eq!(scanned.batch, decoded.unwrap().batch, "{body}");
                }
            }
        }
        // Three names and five numbers are valid JSON.
        assert_eq!(is_accepted.iter().filter(|accepted| **accepted).count(), 3 * 5);
        // The first row on a page is never left to serde.
        let is_scanned = |share: &str| {
            let body = page(1, None, &[format!("{{\"year\":2021,\"id\":1,\"share\":{share},\"name\":\"A\"}}")]);
            decoder.builder(false).scan(&body).is_some()
        };
        assert!(["0.5", "-0.5", "-12.0", "123456789012345.123456789012345"].iter().all(|share| is_scanned(share)));
        assert!(!["1.5e3", "01.5", "-0", "1234567890123456.5"].iter().any(|share| is_scanned(share)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn serde_agrees_with_every_page_that_the_scanner_accepts(
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
