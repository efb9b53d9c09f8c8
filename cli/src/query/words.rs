//! The words of a query.

use std::collections::BTreeSet;

/// Returns the words of SQL that may be names of tables, in lower case. Those in comments and texts are among them.
pub(crate) fn words_of(sql: &str) -> BTreeSet<String> {
    let words = sql.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_whole_word() {
        let words = words_of("select * from d.Enrollment_race r join \"x\".\"t1\" using (ncessch)");
        assert!(["enrollment_race", "t1", "d", "x"].iter().all(|word| words.contains(*word)));
        assert!(!words.contains("enrollment") && !words.contains("race") && !words.contains(""));
    }
}
