//! One check, and the differences that it found.

use serde::Serialize;

/// Maximum number of differences that a check names. The others are counted.
const MAX_NAMED: usize = 100;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was compared, such as `rows against the portal's count`.
    pub name: &'static str,
    /// The difference that is tolerated, in words.
    pub tolerance: &'static str,
    /// Number of comparisons.
    pub n_compared: u64,
    /// Number of differences.
    pub n_different: u64,
    /// The first hundred differences.
    pub differences: Vec<Difference>,
    /// Why nothing, or not everything, was compared; empty otherwise.
    pub skipped: Vec<String>,
}

/// Two numbers that should be equal. A number is `None` for a code instead of a number, and for a missing row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What they are about, such as `year=2021/grade=grade-pk, fips 6`.
    pub what: String,
    /// The number expected, from the portal or from the other table.
    pub expected: Option<i64>,
    /// The number found in the lake.
    pub found: Option<i64>,
}

impl Check {
    pub(crate) fn new(name: &'static str, tolerance: &'static str) -> Self {
        Self { name, tolerance, n_compared: 0, n_different: 0, differences: Vec::new(), skipped: Vec::new() }
    }

    /// Compares two numbers.
    pub(crate) fn compare(&mut self, what: impl FnOnce() -> String, expected: i64, found: i64) {
        self.judge(what, expected == found, Some(expected), Some(found));
    }

    /// Counts a comparison.
    pub(crate) fn judge(
        &mut self,
        what: impl FnOnce() -> String,
        is_equal: bool,
        expected: Option<i64>,
        found: Option<i64>,
    ) {
        self.n_compared += 1;
        if !is_equal {
            self.n_different += 1;
            if self.differences.len() < MAX_NAMED {
                self.differences.push(Difference { what: what(), expected, found });
            }
        }
    }

    pub(crate) fn skip(&mut self, reason: String) {
        self.skipped.push(reason);
    }
}
