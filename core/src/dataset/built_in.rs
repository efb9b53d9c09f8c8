//! The datasets built into the program.

use crate::dataset::Dataset;
use crate::dataset::registry::{DATASETS, UNKNOWN};
use crate::error::Error;
use crate::text::{excerpt, nearest};
use crate::view::view_name;

pub use crate::dataset::registry::UnknownColumns;

impl Dataset {
    /// Returns the names of the built-in datasets, sorted.
    #[must_use]
    pub fn built_in_names() -> Vec<&'static str> {
        DATASETS.iter().map(|one| one.name).collect()
    }

    /// Returns a built-in dataset by name.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for any other name, with the nearest one. Never [`Error::InvalidDescriptor`]: a test
    /// parses every built-in descriptor.
    pub fn built_in(name: &str) -> Result<Self, Error> {
        match DATASETS.iter().find(|one| one.name == name) {
            Some(one) => Self::parse(&format!("datasets/{}.toml", one.file), one.text),
            None => Err(Error::InvalidRequest { mistakes: vec![not_built_in(name, "")] }),
        }
    }
}

/// Returns the names and paths at the portal of the built-in datasets, sorted by name, without parsing them.
#[must_use]
pub fn built_in_paths() -> Vec<(&'static str, &'static str)> {
    DATASETS.iter().map(|one| (one.name, one.path)).collect()
}

/// Returns the paths of the portal's endpoints, without those that are newer than the program.
pub fn endpoint_paths() -> impl Iterator<Item = &'static str> {
    DATASETS.iter().map(|one| one.path).chain(UNKNOWN.iter().map(|unknown| unknown.path))
}

/// Returns the name of the built-in dataset in a table.
#[must_use]
pub fn built_in_name(database: &str, table: &str) -> Option<&'static str> {
    DATASETS.iter().find(|one| one.database == database && one.table == table).map(|one| one.name)
}

/// What a name in a query means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// The table or the view of this built-in dataset.
    Table(&'static str),
    /// A built-in dataset, whose table has another name.
    Dataset {
        /// The dataset.
        name: &'static str,
        /// Its table.
        table: &'static str,
    },
}

impl Called {
    /// Returns the name of the dataset.
    #[must_use]
    pub fn dataset(self) -> &'static str {
        match self {
            Self::Table(name) | Self::Dataset { name, .. } => name,
        }
    }
}

/// Returns what a name means that may be the one of a built-in dataset, or of its table or view.
///
/// - `database`: the database that the name is in; `None` for any.
#[must_use]
pub fn built_in_called(database: Option<&str>, name: &str) -> Option<Called> {
    let in_database = || DATASETS.iter().filter(|one| database.is_none_or(|database| one.database == database));
    let of_table = in_database().find(|one| one.table == name || view_name(one.name) == name);
    let of_dataset = || in_database().find(|one| one.name == name);
    match of_table {
        Some(one) => Some(Called::Table(one.name)),
        None => of_dataset().map(|one| Called::Dataset { name: one.name, table: one.table }),
    }
}

/// Returns the endpoints whose columns are not known yet, so that their datasets are not built in.
#[must_use]
pub fn unknown_columns() -> &'static [UnknownColumns] {
    &UNKNOWN
}

/// Returns the text of a built-in descriptor.
#[must_use]
pub fn built_in_text(name: &str) -> Option<&'static str> {
    DATASETS.iter().find(|one| one.name == name).map(|one| one.text)
}

/// Describes a name that is not built in. There are too many names to list them.
///
/// - `or_added`: what else was expected.
pub(super) fn not_built_in(name: &str, or_added: &str) -> String {
    if let Some(unknown) = UNKNOWN.iter().find(|unknown| unknown.name == name) {
        let name = unknown.name;
        return format!("`dataset`: `{name}`: columns not known yet; run `rollcall datasets generate {name}`");
    }
    if name.contains(['*', '?']) {
        return format!(
            "`dataset`: expected one dataset, found the pattern `{}`\n    hint: `rollcall datasets list` lists those that match",
            excerpt(name)
        );
    }
    let names = DATASETS.iter().map(|one| one.name).chain(UNKNOWN.iter().map(|unknown| unknown.name));
    let hint = nearest(name, names).map_or_else(String::new, |nearest| format!(" `{nearest}`, or"));
    format!(
        "`dataset`: expected a built-in dataset{or_added}, found `{}`\n    hint: write{hint} one that `rollcall datasets \
         list` prints",
        excerpt(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_agrees_with_the_descriptors() {
        for one in &DATASETS {
            let dataset = Dataset::built_in(one.name).unwrap();
            assert_eq!(
                (one.file, one.name, one.database, one.table, one.path),
                (
                    dataset.name.as_str(),
                    dataset.name.as_str(),
                    dataset.database.as_str(),
                    dataset.table.as_str(),
                    dataset.path.as_str()
                )
            );
        }
        assert_eq!((DATASETS.len(), UNKNOWN.len()), (123, 6));
        assert!(UNKNOWN.iter().all(|unknown| !unknown.name.is_empty() && !unknown.years.is_empty()));
        assert!(DATASETS.is_sorted_by_key(|one| one.name));
    }

    #[test]
    fn the_name_of_a_dataset_is_told_from_that_of_its_table() {
        let (name, table) = ("ccd_directory", "us_education_ccd_directory_data");
        for (database, called, expected) in [
            (None, table, Some(Called::Table(name))),
            (Some("ccd_school"), "ccd_directory_labeled", Some(Called::Table(name))),
            (Some("ccd_school"), name, Some(Called::Dataset { name, table })),
            (None, name, Some(Called::Dataset { name, table })),
            (Some("education"), name, None),
            (Some("education"), table, None),
            (None, "ccd_directories", None),
        ] {
            assert_eq!(built_in_called(database, called), expected, "{database:?} {called}");
        }
    }

    #[test]
    fn a_name_that_is_not_built_in_is_refused_with_the_nearest_or_with_what_to_do() {
        for (name, expected) in [
            (
                "ccd_enrolment",
                "`dataset`: expected a built-in dataset, found `ccd_enrolment`\n    hint: write `ccd_enrollment`, or one \
                 that `rollcall datasets list` prints",
            ),
            (
                "zzz",
                "`dataset`: expected a built-in dataset, found `zzz`\n    hint: write one that `rollcall datasets list` \
                 prints",
            ),
            (
                "pseo_earnings_and_flows",
                "`dataset`: `pseo_earnings_and_flows`: columns not known yet; run `rollcall datasets generate \
                 pseo_earnings_and_flows`",
            ),
        ] {
            assert_eq!(not_built_in(name, ""), expected);
        }
    }
}
