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
        let (word, after) = rest.split_at(word_len(rest));
        if word.is_empty() {
            plain.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        }
        rest = after;
        if TYPES.contains(&word)
            && let Some((value, after)) = literal(after)
        {
            plain.push_str(&value);
            rest = after;
        } else if let Some(column) = after.strip_prefix('.').filter(|column| word_len(column) > 0)
            && !keeps(&format!("{word}.{}", column.get(..word_len(column)).unwrap_or_default()))
        {
            rest = column;
        } else {
            plain.push_str(word);
        }
    }
    // A list is printed as an array.
    plain.replace(" IN ([", " IN (").replace("])", ")")
}

/// Returns the length of the name that text starts with, in bytes; 0 if it starts with none.
fn word_len(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
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
