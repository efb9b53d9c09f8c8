//! The words that the shell completes: keywords, shipped queries, and the names of tables, views and columns.

use std::collections::BTreeSet;

use rollcall_adapters::file_catalog::{CatalogTable, CatalogView};

use crate::query::shipped::SHIPPED;

/// Keywords that are completed.
const KEYWORDS: [&str; 40] = [
    "select",
    "from",
    "where",
    "group by",
    "order by",
    "having",
    "limit",
    "offset",
    "join",
    "left join",
    "using",
    "on",
    "and",
    "or",
    "not",
    "in",
    "is null",
    "is not null",
    "between",
    "like",
    "case",
    "when",
    "then",
    "else",
    "end",
    "as",
    "with",
    "union all",
    "distinct",
    "desc",
    "asc",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "round",
    "coalesce",
    "cast",
    "show tables",
];

/// A table or view, and its columns.
#[derive(Debug)]
struct Named {
    database: String,
    name: String,
    columns: Vec<String>,
}

/// Words that are completed.
#[derive(Debug, Default)]
pub(super) struct Names {
    words: BTreeSet<String>,
    tables: Vec<Named>,
}

impl Names {
    /// Returns keywords, the shipped queries, and the names of databases, tables, views and columns.
    pub(super) fn of(tables: &[CatalogTable]) -> Self {
        let mut words: BTreeSet<String> = KEYWORDS.into_iter().map(str::to_owned).collect();
        words.extend(SHIPPED.iter().map(|shipped| shipped.name.to_owned()));
        let mut named = Vec::new();
        for table in tables {
            let database = || table.database.clone();
            let columns = table.partition_keys.iter().chain(&table.columns).map(|column| column.name.clone());
            named.push(Named { database: database(), name: table.table.clone(), columns: columns.collect() });
            let view = table.view.as_ref();
            named.extend(view.map(|view| Named {
                database: database(),
                name: view.name.clone(),
                columns: columns_of(view),
            }));
        }
        for table in &named {
            words.extend([table.database.clone(), table.name.clone()]);
            words.extend(table.columns.iter().cloned());
        }
        Self { words, tables: named }
    }

    /// Returns the words that start as `start` does, whatever its case.
    pub(super) fn starting(&self, start: &str) -> Vec<String> {
        let start = start.to_lowercase();
        self.words.iter().filter(|word| word.starts_with(&start)).cloned().collect()
    }

    /// Returns the names after a dot that start as `start` does: tables after a database, columns after a table.
    ///
    /// - `before`: what stands before the dot, such as `ccd_school`, `lookup_states` or an alias.
    /// - `input`: all that was entered, which may say of which table a word is the alias.
    pub(super) fn within(&self, before: &str, start: &str, input: &str) -> Vec<String> {
        let start = start.to_lowercase();
        let before = before.to_lowercase();
        let (database, table) =
            before.rsplit_once('.').map_or((None, before.as_str()), |(one, other)| (Some(one), other));
        let aliased = self.aliased(table, input);
        let is_meant = |named: &&Named| {
            database.is_none_or(|database| named.database == database)
                && (named.name == table || aliased == Some(named.name.as_str()))
        };
        let columns = self.tables.iter().filter(is_meant).flat_map(|named| &named.columns);
        let of_database = self.tables.iter().filter(|named| named.database == before).map(|named| &named.name);
        let found: BTreeSet<&String> = columns.chain(of_database).filter(|name| name.starts_with(&start)).collect();
        found.into_iter().cloned().collect()
    }

    /// Returns the table that has an alias: `from lookup_states s`, `from lookup_states as s`.
    fn aliased(&self, alias: &str, input: &str) -> Option<&str> {
        let input = input.to_lowercase();
        let words = input.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.filter(|word| *word != "as").collect();
        let tables = words.windows(2).filter(|pair| pair.last() == Some(&alias)).filter_map(|pair| pair.first());
        tables
            .filter_map(|table| self.tables.iter().find(|named| named.name == **table))
            .map(|it| it.name.as_str())
            .next()
    }
}

/// Returns the columns of a view. Each has a line in its SQL, which ends with the quoted name.
fn columns_of(view: &CatalogView) -> Vec<String> {
    let names = view.sql.lines().filter(|line| line.starts_with("  ")).filter_map(|line| {
        let name = line.trim_end_matches(',').strip_suffix('"')?.rsplit('"').next()?;
        Some(name.to_owned())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_adapters::file_catalog::CatalogColumn;
    use rollcall_core::dataset::Dataset;

    /// Returns the names of the default dataset's table and view.
    fn names() -> Names {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let spec = dataset.table_spec();
        let view = dataset.labeled_view();
        let column = |(name, kind, comment): (String, String, String)| CatalogColumn { name, kind, comment };
        Names::of(&[CatalogTable {
            database: spec.database,
            table: spec.table,
            comment: String::new(),
            location: String::new(),
            columns: spec.columns.into_iter().map(column).collect(),
            partition_keys: spec.partition_keys.into_iter().map(column).collect(),
            view: Some(CatalogView { name: view.name.clone(), sql: view.sql(&dataset.database) }),
            partitions: Vec::new(),
        }])
    }

    #[test]
    fn what_is_after_a_dot_depends_on_what_is_before_it() {
        let names = names();
        let table = "us_education_ccd_enrollment_data";
        for (before, start, input, expected) in [
            ("ccd_school", "", "", &["ccd_enrollment_labeled", table][..]),
            ("CCD_School", "us", "", &[table]),
            (table, "RA", "", &["race"]),
            ("ccd_enrollment_labeled", "race", "", &["race", "race_label"]),
            ("ccd_school.ccd_enrollment_labeled", "enr", "", &["enrollment", "enrollment_note"]),
            ("e", "enr", "select e. from us_education_ccd_enrollment_data e", &["enrollment"]),
            ("e", "is_", "select e.\nfrom ccd_school.ccd_enrollment_labeled AS e where", &["is_total"]),
            ("x", "", "select x. from us_education_ccd_enrollment_data e", &[]),
            ("other.ccd_enrollment_labeled", "", "", &[]),
        ] {
            assert_eq!(names.within(before, start, input), expected, "{before}.{start}");
        }
    }

    #[test]
    fn a_word_may_be_a_name_of_any_kind() {
        let names = names();
        assert_eq!(names.starting("ccd_s"), ["ccd_school"]);
        assert_eq!(names.starting("FIPS_"), ["fips_label"]);
        assert_eq!(names.starting("top"), ["top_ten_pk_states"]);
        assert_eq!(names.starting("un"), ["union all"]);
    }
}
