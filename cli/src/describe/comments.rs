//! What the columns of a view mean.

/// Returns what a column means that only the view has.
pub(super) fn of_added(name: &str) -> String {
    match (name.strip_suffix("_label"), name.strip_suffix("_note")) {
        (Some(of), _) => format!("Label of {of}"),
        (_, Some(of)) => format!("Why {of} is null"),
        _ if name == "is_total" => "Whether the row is a total over other rows".to_owned(),
        _ => String::new(),
    }
}

/// Returns what a column of the table means in the view, without its codes: the view names them in another column.
///
/// - `has`: whether the view has a column.
pub(super) fn of_column(name: &str, comment: &str, has: impl Fn(&str) -> bool) -> String {
    let (label, note) = (format!("{name}_label"), format!("{name}_note"));
    let added = match (has(&label), has(&note)) {
        (false, false) => return comment.to_owned(),
        (_, true) => format!("; null for a code, which {note} names"),
        (true, false) => format!("; {label} names it"),
    };
    without_codes(comment).to_owned() + &added
}

/// Returns a comment up to the codes that it lists after a semicolon or a colon: `Magnet school: 1 yes, 0 no; -1 missing`.
fn without_codes(comment: &str) -> &str {
    let is_code = |text: &str| text.trim_start().trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    let mut lists = comment.match_indices([';', ':']).map(|(at, _)| comment.split_at(at));
    let text = lists.find(|(_, list)| list.get(1..).is_some_and(is_code)).map_or(comment, |(text, _)| text);
    // Some comments are nothing but a list.
    let n_codes = text.split(", ").filter(|part| is_code(part)).count();
    if is_code(text) || n_codes > 1 { "Code" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_left_to_the_columns_that_name_them() {
        let has = |name: &str| {
            ["magnet_label", "enrollment_note", "grade_label", "fips_label", "level_label"].contains(&name)
        };
        for (name, comment, expected) in [
            (
                "magnet",
                "Magnet school: 1 yes, 0 no; -1 missing or not reported",
                "Magnet school; magnet_label names it",
            ),
            (
                "enrollment",
                "Students; -1 missing or not reported, null not given",
                "Students; null for a code, which enrollment_note names",
            ),
            (
                "grade",
                "Grade as in the path: grade-pk is pre-kindergarten",
                "Grade as in the path: grade-pk is pre-kindergarten; grade_label names it",
            ),
            ("fips", "FIPS code, see lookup_states; -1 missing", "FIPS code, see lookup_states; fips_label names it"),
            ("level", "0 primary, 1 high; -1 missing", "Code; level_label names it"),
            ("level", "Since 2005 11-13 city, 21-23 suburb, 31-33 town; before 1 city", "Code; level_label names it"),
            ("ncessch", "School id, 12 digits: 7 of the district", "School id, 12 digits: 7 of the district"),
        ] {
            assert_eq!(of_column(name, comment, has), expected);
        }
    }
}
