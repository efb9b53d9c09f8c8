//! Invariants of every body, regardless of its contents, for tests and fuzz targets.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use serde_json::Value;

use super::{Page, PageDecoder};
use crate::error::Error;

/// Decodes a body and checks that an accepted page is consistent. Returns its number of rows, or `None` if the body is
/// refused.
pub(crate) fn check_accepted_page(decoder: &PageDecoder, body: &[u8]) -> Option<usize> {
    let page = match decoder.decode(1, body) {
        Ok(page) => page,
        Err(error) => {
            assert!(
                ["BadBody", "BodyTooLarge", "SchemaDrift", "WrongPartition"].contains(&error.name()),
                "{}",
                error.chain()
            );
            return None;
        }
    };
    let columns = &decoder.dataset.columns;
    let n_rows = page.batch.num_rows();
    assert_eq!(page.batch.schema(), decoder.schema);
    assert_eq!(page.misfits.len(), columns.len());
    let rescued = page.batch.column(columns.len()).as_string::<i32>();
    let n_rescued = (n_rows - rescued.null_count()) as u64;
    assert!(page.n_unknown <= n_rescued);
    for text in rescued.iter().flatten() {
        // Only the syntax is checked: a lone surrogate is valid JSON, but not a valid string in Rust.
        serde_json::from_str::<&serde_json::value::RawValue>(text)
            .unwrap_or_else(|error| unreachable!("`_rescued` is not valid JSON, {error}: {text}"));
    }
    for (misfits, array) in page.misfits.iter().zip(page.batch.columns()) {
        assert!(
            misfits.n_values - misfits.n_kept <= array.null_count() as u64,
            "a value that does not fit must be null or kept"
        );
        assert!(misfits.n_kept <= n_rescued, "a kept value must be in `_rescued` too");
        assert_eq!(misfits.n_values > 0, misfits.first.is_some());
        assert!(misfits.first.as_ref().is_none_or(|(row, _)| (1..=n_rows as u64).contains(row)));
    }
    // Compares the page with an independent reader that knows nothing about columns. It refuses some valid JSON, such
    // as a lone surrogate.
    if let Ok(read) = serde_json::from_slice::<Value>(body) {
        assert_eq!(read.get("count").and_then(Value::as_u64), Some(page.count));
        assert_eq!(read.get("next").and_then(Value::as_str), page.next.as_deref());
        let rows = read.get("results").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        assert_eq!(rows.len(), n_rows);
        for (column, array) in columns.iter().zip(page.batch.columns()) {
            for (i, row) in rows.iter().enumerate() {
                if let Some(found) = row.get(column.field()).and_then(Value::as_i64) {
                    assert!(holds_or_is_null(array, i, found), "`{}` of row {i} is not {found}", column.name);
                }
            }
        }
    }
    Some(n_rows)
}

/// Returns whether an integer column has exactly the expected integer, or a null if the integer is out of its range.
fn holds_or_is_null(array: &ArrayRef, row: usize, expected: i64) -> bool {
    let found = match array.data_type() {
        DataType::Int32 => {
            let values = array.as_primitive::<Int32Type>();
            values.is_valid(row).then(|| i64::from(values.value(row)))
        }
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>();
            values.is_valid(row).then(|| values.value(row))
        }
        _ => return true,
    };
    match found {
        Some(found) => found == expected,
        None => *array.data_type() == DataType::Int32 && i32::try_from(expected).is_err(),
    }
}

/// Decodes a body in three ways and checks that all give the same columns, `_rescued` and counts, or the same error.
/// The ways are [`PageDecoder::decode`], which uses the scanner if it can; serde; and the exact pass, which decides
/// what is valid. Returns whether the page is accepted.
pub(crate) fn check_all_ways_agree(decoder: &PageDecoder, body: &str) -> bool {
    let decoded = decoder.decode(1, body.as_bytes());
    let by_serde = decoder.decode_by_serde(1, body);
    match (&decoded, &by_serde) {
        (Ok(decoded), Ok(by_serde)) => assert_same(decoded, by_serde, body),
        // A body that is not an object is refused before it is parsed, with a different message.
        (Err(_), Err(_)) if !body.trim_start().starts_with('{') => {}
        (Err(decoded), Err(by_serde)) => {
            assert_eq!((decoded.name(), decoded.chain()), (by_serde.name(), by_serde.chain()), "{body}");
        }
        (Ok(_), Err(error)) => unreachable!("{body}\naccepted, but refused by serde: {}", error.chain()),
        (Err(error), Ok(_)) => unreachable!("{body}\naccepted by serde, but refused: {}", error.chain()),
    }
    match (&by_serde, exactly(decoder, body)) {
        (Ok(by_serde), Some(Ok(exact))) => assert_same(by_serde, &exact, body),
        (Err(_), None | Some(Err(_))) => {}
        (by_serde, _) => {
            let accepted_by = if by_serde.is_ok() { "serde" } else { "the exact pass" };
            unreachable!("{body}\naccepted only by {accepted_by}");
        }
    }
    decoded.is_ok()
}

/// Decodes the page in an exact pass; `None` if serde refuses it.
fn exactly(decoder: &PageDecoder, body: &str) -> Option<Result<Page, Error>> {
    let mut builder = decoder.builder(true);
    let envelope = builder.read(body).ok()?;
    Some(decoder.assemble(1, body, envelope, builder))
}

fn assert_same(one: &Page, other: &Page, body: &str) {
    assert_eq!(one.batch, other.batch, "{body}");
    assert_eq!((one.count, &one.next), (other.count, &other.next), "{body}");
    assert_eq!((&one.misfits, one.n_unknown), (&other.misfits, other.n_unknown), "{body}");
    assert_eq!(one.unknown_fields, other.unknown_fields, "{body}");
}

#[cfg(test)]
mod tests {
    use crate::fuzzing;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    /// Numbers at every boundary, and their neighbours.
    fn boundary() -> impl Strategy<Value = String> {
        const BOUNDARIES: [i128; 10] = [
            0,
            1 << 31,
            1 << 32,
            1 << 53,
            999_999_999_999_999_999,
            9_999_999_999_999_999_999,
            1 << 63,
            1 << 64,
            (1 << 64) + 7,
            i128::MAX - 1,
        ];
        let spelled = select(vec!["", ".0", ".000", ".5", "e0", "E+1", "e-1", ".25e2"]);
        (select(BOUNDARIES.to_vec()), -1..=1_i128, any::<bool>(), any::<bool>(), spelled, any::<bool>()).prop_map(
            |(boundary, step, is_negative, is_spelled, spelled, is_quoted)| {
                let sign = if is_negative { -1 } else { 1 };
                let number = format!("{}{}", sign * (boundary + step), if is_spelled { spelled } else { "" });
                if is_quoted { format!("\"{number}\"") } else { number }
            },
        )
    }

    fn value() -> impl Strategy<Value = String> {
        let text = || {
            let piece = select(vec![
                "a",
                "7",
                "0",
                "-",
                ".",
                " ",
                "caf\u{e9}",
                "\u{1f600}",
                "\\\"",
                "\\\\",
                "\\n",
                "\\u0041",
                "\\ud83d\\ude00",
                "\\ud800",
                "\u{7f}",
            ]);
            vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
        };
        let number = prop_oneof![
            any::<i32>().prop_map(|n| n.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<u64>().prop_map(|n| n.to_string()),
            prop::num::f64::NORMAL.prop_map(|n| format!("{n:e}")),
            (-1e9..1e9).prop_map(|n: f64| n.to_string()),
        ];
        let other = select(vec![
            "null",
            "true",
            "-0",
            "-0.0",
            "01",
            "1.",
            ".5",
            "[]",
            "{}",
            "[1,[2.50]]",
            "{\"a\":{\"b\":[null]}}",
            "1e400",
            "\"\"",
            "700",
            "\"0\"",
            "\"70001\"",
        ]);
        prop_oneof![
            4 => (-3..1_000_i32).prop_map(|n| n.to_string()),
            3 => boundary(),
            2 => number,
            2 => text(),
            2 => other.prop_map(str::to_owned),
        ]
    }

    /// A row: its values, which fields have plain values instead, the spelling of its year, and a flaw, if any.
    #[derive(Debug, Clone)]
    struct Row {
        values: Vec<String>,
        is_plain: Vec<bool>,
        year: &'static str,
        flaw: Option<(u8, Index, String)>,
    }

    fn row() -> impl Strategy<Value = Row> {
        let flaw = prop::option::weighted(0.2, (0..4_u8, any::<Index>(), value()));
        let year = prop_oneof![
            6 => Just("2021"),
            3 => select(vec!["2021.0", "2021.00", "2.021e3", "20210e-1", "\"2021\"", "\"2021.0\""]),
            1 => select(vec!["2021.5", "2020", "2020.0", "\"2.0215e3\"", "2021.0000000000000001"]),
        ];
        (vec(value(), 5), vec(prop::bool::weighted(0.6), 5), flaw, year)
            .prop_map(|(values, is_plain, flaw, year)| Row { values, is_plain, flaw, year })
    }

    fn write_row(row: &Row, order: &[usize], space: &str) -> String {
        const PLAIN: [(&str, &str); 7] = [
            ("year", "2021"),
            ("grade", "-1"),
            ("id", "\"0012\""),
            ("text", "\"a\""),
            ("int", "7"),
            ("big", "7"),
            ("real", "0.5"),
        ];
        let mut fields: Vec<(String, String)> =
            PLAIN.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        for ((field, value), is_plain) in fields.iter_mut().skip(2).zip(&row.values).zip(&row.is_plain) {
            if !is_plain {
                field.1.clone_from(value);
            }
        }
        fields[0].1 = row.year.to_owned();
        let mut fields: Vec<_> = order.iter().map(|i| fields[*i].clone()).collect();
        match &row.flaw {
            Some((0, at, _)) => drop(fields.remove(at.index(fields.len()))),
            Some((1, at, value)) => fields.insert(at.index(fields.len()), ("new".to_owned(), value.clone())),
            Some((2, at, value)) => fields.push((at.get(&fields).0.clone(), value.clone())),
            Some((_, at, value)) => {
                let at = at.index(fields.len());
                fields[at].1.clone_from(value);
            }
            None => {}
        }
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// A page of such rows. As on the portal, all rows have the same order of fields and the same whitespace, except
    /// possibly one.
    fn body() -> impl Strategy<Value = String> {
        let order = || Just((0..7).collect::<Vec<usize>>()).prop_shuffle();
        let space = prop_oneof![3 => Just(""), 1 => select(vec![" ", "\n", "\t", " \r\n "])];
        let odd = prop::option::weighted(0.2, (any::<Index>(), order()));
        let envelope =
            select(vec!["results last", "results last", "results last", "results first", "no count", "count twice"]);
        (vec(row(), 1..5), order(), space, odd, envelope).prop_map(|(rows, order, space, odd, envelope)| {
            let odd = odd.map(|(at, order)| (at.index(rows.len()), order));
            let rows: Vec<String> = rows
                .iter()
                .enumerate()
                .map(|(i, row)| match &odd {
                    Some((at, order)) if *at == i => write_row(row, order, space),
                    _ => write_row(row, &order, space),
                })
                .collect();
            let count = format!("\"count\":{space}{}", rows.len());
            let results = format!("\"results\":{space}[{}]", rows.join(&format!("{space},{space}")));
            let next = "\"next\":null".to_owned();
            let fields = match envelope {
                "results first" => vec![results, count, next],
                "no count" => vec![next, results],
                "count twice" => vec![count.clone(), next, results, count],
                _ => vec![count, next, results],
            };
            format!("{space}{{{}}}{space}", fields.join(&format!("{space},{space}")))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_500))]

        #[test]
        fn the_scanner_serde_and_the_exact_pass_read_a_page_alike(body in body()) {
            fuzzing::scanner(body.as_bytes());
            fuzzing::page(body.as_bytes());
        }

        #[test]
        fn the_scanner_serde_and_the_exact_pass_read_or_refuse_a_damaged_page_alike(
            body in body(),
            damage in vec((any::<Index>(), select(
                vec!['"', '\\', ',', ':', '{', '}', '[', ']', ' ', '\n', '0', '9', '-', '.', 'e', 'n', '\u{e9}', '\u{1}'],
            ), 0..3_u8), 1..4),
        ) {
            let mut body: Vec<char> = body.chars().collect();
            for (at, found, how) in damage {
                let at = at.index(body.len());
                match how {
                    0 => body[at] = found,
                    1 => body.insert(at, found),
                    _ => drop(body.remove(at)),
                }
            }
            fuzzing::scanner(body.iter().collect::<String>().as_bytes());
        }
    }
}
