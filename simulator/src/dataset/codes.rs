//! Lists of codes and their labels, from `datasets/lookups/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::csv::records;

/// Labels that say why a value is missing.
const MISSING: [&str; 3] = ["Missing/not reported", "Not applicable", "Suppressed data"];

/// The code of totals.
pub(crate) const TOTAL: i64 = 99;

/// One list: codes and labels, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CodeList {
    pub(crate) name: String,
    pub(crate) codes: Vec<(i64, String)>,
}

impl CodeList {
    /// Checks whether rows with one of the codes are totals over the others, as in the list of a dimension.
    pub(crate) fn has_total(&self) -> bool {
        let is_total = |label: &str| label.starts_with("Total") || label.starts_with("All ");
        self.codes.iter().any(|(code, label)| *code == TOTAL && is_total(label))
    }

    /// Checks whether the values of a column with this list are numbers, apart from a few negative codes.
    pub(crate) fn is_of_measures(&self) -> bool {
        self.codes.iter().all(|(code, _)| *code < 0)
    }

    /// Returns the codes that say why a value is missing. In the list of grades, -1 is pre-K.
    pub(crate) fn missing(&self) -> Vec<i64> {
        self.codes.iter().filter(|(_, label)| is_missing(label)).map(|(code, _)| *code).collect()
    }

    /// Returns the other codes, with the total first.
    pub(crate) fn values(&self) -> Vec<i64> {
        let mut codes: Vec<i64> =
            self.codes.iter().filter(|(_, label)| !is_missing(label)).map(|(code, _)| *code).collect();
        codes.sort_by_key(|code| *code != TOTAL);
        codes
    }
}

fn is_missing(label: &str) -> bool {
    MISSING.contains(&label)
}

/// All lists, by name.
#[derive(Debug, Default)]
pub(crate) struct CodeLists(BTreeMap<String, Arc<CodeList>>);

impl CodeLists {
    /// Reads lookup tables, each as the name of its file without extension, and its contents.
    ///
    /// A table with the columns `list`, `code` and `label` has many lists. The other tables have one each, which counts
    /// only if no such table has it.
    pub(crate) fn from_lookups(lookups: &[(&str, &str)]) -> CodeLists {
        let mut lists = CodeLists::default();
        let mut single: BTreeMap<String, CodeList> = BTreeMap::new();
        for (file, text) in lookups {
            let mut records = records(text);
            let header = records.next().unwrap_or_default();
            let place = |name: &str| header.iter().position(|column| column == name);
            let (Some(code), Some(label)) = (place("code"), place("label")) else {
                continue;
            };
            let list = place("list");
            for record in records {
                let cell = |place: usize| record.get(place).map(String::as_str).unwrap_or_default();
                let Ok(number) = cell(code).parse() else {
                    continue;
                };
                match list {
                    Some(list) => lists.push(cell(list), number, cell(label)),
                    None => {
                        let list = single.entry(list_of_file(file).to_owned()).or_default();
                        list.codes.push((number, cell(label).to_owned()));
                    }
                }
            }
        }
        for (name, list) in single {
            lists.0.entry(name.clone()).or_insert_with(|| Arc::new(CodeList { name, ..list }));
        }
        lists
    }

    /// Returns a list; `None` if there is no such list.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<CodeList>> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CodeList> {
        self.0.values().map(|list| &**list)
    }

    fn push(&mut self, name: &str, code: i64, label: &str) {
        let list = self.0.entry(name.to_owned()).or_default();
        let list = Arc::make_mut(list);
        if list.name.is_empty() {
            list.name = name.to_owned();
        }
        list.codes.push((code, label.to_owned()));
    }
}

/// Returns the portal's name for the list in a lookup table of its own.
fn list_of_file(file: &str) -> &str {
    match file {
        "grades" => "grade",
        "races" => "race",
        "sexes" => "sex",
        "states" => "fips",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_many_lists_comes_before_a_table_of_one() {
        let lookups = [
            ("codes", "list,code,label\nsex,1,Male\nsex,99,Total\nsex,-1,Missing/not reported\ngrade,-1,Pre-K\n"),
            ("sexes", "# old\ncode,label\n7,Seven\n"),
            ("states", "code,label,abbreviation\n1,Alabama,AL\n"),
        ];
        let lists = CodeLists::from_lookups(&lookups);
        let sex = lists.get("sex").unwrap();
        assert_eq!((sex.values(), sex.missing(), sex.has_total()), (vec![99, 1], vec![-1], true));
        assert_eq!(lists.get("grade").unwrap().values(), [-1], "pre-K is a grade");
        assert_eq!(lists.get("fips").unwrap().codes, [(1, "Alabama".to_owned())]);
        assert_eq!(lists.iter().map(|list| list.name.as_str()).collect::<Vec<_>>(), ["fips", "grade", "sex"]);
    }
}
