//! SQL as people write it, from what the engine has: expressions, and names of columns such as `sum(t.n) + Int64(1)`.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::Expr;
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::Dialect;

/// The engine's names of the types of numbers and truth values.
const TYPES: [&str; 13] = [
    "Boolean",
    "Decimal128",
    "Float16",
    "Float32",
    "Float64",
    "Int16",
    "Int32",
    "Int64",
    "Int8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt8",
];

/// SQL for people, in which names have no quotes.
struct Unquoted;

impl Dialect for Unquoted {
    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        None
    }
}

/// Returns an expression without the tables of its columns: `t.year = Int32(2020)` → `year = 2020`.
pub(super) fn plain_sql(expression: Expr) -> String {
    let engines = expression.to_string();
    let without_tables = expression.transform(|expression| {
        Ok(match expression {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    });
    let plain = without_tables.and_then(|plain| Unparser::new(&Unquoted).with_pretty(true).expr_to_sql(&plain.data));
    plain.map_or(engines, |plain| plain.to_string())
}

/// Returns the engine's name of a column without the types of numbers and without tables; `None` if anything in it is not
/// understood. Text is not: the engine does not say where it ends. Nor are lists, which it prints without parentheses.
pub(super) fn plain_name(name: &str) -> Option<String> {
    if name.contains(['"', '\'']) || name.contains(" IN ") {
        return None;
    }
    let (mut plain, mut rest) = (String::with_capacity(name.len()), name);
    while let Some(c) = rest.chars().next() {
        let (word, after) = rest.split_at(word_len(rest));
        rest = after;
        if word.is_empty() {
            plain.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        } else if word.starts_with(|c: char| c.is_ascii_uppercase()) && after.starts_with('(') {
            let (value, after) = after.strip_prefix('(').filter(|_| TYPES.contains(&word))?.split_once(')')?;
            // A decimal number is followed by its precision and scale.
            plain.push_str(value.split(',').next().unwrap_or_default());
            rest = after;
        } else {
            plain.push_str(word.rsplit('.').next().unwrap_or_default());
        }
    }
    Some(plain)
}

/// Returns the length of the name that text starts with, with those of its table and database, in bytes; 0 if it starts
/// with none.
fn word_len(text: &str) -> usize {
    let word = |text: &str| text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    let mut len = word(text);
    while len > 0
        && let Some(next) = text.get(len..).and_then(|rest| rest.strip_prefix('.')).map(word).filter(|next| *next > 0)
    {
        len += 1 + next;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{col, lit};

    #[test]
    fn an_expression_has_no_types_and_no_tables() {
        for (expression, expected) in [
            (col("t.year").eq(lit(2020)), "year = 2020"),
            (
                col("t.year").in_list(vec![lit(2020), lit(2021)], false).and(col("t.grade").eq(lit("it's \")x"))),
                "year IN (2020, 2021) AND grade = 'it''s \")x'",
            ),
            (
                col("year").gt(lit(1)).and(col("year").lt(lit(2)).or(col("g").is_null())),
                "year > 1 AND (year < 2 OR g IS NULL)",
            ),
        ] {
            assert_eq!(plain_sql(expression), expected);
        }
    }

    #[test]
    fn a_name_is_plain_only_if_all_of_it_is_understood() {
        for (name, expected) in [
            ("Int64(1)", Some("1")),
            ("Int64(1) + Float64(-1.5)", Some("1 + -1.5")),
            ("CASE WHEN Boolean(true) THEN Int64(NULL) END", Some("CASE WHEN true THEN NULL END")),
            ("Decimal128(1.20,3,2)", Some("1.20")),
            ("sum(t.enrollment)", Some("sum(enrollment)")),
            ("max(d.t.n)", Some("max(n)")),
            ("count(*)", Some("count(*)")),
            ("round(x, 1.5) é.学", Some("round(x, 1.5) 学")),
            ("Int64", Some("Int64")),
            ("Utf8(\"it's \")x\")", None),
            ("fips IN Int64(1), Int64(2)", None),
            ("IntervalMonthDayNano(IntervalMonthDayNano { months: 0 })", None),
            ("Int64(1", None),
        ] {
            assert_eq!(plain_name(name).as_deref(), expected, "{name}");
        }
    }
}
