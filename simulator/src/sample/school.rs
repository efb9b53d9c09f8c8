//! One school: when it is open, which grades it offers, and how many students it reports.

use crate::grade::Grade;
use crate::sample::hash::{SEED, mix};

/// Years with data. Source: R package README, 2026-07, "1986–2024".
pub(crate) const YEARS: std::ops::RangeInclusive<u16> = 1986..=2024;
/// The year whose pre-K totals are published.
pub(super) const PUBLISHED_YEAR: u16 = 2021;
/// Code of all races and of both sexes.
const TOTAL: u8 = 99;

/// Level of a school, which determines its grades and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Elementary,
    Middle,
    High,
    Combined,
}

/// One invented school.
#[derive(Debug, Clone, Copy)]
pub(crate) struct School {
    /// `ncessch_num`: two digits for the state, five for the district, five for the school.
    pub(crate) id: u64,
    /// Seed for all numbers of this school.
    pub(crate) seed: u64,
    pub(crate) level: Level,
    /// One bit for each grade offered; pre-K is the lowest bit.
    pub(super) grades: u32,
    pub(super) first_year: u16,
    pub(super) last_year: u16,
    /// Typical number of students per grade.
    pub(super) size: u16,
    /// Whether the school is the first in its state, which always reports its total.
    pub(super) is_first: bool,
    /// Number of pre-K students in 2021.
    pub(super) prek_2021: u32,
}

impl School {
    /// Returns the code of the state.
    pub(crate) fn fips(&self) -> u64 {
        self.id / 10_000_000_000
    }

    /// Returns `leaid` as a number.
    pub(crate) fn district(&self) -> u64 {
        self.id / 100_000
    }

    pub(crate) fn is_open(&self, year: u16) -> bool {
        (self.first_year..=self.last_year).contains(&year)
    }

    pub(crate) fn offers(&self, grade: Grade) -> bool {
        grade == Grade::TOTAL || self.grades & grade.bit() != 0
    }

    /// Returns the lowest and the highest grade offered.
    pub(crate) fn grade_span(&self) -> (i32, i32) {
        (self.grades.trailing_zeros() as i32 - 1, 30 - self.grades.leading_zeros() as i32)
    }

    /// Returns the number of students in one grade, as if it were reported, or for [`Grade::TOTAL`] the sum of those
    /// that the school reports in its grades.
    pub(crate) fn students(&self, year: u16, grade: Grade) -> u32 {
        if grade == Grade::TOTAL {
            let grades = (-1..=15).map(Grade).filter(|grade| self.offers(*grade));
            return grades.filter_map(|grade| self.report_total(year, grade).students()).sum();
        }
        if grade == Grade::PREK && year == PUBLISHED_YEAR {
            return self.prek_2021;
        }
        let hash = mix(self.seed, u64::from(year) * 32 + u64::from(grade.bit().trailing_zeros()));
        let usual = if grade.0 > 12 { self.size / 8 } else { self.size };
        let is_empty = (hash >> 32).is_multiple_of(64);
        if is_empty { 0 } else { (u64::from(usual) * (90 + hash % 21) / 100) as u32 }
    }

    /// Returns what the school reports for all races and both sexes of a grade.
    pub(crate) fn report_total(&self, year: u16, grade: Grade) -> Reported {
        self.report(Cell { year, grade, race: TOTAL, sex: TOTAL }, self.students(year, grade))
    }

    /// Returns what the school reports for a cell with `students`.
    ///
    /// Pre-K in 2021 has nulls but no negative codes, which would change the published sums.
    pub(crate) fn report(&self, cell: Cell, students: u32) -> Reported {
        let is_published = cell.year == PUBLISHED_YEAR && cell.grade == Grade::PREK;
        let place = u64::from(cell.year) << 24
            | u64::from(cell.grade.0.unsigned_abs()) << 40
            | u64::from(cell.grade.0 < 0) << 48;
        let axes = u64::from(cell.race) << 8 | u64::from(cell.sex);
        match mix(self.seed ^ SEED, place ^ axes) % 1000 {
            0..25 if is_published && !(self.is_first && cell.race == TOTAL && cell.sex == TOTAL) => Reported::Null,
            _ if is_published => Reported::Students(students),
            0..20 => Reported::Null,
            20..35 => Reported::Code(-1),
            35..42 => Reported::Code(-2),
            42..50 => Reported::Code(-3),
            _ => Reported::Students(students),
        }
    }
}

/// One student count within a school.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) year: u16,
    pub(crate) grade: Grade,
    pub(crate) race: u8,
    pub(crate) sex: u8,
}

/// A reported value of `enrollment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reported {
    Students(u32),
    /// -1 is missing, -2 not applicable, -3 suppressed.
    Code(i8),
    Null,
}

impl Reported {
    /// Returns the number of students; `None` for a code and for null.
    pub(crate) fn students(self) -> Option<u32> {
        match self {
            Reported::Students(students) => Some(students),
            Reported::Code(_) | Reported::Null => None,
        }
    }
}
