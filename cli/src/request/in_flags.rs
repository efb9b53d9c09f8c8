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
    use rollcall_core::Error;
    use rollcall_core::dataset::Dataset;
    use rollcall_core::request::Request;
    use serde_json::{Value, json};

    use super::*;

    /// Returns what is wrong with a request, in flags. The request is checked as every other is, so that the test notices
    /// if a mistake is described in other words.
    fn told(dataset: &str, request: &Value, names_grades: bool) -> Vec<String> {
        let Err(Error::InvalidRequest { mistakes }) = Request::parse(request, &Dataset::built_in(dataset).unwrap())
        else {
            panic!("expected a mistake in {request}");
        };
        mistakes.iter().map(|mistake| in_flags(mistake, names_grades)).collect()
    }

    #[test]
    fn a_mistake_is_told_in_flags() {
        for (dataset, request, expected) in [
            (
                "ccd_enrollment",
                json!({"years": [2020]}),
                "`--grades`: expected values such as grade-pk or all, found none",
            ),
            (
                "ccd_enrollment",
                json!({"years": "x", "grades": "all"}),
                "`--years`: expected years such as 2020,2021, 2015-2021, latest or all, found `x`",
            ),
            (
                "ccd_enrollment",
                json!({"years": "", "grades": "all"}),
                "`--years`: expected years such as 2020,2021, 2015-2021, latest or all, found nothing",
            ),
            (
                "ipeds_enrollment_headcount",
                json!({"years": [2020]}),
                "`--axis level_of_study`: expected values such as undergraduate or all, found none",
            ),
            (
                "edfacts_assessments",
                json!({"years": [2020], "axes": {"grade_edfacts": "grade-x"}}),
                "`--grades`: expected one of grade-3 to grade-9, grade-99, found `grade-x`",
            ),
            (
                "ccd_enrollment",
                json!({"years": [2020], "axes": {"year": [2020], "grade": "all"}}),
                "`--years`: expected either `--years` or `--axis year`, found both",
            ),
            (
                "ccd_enrollment",
                json!({"partitions": [{"year": 2020}]}),
                "`--partition`: expected a value such as grade-pk, found none",
            ),
            (
                "ccd_enrollment",
                json!({"years": [2020], "grades": "all", "refresh_after_days": 3}),
                "`--refresh-after`: expected it only with `--mode stale`, found it with another mode",
            ),
            (
                "ccd_enrollment",
                json!({"mode": "all", "failed_of": "20261126T120000-381"}),
                "`--failed-of`: expected `--mode failed`, found `all`",
            ),
            (
                "ccd_enrollment",
                json!({"years": "latest", "failed_of": "20261126T120000-381"}),
                "`--years`: expected years by number together with `--failed-of`, found `latest`",
            ),
            (
                "ccd_directory",
                json!({"years": [2020], "grades": "all"}),
                "`--grades`: expected a dataset with grades, found `ccd_directory`, which has none",
            ),
        ] {
            let told = told(dataset, &request, true);
            // A hint may follow.
            assert!(told.len() == 1 && told[0].starts_with(expected), "{request}: {expected}\n{told:#?}");
        }
        let of_axis = told("edfacts_assessments", &json!({"years": [2020], "axes": {"grade_edfacts": "x"}}), false);
        assert!(of_axis[0].starts_with("`--axis grade_edfacts`: expected one of "), "{of_axis:?}");
        let other = "expected at most 100,000 partitions in one plan, found 200,000";
        assert_eq!(in_flags(other, true), other);
    }
}
