//! Writes a descriptor as TOML.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::dataset::{Axis, AxisKind, Column, Dataset, RepeatedKeys};

/// Returns a descriptor as TOML, with a comment at the top.
///
/// [`Dataset::parse`] of the result returns the same dataset.
pub(super) fn to_toml(dataset: &Dataset, header: &str) -> String {
    let mut text = String::new();
    for line in header.lines() {
        let _ = writeln!(text, "# {line}");
    }
    for (key, value) in [
        ("name", &dataset.name),
        ("title", &dataset.title),
        ("attribution", &dataset.attribution),
        ("path", &dataset.path),
        ("database", &dataset.database),
        ("table", &dataset.table),
        ("comment", &dataset.comment),
    ] {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
    let key: Vec<String> = dataset.key.iter().map(|column| quoted(column)).collect();
    let _ = writeln!(text, "key = [{}]", key.join(", "));
    if dataset.repeated_keys == RepeatedKeys::Keep {
        text.push_str("repeated_keys = \"keep\"\n");
    }
    if let Some(reason) = &dataset.reason {
        let _ = writeln!(text, "reason = {}", quoted(reason));
    }
    if let Some(in_flight) = dataset.in_flight {
        let _ = writeln!(text, "in_flight = {in_flight}");
    }
    if let Some(memory) = dataset.memory_mib {
        let _ = writeln!(text, "memory_mib = {memory}");
    }
    for axis in &dataset.axes {
        write_axis(&mut text, axis);
    }
    for column in &dataset.columns {
        write_column(&mut text, column);
    }
    for (name, codes) in &dataset.lists {
        write_list(&mut text, name, codes);
    }
    text
}

fn write_axis(text: &mut String, axis: &Axis) {
    let kind = match axis.kind {
        AxisKind::Int => "int",
        AxisKind::String => "string",
    };
    let _ = write!(text, "\n[[axis]]\nname = {}\ntype = \"{kind}\"\n", quoted(&axis.name));
    for (key, value) in [("comment", Some(&axis.comment)), ("total", axis.total.as_ref())] {
        write_text(text, key, value);
    }
    write_text(text, "codes", axis.codes.as_ref());
    write_text(text, "years", axis.years.as_ref());
    if !axis.values.is_empty() {
        text.push_str("values = [\n");
        for coded in &axis.values {
            let _ = writeln!(text, "    {{ value = {}, code = {} }},", quoted(&coded.value), coded.code);
        }
        text.push_str("]\n");
    }
}

fn write_column(text: &mut String, column: &Column) {
    let _ = write!(text, "\n[[column]]\nname = {}\n", quoted(&column.name));
    write_text(text, "field", column.field.as_ref());
    let _ = writeln!(text, "type = \"{}\"", column.kind.glue_type());
    write_text(text, "codes", column.codes.as_ref());
    if let Some(total) = column.total {
        let _ = writeln!(text, "total = {total}");
    }
    if column.optional {
        text.push_str("optional = true\n");
    }
    if let Some(width) = column.width {
        let _ = writeln!(text, "width = {width}");
    }
    if !column.starts_with.is_empty() {
        let prefixes: Vec<String> =
            column.starts_with.iter().map(|(name, n_more)| format!("{} = {n_more}", key(name))).collect();
        let _ = writeln!(text, "starts_with = {{ {} }}", prefixes.join(", "));
    }
    if !column.dictionary {
        text.push_str("dictionary = false\n");
    }
    write_text(text, "comment", Some(&column.comment));
}

/// Appends a list of codes, in the order of its codes.
pub(super) fn write_list(text: &mut String, name: &str, codes: &BTreeMap<String, String>) {
    let _ = write!(text, "\n[lists.{}]\n", key(name));
    let mut codes: Vec<(i64, &str, &str)> =
        codes.iter().map(|(code, label)| (code.parse().unwrap_or(i64::MAX), code.as_str(), label.as_str())).collect();
    codes.sort_unstable();
    for (_, code, label) in codes {
        let _ = writeln!(text, "{} = {}", key(code), quoted(label));
    }
}

fn write_text(text: &mut String, key: &str, value: Option<&String>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
}

/// Returns a key, in quotes if it needs them.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// Returns text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_parsed_as_the_same_dataset() {
        let mut dataset = Dataset::built_in("ccd_enrollment").unwrap();
        dataset.title = "Quotes \" and \\ and\ttab \u{7f} é".into();
        dataset.repeated_keys = RepeatedKeys::Keep;
        dataset.reason = Some("The source repeats keys.".into());
        dataset.in_flight = Some(4);
        dataset.memory_mib = Some(192);
        dataset.axes[0].years = Some("1986-2022".into());
        dataset.columns[2].field = Some("Race".into());
        dataset.columns[2].codes = Some("race 2".into());
        dataset.columns[2].total = Some(99);
        dataset.columns[4].optional = true;
        dataset.lists =
            [("race 2".into(), [("-1".into(), "Missing".into()), ("99".into(), "\"All\"".into())].into())].into();
        let text = to_toml(&dataset, "First line\nSecond line");
        assert!(text.starts_with("# First line\n# Second line\nname = \"ccd_enrollment\"\n"));
        let parsed: Dataset = toml::from_str(&text).unwrap();
        assert_eq!(parsed, dataset);
    }
}
