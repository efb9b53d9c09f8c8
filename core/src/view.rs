//! The view of a dataset's table with labels: codes are named, and no code can be mistaken for a number.

use crate::dataset::lists::{Codes, is_of_measure};
use crate::dataset::{Axis, AxisKind, Column, ColumnKind, Dataset};
use crate::file::columns::RESCUED;

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSpec {
    /// Name, in the database of its table.
    pub name: String,
    /// The query in the SQL that DataFusion, Athena and Trino share, split where the name of the database goes.
    pub parts: Vec<String>,
    /// Columns: name and type.
    pub columns: Vec<(String, ViewType)>,
}

impl ViewSpec {
    /// Returns the query over the tables in `database`.
    #[must_use]
    pub fn sql(&self, database: &str) -> String {
        self.parts.join(&quoted(database))
    }
}

/// Type of a view's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewType {
    /// The type of a column of the table.
    Column(ColumnKind),
    /// True or false.
    Boolean,
}

impl Dataset {
    /// Returns the view with labels.
    ///
    /// - A column of codes has its labels beside it, in `…_label`.
    /// - In a measure, codes become null, and `…_note` says which code it was.
    /// - `is_total` is true for a row that is a total over other rows of the table.
    #[must_use]
    pub fn labeled_view(&self) -> ViewSpec {
        let mut view = Builder { taken: self.names(), expressions: Vec::new(), columns: Vec::new() };
        for axis in &self.axes {
            view.add_axis(axis, axis.codes.as_ref().and_then(|list| self.list(list)));
        }
        for column in &self.columns {
            view.add_column(
                column,
                self.key.contains(&column.name),
                column.codes.as_ref().and_then(|list| self.list(list)),
            );
        }
        let totals: Vec<String> = self.axes.iter().filter_map(axis_total).chain(self.totals()).collect();
        if !totals.is_empty() {
            // Null if a code is null and no other is a total.
            let is_total = format!("coalesce({}, false)", totals.join(" or "));
            view.add_more("is_total", &is_total, ViewType::Boolean);
        }
        view.add(RESCUED, &quoted(RESCUED), ViewType::Column(ColumnKind::String));
        ViewSpec {
            name: view_name(&self.name),
            parts: vec![
                format!("select\n  {}\nfrom ", view.expressions.join(",\n  ")),
                format!(".{}", quoted(&self.table)),
            ],
            columns: view.columns,
        }
    }

    /// Returns the names of all columns of the table.
    fn names(&self) -> Vec<String> {
        let axes = self.axes.iter().map(|axis| axis.name.clone());
        axes.chain(self.columns.iter().map(|column| column.name.clone())).chain([RESCUED.to_owned()]).collect()
    }

    /// Returns the conditions under which a column says that its row is a total.
    fn totals(&self) -> impl Iterator<Item = String> {
        let totals = self.columns.iter().filter_map(|column| Some((quoted(&column.name), column.total?)));
        totals.map(|(name, total)| format!("{name} = {total}"))
    }
}

/// Returns the name of a dataset's view.
#[must_use]
pub fn view_name(dataset: &str) -> String {
    format!("{dataset}_labeled")
}

/// Collects the columns of a view.
struct Builder {
    /// Names of the table's columns and of those added so far.
    taken: Vec<String>,
    expressions: Vec<String>,
    columns: Vec<(String, ViewType)>,
}

impl Builder {
    fn add(&mut self, name: &str, expression: &str, kind: ViewType) {
        let quoted = quoted(name);
        let is_same = expression == quoted;
        self.expressions.push(if is_same { quoted } else { format!("{expression} as {quoted}") });
        self.columns.push((name.to_owned(), kind));
    }

    /// Adds a column that the table lacks. If the table has one of this name, the new one gets an underscore more.
    fn add_more(&mut self, name: &str, expression: &str, kind: ViewType) {
        let mut name = name.to_owned();
        while self.taken.contains(&name) {
            name.push('_');
        }
        self.add(&name, expression, kind);
        self.taken.push(name);
    }

    fn add_axis(&mut self, axis: &Axis, labels: Option<Codes<'_>>) {
        let (name, kind) = match axis.kind {
            AxisKind::Int => (quoted(&axis.name), ColumnKind::Int),
            AxisKind::String => (quoted(&axis.name), ColumnKind::String),
        };
        self.add(&axis.name, &name, ViewType::Column(kind));
        let Some(labels) = labels else { return };
        let labeled = axis.values.iter().filter_map(|coded| {
            let value = match axis.kind {
                AxisKind::Int => coded.value.clone(),
                AxisKind::String => literal(&coded.value),
            };
            Some((value, labels.get(&coded.code)?.as_ref()))
        });
        self.add_label(&axis.name, &name, "label", labeled);
    }

    fn add_column(&mut self, column: &Column, is_key: bool, codes: Option<Codes<'_>>) {
        let (name, kind) = (quoted(&column.name), ViewType::Column(column.kind));
        let Some(codes) = codes else { return self.add(&column.name, &name, kind) };
        let labeled = codes.iter().map(|(code, label)| (code.to_string(), label.as_ref()));
        if !is_of_measure(&codes) {
            self.add(&column.name, &name, kind);
            self.add_label(&column.name, &name, "label", labeled);
        } else if is_key {
            self.add(&column.name, &name, kind);
        } else {
            let listed: Vec<String> = codes.keys().map(ToString::to_string).collect();
            let value = format!("case when {name} in ({}) then null else {name} end", listed.join(", "));
            self.add(&column.name, &value, kind);
            self.add_label(&column.name, &name, "note", labeled);
        }
    }

    /// Adds the labels of a column's values.
    fn add_label<'l>(
        &mut self,
        column: &str,
        quoted: &str,
        suffix: &str,
        labeled: impl Iterator<Item = (String, &'l str)>,
    ) {
        let branches: Vec<String> =
            labeled.map(|(value, label)| format!("when {value} then {}", literal(label))).collect();
        if !branches.is_empty() {
            let labels = format!("case {quoted} {} end", branches.join(" "));
            self.add_more(&format!("{column}_{suffix}"), &labels, ViewType::Column(ColumnKind::String));
        }
    }
}

/// Returns the condition under which an axis says that its rows are totals.
fn axis_total(axis: &Axis) -> Option<String> {
    let total = axis.total.as_ref()?;
    let total = if axis.kind == AxisKind::String { literal(total) } else { total.clone() };
    Some(format!("{} = {total}", quoted(&axis.name)))
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Returns text as a literal of SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "small"
title = "Small"
attribution = "Someone"
path = "small/{year}/{grade}/"
database = "db"
table = "small_data"
key = ["id"]
[[axis]]
name = "year"
type = "int"
[[axis]]
name = "grade"
type = "string"
codes = "level"
total = "all"
values = [{ value = "k", code = 0 }, { value = "all", code = 99 }]
[[column]]
name = "id"
type = "int"
codes = "count"
[[column]]
name = "sex"
type = "int"
codes = "sex"
total = 99
[[column]]
name = "sex_label"
type = "string"
[[column]]
name = "students"
type = "double"
codes = "count"
[lists.level]
0 = "Kindergarten"
99 = "Total"
[lists.sex]
1 = "Boys' side"
-1 = "Missing"
99 = "Total"
[lists.count]
-1 = "Missing"
-2 = "Not applicable"
"#;

    #[test]
    fn codes_get_labels_and_measures_lose_their_codes() {
        let view = Dataset::parse("small.toml", TEXT).unwrap().labeled_view();
        insta::assert_snapshot!(view.sql("db"), @r#"
        select
          "year",
          "grade",
          case "grade" when 'k' then 'Kindergarten' when 'all' then 'Total' end as "grade_label",
          "id",
          "sex",
          case "sex" when -1 then 'Missing' when 1 then 'Boys'' side' when 99 then 'Total' end as "sex_label_",
          "sex_label",
          case when "students" in (-2, -1) then null else "students" end as "students",
          case "students" when -2 then 'Not applicable' when -1 then 'Missing' end as "students_note",
          coalesce("grade" = 'all' or "sex" = 99, false) as "is_total",
          "_rescued"
        from "db"."small_data"
        "#);
        assert_eq!(view.name, "small_labeled");
        assert_eq!(view.columns.len(), 11);
    }
}
