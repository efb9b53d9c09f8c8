//! Validates a descriptor against the rules of Glue, query engines, file systems and the portal's paths.

mod axis;
mod column;
mod names;
mod secret;

use std::collections::BTreeSet;

use crate::dataset::check::names::{
    MAX_COMMENT_BYTES, MAX_DESCRIPTION_BYTES, check_comment, check_folder, check_name, check_sql_name, taken,
};
use crate::dataset::registry::{self, TAKEN};
use crate::dataset::{ColumnKind, Dataset, IN_FLIGHT, MAX_WIDTH};
use crate::error::mistakes::Mistakes;
use crate::file::columns::RESCUED;
use crate::text::excerpt;

impl Dataset {
    /// Returns one message per rule that the descriptor breaks.
    pub(super) fn mistakes(&self) -> Mistakes {
        let mut mistakes = Mistakes::default();
        check_name(&mut mistakes, "name", &self.name);
        for (key, value) in [("database", &self.database), ("table", &self.table)] {
            check_sql_name(&mut mistakes, key, value);
        }
        if self.database == "information_schema" {
            mistakes.add(|| {
                "`database`: expected a name that query engines do not reserve, found `information_schema`".to_owned()
            });
        }
        check_folder(&mut mistakes, "table", &self.table);
        let description = self.table_spec().comment;
        check_comment(&mut mistakes, "`comment` and `attribution`", &description, MAX_DESCRIPTION_BYTES);
        let mut names = BTreeSet::new();
        if self.axes.is_empty() {
            mistakes.add(|| "`axis`: expected at least one, found none".to_owned());
        }
        for axis in &self.axes {
            check_sql_name(&mut mistakes, "axis.name", &axis.name);
            check_folder(&mut mistakes, "axis.name", &axis.name);
            if axis.name == RESCUED || !names.insert(axis.name.as_str()) {
                mistakes.add(|| taken("axis.name", &axis.name));
            }
            axis.check(&mut mistakes);
        }
        for column in &self.columns {
            check_sql_name(&mut mistakes, "column.name", &column.name);
            let name = || excerpt(&column.name);
            if column.name == RESCUED || !names.insert(column.name.as_str()) {
                mistakes.add(|| taken("column.name", &column.name));
            }
            if let Some(width) = column.width
                && !(1..=MAX_WIDTH).contains(&width)
            {
                mistakes.add(|| format!("`column.width` of `{}`: expected 1 to {MAX_WIDTH}, found {width}", name()));
            }
            if column.width.is_some() && column.kind != ColumnKind::String {
                mistakes.add(|| {
                    format!(
                        "`column.width` of `{}`: expected a column of type string, found type {}",
                        name(),
                        column.kind.glue_type()
                    )
                });
            }
            check_comment(
                &mut mistakes,
                &format!("`column.comment` of `{}`", name()),
                &column.comment,
                MAX_COMMENT_BYTES,
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
                None => mistakes.add(|| format!("`key`: expected the name of a column, found `{}`", excerpt(name))),
                Some(column) if column.kind == ColumnKind::Double => mistakes.add(|| {
                    format!(
                        "`key`: expected columns of type string, int or bigint, found `{}` of type double",
                        excerpt(name)
                    )
                }),
                Some(_) if self.key.iter().take(i).any(|earlier| earlier == name) => {
                    mistakes.add(|| format!("`key`: expected each column once, found `{}` again", excerpt(name)));
                }
                Some(_) => {}
            }
        }
        self.check_path(&mut mistakes);
        self.check_taken(&mut mistakes);
        if let Some(secret) = &self.secret {
            secret.check(&mut mistakes);
        }
        if let Some(in_flight) = self.in_flight.filter(|in_flight| !IN_FLIGHT.contains(in_flight)) {
            mistakes.add(|| format!("`in_flight`: expected 1 to {}, found {in_flight}", IN_FLIGHT.end()));
        }
        mistakes
    }

    /// Checks that no built-in dataset or lookup table uses this dataset's name or table. A table holds one dataset:
    /// the rows of another dataset in the same folder would be mistaken for its own.
    fn check_taken(&self, mistakes: &mut Mistakes) {
        if registry::is_lookup_table(&self.table) {
            mistakes.add(|| {
                format!("`table`: expected a table that is not in use, found the look-up table `{}`", self.table)
            });
        }
        for (file, other) in TAKEN.iter() {
            // A modified copy of a built-in dataset has the same name and table, and replaces it.
            if (other.name == self.name) != (other.table == self.table) {
                let (key, found) = if other.name == self.name { ("name", &self.name) } else { ("table", &self.table) };
                mistakes.add(|| {
                    format!(
                        "`{key}`: expected a {key} that is not in use, found `{found}` of datasets/{file}.toml (name `{}`, \
                         table `{}`)",
                        other.name, other.table
                    )
                });
            }
        }
    }

    /// Checks the path's segments, and that its placeholders match the axes.
    fn check_path(&self, mistakes: &mut Mistakes) {
        let mut placeholders = Vec::new();
        let is_plain = |segment: &str| {
            !segment.is_empty()
                && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        let Some(path) = self.path.strip_suffix('/') else {
            mistakes.add(|| {
                format!(
                    "`path`: expected a trailing slash (the portal redirects paths without one), found `{}`",
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
                        "`path`: expected each segment to be `{{axis}}` or lower-case letters, digits, `-` and `_`, found \
                         `{}`",
                        excerpt(segment)
                    )
                }),
            }
        }
        let axes: Vec<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        if placeholders != axes {
            mistakes.add(|| {
                format!(
                    "`path`: expected one placeholder per axis, in order ({}), found {}",
                    excerpt(&axes.join(", ")),
                    if placeholders.is_empty() { "none".to_owned() } else { excerpt(&placeholders.join(", ")) }
                )
            });
        }
    }
}
