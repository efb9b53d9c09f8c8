//! A dataset: one endpoint of the portal, as far as the simulator needs to know it.

mod codes;
mod descriptor;
pub(crate) mod path;
mod years;

use std::sync::Arc;

use crate::dataset::descriptor::{ColumnTable, Descriptor, RepeatedKeys, ValueOrCode};

pub(crate) use codes::{CodeList, CodeLists, TOTAL};
pub(crate) use descriptor::Kind;
pub(crate) use years::Years;

/// Names of columns that the portal filters by, although they need not be in the key.
const ID_NAMES: [&str; 8] = ["fips", "leaid", "leaid_num", "ncessch", "ncessch_num", "crdc_id", "unitid", "opeid"];

/// One endpoint of the portal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    pub(crate) title: String,
    /// Path below the API root, with a placeholder for each axis and a trailing slash.
    pub(crate) path: String,
    /// Columns of the key, by position, in the order of the key.
    pub(crate) key: Vec<usize>,
    pub(crate) keeps_repeated_keys: bool,
    pub(crate) axes: Vec<Axis>,
    pub(crate) columns: Vec<Column>,
}

/// A path parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) values: AxisValues,
    pub(crate) list: Option<Arc<CodeList>>,
}

/// The values of an axis.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AxisValues {
    Years(Years),
    /// Values in the path, each with the code that rows have for it.
    Coded(Vec<(String, i64)>),
}

/// A column of the rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Name in the portal's rows.
    pub(crate) field: String,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) list: Option<Arc<CodeList>>,
    pub(crate) total: Option<i64>,
    pub(crate) is_optional: bool,
    pub(crate) width: Option<usize>,
    /// Columns with which the padded text starts, by position, each with the number of digits that follow it.
    pub(crate) starts_with: Vec<(usize, usize)>,
    pub(crate) is_filter: bool,
}

/// The part of the portal that a dataset belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Schools,
    Districts,
    /// Colleges, and everything that is not the portal's.
    Colleges,
}

impl Section {
    /// Returns the section of a path below the API root.
    pub(crate) fn of_path(path: &str) -> Section {
        match path.split('/').next() {
            Some("schools") => Section::Schools,
            Some("school-districts") => Section::Districts,
            _ => Section::Colleges,
        }
    }
}

impl Dataset {
    /// Reads a descriptor. Columns of the key and of `starts_with` that do not exist are skipped.
    ///
    /// # Errors
    /// Fails if the text is not a descriptor.
    pub(crate) fn parse(text: &str, lists: &CodeLists) -> Result<Dataset, toml::de::Error> {
        let Descriptor { name, title, path, key, repeated_keys, axes, columns, lists: own } = toml::from_str(text)?;
        let list = |name: &Option<String>| -> Option<Arc<CodeList>> {
            let name = name.as_ref()?;
            let Some(own) = own.get(name) else {
                return lists.get(name).cloned();
            };
            let mut codes: Vec<(i64, String)> =
                own.iter().filter_map(|(code, label)| Some((code.parse().ok()?, label.clone()))).collect();
            codes.sort_unstable();
            Some(Arc::new(CodeList { name: name.clone(), codes }))
        };
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let key: Vec<usize> = key.iter().filter_map(place).collect();
        let to_column = |(index, table): (usize, &ColumnTable)| {
            let list = list(&table.codes);
            let is_dimension = list.as_ref().is_some_and(|list| list.has_total());
            Column {
                name: table.name.clone(),
                field: table.field.clone().unwrap_or_else(|| table.name.clone()),
                label: table.comment.clone(),
                kind: table.kind,
                total: table.total,
                is_optional: table.optional,
                width: table.width,
                starts_with: table.starts_with.iter().filter_map(|(name, n)| Some((place(name)?, *n))).collect(),
                is_filter: is_dimension || key.contains(&index) || ID_NAMES.contains(&table.name.as_str()),
                list,
            }
        };
        let columns = columns.iter().enumerate().map(to_column).collect();
        let axes = axes.into_iter().map(|axis| Axis {
            list: list(&axis.codes),
            values: match axis.values.is_empty() {
                true => AxisValues::Years(axis.years.as_deref().map(Years::parse).unwrap_or_default()),
                false => AxisValues::Coded(axis.values.into_iter().map(coded).collect()),
            },
            name: axis.name,
            label: axis.comment,
        });
        let keeps_repeated_keys = repeated_keys == RepeatedKeys::Keep;
        Ok(Dataset { axes: axes.collect(), name, title, path, key, keeps_repeated_keys, columns })
    }

    /// Checks whether the rows are districts with the sums of their schools' enrollment.
    pub(crate) fn is_district_enrollment(&self) -> bool {
        self.path == "school-districts/ccd/enrollment/{year}/{grade}/"
    }

    pub(crate) fn section(&self) -> Section {
        Section::of_path(&self.path)
    }

    /// Returns the years of the dataset; `None` if it has no axis of years.
    pub(crate) fn years(&self) -> Option<&Years> {
        self.axes.iter().find_map(|axis| match &axis.values {
            AxisValues::Years(years) => Some(years),
            AxisValues::Coded(_) => None,
        })
    }
}

fn coded(value: ValueOrCode) -> (String, i64) {
    match value {
        ValueOrCode::Code(code) => (code.to_string(), code),
        ValueOrCode::Value { value, code } => (value, code),
    }
}
