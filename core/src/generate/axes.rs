//! Axes: the words that the portal's paths have for codes.
//!
//! The metadata has the codes of an axis, but not the words. Source of the words: `construct-url.R` of
//! UrbanInstitute/education-data-package-r.

use crate::dataset::years::YEAR;
use crate::dataset::{Axis, AxisKind, CodedValue};
use crate::generate::columns::{TOTAL, comment};
use crate::metadata::{Section, Variable};

const GRADE: [(&str, i64); 18] = [
    ("grade-pk", -1),
    ("grade-k", 0),
    ("grade-1", 1),
    ("grade-2", 2),
    ("grade-3", 3),
    ("grade-4", 4),
    ("grade-5", 5),
    ("grade-6", 6),
    ("grade-7", 7),
    ("grade-8", 8),
    ("grade-9", 9),
    ("grade-10", 10),
    ("grade-11", 11),
    ("grade-12", 12),
    ("grade-13", 13),
    ("grade-14", 14),
    ("grade-15", 15),
    ("grade-99", 99),
];

/// A grade that only districts have: students whose grade is not specified.
const GRADE_OF_DISTRICTS: (&str, i64) = ("grade-999", 999);

const GRADE_EDFACTS: [(&str, i64); 8] = [
    ("grade-3", 3),
    ("grade-4", 4),
    ("grade-5", 5),
    ("grade-6", 6),
    ("grade-7", 7),
    ("grade-8", 8),
    ("grade-9", 9),
    ("grade-99", 99),
];

const LEVEL_OF_STUDY: [(&str, i64); 5] =
    [("undergraduate", 1), ("graduate", 2), ("first-professional", 3), ("post-baccalaureate", 4), ("99", 99)];

/// Returns an axis, or `None` if no words are known for it.
///
/// - `variable`: the field with the axis's codes.
/// - `years`: the portal's years, for the axis of years.
pub(super) fn axis(section: Section, name: &str, variable: Option<&Variable>, years: &str) -> Option<Axis> {
    let mut words = match name {
        YEAR => Vec::new(),
        "grade" => GRADE.to_vec(),
        "grade_edfacts" => GRADE_EDFACTS.to_vec(),
        "level_of_study" => LEVEL_OF_STUDY.to_vec(),
        _ => return None,
    };
    if name == "grade" && section == Section::Districts {
        words.push(GRADE_OF_DISTRICTS);
    }
    let is_year = name == YEAR;
    Some(Axis {
        name: name.to_owned(),
        kind: if is_year { AxisKind::Int } else { AxisKind::String },
        comment: variable.map_or_else(String::new, |variable| comment(&variable.label)),
        total: words.iter().find(|(_, code)| *code == TOTAL).map(|(value, _)| (*value).to_owned()),
        values: words.into_iter().map(|(value, code)| CodedValue { value: value.to_owned(), code }).collect(),
        codes: variable.filter(|_| !is_year).and_then(Variable::list).map(str::to_owned),
        years: is_year.then(|| years.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::testing::variable;

    #[test]
    fn each_axis_has_its_words_and_its_total() {
        let found = |section, name: &str| {
            let listed = variable(name, "integer", 2, Some((name, &[(99, "Total")])));
            let axis = axis(section, name, Some(&listed), "").unwrap();
            (axis.values.len(), axis.total.unwrap(), axis.codes.unwrap())
        };
        assert_eq!(found(Section::Schools, "grade"), (18, "grade-99".into(), "grade".into()));
        assert_eq!(found(Section::Districts, "grade"), (19, "grade-99".into(), "grade".into()));
        assert_eq!(found(Section::Schools, "grade_edfacts"), (8, "grade-99".into(), "grade_edfacts".into()));
        assert_eq!(found(Section::Colleges, "level_of_study"), (5, "99".into(), "level_of_study".into()));
        assert_eq!(axis(Section::Schools, "planet", None, ""), None);
    }

    #[test]
    fn the_years_are_those_that_the_portal_lists() {
        let year = axis(Section::Schools, "year", None, "1980, 1984-2022").unwrap();
        assert_eq!((year.kind, year.years.as_deref()), (AxisKind::Int, Some("1980, 1984-2022")));
        assert_eq!((year.values.len(), year.total, year.codes), (0, None, None));
    }
}
