//! Reads descriptors and lists of codes in the tests' own way, and compares rows with them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::Table;

/// One descriptor.
pub(crate) struct Descriptor(pub(crate) Table);

/// Codes by the name of their list.
pub(crate) type Lists = BTreeMap<String, BTreeSet<i64>>;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets")
}

/// Reads all descriptors in `datasets/`, ordered by name.
pub(crate) fn built_in() -> Vec<Descriptor> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort_unstable();
    files.iter().map(|path| Descriptor(fs::read_to_string(path).unwrap().parse().unwrap())).collect()
}

/// Reads `datasets/lookups/codes.csv`. There are no lists without it.
pub(crate) fn lists() -> Lists {
    let mut lists = Lists::new();
    let text = fs::read_to_string(folder().join("lookups/codes.csv")).unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let mut cells = line.splitn(3, ',');
        let (list, code) = (cells.next().unwrap(), cells.next().unwrap());
        lists.entry(list.to_owned()).or_default().insert(code.parse().unwrap());
    }
    lists
}

impl Descriptor {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    pub(crate) fn axes(&self) -> Vec<&Table> {
        self.0["axis"].as_array().unwrap().iter().map(|axis| axis.as_table().unwrap()).collect()
    }

    pub(crate) fn columns(&self) -> Vec<&Table> {
        self.0["column"].as_array().unwrap().iter().map(|column| column.as_table().unwrap()).collect()
    }

    /// Checks whether the simulator has data of its own for the dataset.
    pub(crate) fn is_of_sample(&self) -> bool {
        let path = self.text("path");
        path.starts_with("schools/ccd/enrollment/") || path.starts_with("schools/ccd/directory/")
    }

    /// Returns paths of partitions: the first and the last year, with the first and the last value of each axis.
    pub(crate) fn paths(&self) -> Vec<(String, BTreeMap<String, i64>)> {
        [false, true].map(|is_last| self.path(is_last)).into()
    }

    /// Checks whether a column is a dimension of schools or districts that the path does not name.
    fn is_always_total(&self, column: &Table, lists: &Lists) -> bool {
        let list = column.get("codes").and_then(|list| lists.get(list.as_str().unwrap()));
        let is_dimension = list.is_some_and(|codes| codes.contains(&99)) && !column.contains_key("total");
        self.text("path").starts_with("school") && is_dimension
    }

    fn path(&self, is_last: bool) -> (String, BTreeMap<String, i64>) {
        let (mut path, mut codes) = (format!("/api/v1/{}", self.text("path")), BTreeMap::new());
        for axis in self.axes() {
            let name = axis["name"].as_str().unwrap();
            let (value, code) = match axis.get("values") {
                None => {
                    let year = year(axis, is_last);
                    (year.to_string(), year)
                }
                Some(values) => {
                    let values = values.as_array().unwrap();
                    let value = if is_last { values.last() } else { values.first() }.unwrap();
                    match value.as_integer() {
                        Some(code) => (code.to_string(), code),
                        None => (value["value"].as_str().unwrap().to_owned(), value["code"].as_integer().unwrap()),
                    }
                }
            };
            path = path.replace(&format!("{{{name}}}"), &value);
            codes.insert(name.to_owned(), code);
        }
        (path, codes)
    }

    /// Panics if a row does not fit the descriptor, or if a key is repeated that must not be.
    ///
    /// - `codes`: the code of each axis.
    pub(crate) fn check(&self, rows: &[Value], codes: &BTreeMap<String, i64>, lists: &Lists) {
        let name = self.text("name");
        let columns = self.columns();
        let field = |column: &Table| column.get("field").unwrap_or(&column["name"]).as_str().unwrap().to_owned();
        let names: BTreeSet<String> = codes.keys().cloned().chain(columns.iter().map(|column| field(column))).collect();
        let optional: BTreeSet<String> =
            columns.iter().filter(|column| column.contains_key("optional")).map(|column| field(column)).collect();
        for row in rows {
            let row = row.as_object().unwrap();
            for (axis, code) in codes {
                assert_eq!(row[axis].as_i64(), Some(*code), "{name}.{axis}");
            }
            let found: BTreeSet<String> = row.keys().cloned().collect();
            let differ: Vec<_> = names.symmetric_difference(&found).filter(|name| !optional.contains(*name)).collect();
            assert!(differ.is_empty(), "{name}: {differ:?}");
            for column in &columns {
                if self.is_always_total(column, lists) {
                    assert_eq!(row[&field(column)], 99, "{name}");
                }
                if let Some(value) = row.get(&field(column)) {
                    check_value(column, value, row, name, lists);
                }
            }
        }
        let key: Vec<String> = self.0["key"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| {
                let column = columns.iter().find(|column| column["name"] == *name).unwrap();
                field(column)
            })
            .collect();
        let keys: HashSet<Vec<String>> =
            rows.iter().map(|row| key.iter().map(|name| row[name].to_string()).collect()).collect();
        let repeats_keys = self.0.get("repeated_keys").is_some_and(|policy| policy.as_str() == Some("keep"));
        assert!(repeats_keys || keys.len() == rows.len(), "{name}: {} keys in {} rows", keys.len(), rows.len());
        if !repeats_keys {
            assert!(keys.iter().flatten().all(|value| value != "null" && value != "\"\""), "{name}: a key is empty");
        }
    }
}

fn year(axis: &Table, is_last: bool) -> i64 {
    let text = axis.get("years").map_or("1986-2024", |years| years.as_str().unwrap());
    let mut years = text.split([',', '-', ' ']).filter_map(|word| word.parse().ok());
    if is_last { years.next_back() } else { years.next() }.unwrap()
}

fn check_value(column: &Table, value: &Value, row: &Map<String, Value>, dataset: &str, lists: &Lists) {
    let place = || format!("{dataset}.{}: {value}", column["name"].as_str().unwrap());
    let number = match value {
        Value::Null => return,
        Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    };
    match column["type"].as_str().unwrap() {
        "string" => assert!(value.is_string(), "{}", place()),
        "int" => assert!(value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()), "{}", place()),
        "bigint" => assert!(value.is_i64(), "{}", place()),
        _ => assert!(number.is_some(), "{}", place()),
    }
    let own = column.get("codes").and_then(|list| lists.get(list.as_str().unwrap()));
    if let (Some(codes), Some(number)) = (own, number) {
        let is_measure = codes.iter().all(|code| *code < 0);
        let is_known = codes.contains(&(number as i64)) && number.fract() == 0.0;
        // Degrees west are negative, although the list has negative codes.
        let is_degrees = column["name"].as_str().unwrap().ends_with("longitude");
        assert!(is_known || (is_measure && (number >= 0.0 || is_degrees)), "{}", place());
    }
    let Some(width) = column.get("width").and_then(toml::Value::as_integer) else {
        return;
    };
    let text = value.as_str().unwrap();
    assert!(text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()), "{}", place());
    let padded = |text: &str| format!("{text:0>width$}", width = width as usize);
    for (base, n_more) in column.get("starts_with").and_then(toml::Value::as_table).into_iter().flatten() {
        let n_base = (width - n_more.as_integer().unwrap()) as usize;
        let digits = row[base].as_str().map_or_else(|| row[base].to_string(), str::to_owned);
        if !text.is_empty() && digits != "null" && !digits.is_empty() {
            assert_eq!(padded(text)[..n_base], format!("{digits:0>n_base$}"), "{}, {base}", place());
        }
    }
    assert!(text.len() as i64 <= width, "{}", place());
}
