//! Learns the text between the values of the first row, and reads the values of all rows.

use crate::column::{Column, Columns, FIELDS, Values};
use crate::separator::Separator;
use crate::words::{PIECE, digits, piece, to_quote};

/// The place of a column's value in a row.
struct Place {
    /// The text since the previous value; for the first value, since the last one of the previous row.
    before: Separator,
    column: usize,
}

/// What all rows have in common.
struct Template {
    places: Vec<Place>,
    /// Size of the text before the first value of the first row.
    start: usize,
    /// The text after the last value of the last row.
    end: Separator,
}

/// Reads a page into `columns` in place of what they contain. Returns `count`, the number of rows of the partition;
/// `None` if the page does not have the expected form.
///
/// Every row must have the fields of the first one in the same order, the same `year` and `grade`, and otherwise only
/// integers, nulls and text without escapes.
pub fn scan(body: &[u8], columns: &mut Columns) -> Option<u64> {
    const COUNT: &[u8] = b"{\"count\":";
    const RESULTS: &[u8] = b"\"results\":[";
    let (count, _) = digits(body, Separator::new(COUNT).skip(body, 0)?)?;
    let start = body.windows(RESULTS.len()).position(|window| window == RESULTS)? + RESULTS.len();
    let row = body.get(start..)?.split_inclusive(|byte| *byte == b'}').next()?;
    let template = Template::learn(row)?;
    let n_rows = (body.len() - start) / row.len();
    // Some rows may be shorter than the first one.
    columns.clear(n_rows + n_rows / 16);
    let mut at = start + template.start;
    loop {
        for (index, place) in template.places.iter().enumerate() {
            if index > 0 {
                at = place.before.skip(body, at)?;
            }
            at = columns.columns.get_mut(place.column)?.read(body, at, columns.n_rows)?;
        }
        columns.n_rows += 1;
        match template.places.first()?.before.skip(body, at) {
            Some(next) => at = next,
            None => break,
        }
    }
    template.end.skip(body, at)?;
    columns.is_plain().then_some(count)
}

impl Template {
    /// Learns from a whole row.
    fn learn(row: &[u8]) -> Option<Self> {
        let mut places: Vec<Place> = Vec::new();
        let (mut at, mut end, mut start) = (1, 0, None);
        while at < row.len() {
            let (key, value) = field(row.get(at..)?)?;
            let (value_at, value_end) = (at + value.start, at + value.end);
            if let Some(column) = FIELDS.iter().position(|(name, _)| name.as_bytes() == key) {
                start.get_or_insert(value_at);
                places.push(Place { before: Separator::new(row.get(end..value_at)?), column });
                end = value_end;
            }
            at = value_end + row.get(value_end..)?.iter().position(|byte| matches!(byte, b',' | b'}'))? + 1;
        }
        let (start, after) = (start?, row.get(end..)?);
        places.first_mut()?.before = Separator::new(&[after, b",", row.get(..start)?].concat());
        (places.len() == FIELDS.len()).then_some(Self { places, start, end: Separator::new(&[after, b"]}"].concat()) })
    }
}

/// Returns the key of the field that `text` starts with, and where its value is, without quotes.
fn field(text: &[u8]) -> Option<(&[u8], std::ops::Range<usize>)> {
    let key = text.strip_prefix(b"\"")?.split(|byte| *byte == b'"').next()?;
    let colon = key.len() + 2;
    let rest = text.get(colon..)?.strip_prefix(b":")?;
    let (start, ends): (usize, &[u8]) = if rest.first() == Some(&b'"') { (1, b"\"") } else { (0, b",}") };
    let length = rest.get(start..)?.iter().position(|byte| ends.contains(byte))?;
    let start = colon + 1 + start;
    Some((key, start..start + length))
}

impl Column {
    /// Reads the value at a position, and returns the position after it.
    #[inline(always)]
    fn read(&mut self, body: &[u8], at: usize, row: usize) -> Option<usize> {
        match &mut self.values {
            Values::Text { bytes, offsets } => {
                let length = to_quote(body, at)?;
                let end = bytes.len() + length;
                match piece::<PIECE>(body, at) {
                    // Copying a fixed number of bytes is faster than calling the system's function.
                    Some(piece) if length <= PIECE => {
                        bytes.extend_from_slice(piece);
                        bytes.truncate(end);
                    }
                    _ => bytes.extend_from_slice(body.get(at..at + length)?),
                }
                offsets.push(i32::try_from(end).ok()?);
                Some(at + length)
            }
            Values::Int64(values) => {
                let (value, end) = integer(body, at)?;
                if value.is_none() {
                    self.nulls.push(row);
                }
                values.push(value.unwrap_or(0));
                Some(end)
            }
            Values::Int32(values) => {
                let (value, end) = integer(body, at)?;
                if value.is_none() {
                    self.nulls.push(row);
                }
                values.push(i32::try_from(value.unwrap_or(0)).ok()?);
                Some(end)
            }
        }
    }
}

/// Reads an integer or a null, and returns the position after it.
#[inline(always)]
fn integer(body: &[u8], at: usize) -> Option<(Option<i64>, usize)> {
    let (value, n_digits) = digits(body, at)?;
    if n_digits > 0 {
        return Some((Some(value as i64), at + n_digits));
    }
    match body.get(at)? {
        b'-' => {
            let (value, n_digits) = digits(body, at + 1)?;
            (n_digits > 0).then_some((Some(-(value as i64)), at + 1 + n_digits))
        }
        _ => (piece(body, at)? == b"null").then_some((None, at + 4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(school: &str, enrollment: &str, leaid: &str) -> String {
        let number = school.trim_start_matches('0');
        format!(
            "{{\"year\":2015,\"ncessch\":\"{school}\",\"ncessch_num\":{number},\"grade\":1,\"race\":99,\"sex\":99,\
             \"enrollment\":{enrollment},\"fips\":1,\"leaid\":\"{leaid}\"}}"
        )
    }

    fn page(rows: &[String]) -> String {
        format!("{{\"count\":100000,\"next\":null,\"previous\":null,\"results\":[{}]}}", rows.join(","))
    }

    #[test]
    fn a_page_is_read_into_typed_columns() {
        let rows = [row("010000500870", "9", "0100005"), row("010000500871", "null", "12"), row("1", "-123456789", "")];
        let mut columns = Columns::default();
        for _ in 0..2 {
            assert_eq!(scan(page(&rows).as_bytes(), &mut columns), Some(100_000));
        }
        assert_eq!(columns.n_rows, 3);
        let values: Vec<Values> = columns.columns.iter().map(|column| column.values.clone()).collect();
        let text = |bytes: &str, offsets: &[i32]| Values::Text { bytes: bytes.into(), offsets: offsets.to_vec() };
        assert_eq!(
            values,
            [
                text("0100005008700100005008711", &[0, 12, 24, 25]),
                Values::Int64(vec![10_000_500_870, 10_000_500_871, 1]),
                Values::Int32(vec![99; 3]),
                Values::Int32(vec![99; 3]),
                Values::Int32(vec![9, 0, -123_456_789]),
                Values::Int32(vec![1; 3]),
                text("010000512", &[0, 7, 9, 9]),
            ]
        );
        assert!(columns.columns.iter().enumerate().all(|(i, column)| column.nulls == [1][..usize::from(i == 4)]));
    }

    #[test]
    fn the_order_of_the_fields_is_learned_from_the_first_row() {
        let rows = [1, 22].map(|n| {
            format!(
                "{{\"leaid\":\"{n}\",\"fips\":{n},\"enrollment\":{n},\"sex\":{n},\"race\":{n},\"ncessch_num\":{n},\
                 \"ncessch\":\"{n}\",\"grade\":-1,\"year\":2015}}"
            )
        });
        let mut columns = Columns::default();
        scan(page(&rows).as_bytes(), &mut columns).unwrap();
        assert_eq!(columns.columns[1].values, Values::Int64(vec![1, 22]));
        assert_eq!(columns.columns[5].values, Values::Int32(vec![1, 22]));
    }

    #[test]
    fn a_row_of_another_form_is_refused() {
        let first = row("010000500870", "9", "0100005");
        for (from, to) in [
            ("\"year\":2015", "\"year\":2016"),
            ("\"race\":99,\"sex\":99", "\"sex\":99,\"race\":99"),
            ("\"sex\":99", "\"sex\":99.0"),
            ("\"sex\":99", "\"sex\":4294967296"),
            ("\"sex\":99", "\"sex\":-"),
            ("0100005\"", "01\\u0030005\""),
            ("}", ",\"new\":1}"),
        ] {
            let rows = [first.clone(), first.replace(from, to)];
            assert_eq!(scan(page(&rows).as_bytes(), &mut Columns::default()), None, "{to}");
        }
        assert_eq!(scan(page(&[]).as_bytes(), &mut Columns::default()), None);
    }
}
