//! The axes of an enrollment path, and the races that each year distinguishes.

use crate::grade::Grade;

/// The total of an axis, and its only value if the path does not name the axis.
pub(crate) const TOTAL: u8 = 99;
/// Source: BD README of the CCD model, "five races through 2007, seven since 2008; detail only from 1998".
pub(super) const RACES_SINCE_2008: [u8; 8] = [TOTAL, 3, 6, 1, 7, 4, 2, 5];
const RACES_SINCE_1998: [u8; 6] = [TOTAL, 3, 1, 4, 2, 5];

/// Year, grade and axes of an enrollment path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes {
    pub(crate) year: u16,
    pub(crate) grade: Grade,
    pub(crate) by_race: bool,
    pub(crate) by_sex: bool,
}

/// Returns the races of a year, in the portal's order.
pub(super) fn races(year: u16, by_race: bool) -> &'static [u8] {
    match year {
        _ if !by_race => &[TOTAL],
        2008.. => &RACES_SINCE_2008,
        1998.. => &RACES_SINCE_1998,
        _ => &[TOTAL],
    }
}
