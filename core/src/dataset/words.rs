//! The words of a descriptor: what may follow each key, and which word was probably meant by another.

use crate::dataset::{ALLOWED_MEMORY_MIB, IN_FLIGHT, MAX_WIDTH};
use crate::text::{misspelled, nearest};

/// Keys that only the dataset itself has, not one of its tables.
pub(super) const OF_DATASET: [&str; 10] =
    ["attribution", "database", "in_flight", "key", "memory_mib", "path", "reason", "repeated_keys", "table", "title"];

/// Words of other programs and formats, with those of a descriptor: keys, types and lists.
const SYNONYMS: [(&[&str], &str); 8] = [
    (&["kind", "dtype", "data_type"], "type"),
    (&["description", "desc", "doc"], "comment"),
    (&["primary_key", "keys", "unique", "unique_key"], "key"),
    (&["int64", "long", "integer64", "uint64"], "bigint"),
    (&["integer", "int32", "int16", "smallint", "short"], "int"),
    (&["text", "varchar", "char", "str", "utf8"], "string"),
    (&["float", "float64", "float32", "real", "number", "numeric", "decimal"], "double"),
    (&["state", "states", "state_fips"], "fips"),
];

/// Returns what may follow a key, as messages say it.
///
/// - `path`: the keys from the top of the file, such as `column`, `width`.
pub(super) fn expected(path: &[&str]) -> String {
    let text = match path {
        ["key"] => "a list such as [\"ncessch\"]",
        [table @ ("axis" | "column")] => return format!("a table for each {table}, written `[[{table}]]`"),
        ["secret"] => "a table with `header` and `name`",
        ["lists"] => "tables such as `[lists.shift]`",
        ["lists", _] => "a line for each code, such as 1 = \"Day school\"",
        ["repeated_keys"] => "\"refuse\" or \"keep\"",
        ["in_flight"] => return format!("1 to {}", IN_FLIGHT.end()),
        ["memory_mib"] => return format!("1 to {}", ALLOWED_MEMORY_MIB.end()),
        ["axis", "type"] => "\"int\" or \"string\"",
        ["axis", "values"] => "a list such as [1, 2] or [{ value = \"grade-1\", code = 1 }]",
        ["axis", "values", "code"] | ["column", "total"] => "a whole number",
        ["axis", "total"] => "one of the axis's values",
        ["column", "type"] => "\"string\", \"int\", \"bigint\" or \"double\"",
        ["column", "width"] => return format!("1 to {MAX_WIDTH}"),
        ["column", "starts_with"] => "columns with numbers of digits, such as { fips = 5 }",
        ["column", "starts_with", _] => return format!("1 to {} digits", MAX_WIDTH - 1),
        ["column", "optional" | "dictionary"] => "true or false",
        _ => "text",
    };
    text.to_owned()
}

/// Returns a hint line with the word that was probably meant, or an empty string.
pub(super) fn hint<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    hint_by(word, candidates, nearest)
}

/// Returns a hint line with the list that was probably meant, or an empty string. Many names of lists start alike.
pub(super) fn hint_of_list<'c>(word: &str, lists: impl IntoIterator<Item = &'c str>) -> String {
    hint_by(word, lists, misspelled)
}

fn hint_by<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    most_like: impl FnOnce(&str, Vec<&'c str>) -> Option<&'c str>,
) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let is_meant =
        |(words, meant): &&(&[&str], &str)| words.contains(&word.to_lowercase().as_str()) && candidates.contains(meant);
    let synonym = SYNONYMS.iter().find(is_meant).map(|(_, meant)| *meant);
    let meant = synonym.or_else(|| most_like(word, candidates));
    meant.map_or_else(String::new, |meant| format!("\n    hint: write `{meant}`"))
}

/// Returns a hint line for a key of the dataset that is in one of its tables, or an empty string for any other key.
pub(super) fn hint_of_place(key: &str) -> String {
    let is_of_dataset = OF_DATASET.contains(&key);
    if is_of_dataset {
        "\n    hint: write it above the first table, such as `[[axis]]`".to_owned()
    } else {
        String::new()
    }
}
