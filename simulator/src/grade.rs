//! Grades in the portal's codes and paths.

/// A grade in the portal's code: -1 is pre-K, 0 kindergarten, 99 the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grade(pub(crate) i8);

impl Grade {
    pub(crate) const PREK: Grade = Grade(-1);
    pub(crate) const TOTAL: Grade = Grade(99);

    /// Parses a path segment such as `grade-pk`.
    pub(crate) fn from_segment(segment: &str) -> Option<Grade> {
        match segment.strip_prefix("grade-")? {
            "pk" => Some(Grade::PREK),
            "k" => Some(Grade(0)),
            "99" => Some(Grade::TOTAL),
            number if !number.starts_with(['0', '+']) => {
                number.parse().ok().filter(|code| (1..=15).contains(code)).map(Grade)
            }
            _ => None,
        }
    }

    /// Returns the grade with a code of the portal; `None` if schools' enrollment does not have it.
    pub(crate) fn from_code(code: i64) -> Option<Grade> {
        i8::try_from(code).ok().filter(|code| matches!(code, -1..=15 | 99)).map(Grade)
    }

    /// Returns the bit for the grade in a set of grades, with pre-K as the lowest. The total has none.
    pub(crate) fn bit(self) -> u32 {
        1_u32.checked_shl(u32::from((self.0 + 1).unsigned_abs())).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grade_is_parsed_from_its_segment() {
        for (segment, code) in [("grade-pk", -1), ("grade-k", 0), ("grade-1", 1), ("grade-15", 15), ("grade-99", 99)] {
            assert_eq!(Grade::from_segment(segment), Some(Grade(code)), "{segment}");
        }
        for segment in ["grade-0", "grade-16", "grade-01", "grade--1", "pk", "grade-"] {
            assert_eq!(Grade::from_segment(segment), None, "{segment}");
        }
    }
}
