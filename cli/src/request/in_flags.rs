//! Mistakes in a request, in the words of the flags that it came from instead of those of JSON.

/// Returns a mistake in a field of a request as one in a flag: `` `failed_of`: … `` → `` `--failed-of`: … ``.
///
/// - `names_grades`: whether the flag `--grades` was given, which selects an axis by another name too.
pub(super) fn in_flags(mistake: &str, names_grades: bool) -> String {
    let field_and_rest = mistake.strip_prefix('`').and_then(|mistake| mistake.split_once("`: "));
    let Some((field, rest)) = field_and_rest else { return mistake.to_owned() };
    let flag = flag(field, names_grades);
    if rest.contains("found an unknown field")
        && let Some((_, rest)) = rest.split_once("for dataset `")
    {
        let dataset = rest.split('`').next().unwrap_or_default();
        return format!("`{flag}`: expected a dataset with {field}, found `{dataset}`, which has none");
    }
    format!("`{flag}`: {}", without_json(rest, field, names_grades))
}

/// Returns the flag for a field.
fn flag(field: &str, names_grades: bool) -> String {
    match field {
        // A dataset is named by an argument of some commands.
        "dataset" => "dataset".to_owned(),
        "years" | "grades" | "mode" | "force" => format!("--{field}"),
        "refresh_after_days" => "--refresh-after".to_owned(),
        "failed_of" | "keep_pages" => format!("--{}", field.replace('_', "-")),
        _ if field.starts_with("partitions") => "--partition".to_owned(),
        _ => match field.strip_prefix("axes.") {
            Some(axis) if names_grades && axis.starts_with("grade") => "--grades".to_owned(),
            Some(axis) => format!("--axis {axis}"),
            // The field of an axis is its plural.
            None => format!("--axis {}", field.strip_suffix('s').unwrap_or(field)),
        },
    }
}

/// Returns what was expected and found, with values as flags have them.
fn without_json(text: &str, field: &str, names_grades: bool) -> String {
    let mut text = text
        .replace(
            "years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\"",
            "years such as 2020,2021, 2015-2021, latest or all",
        )
        .replace("expected it only with mode `stale`", "expected it only with `--mode stale`")
        .replace("expected mode `failed`", "expected `--mode failed`")
        .replace("together with `failed_of`", "together with `--failed-of`")
        .replace("found ``", "found nothing");
    if let Some(other) =
        text.strip_prefix(&format!("expected either `{field}` or `")).and_then(|it| it.split('`').next())
    {
        let (one, other) = (flag(field, names_grades), flag(other, names_grades));
        return format!("expected either `{one}` or `{other}`, found both");
    }
    for start in ["expected values such as ", "expected a value such as "] {
        if let Some((example, rest)) = text.strip_prefix(start).and_then(|it| it.split_once(", found ")) {
            text = format!("{start}{}, found {rest}", example.replace(['[', ']', '"'], ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_in_flags() {
        for (mistake, expected) in [
            (
                "`grades`: expected values such as [\"grade-pk\"] or \"all\", found none",
                "`--grades`: expected values such as grade-pk or all, found none",
            ),
            (
                "`races`: expected values such as [1] or \"all\", found none",
                "`--axis race`: expected values such as 1 or all, found none",
            ),
            (
                "`years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\", found `\"x\"`\n    hint: y",
                "`--years`: expected years such as 2020,2021, 2015-2021, latest or all, found `\"x\"`\n    hint: y",
            ),
            ("`axes.race`: expected one of 1, 2, found `3`", "`--axis race`: expected one of 1, 2, found `3`"),
            ("`axes.grade_edfacts`: expected one of a, found `b`", "`--grades`: expected one of a, found `b`"),
            (
                "`years`: expected either `years` or `axes.year`, found both",
                "`--years`: expected either `--years` or `--axis year`, found both",
            ),
            (
                "`partitions[0].grade`: expected a value such as \"grade-pk\", found none",
                "`--partition`: expected a value such as grade-pk, found none",
            ),
            (
                "`refresh_after_days`: expected it only with mode `stale`, found it with another mode",
                "`--refresh-after`: expected it only with `--mode stale`, found it with another mode",
            ),
            (
                "`failed_of`: expected mode `failed`, found `all`",
                "`--failed-of`: expected `--mode failed`, found `all`",
            ),
            (
                "`grades`: expected one of years, dataset for dataset `d`, found an unknown field\n    hint: write `years`",
                "`--grades`: expected a dataset with grades, found `d`, which has none",
            ),
            (
                "expected at most 100,000 partitions in one plan, found 200,000",
                "expected at most 100,000 partitions in one plan, found 200,000",
            ),
        ] {
            assert_eq!(in_flags(mistake, true), expected);
        }
        assert_eq!(in_flags("`axes.grade`: x", false), "`--axis grade`: x");
    }
}
