//! A dataset: one endpoint template of the portal, described by one TOML file of `datasets/`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Mistakes, excerpt};
use crate::lookup;
use crate::partition::{AxisValue, PartitionKey};
use crate::request::{OTHER_FIELDS, plural};

/// Column that keeps, as JSON text, what the descriptor does not know or what does not fit it; null where all is well.
pub const RESCUED: &str = "_rescued";
/// Years that a partition may be of. The portal's data begin in 1980; a year outside is a slip of somebody's pen.
pub const YEARS: std::ops::RangeInclusive<i32> = 1900..=2100;

/// Most characters that a text of digits is padded to.
pub(crate) const MOST_WIDTH: u8 = 32;

/// Descriptors built into the program, by file name.
const BUILT_IN: [(&str, &str); 3] = [
    ("ccd_enrollment.toml", include_str!("../../datasets/ccd_enrollment.toml")),
    ("ccd_enrollment_race_sex.toml", include_str!("../../datasets/ccd_enrollment_race_sex.toml")),
    ("ccd_directory.toml", include_str!("../../datasets/ccd_directory.toml")),
];

/// The same, read once, for the names that they take.
static TAKEN: LazyLock<Vec<(&str, Dataset)>> =
    LazyLock::new(|| BUILT_IN.iter().filter_map(|(file, text)| Some((*file, toml::from_str(text).ok()?))).collect());

/// One endpoint template of the portal: where it is, what its rows hold, where they go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Name that requests use, e.g. `ccd_enrollment`.
    pub name: String,
    /// A line for people.
    pub title: String,
    /// Whom to credit, as the licence asks.
    pub attribution: String,
    /// Path below the portal's API root, with a placeholder for each axis: `schools/ccd/enrollment/{year}/{grade}/`.
    pub path: String,
    /// Database of the table in the catalog.
    pub database: String,
    /// Table in the catalog, and the folder under `data/`.
    pub table: String,
    /// What the table holds.
    #[serde(default)]
    pub comment: String,
    /// Columns whose values together are different in every row of a partition.
    pub key: Vec<String>,
    /// Secret sent as a request header, where the source asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Path parameters, in path order.
    #[serde(rename = "axis")]
    pub axes: Vec<Axis>,
    /// Columns of the files, in order; the axes are in the path and not repeated here.
    #[serde(rename = "column")]
    pub columns: Vec<Column>,
}

/// A secret by name; its value is never part of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Request header that carries it.
    pub header: String,
    /// Name: locally the environment variable `ROLLCALL_SECRET_<NAME>` holds the value.
    pub name: String,
}

impl Secret {
    /// The environment variable that holds the value locally: upper case, everything else than letters and digits as `_`.
    #[must_use]
    pub fn variable(&self) -> String {
        let name: String =
            self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        format!("ROLLCALL_SECRET_{name}")
    }
}

/// A path parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Name in the path, the catalog and the rows.
    pub name: String,
    /// Type of the partition column.
    #[serde(rename = "type")]
    pub kind: AxisKind,
    /// What the values mean.
    #[serde(default)]
    pub comment: String,
    /// The value left out of `all`, since its rows are sums of the others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Values in path order with the code that rows carry; none for years, which the portal lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<CodedValue>,
}

/// Type of a partition column, in Glue's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AxisKind {
    /// A number: years.
    Int,
    /// The portal's own word.
    String,
}

/// A value of an axis and the code that rows carry for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodedValue {
    /// Value in the path.
    pub value: String,
    /// Code in the rows.
    pub code: i64,
}

/// A column of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name in the rows, the files and the catalog.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: ColumnKind,
    /// Text of digits alone is padded with leading zeros to this many characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u8>,
    /// Columns of the row that a padded text must begin with, each followed by so many more digits: `{ fips = 5 }` lets
    /// `100002` of a row with `fips` 1 become `0100002`, and keeps `250003` of a row with `fips` 25, which lost another digit
    /// than its first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts_with: BTreeMap<String, u8>,
    /// Whether the column is dictionary-encoded: right for few distinct values, wrong for ids.
    #[serde(default = "dictionary_by_default")]
    pub dictionary: bool,
    /// What the values mean, with their unit.
    #[serde(default)]
    pub comment: String,
}

fn dictionary_by_default() -> bool {
    true
}

/// Type of a column, in Glue's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// UTF-8 text.
    String,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Bigint,
    /// 64-bit floating point.
    Double,
}

impl ColumnKind {
    /// The type in Glue's and Athena's words.
    #[must_use]
    pub fn glue_type(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Bigint => "bigint",
            Self::Double => "double",
        }
    }

    /// The type in Arrow's words.
    #[must_use]
    pub fn arrow_type(self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
        }
    }
}

impl AxisKind {
    /// The type in Glue's and Athena's words.
    #[must_use]
    pub fn glue_type(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::String => "string",
        }
    }
}

impl Axis {
    /// Whether `value` can be one of this axis.
    fn has(&self, value: &AxisValue) -> bool {
        match value {
            AxisValue::Int(year) => self.kind == AxisKind::Int && YEARS.contains(year),
            AxisValue::Text(text) => self.values.iter().any(|coded| coded.value == *text),
        }
    }
}

impl Dataset {
    /// Names of the datasets built in.
    #[must_use]
    pub fn built_in_names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(file, _)| file.trim_end_matches(".toml")).collect()
    }

    /// A dataset built in, by name.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] naming those there are; [`Error::InvalidDescriptor`] never, since a test reads them all.
    pub fn built_in(name: &str) -> Result<Self, Error> {
        match BUILT_IN.iter().find(|(file, _)| file.strip_suffix(".toml") == Some(name)) {
            Some((file, text)) => Self::parse(&format!("datasets/{file}"), text),
            None => Err(Error::InvalidRequest {
                mistakes: vec![format!(
                    "`dataset`: expected one of {}, found `{}`",
                    Self::built_in_names().join(", "),
                    excerpt(name)
                )],
            }),
        }
    }

    /// Reads and checks a descriptor.
    ///
    /// # Errors
    /// [`Error::InvalidDescriptor`] with `file`, line and key of a value that does not parse, or with every rule broken.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let invalid = |mistakes| Error::InvalidDescriptor { file: file.to_owned(), mistakes };
        let dataset: Self = toml::from_str(text).map_err(|error| invalid(vec![locate(text, &error)]))?;
        let mistakes = dataset.mistakes();
        if mistakes.len() == 0 { Ok(dataset) } else { Err(invalid(mistakes.into_sentences())) }
    }

    /// Every rule that the descriptor breaks, a sentence each.
    fn mistakes(&self) -> Mistakes {
        let mut mistakes = Mistakes::default();
        check_name(&mut mistakes, "name", &self.name);
        for (key, value) in [("database", &self.database), ("table", &self.table)] {
            check_sql_name(&mut mistakes, key, value);
        }
        if self.database == "information_schema" {
            mistakes.add(|| {
                "`database`: expected a database of its own, found `information_schema`, which query engines keep for \
                 themselves"
                    .to_owned()
            });
        }
        check_folder(&mut mistakes, "table", &self.table);
        let description = self.table_spec().comment;
        check_comment(&mut mistakes, "`comment` and `attribution`", &description, MOST_DESCRIPTION_BYTES);
        let mut names = BTreeSet::new();
        if self.axes.is_empty() {
            mistakes.add(|| "`axis`: expected at least one, found none".to_owned());
        }
        for axis in &self.axes {
            check_sql_name(&mut mistakes, "axis.name", &axis.name);
            check_folder(&mut mistakes, "axis.name", &axis.name);
            if axis.name == RESCUED || !names.insert(axis.name.as_str()) {
                mistakes
                    .add(|| format!("`axis.name`: expected every name once, found `{}` again", excerpt(&axis.name)));
            }
            axis.check(&mut mistakes);
        }
        for column in &self.columns {
            check_sql_name(&mut mistakes, "column.name", &column.name);
            let name = || excerpt(&column.name);
            if column.name == RESCUED || !names.insert(column.name.as_str()) {
                mistakes.add(|| format!("`column.name`: expected names that are not taken, found `{}` again", name()));
            }
            if let Some(width) = column.width
                && !(1..=MOST_WIDTH).contains(&width)
            {
                mistakes.add(|| format!("`column.width` of `{}`: expected 1 to {MOST_WIDTH}, found {width}", name()));
            }
            if column.width.is_some() && column.kind != ColumnKind::String {
                mistakes.add(|| {
                    format!(
                        "`column.width` of `{}`: expected only on columns of type string, found it on {}",
                        name(),
                        column.kind.glue_type()
                    )
                });
            }
            check_comment(
                &mut mistakes,
                &format!("`column.comment` of `{}`", name()),
                &column.comment,
                MOST_COMMENT_BYTES,
            );
        }
        for column in &self.columns {
            self.check_starts_with(&mut mistakes, column);
        }
        if self.columns.is_empty() {
            mistakes.add(|| "`column`: expected at least one, found none".to_owned());
        }
        if self.key.is_empty() {
            mistakes.add(|| "`key`: expected at least one column, found none".to_owned());
        }
        for (i, name) in self.key.iter().enumerate() {
            match self.columns.iter().find(|column| column.name == *name) {
                None => mistakes.add(|| format!("`key`: expected names of columns, found `{}`", excerpt(name))),
                Some(column) if column.kind == ColumnKind::Double => mistakes.add(|| {
                    format!(
                        "`key`: expected columns of type string, int or bigint, found `{}` of type double",
                        excerpt(name)
                    )
                }),
                Some(_) if self.key.iter().take(i).any(|earlier| earlier == name) => {
                    mistakes.add(|| format!("`key`: expected every column once, found `{}` again", excerpt(name)));
                }
                Some(_) => {}
            }
        }
        self.check_path(&mut mistakes);
        self.check_taken(&mut mistakes);
        if let Some(secret) = &self.secret {
            secret.check(&mut mistakes);
        }
        mistakes
    }

    /// What a padded text begins with is a number, or a narrower text, whose own padding is known before.
    fn check_starts_with(&self, mistakes: &mut Mistakes, column: &Column) {
        let Some(width) = column.width.filter(|_| column.kind == ColumnKind::String) else {
            if !column.starts_with.is_empty() {
                mistakes.add(|| {
                    format!(
                        "`column.starts_with` of `{}`: expected only beside a `width`, found it without",
                        excerpt(&column.name)
                    )
                });
            }
            return;
        };
        for (other, n_more) in &column.starts_with {
            let found = match self.columns.iter().find(|column| column.name == *other) {
                None => Some("no column of this name".to_owned()),
                Some(_) if *n_more == 0 || *n_more >= width => Some(format!("{n_more} digits after it")),
                Some(other) if other.kind == ColumnKind::Double => Some("a column of type double".to_owned()),
                Some(other) if other.kind == ColumnKind::String => match other.width {
                    None => Some("text without a `width`".to_owned()),
                    Some(found) => (found >= width).then(|| format!("text of `width` {found}")),
                },
                Some(_) => None,
            };
            if let Some(found) = found {
                mistakes.add(|| {
                    format!(
                        "`column.starts_with` of `{}`: expected numbers and texts of less `width` than {width}, each with 1 to \
                         {} digits after it, found `{}`: {found}",
                        excerpt(&column.name),
                        width.saturating_sub(1),
                        excerpt(other)
                    )
                });
            }
        }
    }

    /// A table holds one dataset: another's rows in the same folder would be taken for its own.
    fn check_taken(&self, mistakes: &mut Mistakes) {
        if lookup::is_lookup_table(&self.table) {
            mistakes.add(|| format!("`table`: expected a table of its own, found the look-up table `{}`", self.table));
        }
        for (file, other) in TAKEN.iter() {
            // A changed copy keeps both, and takes the place of the one built in.
            if (other.name == self.name) != (other.table == self.table) {
                let (key, found) = if other.name == self.name { ("name", &self.name) } else { ("table", &self.table) };
                mistakes.add(|| {
                    format!(
                        "`{key}`: expected one of its own, found `{found}` of datasets/{file}, whose name is `{}` and \
                         whose table is `{}`",
                        other.name, other.table
                    )
                });
            }
        }
    }

    fn check_path(&self, mistakes: &mut Mistakes) {
        let mut placeholders = Vec::new();
        let is_plain = |segment: &str| {
            !segment.is_empty()
                && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        let Some(path) = self.path.strip_suffix('/') else {
            mistakes.add(|| {
                format!(
                    "`path`: expected a trailing slash, since the portal redirects without, found `{}`",
                    excerpt(&self.path)
                )
            });
            return;
        };
        for segment in path.split('/') {
            match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                Some(name) => placeholders.push(name),
                None if is_plain(segment) => {}
                None => mistakes.add(|| {
                    format!(
                        "`path`: expected segments of lower-case letters, digits, `-`, `_` or `{{axis}}`, found `{}`",
                        excerpt(segment)
                    )
                }),
            }
        }
        let axes: Vec<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        if placeholders != axes {
            mistakes.add(|| {
                format!(
                    "`path`: expected the placeholders of the axes in order ({}), found {}",
                    excerpt(&axes.join(", ")),
                    if placeholders.is_empty() { "none".to_owned() } else { excerpt(&placeholders.join(", ")) }
                )
            });
        }
    }

    /// Path of a partition below the portal's API root.
    #[must_use]
    pub fn portal_path(&self, partition: &PartitionKey) -> String {
        let mut path = self.path.clone();
        for (name, value) in partition.axes() {
            path = path.replace(&format!("{{{name}}}"), &value.to_string());
        }
        path
    }

    /// Reads a Hive path of this dataset's axes; `None` when it is none.
    #[must_use]
    pub fn parse_partition(&self, path: &str) -> Option<PartitionKey> {
        let axes: Vec<(&str, bool)> =
            self.axes.iter().map(|axis| (axis.name.as_str(), axis.kind == AxisKind::Int)).collect();
        PartitionKey::parse_hive_path(path, &axes)
    }

    /// Whether `partition` can be one of this dataset: a word that its axis lists, a plausible year.
    #[must_use]
    pub fn has(&self, partition: &PartitionKey) -> bool {
        partition.axes().len() == self.axes.len()
            && self.axes.iter().zip(partition.axes()).all(|(axis, (name, value))| axis.name == *name && axis.has(value))
    }

    /// The same partition with its axes in this dataset's order: JSON objects that pass through other programs may come
    /// back in another. `None` when it has other axes.
    #[must_use]
    pub fn arrange(&self, partition: &PartitionKey) -> Option<PartitionKey> {
        let axes: Option<Vec<_>> =
            self.axes.iter().map(|axis| Some((axis.name.clone(), partition.value(&axis.name)?.clone()))).collect();
        axes.filter(|axes| axes.len() == partition.axes().len()).map(PartitionKey::new)
    }

    /// The code that rows of `partition` carry for each axis, in axis order.
    #[must_use]
    pub fn codes(&self, partition: &PartitionKey) -> Vec<(String, i64)> {
        self.axes
            .iter()
            .filter_map(|axis| {
                let code = match partition.value(&axis.name)? {
                    AxisValue::Int(value) => i64::from(*value),
                    AxisValue::Text(value) => axis.values.iter().find(|v| v.value == *value)?.code,
                };
                Some((axis.name.clone(), code))
            })
            .collect()
    }

    /// Columns of the files: the descriptor's, then `_rescued`.
    #[must_use]
    pub fn file_schema(&self) -> SchemaRef {
        let mut fields = self.fields();
        fields.push(Field::new(RESCUED, DataType::Utf8, true));
        Arc::new(Schema::new(fields))
    }

    /// The descriptor's columns alone.
    pub(crate) fn plain_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields()))
    }

    fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|column| Field::new(&column.name, column.kind.arrow_type(), true)).collect()
    }

    /// The table as the catalog should hold it.
    #[must_use]
    pub fn table_spec(&self) -> crate::ports::TableSpec {
        let mut columns: Vec<_> =
            self.columns.iter().map(|c| (c.name.clone(), c.kind.glue_type().to_owned(), c.comment.clone())).collect();
        columns.push((
            RESCUED.to_owned(),
            "string".to_owned(),
            "JSON of fields not declared and of values that do not fit; null when there are none".to_owned(),
        ));
        crate::ports::TableSpec {
            database: self.database.clone(),
            table: self.table.clone(),
            comment: format!("{} Source: {}", self.comment, self.attribution),
            location: crate::keys::table_prefix(&self.table),
            columns,
            partition_keys: self
                .axes
                .iter()
                .map(|a| (a.name.clone(), a.kind.glue_type().to_owned(), a.comment.clone()))
                .collect(),
        }
    }

    /// Hash of the part of the descriptor that shapes a file: axes with their codes, columns, key. Comments are not in it.
    #[must_use]
    pub fn schema_id(&self) -> u64 {
        let mut text = String::new();
        let mut push = |part: &str| {
            text.push_str(part);
            text.push('\u{1f}');
        };
        for axis in &self.axes {
            push(&axis.name);
            push(axis.kind.glue_type());
            for value in &axis.values {
                push(&value.value);
                push(&value.code.to_string());
            }
        }
        for column in &self.columns {
            push(&column.name);
            push(column.kind.glue_type());
            push(&column.width.map_or_else(String::new, |width| width.to_string()));
            for (name, digits) in &column.starts_with {
                push(&format!("{name}={digits}"));
            }
            push(if column.dictionary { "dictionary" } else { "plain" });
        }
        for name in &self.key {
            push(name);
        }
        twox_hash::XxHash3_64::oneshot(text.as_bytes())
    }

    /// `database.table`, as queries name it.
    #[must_use]
    pub fn qualified_table(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}

impl Axis {
    fn check(&self, mistakes: &mut Mistakes) {
        let name = excerpt(&self.name);
        match self.kind {
            AxisKind::Int if self.name != YEAR => mistakes.add(|| {
                format!(
                    "`axis.type` of `{name}`: expected string, with the values and their codes, found int, which only an \
                     axis `{YEAR}` may be"
                )
            }),
            AxisKind::Int if !self.values.is_empty() => mistakes.add(|| {
                format!("`axis.values` of `{name}`: expected none on an axis of type int, whose values the portal lists")
            }),
            AxisKind::String if self.values.is_empty() => mistakes.add(|| {
                format!("`axis.values` of `{name}`: expected the values of an axis of type string, found none")
            }),
            _ => {}
        }
        let field = plural(self);
        if OTHER_FIELDS.contains(&field.as_str()) {
            mistakes.add(|| {
                format!("`axis.name`: expected a name whose plural is no other field of a request, found `{name}` (`{field}`)")
            });
        }
        check_comment(mistakes, &format!("`axis.comment` of `{name}`"), &self.comment, MOST_COMMENT_BYTES);
        let mut seen = BTreeSet::new();
        let mut codes = BTreeSet::new();
        for CodedValue { value, code } in &self.values {
            if !codes.insert(code) {
                mistakes.add(|| format!("`axis.values` of `{name}`: expected every code once, found {code} again"));
            }
            if value.is_empty()
                || !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            {
                mistakes.add(|| {
                    format!(
                        "`axis.values` of `{name}`: expected lower-case letters, digits, `-` and `_`, found `{}`",
                        excerpt(value)
                    )
                });
            }
            let n_bytes = self.name.len() + "=".len() + value.len();
            if n_bytes > MOST_FOLDER_BYTES {
                mistakes.add(|| {
                    format!(
                        "`axis.values` of `{name}`: expected `{name}=` and a value of at most {MOST_FOLDER_BYTES} bytes \
                         together, found {n_bytes}: `{}`",
                        excerpt(value)
                    )
                });
            }
            if !seen.insert(value) {
                mistakes.add(|| {
                    format!("`axis.values` of `{name}`: expected every value once, found `{}` again", excerpt(value))
                });
            }
        }
        if let Some(total) = &self.total
            && !seen.contains(total)
        {
            mistakes
                .add(|| format!("`axis.total` of `{name}`: expected one of its values, found `{}`", excerpt(total)));
        }
    }
}

impl Secret {
    fn check(&self, mistakes: &mut Mistakes) {
        let is_token =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        for (key, value) in [("secret.header", &self.header), ("secret.name", &self.name)] {
            if !is_token(value) {
                mistakes.add(|| format!("`{key}`: expected letters, digits, `-` and `_`, found `{}`", excerpt(value)));
            }
        }
        let header = self.header.to_ascii_lowercase();
        if HEADERS_OF_THE_CLIENT.contains(&header.as_str()) || header.starts_with("if-") || header.starts_with("sec-") {
            mistakes.add(|| {
                format!(
                    "`secret.header`: expected a header that is free, such as `x-api-key` or `authorization`, found `{}`, \
                     which the client or the connection sets",
                    excerpt(&self.header)
                )
            });
        }
    }
}

/// The only axis that may be of type int: its values are the years that the portal lists.
const YEAR: &str = "year";

/// Most bytes of the name of a database, a table or a column.
///
/// Source: AWS Glue API reference, structures `Column`, `TableInput`, `DatabaseInput`: `Name`, 1 to 255 bytes.
const MOST_NAME_BYTES: usize = 255;

/// Most bytes of a column's comment, and of a table's description.
///
/// Source: AWS Glue API reference, `Column`: `Comment`, not more than 255 bytes, a single line; `TableInput`: `Description`,
/// not more than 2048 bytes.
const MOST_COMMENT_BYTES: usize = 255;
const MOST_DESCRIPTION_BYTES: usize = 2048;

/// Most bytes of a folder such as `grade=grade-pk`: a file system takes 255, and the ledger appends `.json`.
const MOST_FOLDER_BYTES: usize = 250;

/// Words that SQL takes for a name in quotes only.
///
/// Source: Amazon Athena User Guide, "Reserved keywords in SQL SELECT statements", and `partition` of those in DDL.
const RESERVED_WORDS: [&str; 75] = [
    "alter",
    "and",
    "as",
    "between",
    "by",
    "case",
    "cast",
    "constraint",
    "create",
    "cross",
    "cube",
    "current_catalog",
    "current_date",
    "current_path",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "deallocate",
    "delete",
    "describe",
    "distinct",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "execute",
    "exists",
    "extract",
    "false",
    "first",
    "for",
    "from",
    "full",
    "group",
    "grouping",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "last",
    "left",
    "like",
    "localtime",
    "localtimestamp",
    "natural",
    "normalize",
    "not",
    "null",
    "on",
    "or",
    "order",
    "outer",
    "partition",
    "prepare",
    "recursive",
    "right",
    "rollup",
    "select",
    "skip",
    "table",
    "then",
    "true",
    "uescape",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
];

/// Headers that a secret cannot be sent in: those of one connection (RFC 9110, section 7.6.1), those that say how a message
/// is framed, and those that this client sets or that change what the answer to a plain request is.
const HEADERS_OF_THE_CLIENT: [&str; 24] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
    "accept",
    "accept-encoding",
    "user-agent",
    "cache-control",
    "pragma",
    "range",
    "via",
    "date",
    "max-forwards",
];

/// Names that Glue, Athena and every file system take as they are.
fn check_name(mistakes: &mut Mistakes, key: &str, value: &str) {
    let is_valid = value.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !is_valid {
        mistakes.add(|| {
            format!("`{key}`: expected a name of lower-case letters, digits and `_`, found `{}`", excerpt(value))
        });
    }
    if value.len() > MOST_NAME_BYTES {
        mistakes.add(|| {
            format!(
                "`{key}`: expected a name of at most {MOST_NAME_BYTES} bytes, found {}: `{}`",
                value.len(),
                excerpt(value)
            )
        });
    }
}

/// Such names that SQL takes without quotes, too.
fn check_sql_name(mistakes: &mut Mistakes, key: &str, value: &str) {
    check_name(mistakes, key, value);
    if RESERVED_WORDS.contains(&value) {
        mistakes
            .add(|| format!("`{key}`: expected a name that SQL takes without quotes, found `{value}`, a word of SQL"));
    }
}

/// Such names of folders that query engines do not pass over.
fn check_folder(mistakes: &mut Mistakes, key: &str, value: &str) {
    if value.starts_with('_') {
        mistakes.add(|| {
            format!(
                "`{key}`: expected a name that does not begin with `_`, since engines take such a folder for hidden, found \
                 `{}`",
                excerpt(value)
            )
        });
    }
}

/// What Glue takes as a comment.
fn check_comment(mistakes: &mut Mistakes, key: &str, value: &str, most_bytes: usize) {
    if value.len() > most_bytes {
        mistakes.add(|| {
            format!(
                "{key}: expected at most {most_bytes} bytes, as AWS Glue takes them, found {}: `{}`",
                value.len(),
                excerpt(value)
            )
        });
    }
    if let Some(found) = value.chars().find(|c| c.is_control() && *c != '\t') {
        mistakes.add(|| {
            format!(
                "{key}: expected a single line, as AWS Glue takes it, found `{}` in `{}`",
                found.escape_debug(),
                excerpt(value)
            )
        });
    }
}

/// Line, key and what is wrong, of a descriptor that does not parse.
fn locate(text: &str, error: &toml::de::Error) -> String {
    const LIMIT: usize = 500;
    let message: String = error.message().replace('\n', ", ").chars().take(LIMIT).collect();
    let Some(span) = error.span() else {
        return message;
    };
    // What is missing from the whole file is on none of its lines.
    if span.start == 0 && span.end >= text.trim_end().len() && message.starts_with("missing field") {
        return message;
    }
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let source = text.lines().nth(line - 1).unwrap_or_default();
    match source.split_once('=') {
        Some((key, _)) => format!("line {line}, key `{}`: {message}", key.trim()),
        None => format!("line {line}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
name = "small"
title = "Small"
attribution = "Someone"
path = "schools/small/{year}/"
database = "db"
table = "small"
key = ["id"]
[[axis]]
name = "year"
type = "int"
[[column]]
name = "id"
type = "string"
width = 4
"#;

    #[test]
    fn the_datasets_built_in_are_valid() {
        for name in Dataset::built_in_names() {
            let dataset = Dataset::built_in(name).unwrap();
            assert_eq!(dataset.name, name);
        }
    }

    #[test]
    fn a_change_that_shapes_files_changes_the_schema_id_and_a_comment_does_not() {
        let id = |text: &str| Dataset::parse("x", text).unwrap().schema_id();
        let before = id(SMALL);
        assert_ne!(before, id(&SMALL.replace("width = 4", "width = 5")));
        assert_ne!(before, id(&SMALL.replace("width = 4", "dictionary = false")));
        assert_ne!(before, id(&SMALL.replace("\"id\"", "\"ix\"")));
        let begins = format!("{SMALL}starts_with = {{ fips = 2 }}\n[[column]]\nname = \"fips\"\ntype = \"int\"\n");
        assert_ne!(id(&begins), id(&begins.replace("starts_with = { fips = 2 }\n", "")));
        assert_ne!(id(&begins), id(&begins.replace("fips = 2", "fips = 3")));
        assert_eq!(before, id(&format!("{SMALL}comment = \"more\"\n")));
    }

    #[test]
    fn a_descriptor_is_refused_with_file_line_and_key() {
        for (from, to, expected) in [
            (
                "width = 4",
                "wide = 4",
                "read descriptor `x.toml`: line 15, key `wide`: unknown field `wide`, expected one of `name`, `type`, `width`, `starts_with`, `dictionary`, `comment`",
            ),
            (
                "width = 4",
                "width = \"4\"",
                "read descriptor `x.toml`: line 15, key `width`: invalid type: string \"4\", expected u8",
            ),
            (
                "type = \"int\"",
                "type = \"year\"",
                "read descriptor `x.toml`: line 11, key `type`: unknown variant `year`, expected `int` or `string`",
            ),
            (
                "title = \"Small\"",
                "title = 3",
                "read descriptor `x.toml`: line 3, key `title`: invalid type: integer `3`, expected a string",
            ),
            (
                "{year}/",
                "{year}",
                "read descriptor `x.toml`: `path`: expected a trailing slash, since the portal redirects without, found `schools/small/{year}`",
            ),
            (
                "{year}",
                "{grade}",
                "read descriptor `x.toml`: `path`: expected the placeholders of the axes in order (year), found grade",
            ),
            (
                "schools/small",
                "../small",
                "read descriptor `x.toml`: `path`: expected segments of lower-case letters, digits, `-`, `_` or `{axis}`, found `..`",
            ),
            (
                "key = [\"id\"]",
                "key = [\"no\"]",
                "read descriptor `x.toml`: `key`: expected names of columns, found `no`",
            ),
            ("key = [\"id\"]", "key = []", "read descriptor `x.toml`: `key`: expected at least one column, found none"),
            (
                "table = \"small\"",
                "table = \"../up\"",
                "read descriptor `x.toml`: `table`: expected a name of lower-case letters, digits and `_`, found `../up`",
            ),
            (
                "type = \"string\"",
                "type = \"int\"",
                "read descriptor `x.toml`: `column.width` of `id`: expected only on columns of type string, found it on int",
            ),
        ] {
            let text = SMALL.replace(from, to);
            let error = Dataset::parse("x.toml", &text).unwrap_err();
            assert_eq!(error.chain(), expected);
        }
    }

    /// Found by use: W10.
    #[test]
    fn a_descriptor_that_glue_athena_or_the_client_would_refuse_is_refused_by_its_key() {
        let column = |comment: &str| format!("width = 4\ncomment = \"{comment}\"");
        let name = |key: &str, name: &str| (format!("{key} = \"small\""), format!("{key} = \"{name}\""));
        let (long, longest) = ("x".repeat(256), "x".repeat(255));
        let cases = [
            (
                "width = 4".to_owned(),
                column(&"\u{e9}".repeat(128)),
                format!(
                    "`column.comment` of `id`: expected at most 255 bytes, as AWS Glue takes them, found 256: `{}`",
                    "\u{e9}".repeat(128)
                ),
            ),
            (
                "width = 4".to_owned(),
                column("two\\nlines"),
                "`column.comment` of `id`: expected a single line, as AWS Glue takes it, found `\\n` in `two\\nlines`"
                    .to_owned(),
            ),
            (
                "type = \"int\"".to_owned(),
                format!("type = \"int\"\ncomment = \"{long}\""),
                format!(
                    "`axis.comment` of `year`: expected at most 255 bytes, as AWS Glue takes them, found 256: `{}…`",
                    "x".repeat(200)
                ),
            ),
            (
                "key = [\"id\"]".to_owned(),
                format!("key = [\"id\"]\ncomment = \"{}\"", "x".repeat(2_040)),
                format!(
                    "`comment` and `attribution`: expected at most 2048 bytes, as AWS Glue takes them, found 2056: `{}…`",
                    "x".repeat(200)
                ),
            ),
            {
                let (from, to) = name("table", &long);
                let found = format!("`table`: expected a name of at most 255 bytes, found 256: `{}…`", "x".repeat(200));
                (from, to, found)
            },
            {
                let (from, to) = name("table", "order");
                let found = "`table`: expected a name that SQL takes without quotes, found `order`, a word of SQL";
                (from, to, found.to_owned())
            },
            {
                let (from, to) = name("table", "_small");
                let found = "`table`: expected a name that does not begin with `_`, since engines take such a folder for \
                             hidden, found `_small`";
                (from, to, found.to_owned())
            },
            (
                "\"db\"".to_owned(),
                "\"information_schema\"".to_owned(),
                "`database`: expected a database of its own, found `information_schema`, which query engines keep for \
                 themselves"
                    .to_owned(),
            ),
        ];
        for (from, to, expected) in cases {
            assert!(SMALL.contains(&from), "{from}");
            let error = Dataset::parse("x.toml", &SMALL.replace(&from, &to)).unwrap_err();
            assert_eq!(error.chain(), format!("read descriptor `x.toml`: {expected}"));
        }
        // What is as long as may be is taken.
        let (from, to) = name("table", &longest);
        let full = SMALL.replace(&from, &to).replace("width = 4", &column(&longest));
        Dataset::parse("x.toml", &full).unwrap();
    }

    #[test]
    fn what_a_padded_text_begins_with_is_a_number_or_a_narrower_text() {
        let of = |columns: &str, begins: &str| {
            let text = format!("{SMALL}starts_with = {{ {begins} }}\n{columns}");
            Dataset::parse("x.toml", &text).map(|_| ()).map_err(|error| error.chain())
        };
        let fips = "[[column]]\nname = \"fips\"\ntype = \"int\"\n";
        let text = "[[column]]\nname = \"short\"\ntype = \"string\"\nwidth = 3\n";
        assert_eq!(of(fips, "fips = 2"), Ok(()));
        assert_eq!(of(text, "short = 1"), Ok(()));
        for (columns, begins, found) in [
            (fips, "state = 2", "`state`: no column of this name"),
            (fips, "fips = 0", "`fips`: 0 digits after it"),
            (fips, "fips = 4", "`fips`: 4 digits after it"),
            (fips, "id = 1", "`id`: text of `width` 4"),
            (&text.replace("width = 3", ""), "short = 2", "`short`: text without a `width`"),
            (&fips.replace("int", "double"), "fips = 2", "`fips`: a column of type double"),
        ] {
            let expected = format!(
                "read descriptor `x.toml`: `column.starts_with` of `id`: expected numbers and texts of less `width` than 4, \
                 each with 1 to 3 digits after it, found {found}"
            );
            assert_eq!(of(columns, begins), Err(expected));
        }
        let without = SMALL.replace("width = 4", "starts_with = { fips = 2 }") + fips;
        assert_eq!(
            Dataset::parse("x.toml", &without).unwrap_err().chain(),
            "read descriptor `x.toml`: `column.starts_with` of `id`: expected only beside a `width`, found it without"
        );
    }

    /// Found by use: W10.
    #[test]
    fn an_axis_that_the_lake_or_a_request_has_another_use_for_is_refused() {
        let with_axis = |name: &str, rest: &str| {
            let axis = format!("[[axis]]\nname = \"{name}\"\n{rest}\n[[column]]");
            SMALL.replace("{year}/", &format!("{{year}}/{{{name}}}/")).replace("[[column]]", &axis)
        };
        let values = "type = \"string\"\nvalues = [{ value = \"a\", code = 1 }]";
        Dataset::parse("x.toml", &with_axis("grade", values)).unwrap();
        for (name, rest, expected) in [
            (
                "fips",
                "type = \"int\"",
                "`axis.type` of `fips`: expected string, with the values and their codes, found int, which only an axis \
                 `year` may be",
            ),
            (
                "partition",
                values,
                "found 2 mistakes\n  - `axis.name`: expected a name that SQL takes without quotes, found `partition`, a word \
                 of SQL\n  - `axis.name`: expected a name whose plural is no other field of a request, found `partition` \
                 (`partitions`)",
            ),
            (
                "_rescued",
                values,
                "found 2 mistakes\n  - `axis.name`: expected a name that does not begin with `_`, since engines take such a \
                 folder for hidden, found `_rescued`\n  - `axis.name`: expected every name once, found `_rescued` again",
            ),
        ] {
            let error = Dataset::parse("x.toml", &with_axis(name, rest)).unwrap_err();
            assert_eq!(error.chain(), format!("read descriptor `x.toml`: {expected}"));
        }
        let long = format!("type = \"string\"\nvalues = [{{ value = \"{}\", code = 1 }}]", "a".repeat(245));
        let error = Dataset::parse("x.toml", &with_axis("grade", &long)).unwrap_err();
        assert!(error.chain().contains("of at most 250 bytes together, found 251"), "{}", error.chain());
        let none = SMALL.replace("[[axis]]\nname = \"year\"\ntype = \"int\"\n", "").replace("{year}/", "");
        let error = Dataset::parse("x.toml", &none.replace("key =", "axis = []\nkey =")).unwrap_err();
        assert_eq!(error.chain(), "read descriptor `x.toml`: `axis`: expected at least one, found none");
    }

    /// Found by use: W10.
    #[test]
    fn a_secret_is_sent_in_no_header_that_the_client_or_the_connection_sets() {
        let with_header = |header: &str| {
            let secret = format!("key = [\"id\"]\nsecret = {{ header = \"{header}\", name = \"n\" }}");
            Dataset::parse("x.toml", &SMALL.replace("key = [\"id\"]", &secret))
        };
        for header in ["Authorization", "X-Api-Key", "x_key", "Cookie", "api-key"] {
            with_header(header).unwrap();
        }
        for header in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Accept",
            "Accept-Encoding",
            "User-Agent",
            "CACHE-CONTROL",
            "Expect",
            "Range",
            "If-None-Match",
            "Content-Type",
            "Sec-Fetch-Mode",
        ] {
            assert_eq!(
                with_header(header).unwrap_err().chain(),
                format!(
                    "read descriptor `x.toml`: `secret.header`: expected a header that is free, such as `x-api-key` or \
                     `authorization`, found `{header}`, which the client or the connection sets"
                )
            );
        }
    }

    /// Found by use: B8.
    #[test]
    fn of_many_broken_rules_twenty_are_written_out_and_the_rest_counted() {
        let columns: String = (0..1_000).map(|i| format!("[[column]]\nname = \"C{i}\"\ntype = \"int\"\n")).collect();
        let message = Dataset::parse("x.toml", &format!("{SMALL}{columns}")).unwrap_err().chain();
        assert!(message.starts_with("read descriptor `x.toml`: found more than 20 mistakes\n"), "{message}");
        assert!(message.ends_with("\n  - … and 980 more"), "{message}");
    }

    #[test]
    fn a_partition_in_another_key_order_is_the_same_partition() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let parse = |json: &str| dataset.arrange(&serde_json::from_str(json).unwrap());
        let expected = parse(r#"{"year": 2021, "grade": "grade-pk"}"#).unwrap();
        assert_eq!(expected.to_string(), "year=2021/grade=grade-pk");
        assert_eq!(parse(r#"{"grade": "grade-pk", "year": 2021}"#), Some(expected));
        assert_eq!(parse(r#"{"year": 2021}"#), None);
        assert_eq!(parse(r#"{"grade": "grade-pk", "year": 2021, "sex": 1}"#), None);
    }

    #[test]
    fn a_secret_is_looked_up_in_a_variable_of_its_name() {
        let secret = Secret { header: "x-api-key".into(), name: "portal-key".into() };
        assert_eq!(secret.variable(), "ROLLCALL_SECRET_PORTAL_KEY");
    }
}
