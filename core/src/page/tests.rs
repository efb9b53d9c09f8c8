//! Tests of `page`.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};

use super::*;
use crate::testing::{enrollment, page, partition, row};

fn decode(body: &[u8]) -> Result<Page, Error> {
    let (dataset, partition) = (enrollment(), partition());
    PageDecoder::new(&dataset, &partition).decode(1, body)
}

/// Returns `_rescued` of every row.
fn rescued(page: &Page) -> Vec<Option<String>> {
    let column = page.batch.column(page.batch.num_columns() - 1).as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn a_page_is_decoded_into_columns_in_the_order_of_the_descriptor() {
    let page = decode(page(2, None, &[row(10_000_200_277, "29"), row(20_000_000_001, "null")]).as_bytes()).unwrap();
    let names: Vec<_> = page.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["ncessch", "ncessch_num", "race", "sex", "enrollment", "fips", "leaid", "_rescued"]);
    assert_eq!(page.batch.column(0).as_string::<i32>().value(0), "010000200277");
    assert_eq!(page.batch.column(1).as_primitive::<Int64Type>().value(0), 10_000_200_277);
    let enrollment = page.batch.column(4).as_primitive::<Int32Type>();
    assert_eq!((enrollment.value(0), enrollment.is_null(1)), (29, true));
    assert_eq!(page.batch.column(6).as_string::<i32>().value(0), "0100002");
    assert_eq!(rescued(&page), [None, None]);
    assert_eq!((page.count, page.next.as_deref(), page.n_unknown), (2, None, 0));
}

#[test]
fn the_order_of_fields_and_white_space_do_not_matter() {
    let one = row(1, "5");
    let reordered = "{ \"leaid\" : \"100002\", \"fips\":1,\n\"enrollment\":5,\"sex\":99,\"race\":99,\"grade\":-1, \
                         \"ncessch_num\":1,\"ncessch\":\"000000000001\" ,\"year\":2021 }";
    let compact = decode(page(1, None, std::slice::from_ref(&one)).as_bytes()).unwrap();
    let spaced = decode(page(1, None, &[reordered.to_owned()]).as_bytes()).unwrap();
    assert_eq!(compact.batch, spaced.batch);
    let mixed = decode(page(2, None, &[one, reordered.replace("000000000001", "000000000002")]).as_bytes()).unwrap();
    assert_eq!(mixed.batch.num_rows(), 2);
    assert_eq!(mixed.batch.column(6).as_string::<i32>().value(1), "0100002");
}

#[test]
fn values_that_do_not_fit_are_kept_with_their_json_text() {
    let rows = [
        row(1, "18446744073709551616"),
        row(2, "\"many\\n\"").replace("\"fips\"", "\"new\": {\"a\": [1, 2.50]},\"fips\""),
        row(3, "1e400").replace("\"fips\":1", "\"fips\":\"\\ud800\""),
        row(4, "7"),
    ];
    let page = decode(page(4, None, &rows).as_bytes()).unwrap();
    assert_eq!(
        rescued(&page),
        [
            Some("{\"enrollment\":18446744073709551616}".to_owned()),
            Some("{\"enrollment\":\"many\\n\",\"new\":{\"a\": [1, 2.50]}}".to_owned()),
            // Without its state, nothing shows that the district id lacks a zero.
            Some("{\"enrollment\":1e400,\"fips\":\"\\ud800\",\"leaid\":\"100002\"}".to_owned()),
            None,
        ]
    );
    assert_eq!(page.n_unknown, 1);
    assert_eq!(
        page.misfits[4],
        Misfits {
            n_values: 3,
            n_kept: 0,
            first: Some((1, Some("18446744073709551616".to_owned()))),
            ..Misfits::default()
        }
    );
    let enrollment = page.batch.column(4).as_primitive::<Int32Type>();
    assert_eq!((enrollment.null_count(), enrollment.value(3)), (3, 7));
}

/// Found by use: H12.
#[test]
fn a41_an_id_is_padded_only_if_the_result_matches_the_rows_district_and_state() {
    let with_ids = |ncessch: &str, fips: &str, leaid: &str| {
        row(1, "5")
            .replace("\"000000000001\"", ncessch)
            .replace("\"fips\":1", &format!("\"fips\":{fips}"))
            .replace("\"100002\"", leaid)
    };
    let plain = with_ids("\"010000200277\"", "1", "\"100002\"");
    for (ncessch, fips, leaid, expected, n_kept) in [
        ("\"10000200277\"", "1", "\"100002\"", ("010000200277", "0100002"), 0),
        ("10000200277", "1", "\"0100002\"", ("010000200277", "0100002"), 0),
        ("10000200277", "\"1\"", "100002", ("010000200277", "0100002"), 0),
        // A real id from 1986 that lost an inner zero. Padded, it would be a school in Alaska.
        ("\"25000031636\"", "25", "\"2500003\"", ("25000031636", "2500003"), 1),
        ("\"25000031636\"", "25", "\"250003\"", ("25000031636", "250003"), 2),
        ("\"25000031636\"", "25", "\"250000\"", ("25000031636", "250000"), 2),
        // Another district in the same state.
        ("\"20000031636\"", "2", "\"200003\"", ("20000031636", "0200003"), 1),
        ("\"20000031636\"", "2", "null", ("020000031636", ""), 0),
        ("\"25000031636\"", "25", "null", ("25000031636", ""), 1),
        ("\"10000200277\"", "null", "\"0100002\"", ("010000200277", "0100002"), 0),
        ("\"10000200277\"", "null", "\"\"", ("10000200277", ""), 1),
        ("\"10000200277\"", "-1", "\"-1\"", ("10000200277", "-1"), 1),
        ("\"10000200277\"", "1", "\"-2\"", ("010000200277", "-2"), 0),
        // No zero is missing from the ids of territories and of the Bureau of Indian Education.
        ("\"600003000001\"", "60", "\"6000030\"", ("600003000001", "6000030"), 0),
        ("\"590000100001\"", "4", "\"5900001\"", ("590000100001", "5900001"), 0),
    ] {
        let odd = with_ids(ncessch, fips, leaid);
        for rows in [vec![odd.clone()], vec![plain.clone(), odd.clone(), plain.clone()]] {
            let read = decode(page(rows.len() as u64, None, &rows).as_bytes()).unwrap();
            let i = rows.len() / 2;
            let found =
                (read.batch.column(0).as_string::<i32>().value(i), read.batch.column(6).as_string::<i32>().value(i));
            assert_eq!(found, expected, "{odd}");
            assert_eq!(read.misfits.iter().map(|misfits| misfits.n_kept).sum::<u64>(), n_kept, "{odd}");
            assert_eq!(read.misfits.iter().map(|misfits| misfits.n_values).sum::<u64>(), n_kept, "{odd}");
            assert_eq!(rescued(&read)[i].is_some(), n_kept > 0, "{odd}");
            if rows.len() > 1 {
                assert_eq!(read.batch.column(6).as_string::<i32>().value(0), "0100002", "{odd}");
                assert_eq!(rescued(&read)[0], None);
            }
        }
    }
    let kept = decode(page(1, None, &[with_ids("25000031636", "25", "\"2500003\"")]).as_bytes()).unwrap();
    assert_eq!(rescued(&kept), [Some("{\"ncessch\":25000031636}".to_owned())]);
    assert_eq!(
        kept.misfits[0],
        Misfits { n_values: 1, n_kept: 1, first: Some((1, Some("25000031636".to_owned()))), ..Misfits::default() }
    );
}

/// Found by use: W2.
#[test]
fn names_of_unknown_fields_are_unique_truncated_and_at_most_twenty() {
    let with = |fields: &str| row(1, "5").replace("\"fips\"", &format!("{fields}\"fips\""));
    let names =
        |rows: &[String]| decode(page(rows.len() as u64, None, rows).as_bytes()).unwrap().unknown_fields.into_names();
    assert!(names(&[row(1, "5")]).is_empty());
    let plain = row(2, "5");
    assert_eq!(
        names(&[plain.clone(), with("\"magnet\":1,\"charter\":0,"), with("\"magnet\":1,")]),
        ["charter", "magnet"]
    );
    let many: String = (0..1_000).rev().map(|i| format!("\"f{i:03}\":null,")).collect();
    let found = names(&[plain.clone(), with(&many)]);
    assert_eq!((found.len(), found[0].as_str(), found[19].as_str()), (20, "f000", "f019"));
    let long = names(&[with(&format!("\"{}\":1,", "\u{e9}".repeat(70)))]);
    assert_eq!(long, [format!("{}…", "\u{e9}".repeat(64))]);
}

#[test]
fn an_absent_field_is_null_and_counted() {
    let page = decode(page(1, None, &[row(1, "5").replace("\"fips\":1,", "")]).as_bytes()).unwrap();
    assert!(page.batch.column(5).is_null(0));
    assert_eq!(page.misfits[5], Misfits { n_values: 1, n_kept: 0, first: Some((1, None)), ..Misfits::default() });
}

/// Found by use: W4.
#[test]
fn a40_an_axis_accepts_any_spelling_of_its_code_and_reports_any_other_value() {
    let with_year =
        |year: &str| decode(page(1, None, &[row(1, "5").replace(":2021,", &format!(":{year},"))]).as_bytes());
    for year in ["2021.0", "2021.00", "2.021e3", "20210E-1", "\"2021\"", "\"2021.0\""] {
        assert_eq!(with_year(year).unwrap().batch.num_rows(), 1, "{year}");
    }
    let expected = "check row 1 on page 1 of `year=2021/grade=grade-pk`: expected `year` 2021, found ";
    for (year, found) in [
        ("2021.5", "2021.5"),
        ("2021.0000000000000001", "2021.0000000000000001"),
        ("2020", "2020"),
        ("2020.0", "2020.0"),
        ("2.0215e3", "2.0215e3"),
        ("\"2021-22\"", "`2021-22`"),
        ("\"2021.5\"", "`2021.5`"),
        ("1e400", "1e400"),
        ("null", "null"),
        ("true", "true"),
        ("[2021]", "an array"),
        ("{\"year\":2021}", "an object"),
    ] {
        assert_eq!(with_year(year).unwrap_err().chain(), format!("{expected}{found}"), "{year}");
    }
}

#[test]
fn a10_a12_a13_a31_a32_an_invalid_page_is_refused_and_quoted() {
    let good = page(1, None, &[row(1, "5")]);
    let expected = "decode page 1 of `year=2021/grade=grade-pk`: expected a JSON object with `count`, `next` and \
                        `results`, found ";
    for (body, found) in [
        (b"".to_vec(), "an empty body"),
        (
            b"<html>Enable JavaScript\nand cookies</html>".to_vec(),
            "a web page, `Enable JavaScript\\nand cookies`, instead of data",
        ),
        (b"[1]".to_vec(), "`[1]`"),
        (b"{\"detail\":\"Invalid page.\"}".to_vec(), "`{\"detail\":\"Invalid page.\"}`"),
        (b"{\"count\":1,\"next\":null}".to_vec(), "`{\"count\":1,\"next\":null}`"),
        (b"{\"count\":1,\"results\":\xff".to_vec(), "invalid UTF-8 at offset 21"),
        (b"\xef\xbb\xbf{}".to_vec(), "`\u{feff}{}`"),
        (good.replace("\"fips\":1", "\"fips\":1,\"fips\":2").into_bytes(), "a duplicate field `fips` in row 1"),
        (good.replace("\"fips\":1", "\"fips\":1,\"new\":2,\"new\":2").into_bytes(), "a duplicate field `new` in row 1"),
    ] {
        let error = decode(&body).unwrap_err();
        let expected = format!("{expected}{}", found.replace('\u{feff}', "\\u{feff}"));
        assert_eq!(error.chain(), expected);
    }
}

#[test]
fn an_error_in_json_names_its_cause_or_position() {
    let good = page(1, None, &[row(1, "5")]);
    for (body, cause) in [
        (&good[..good.len() - 5], "EOF while parsing a string at line 1 column 172"),
        (&good.replace("\"count\":1", "\"count\":-1"), "invalid value: integer `-1`, expected u64"),
        (&good.replace("\"fips\":1", "\"fips\":NaN"), "expected value at line 1 column"),
        (&good.replace("[{", "[5,{"), "invalid type: integer `5`, expected an object of fields"),
        (&format!("{good} true"), "trailing characters"),
        (&good.replace("\"count\":1", "\"count\":1,\"count\":2"), "duplicate `count`"),
        (&good.replace("\"next\":null", "\"next\":null,\"next\":null"), "duplicate `next`"),
    ] {
        let error = decode(body.as_bytes()).unwrap_err();
        assert_eq!(error.name(), "BadBody");
        assert!(error.chain().contains(cause), "expected {cause}, found {}", error.chain());
    }
}

#[test]
fn a25_deep_nesting_is_kept_or_refused_without_recursion() {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let with_fips = |value: &str| page(1, None, &[row(1, "5").replace("\"fips\":1", &format!("\"fips\":{value}"))]);
    assert_eq!(decode(with_fips(&open).as_bytes()).unwrap_err().name(), "BadBody");
    let kept = decode(with_fips(&format!("{open}{close}")).as_bytes()).unwrap();
    let rescued = kept.batch.column(kept.batch.num_columns() - 1).as_string::<i32>().value(0);
    assert_eq!(rescued, format!("{{\"fips\":{open}{close},\"leaid\":\"100002\"}}"));
}

/// Found by use: B6.
#[test]
fn a42_the_values_of_a_page_and_the_unknown_fields_of_a_row_are_limited() {
    let dataset =
        Dataset { columns: [enrollment().columns, (0..300).map(more_column).collect()].concat(), ..enrollment() };
    let partition = partition();
    let decoder = PageDecoder::new(&dataset, &partition);
    let max_rows = usize::try_from(crate::page::page_builder::MAX_VALUES).unwrap() / (dataset.columns.len() + 1);
    let whole: String = (0..300).map(|i| format!("\"more{i}\":1,")).collect();
    let decode_rows = |n_rows: usize, fields: &str| {
        let row = row(1, "5").replace("\"fips\"", &format!("{fields}\"fips\""));
        decoder.decode(3, page(n_rows as u64, None, &vec![row; n_rows]).as_bytes())
    };
    // First rows that are scanned, then rows that serde reads.
    for fields in [whole.as_str(), "\"more7\":1.5,"] {
        assert_eq!(decode_rows(max_rows, fields).unwrap().batch.num_rows(), max_rows);
        let error = decode_rows(max_rows + 1, fields).unwrap_err();
        assert_eq!(
            (error.name(), error.chain()),
            (
                "BodyTooLarge",
                format!(
                    "fetch page 3 of `year=2021/grade=grade-pk`: response body too large: expected at most {max_rows} rows \
                         of 307 columns, found more"
                )
            )
        );
    }
    let unknown = |n: usize| (0..n).map(|i| format!("\"new{i}\":1,")).collect::<String>();
    assert_eq!(decode_rows(1, &unknown(crate::page::serde_rows::MAX_UNKNOWN_FIELDS)).unwrap().n_unknown, 1);
    let error = decode_rows(2, &unknown(crate::page::serde_rows::MAX_UNKNOWN_FIELDS + 1)).unwrap_err();
    assert!(error.chain().ends_with("expected at most 10000 unknown fields in row 1, found more"), "{error:?}");
}

fn more_column(i: usize) -> crate::dataset::Column {
    crate::dataset::Column { name: format!("more{i}"), ..enrollment().columns[4].clone() }
}

/// Found by use: B6.
#[test]
fn a42_reading_stops_at_the_first_row_without_a_key() {
    let keyless = "{\"year\":2021,\"grade\":-1}".to_owned();
    let rows = [&[row(1, "5")][..], &vec![keyless; 50_000]].concat();
    let body = page(50_001, None, &rows);
    // The end of the body is not read.
    for end in ["]}", "", " and no JSON"] {
        let error = decode(body.replace("]}", end).as_bytes()).unwrap_err();
        assert_eq!(error.name(), "SchemaDrift");
        assert!(error.chain().contains("found no such field in row 2 (1 of 2 rows do not fit)"), "{}", error.chain());
    }
}

#[test]
fn a_column_is_read_from_the_field_that_the_descriptor_names() {
    let mut dataset = enrollment();
    dataset.columns[4].name = "students".to_owned();
    dataset.columns[4].field = Some("enrollment".to_owned());
    let (partition, body) = (partition(), page(2, None, &[row(1, "29"), row(2, "\"many\"")]));
    let page = PageDecoder::new(&dataset, &partition).decode(1, body.as_bytes()).unwrap();
    assert_eq!(page.batch.schema().field(4).name(), "students");
    assert_eq!(page.batch.column(4).as_primitive::<Int32Type>().value(0), 29);
    assert_eq!(rescued(&page), [None, Some("{\"enrollment\":\"many\"}".to_owned())]);
    assert_eq!(page.n_unknown, 0);
}
