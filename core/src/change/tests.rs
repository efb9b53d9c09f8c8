//! Tests of `change`: generated pairs of versions, compared with a plain comparison row by row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::change::compare::compare_chunks;
use crate::file::writer::TableWriter;
use crate::testing::partition;

/// A row: id, code, enrollment, share, note.
type Row = (i64, String, Option<i32>, Option<f64>, Option<String>);

/// Returns a dataset with these key columns.
fn dataset(key: &str, keeps_repeated: bool) -> Dataset {
    let repeated = if keeps_repeated { "repeated_keys='keep'\nreason='the source repeats them'\n" } else { "" };
    let text = format!(
        "name='n'\ntitle='N'\nattribution='A'\npath='n/{{year}}/{{grade}}/'\ndatabase='d'\ntable='n'\nkey=[{key}]\n{repeated}\
         [[axis]]\nname='year'\ntype='int'\n[[axis]]\nname='grade'\ntype='string'\nvalues=[{{value='grade-pk', code=-1}}]\n\
         [[column]]\nname='id'\ntype='bigint'\n[[column]]\nname='code'\ntype='string'\n\
         [[column]]\nname='enrollment'\ntype='int'\n[[column]]\nname='share'\ntype='double'\n\
         [[column]]\nname='note'\ntype='string'\n"
    );
    Dataset::parse("n.toml", &text).unwrap()
}

fn encode(dataset: &Dataset, rows: &[Row]) -> Bytes {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1.clone())).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.4.clone()).collect::<StringArray>()),
    ];
    columns.push(arrow_array::new_null_array(&arrow_schema::DataType::Utf8, rows.len()));
    let mut writer = TableWriter::new(dataset, &partition(), rows.len() as u64).unwrap();
    writer.append(RecordBatch::try_new(dataset.file_schema(), columns).unwrap(), false).unwrap();
    writer.finish().unwrap().bytes
}

/// The rows of two versions by key. Text forms of the cells, `None` for null.
fn by_key(rows: &[Row], key: &[&str]) -> BTreeMap<Vec<String>, Vec<[Option<String>; 5]>> {
    let mut by_key = BTreeMap::<_, Vec<_>>::new();
    for (id, code, enrollment, share, note) in rows {
        let of_key = key.iter().map(|name| if *name == "id" { id.to_string() } else { code.clone() }).collect();
        let cells = [
            Some(id.to_string()),
            Some(code.clone()),
            enrollment.map(|value| value.to_string()),
            share.map(|value| value.to_string()),
            note.clone(),
        ];
        by_key.entry(of_key).or_default().push(cells);
    }
    by_key
}

/// Compares two versions row by row.
fn plainly(old: &[Row], new: &[Row], key: &[&str]) -> (RowChanges, BTreeMap<String, CellChanges>) {
    let (mut rows, mut columns) = (RowChanges::default(), BTreeMap::<String, CellChanges>::new());
    let (old, new) = (by_key(old, key), by_key(new, key));
    let is_code = |cell: &Option<String>| cell.as_deref().is_none_or(|cell| ["", "-1", "-2", "-3"].contains(&cell));
    for of_key in old.keys().chain(new.keys().filter(|of_key| !old.contains_key(*of_key))) {
        let (mut before, mut after) =
            (old.get(of_key).cloned().unwrap_or_default(), new.get(of_key).cloned().unwrap_or_default());
        if let ([before], [after]) = (before.as_slice(), after.as_slice()) {
            let (mut is_recoded, mut is_revised) = (false, false);
            for ((name, before), after) in ["id", "code", "enrollment", "share", "note"].iter().zip(before).zip(after) {
                if before == after {
                    continue;
                }
                let cells = columns.entry((*name).to_owned()).or_default();
                let (count, is_recoding) = match (is_code(before), is_code(after)) {
                    (true, true) => (&mut cells.recoded, true),
                    (true, false) => (&mut cells.filled, false),
                    (false, true) => (&mut cells.blanked, false),
                    (false, false) => (&mut cells.revised, false),
                };
                *count += 1;
                (is_recoded, is_revised) = (is_recoded || is_recoding, is_revised || !is_recoding);
            }
            rows.revised += u64::from(is_revised);
            rows.recoded += u64::from(is_recoded && !is_revised);
            continue;
        }
        before.retain(|row| match after.iter().position(|other| other == row) {
            Some(equal) => {
                after.remove(equal);
                false
            }
            None => true,
        });
        rows.removed += before.len() as u64;
        rows.added += after.len() as u64;
    }
    (rows, columns)
}

/// Two versions: rows are removed, added, moved, repeated, and have cells of all four classes changed.
fn versions(is_unique: bool) -> impl Strategy<Value = (Vec<Row>, Vec<Row>)> {
    let number = || prop::sample::select(vec![None, Some(-1), Some(-2), Some(0), Some(7), Some(8)]);
    let text = || prop::sample::select(vec![None, Some(""), Some("-1"), Some("ab"), Some("c")]);
    let row = move || {
        (0..60_i64, number(), number(), text()).prop_map(|(id, enrollment, share, note)| {
            let share = share.map(|value| f64::from(value) / if value < 0 { 1.0 } else { 2.0 });
            (id, format!("k{}", id % 7), enrollment, share, note.map(str::to_owned))
        })
    };
    let change = (any::<prop::sample::Index>(), 0..8_u8, row());
    (prop::collection::vec(row(), 0..50), prop::collection::vec(change, 0..12)).prop_map(move |(mut old, changes)| {
        if is_unique {
            old.sort_by_key(|row| row.0);
            old.dedup_by_key(|row| row.0);
            old.sort_by_key(|row| row.0 % 5);
        }
        let mut new = old.clone();
        for (at, kind, row) in changes {
            if new.is_empty() {
                new.push(row);
                continue;
            }
            let at = at.index(new.len());
            match kind {
                0 => drop(new.remove(at)),
                1 => new.insert(at, row),
                2 => new.rotate_left(at),
                3 => new[at].2 = row.2,
                4 => new[at].3 = row.3,
                5 => new[at].4 = row.4,
                6 => new.swap(at, 0),
                _ => new.push(new[at].clone()),
            }
        }
        if is_unique {
            let mut known = std::collections::BTreeSet::new();
            new.retain(|row| known.insert(row.0));
        }
        (old, new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_change_equals_a_plain_comparison_row_by_row(
        (old, new) in versions(true),
        (repeated_old, repeated_new) in versions(false),
        key in prop::sample::select(vec![&["id"][..], &["id", "code"]]),
        length in prop::sample::select(vec![1, 3, 8, 16_384]),
    ) {
        let quoted = key.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
        let pairs =
            [(dataset(&quoted, false), old, new), (dataset(&quoted, true), repeated_old, repeated_new)];
        for (dataset, old, new) in pairs {
            let (before, after) = (encode(&dataset, &old), encode(&dataset, &new));
            let change = compare_chunks(&dataset, before, after, length).unwrap();
            prop_assert_eq!((change.rows, change.columns.clone()), plainly(&old, &new, key));
            for (n_rows, keys) in [
                (change.rows.added, &change.keys.added),
                (change.rows.removed, &change.keys.removed),
                (change.rows.revised, &change.keys.revised),
                (change.rows.recoded, &change.keys.recoded),
            ] {
                prop_assert_eq!(keys.len() as u64, n_rows.min(3), "{:?}", change);
            }
        }
    }
}

fn rows(range: std::ops::Range<i64>) -> Vec<Row> {
    range.map(|id| (id, format!("k{id}"), Some(5), Some(0.5), None)).collect()
}

#[test]
fn a_change_names_the_first_keys_of_each_kind_in_file_order() {
    let dataset = dataset("'id'", false);
    let (old, mut new) = (rows(0..10), rows(2..12));
    new[3].2 = Some(6);
    new[1].2 = None;
    new[0].4 = Some("-1".to_owned());
    let change = compare(&dataset, encode(&dataset, &old), encode(&dataset, &new)).unwrap();
    let keys = |keys: &[&str]| keys.iter().map(|&key| format!("id {key}")).collect::<Vec<_>>();
    let expected = ChangedKeys {
        added: keys(&["10", "11"]),
        removed: keys(&["0", "1"]),
        revised: keys(&["3", "5"]),
        recoded: keys(&["2"]),
    };
    assert_eq!(change.keys, expected);
    assert_eq!(change.rows.in_words(&dataset), "2 rows revised, 1 recoded, 2 added, 2 removed");
    let json = serde_json::to_value(&change).unwrap();
    assert_eq!(
        json["columns"],
        serde_json::json!({"enrollment": {"revised": 1, "blanked": 1}, "note": {"recoded": 1}})
    );
    assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
}

#[test]
fn rows_that_moved_to_another_row_group_are_matched() {
    let dataset = dataset("'id'", false);
    let old = rows(0..200_000);
    let mut new: Vec<Row> = old.iter().rev().cloned().collect();
    new[7].2 = Some(9);
    new[150_000].3 = None;
    let change = compare(&dataset, encode(&dataset, &old), encode(&dataset, &new)).unwrap();
    assert_eq!(change.rows, RowChanges { revised: 2, ..RowChanges::default() });
    assert_eq!(change.keys.revised, ["id 199992", "id 49999"]);
}

#[test]
fn columns_that_both_files_have_are_compared_whatever_their_type() {
    let before = dataset("'id'", false);
    let old = encode(&before, &rows(0..5));
    let with_other_types = |changes: &dyn Fn(&mut Dataset)| {
        let mut after = before.clone();
        changes(&mut after);
        after
    };
    // Nothing changed but types, the order of the columns, and a new column.
    let mut after = with_other_types(&|dataset| {
        dataset.columns[2].kind = crate::dataset::ColumnKind::Double;
        dataset.columns[0].kind = crate::dataset::ColumnKind::String;
        dataset.columns.swap(1, 4);
        let mut added = dataset.columns[3].clone();
        added.name = "new".to_owned();
        dataset.columns.push(added);
    });
    after.key = vec!["id".to_owned()];
    let encode_after = |after: &Dataset, enrollment: f64| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..5).map(|id: i64| Some(id.to_string())).collect::<StringArray>()),
            arrow_array::new_null_array(&arrow_schema::DataType::Utf8, 5),
            Arc::new(Float64Array::from(vec![5.0, 5.0, enrollment, 5.0, 5.0])),
            Arc::new(Float64Array::from(vec![0.5; 5])),
            Arc::new((0..5).map(|id| Some(format!("k{id}"))).collect::<StringArray>()),
            Arc::new(Float64Array::from(vec![1.0; 5])),
            arrow_array::new_null_array(&arrow_schema::DataType::Utf8, 5),
        ];
        let mut writer = TableWriter::new(after, &partition(), 5).unwrap();
        writer.append(RecordBatch::try_new(after.file_schema(), columns).unwrap(), true).unwrap();
        writer.finish().unwrap().bytes
    };
    assert!(compare(&after, old.clone(), encode_after(&after, 5.0)).unwrap().is_empty());
    let change = compare(&after, old.clone(), encode_after(&after, 5.5)).unwrap();
    assert_eq!((change.rows.revised, change.keys.revised.as_slice()), (1, &["id 2".to_owned()][..]));
    // Without a common key column, rows are only equal or not.
    after.columns[0].name = "renamed".to_owned();
    after.key = vec!["renamed".to_owned()];
    let change = compare(&after, old, encode_after(&after, 5.5)).unwrap();
    assert_eq!(change.rows, RowChanges { added: 1, removed: 1, ..RowChanges::default() });
    assert_eq!(change.keys.added.len(), 1);
}
