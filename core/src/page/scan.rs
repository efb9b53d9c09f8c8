//! The fast way through a page whose rows look alike.
//!
//! The portal writes every row of a page with the same fields in the same order and the same white space. What stands
//! between the values is learned from the first row, the partition's own axis values with it; every row must then hold
//! exactly that, with a null, a number or a plain string in each place, each of which fits its column. A row that does not is
//! left to the serde way, and so is the page when that refuses it or when there are many such rows. The serde way alone
//! decides what is right: whatever is taken here is taken there, with the same columns.

mod cursor;

use serde::de::DeserializeSeed;

use crate::page::page_builder::{Envelope, PageBuilder, Slot};
use crate::page::scan::cursor::{Cursor, Scanned};
use crate::page::serde_rows::RowSeed;

/// Rows that do not look like the first one before the page is left to serde: so many, and this part of those so far.
const ODD_ROWS: u64 = 16;
const ODD_PART: u64 = 8;

/// Bytes before the rows that are copied to be read by themselves.
const MOST_HEAD_BYTES: usize = 1 << 16;

/// What stands before the value of one column, and which column it is.
struct Place<'t> {
    /// From the end of the value before: white space, comma, key, colon; whole fields where they are axes.
    before: &'t [u8],
    column: usize,
}

/// What a row looks like.
struct Template<'t> {
    places: Vec<Place<'t>>,
    /// From the end of the last value to the row's closing brace.
    end: &'t [u8],
    /// Bytes of the row that it was learned from.
    length: usize,
}

impl PageBuilder {
    /// Reads a whole page, if all of it is as expected but for some odd rows that serde reads. Otherwise `None`; this sink
    /// is of no use then.
    pub(super) fn scan(&mut self, text: &str) -> Option<Envelope> {
        const RESULTS: &str = "\"results\":";
        // What comes before the rows is read by serde, with no rows in it.
        let (head, _) = text.split_once(RESULTS)?;
        if head.len() > MOST_HEAD_BYTES {
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
            if self.n_rows == self.most_rows {
                return None;
            }
            let start = cursor;
            if self.scan_row(&template, &mut cursor).is_none() {
                n_odd += 1;
                if n_odd > ODD_ROWS && n_odd * ODD_PART > self.n_rows {
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

    /// Makes room for the rows of a page: as many as fit its size, and no more than the partition has.
    fn reserve(&mut self, count: u64, size_bytes: usize, row_bytes: usize) {
        let n_by_size = size_bytes / row_bytes;
        // Rows that are shorter than the first one.
        let n_rows = n_by_size + n_by_size / 16;
        let n_rows = usize::try_from(count.min(self.most_rows)).map_or(n_rows, |most| n_rows.min(most));
        for column in &mut self.columns {
            column.reserve(n_rows, size_bytes);
        }
    }

    /// What the row at `cursor` looks like, if it holds every field once and no other, and is of this partition.
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
                // What follows it stands in the same bytes, so no row can have a longer number here.
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
        is_seen.iter().all(|seen| *seen).then_some(Template { places, end, length: cursor.at - row_start })
    }

    /// Reads one row by serde, each value from its own text, since one may not fit.
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

    /// Rows that were scanned have nothing left over.
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
        // A row of which something does not agree is read again, from its own text.
        if !self.settle_padding() {
            return None;
        }
        self.n_rows += 1;
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

    /// The page as each way reads it: by the scanner where it takes it, and by serde.
    fn both(body: &str) -> (Option<Result<Page, crate::Error>>, Result<Page, crate::Error>) {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = PageDecoder::new(&dataset, &partition);
        let mut sink = decoder.builder(false);
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

    /// Found by use: W4.
    #[test]
    fn a40_an_axis_is_scanned_in_any_spelling_of_its_code_and_a_row_that_differs_is_refused() {
        for year in ["2021", "2021.0", "2021.00", "\"2021\"", "\"2021.0\"", "\"2.021e3\""] {
            let rows = [row(1, "5"), row(2, "6")].map(|row| row.replace(":2021,", &format!(":{year},")));
            assert!(agree(&page(2, None, &rows)), "{year}");
            let others = [rows[0].clone(), row(2, "6").replace(":2021,", ":2020,")];
            assert!(!agree(&page(2, None, &others)), "{year}");
        }
        // Two spellings on one page: the row that differs from the first one is read by serde.
        let mixed = [row(1, "5"), row(2, "6").replace(":2021,", ":2.021e3,"), row(3, "7")];
        assert!(agree(&page(3, None, &mixed)));
    }

    #[test]
    fn a_row_that_is_odd_is_read_by_serde_and_the_others_are_scanned() {
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
    fn a_page_of_which_many_rows_are_odd_is_left_to_serde() {
        let of = |n_odd: u64| {
            // The first row is what the others are compared with.
            let is_odd = |i: u64| (1..=n_odd).contains(&i);
            let rows: Vec<String> = (0..200).map(|i| row(i, if is_odd(i) { "6.0" } else { "6" })).collect();
            page(200, None, &rows)
        };
        assert!(agree(&of(16)));
        assert!(!agree(&of(17)));
    }

    #[test]
    fn what_serde_refuses_is_not_scanned_and_an_odd_envelope_neither() {
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
        let mut is_taken = Vec::new();
        for share in
            ["0.5", "-0.0", "123456789012345.123456789012345", "1.5e3", "1.", ".5", "01.5", "1.1234567890123456"]
        {
            for name in ["A \\\"B\\\" \\u00e9", "Caf\u{e9}", "\\x", "\\ud800"] {
                let row = |id: u32, share: &str, name: &str| {
                    format!("{{\"year\":2021,\"id\":{id},\"share\":{share},\"name\":\"{name}\"}}")
                };
                let body = page(2, None, &[row(1, "1.5", "A"), row(2, share, name)]);
                let mut sink = decoder.builder(false);
                let scanned = sink.scan(&body).map(|envelope| decoder.assemble(1, &body, envelope, sink).unwrap());
                let decoded = decoder.decode_by_serde(1, &body);
                is_taken.push(scanned.is_some());
                if let Some(scanned) = scanned {
                    assert_eq!(scanned.batch, decoded.unwrap().batch, "{body}");
                }
            }
        }
        // All names but the one that is no JSON, with each number that is.
        assert_eq!(is_taken.iter().filter(|taken| **taken).count(), 3 * 5);
        // The first row of a page is never left to serde.
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
