//! Validates a descriptor against the rules of Glue, query engines, file systems and the portal's paths.

mod axis;
mod column;
pub(crate) mod names;
mod place;
mod secret;

use std::collections::BTreeSet;

use crate::dataset::check::names::{
    MAX_DESCRIPTION_BYTES, add_taken, check_comment, check_folder, check_history, check_name, check_sql_name,
};
use crate::dataset::check::place::{Place, PlacedMistakes};
use crate::dataset::registry::{self, DATASETS};
use crate::dataset::words::hint_of_list;
use crate::dataset::{ALLOWED_MEMORY_MIB, ColumnKind, Dataset, IN_FLIGHT, RepeatedKeys};
use crate::error::mistakes::Mistakes;
use crate::file::columns::RESCUED;
use crate::history::tables::SUFFIXES;
use crate::text::{excerpt, nearest_hint};
use crate::view::view_name;

pub(super) use crate::dataset::check::place::line_at;

impl Dataset {
    /// Returns one message per rule that the descriptor breaks, with the line and the key.
    ///
    /// - `text`: the descriptor's file.
    pub(super) fn mistakes(&self, text: &str) -> Mistakes {
        let mut mistakes = PlacedMistakes::new(text);
        check_name(&mut mistakes, Place::Top("name"), &self.name);
        for (key, value) in [("database", &self.database), ("table", &self.table)] {
            check_sql_name(&mut mistakes, Place::Top(key), value);
        }
        if self.database == "information_schema" {
            mistakes.add(Place::Top("database"), || {
                "`database`: expected a name that query engines do not reserve, found `information_schema`".to_owned()
            });
        }
        check_folder(&mut mistakes, Place::Top("table"), &self.table);
        let description = self.table_spec().comment;
        let what = "`comment` and `attribution`";
        check_comment(&mut mistakes, Place::Top("comment"), what, &description, MAX_DESCRIPTION_BYTES);
        let mut names = BTreeSet::new();
        if self.axes.is_empty() {
            mistakes.add(Place::Top("axis"), || "`axis`: expected at least one, found none".to_owned());
        }
        for (i, axis) in self.axes.iter().enumerate() {
            let place = Place::Axis(i, "name");
            check_sql_name(&mut mistakes, place, &axis.name);
            check_folder(&mut mistakes, place, &axis.name);
            check_history(&mut mistakes, place, &axis.name, true);
            if axis.name == RESCUED || !names.insert(axis.name.clone()) {
                add_taken(&mut mistakes, place, &axis.name);
            }
            axis.check(&mut mistakes, i);
            if let Some(list) = axis.codes.as_ref().filter(|list| self.list(list).is_none()) {
                self.add_unknown_list(&mut mistakes, Place::Axis(i, "codes"), &axis.name, list);
            }
        }
        self.check_columns(&mut mistakes, &mut names);
        self.check_key(&mut mistakes);
        self.check_path(&mut mistakes);
        self.check_taken(&mut mistakes);
        if let Some(secret) = &self.secret {
            secret.check(&mut mistakes);
        }
        if let Some(in_flight) = self.in_flight.filter(|in_flight| !IN_FLIGHT.contains(in_flight)) {
            let place = Place::Top("in_flight");
            mistakes.add(place, || format!("{place}: expected 1 to {}, found {in_flight}", IN_FLIGHT.end()));
        }
        if let Some(memory) = self.memory_mib.filter(|memory| !ALLOWED_MEMORY_MIB.contains(memory)) {
            let place = Place::Top("memory_mib");
            mistakes.add(place, || format!("{place}: expected 1 to {}, found {memory}", ALLOWED_MEMORY_MIB.end()));
        }
        self.check_lists(&mut mistakes);
        mistakes.into_mistakes()
    }

    /// Checks the key, and that keeping repeated keys has a reason.
    fn check_key(&self, mistakes: &mut PlacedMistakes<'_>) {
        let place = Place::Top("key");
        if self.key.is_empty() {
            mistakes.add(place, || "`key`: expected at least one column, found none".to_owned());
        }
        for (i, name) in self.key.iter().enumerate() {
            match self.columns.iter().find(|column| column.name == *name) {
                None => mistakes.add(place, || {
                    let hint = nearest_hint(name, self.columns.iter().map(|column| column.name.as_str()));
                    format!("`key`: expected the name of a column, found `{}`{hint}", excerpt(name))
                }),
                Some(column) if column.kind == ColumnKind::Double => mistakes.add(place, || {
                    format!(
                        "`key`: expected columns of type string, int or bigint, found `{}` of type double",
                        excerpt(name)
                    )
                }),
                Some(_) if self.key.iter().take(i).any(|earlier| earlier == name) => {
                    mistakes
                        .add(place, || format!("`key`: expected each column once, found `{}` again", excerpt(name)));
                }
                Some(_) => {}
            }
        }
        match (self.repeated_keys, &self.reason) {
            (RepeatedKeys::Keep, None) => mistakes.add(Place::Top("repeated_keys"), || {
                "`repeated_keys`: expected a `reason` beside `keep`, found none".to_owned()
            }),
            (RepeatedKeys::Refuse, Some(_)) => mistakes.add(Place::Top("reason"), || {
                "`reason`: expected `repeated_keys = \"keep\"` beside it, found none".to_owned()
            }),
            _ => {}
        }
    }

    /// Adds a `codes` that names no list.
    fn add_unknown_list(&self, mistakes: &mut PlacedMistakes<'_>, place: Place, name: &str, list: &str) {
        mistakes.add(place, || {
            let hint = hint_of_list(list, self.list_names());
            format!("{place} of `{}`: expected the name of a list, found `{}`{hint}", excerpt(name), excerpt(list))
        });
    }

    /// Checks the descriptor's own lists of codes.
    fn check_lists(&self, mistakes: &mut PlacedMistakes<'_>) {
        let place = Place::Top("lists");
        for (list, codes) in &self.lists {
            if let Some(code) =
                codes.keys().find(|code| code.parse::<i64>().map(|n| n.to_string()).as_ref() != Ok(*code))
            {
                mistakes.add(place, || {
                    format!("`lists.{}`: expected integer codes, found `{}`", excerpt(list), excerpt(code))
                });
            }
            if let Some(label) = codes.values().find(|label| label.is_empty() || label.chars().any(char::is_control)) {
                mistakes.add(place, || {
                    format!(
                        "`lists.{}`: expected labels without control characters, found `{}`",
                        excerpt(list),
                        excerpt(label)
                    )
                });
            }
        }
    }

    /// Checks that no built-in dataset or lookup table uses this dataset's name or table. A table holds one dataset:
    /// the rows of another dataset in the same folder would be mistaken for its own.
    fn check_taken(&self, mistakes: &mut PlacedMistakes<'_>) {
        if registry::is_lookup_table(&self.table) {
            mistakes.add(Place::Top("table"), || {
                format!("`table`: expected a table that is not in use, found the lookup table `{}`", self.table)
            });
        }
        if let Some(suffix) = SUFFIXES.into_iter().find(|suffix| self.table.ends_with(suffix)) {
            mistakes.add(Place::Top("table"), || {
                format!(
                    "`table`: expected a table that does not end in `{suffix}`, which the history of a table uses, found `{}`",
                    excerpt(&self.table)
                )
            });
        }
        // A view is in the same database as the tables.
        let owner = DATASETS.iter().map(|other| other.name).chain([self.name.as_str()]);
        if let Some(owner) = owner.into_iter().find(|owner| view_name(owner) == self.table) {
            mistakes.add(Place::Top("table"), || {
                format!("`table`: expected a table that is not in use, found `{}`, the view of `{owner}`", self.table)
            });
        }
        if let Some(other) = DATASETS.iter().find(|other| other.table == view_name(&self.name)) {
            mistakes.add(Place::Top("name"), || {
                format!(
                    "`name`: expected a name whose view `{}` is not in use, found `{}`: it is the table of `{}`",
                    other.table, self.name, other.name
                )
            });
        }
        for other in &DATASETS {
            // A modified copy of a built-in dataset has the same name and table, and replaces it.
            if (other.name == self.name) != (other.table == self.table) {
                let (key, found) = if other.name == self.name { ("name", &self.name) } else { ("table", &self.table) };
                mistakes.add(Place::Top(key), || {
                    format!(
                        "`{key}`: expected a {key} that is not in use, found `{found}` of datasets/{}.toml (name `{}`, \
                         table `{}`)",
                        other.file, other.name, other.table
                    )
                });
            }
        }
    }

    /// Checks the path's segments, and that its placeholders match the axes.
    fn check_path(&self, mistakes: &mut PlacedMistakes<'_>) {
        let mut placeholders = Vec::new();
        let is_plain = |segment: &str| {
            !segment.is_empty()
                && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        let Some(path) = self.path.strip_suffix('/') else {
            mistakes.add(Place::Top("path"), || {
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
                None => mistakes.add(Place::Top("path"), || {
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
            mistakes.add(Place::Top("path"), || {
                format!(
                    "`path`: expected one placeholder per axis, in order ({}), found {}",
                    excerpt(&axes.join(", ")),
                    if placeholders.is_empty() { "none".to_owned() } else { excerpt(&placeholders.join(", ")) }
                )
            });
        }
    }
}
