//! Expressions as people write them, from those that the engine prints: `sum(t.n) + Int64(1)` → `sum(n) + 1`.

/// The engine's names of the types of literals.
const TYPES: [&str; 17] = [
    "Boolean",
    "Date32",
    "Date64",
    "Decimal128",
    "Float16",
    "Float32",
    "Float64",
    "Int16",
    "Int32",
    "Int64",
    "Int8",
    "LargeUtf8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Utf8",
    "Utf8View",
];

/// Returns an expression without the types of its literals, and without the tables of its columns.
///
/// - `keeps`: whether a column keeps the name of its table, given both, as in `t.n`.
pub(super) fn plain_sql(expression: &str, keeps: impl Fn(&str) -> bool) -> String {
    let (mut plain, mut rest) = (String::with_capacity(expression.len()), expression);
    while let Some(c) = rest.chars().next() {
        let (name, after) = rest.split_at(name_len(rest));
        rest = after;
        if name.is_empty() {
            plain.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        } else if TYPES.contains(&name)
            && let Some((value, after)) = literal(after)
        {
            plain.push_str(&value);
            rest = after;
        } else {
            let column = name.rsplit('.').next().unwrap_or_default();
            plain.push_str(if keeps(name) { name } else { column });
        }
    }
    // A list is printed as an array.
    plain.replace(" IN ([", " IN (").replace("])", ")")
}

/// Returns the length of the name that text starts with, with those of its table and database, in bytes; 0 if it starts
/// with none.
fn name_len(text: &str) -> usize {
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

/// Returns the literal in the parentheses that text starts with, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('(')?;
    if let Some(text) = text.strip_prefix('"') {
        let (value, after) = text.split_once("\")")?;
        return Some((format!("'{}'", value.replace('\'', "''")), after));
    }
    let (value, after) = text.split_once(')')?;
    // A decimal number is followed by its precision and scale.
    Some((value.split(',').next().unwrap_or_default().to_owned(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_have_no_types_and_columns_no_tables() {
        for (expression, expected) in [
            ("Int64(1)", "1"),
            ("Int64(1) + Float64(-1.5)", "1 + -1.5"),
            ("Utf8(\"it's (a)\")", "'it''s (a)'"),
            ("CASE WHEN Boolean(true) THEN Int64(NULL) END", "CASE WHEN true THEN NULL END"),
            ("Decimal128(1.20,3,2)", "1.20"),
            ("sum(t.enrollment)", "sum(enrollment)"),
            ("kept.n = t.m", "kept.n = m"),
            ("max(d.t.n)", "max(n)"),
            (
                "t.year IN ([Int32(2020), Int32(2021)]) AND t.grade = Utf8View(\"grade-pk\")",
                "year IN (2020, 2021) AND grade = 'grade-pk'",
            ),
            ("count(*)", "count(*)"),
            ("round(x, 1.5) é.学", "round(x, 1.5) 学"),
            ("Int64", "Int64"),
            ("Utf8(\"open", "Utf8(\"open"),
        ] {
            assert_eq!(plain_sql(expression, |column| column == "kept.n"), expected);
        }
    }
}
