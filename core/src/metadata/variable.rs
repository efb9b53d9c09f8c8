//! A column of an endpoint, as the portal lists it.

use std::collections::BTreeMap;

use crate::metadata::list::Fields;
use crate::metadata::text::{clean, clean_field};

/// A column of an endpoint's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Name of the field.
    pub name: String,
    /// Short description.
    pub label: String,
    /// Whether rows can be selected by it.
    pub is_filter: bool,
    /// Declared type.
    pub kind: Kind,
    /// Maximum number of characters, 0 if unknown.
    pub length: u32,
    /// How its values are written.
    pub format: Format,
}

/// Declared type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A number with decimals.
    Float,
    /// Text.
    Text,
}

/// How the values of a column are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Text, without codes.
    Text,
    /// A list of codes with labels. A list with only negative codes is that of a measure.
    List {
        /// Name of the list, such as `race`.
        name: String,
        /// Label of each code.
        codes: BTreeMap<i64, String>,
    },
}

impl Variable {
    /// Returns the name of the column's list of codes.
    #[must_use]
    pub fn list(&self) -> Option<&str> {
        match &self.format {
            Format::Text => None,
            Format::List { name, .. } => Some(name),
        }
    }

    /// Returns the codes of the column's list; none for text.
    pub fn codes(&self) -> impl Iterator<Item = (i64, &str)> {
        let codes = match &self.format {
            Format::Text => None,
            Format::List { codes, .. } => Some(codes),
        };
        codes.into_iter().flatten().map(|(code, label)| (*code, label.as_str()))
    }

    /// Returns whether the list has codes that are not negative, so that a value is one of a few categories.
    #[must_use]
    pub fn is_category(&self) -> bool {
        self.codes().any(|(code, _)| code >= 0)
    }

    /// Reads an entry of the list. Returns `None` if it lacks a name or a type.
    fn read(fields: &Fields) -> Option<Self> {
        let kind = match clean_field(fields, "data_type")?.as_str() {
            "integer" => Kind::Integer,
            "float" => Kind::Float,
            "string" => Kind::Text,
            _ => return None,
        };
        let codes = parse_codes(&clean_field(fields, "values").unwrap_or_default());
        let format = match clean_field(fields, "format") {
            Some(name) if name != "string" && !codes.is_empty() => Format::List { name, codes },
            _ => Format::Text,
        };
        let name = clean_field(fields, "variable")?;
        Some(Self {
            label: clean_field(fields, "label").unwrap_or_default(),
            is_filter: clean_field(fields, "is_filter").is_some_and(|flag| flag == "1"),
            kind,
            length: clean_field(fields, "string_length").and_then(|length| length.parse().ok()).unwrap_or(0),
            format,
            name,
        })
    }

    /// Returns how many of the entry's fields say something. Of two entries for one column, one may be a stub.
    fn completeness(&self) -> usize {
        [!self.label.is_empty(), self.is_filter, self.length > 0, self.format != Format::Text]
            .into_iter()
            .filter(|is_given| *is_given)
            .count()
    }
}

/// Returns the columns of each endpoint, in the order of their first entries. Of several entries for one column, the most
/// complete is used.
pub(super) fn by_endpoint(entries: impl Iterator<Item = Fields>) -> BTreeMap<u32, Vec<Variable>> {
    let mut endpoints: BTreeMap<u32, Vec<Variable>> = BTreeMap::new();
    for entry in entries {
        let id = clean_field(&entry, "endpoint_id").and_then(|id| id.parse().ok());
        let (Some(id), Some(variable)) = (id, Variable::read(&entry)) else { continue };
        let variables = endpoints.entry(id).or_default();
        match variables.iter_mut().find(|known| known.name == variable.name) {
            None => variables.push(variable),
            Some(known) if variable.completeness() > known.completeness() => *known = variable,
            Some(_) => {}
        }
    }
    endpoints
}

/// Parses codes in the portal's format: `"1" : "White","2" : "Black"`. Skips what it cannot parse.
fn parse_codes(text: &str) -> BTreeMap<i64, String> {
    let mut codes = BTreeMap::new();
    let mut rest = text;
    while let Some((code, after)) = quoted(rest) {
        let Some(after) = after.trim_start().strip_prefix(':') else {
            rest = after;
            continue;
        };
        let Some((label, after)) = quoted(after) else { break };
        if let Ok(code) = code.trim().parse() {
            codes.insert(code, clean(&label));
        }
        rest = after;
    }
    codes
}

/// Returns the first quoted string of a text, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (_, text) = text.split_once('"')?;
    let mut content = String::new();
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((content, text.get(position + 1..)?)),
            '\\' => content.extend(characters.next().map(|(_, escaped)| escaped)),
            other => content.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(entries: &[&str]) -> BTreeMap<u32, Vec<Variable>> {
        by_endpoint(entries.iter().map(|entry| serde_json::from_str(entry).unwrap()))
    }

    #[test]
    fn a_type_with_a_blank_and_the_word_none_are_read() {
        let found = read_all(&[r#"{"endpoint_id":"7","variable":"cost","label":" Cost ","is_filter":"None",
            "format":"numeric","data_type":"integer ","string_length":"5","values":"\"-1\" : \"Missing/not reported\""}"#]);
        let expected = Variable {
            name: "cost".into(),
            label: "Cost".into(),
            is_filter: false,
            kind: Kind::Integer,
            length: 5,
            format: Format::List { name: "numeric".into(), codes: [(-1, "Missing/not reported".into())].into() },
        };
        assert_eq!(found, BTreeMap::from([(7, vec![expected])]));
    }

    #[test]
    fn of_two_entries_for_a_column_the_complete_one_is_used_in_the_first_ones_place() {
        let stub = r#"{"endpoint_id":"7","variable":"sex","data_type":"integer"}"#;
        let other = r#"{"endpoint_id":7,"variable":"race","data_type":"integer"}"#;
        let full = r#"{"endpoint_id":"7","variable":"sex","label":"Sex","is_filter":"1","data_type":"integer",
            "string_length":"2"}"#;
        for entries in [[stub, other, full], [full, other, stub]] {
            let found = read_all(&entries);
            let names: Vec<_> = found[&7].iter().map(|variable| (variable.name.as_str(), variable.is_filter)).collect();
            assert_eq!(names, [("sex", true), ("race", false)]);
        }
    }

    #[test]
    fn codes_are_parsed_with_commas_quotes_and_entities_in_their_labels() {
        let text = r#""1" : "Under 1,000","2" : "1,000&ndash;4,999", "-1" : " Say \"no\" ","x" : "y""#;
        let expected = [(-1, "Say \"no\""), (1, "Under 1,000"), (2, "1,000–4,999")];
        assert_eq!(parse_codes(text), expected.map(|(code, label)| (code, label.to_owned())).into());
        for text in ["", "\"1\"", "\"1\" : ", "\"1\" : \"open", ":\"", "\\"] {
            assert_eq!(parse_codes(text), BTreeMap::new(), "{text}");
        }
    }
}
