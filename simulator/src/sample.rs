//! The invented schools: a list that depends on nothing but its length, and how many students each school has.
//!
//! Nothing here is random: every figure is a hash of the school, the year and the grade, so two simulators agree.

use crate::grade::Grade;
use crate::states::{CALIFORNIA, STATES, State, prek_total};

/// First and last year with data. Source: R package README, 2026-07, "1986–2024".
pub(crate) const YEARS: std::ops::RangeInclusive<u16> = 1986..=2024;
/// The year whose pre-K totals are published figures.
const PUBLISHED_YEAR: u16 = 2021;
const SEED: u64 = 0x526f_6c6c_4361_6c6c;
/// Enough for every district number to stay below 100,000.
const MOST_SCHOOLS: usize = 400_000;

/// What a school teaches, which decides its grades and its size.
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
    /// `ncessch_num`: two digits of state, five of district, five of school.
    pub(crate) id: u64,
    /// Root of every figure of this school.
    pub(crate) seed: u64,
    pub(crate) level: Level,
    /// One bit for each grade offered, pre-K lowest.
    grades: u32,
    first_year: u16,
    last_year: u16,
    /// Students in a usual grade.
    size: u16,
    /// Whether it is the first of its state, which always reports.
    is_first: bool,
    prek_2021: u32,
}

impl School {
    /// State code.
    pub(crate) fn fips(&self) -> u64 {
        self.id / 10_000_000_000
    }

    /// `leaid` as a number.
    pub(crate) fn district(&self) -> u64 {
        self.id / 100_000
    }

    pub(crate) fn is_open(&self, year: u16) -> bool {
        (self.first_year..=self.last_year).contains(&year)
    }

    pub(crate) fn offers(&self, grade: Grade) -> bool {
        grade == Grade::TOTAL || self.grades & grade.bit() != 0
    }

    /// Lowest and highest grade offered.
    pub(crate) fn grade_span(&self) -> (i32, i32) {
        (self.grades.trailing_zeros() as i32 - 1, 30 - self.grades.leading_zeros() as i32)
    }

    /// Returns the students of one grade, or of all grades for [`Grade::TOTAL`], before anything is left unreported.
    pub(crate) fn students(&self, year: u16, grade: Grade) -> u32 {
        if grade == Grade::TOTAL {
            return (-1..=15).map(Grade).filter(|grade| self.offers(*grade)).map(|g| self.students(year, g)).sum();
        }
        if grade == Grade::PREK && year == PUBLISHED_YEAR {
            return self.prek_2021;
        }
        let hash = mix(self.seed, u64::from(year) * 32 + u64::from(grade.bit().trailing_zeros()));
        let usual = if grade.0 > 12 { self.size / 8 } else { self.size };
        let is_empty = (hash >> 32).is_multiple_of(64);
        if is_empty { 0 } else { (u64::from(usual) * (90 + hash % 21) / 100) as u32 }
    }

    /// Returns what the school reports of `students` in one cell.
    ///
    /// 2021 pre-K holds nulls but no codes: a negative code would spoil the published sums.
    pub(crate) fn report(&self, cell: Cell, students: u32) -> Reported {
        let is_published = cell.year == PUBLISHED_YEAR && cell.grade == Grade::PREK;
        let place = u64::from(cell.year) << 24
            | u64::from(cell.grade.0.unsigned_abs()) << 40
            | u64::from(cell.grade.0 < 0) << 48;
        let axes = u64::from(cell.race) << 8 | u64::from(cell.sex);
        match mix(self.seed ^ SEED, place ^ axes) % 1000 {
            0..25 if is_published && !(self.is_first && cell.race == 99 && cell.sex == 99) => Reported::Null,
            _ if is_published => Reported::Students(students),
            0..20 => Reported::Null,
            20..35 => Reported::Code(-1),
            35..42 => Reported::Code(-2),
            42..50 => Reported::Code(-3),
            _ => Reported::Students(students),
        }
    }
}

/// The place of one figure within a school.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) year: u16,
    pub(crate) grade: Grade,
    pub(crate) race: u8,
    pub(crate) sex: u8,
}

/// The value of `enrollment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reported {
    Students(u32),
    /// -1 missing, -2 not applicable, -3 suppressed.
    Code(i8),
    Null,
}

/// The schools of a simulator, ascending by id.
#[derive(Debug)]
pub(crate) struct Sample {
    schools: Vec<School>,
    /// The states that numbered schools are spread over.
    numbered_fips: Vec<u8>,
}

impl Sample {
    /// Returns about `n_schools` schools, at least one in each state.
    pub(crate) fn new(n_schools: usize) -> Sample {
        let n_schools = n_schools.min(MOST_SCHOOLS) as u64;
        let n_real: u64 = STATES.iter().map(|state| u64::from(state.n_schools)).sum();
        let mut schools = Vec::new();
        for state in &STATES {
            let n = (u64::from(state.n_schools) * n_schools / n_real).max(1);
            let mut of_state = schools_of(state, n);
            spread_prek(&mut of_state, prek_total(state));
            schools.append(&mut of_state);
        }
        let numbered_fips = STATES.iter().map(|state| state.fips).filter(|fips| *fips != CALIFORNIA).collect();
        Sample { schools, numbered_fips }
    }

    /// Every school of the list, in order of id.
    pub(crate) fn schools(&self) -> &[School] {
        &self.schools
    }

    /// Returns school `index` of `n` numbered ones, which stand outside the list, are always open and offer all grades.
    pub(crate) fn numbered_school(&self, index: u64, n: u64) -> School {
        let n_states = self.numbered_fips.len() as u64;
        let per_state = n.div_ceil(n_states).max(1);
        let fips = self.numbered_fips.get((index / per_state) as usize).copied().unwrap_or_default();
        let place = index % per_state;
        let district = 20_000 + place / 100;
        let seed = mix(SEED, index);
        let size = 5 + (seed >> 40) % 120;
        School {
            id: (u64::from(fips) * 100_000 + district) * 100_000 + 1 + place % 100,
            seed,
            level: Level::Combined,
            grades: (1 << 17) - 1,
            first_year: *YEARS.start(),
            last_year: *YEARS.end(),
            size: size as u16,
            is_first: index == 0,
            prek_2021: size as u32,
        }
    }
}

/// Lays out the districts and schools of one state.
fn schools_of(state: &State, n: u64) -> Vec<School> {
    let state_seed = mix(SEED, u64::from(state.fips));
    let widest_gap = (80_000 / n).clamp(1, 40);
    let (mut district, mut number, mut left_in_district) = (1, 0, 0);
    let mut schools = Vec::new();
    for index in 0..n {
        let seed = mix(state_seed, index + 1);
        if left_in_district == 0 {
            district += 1 + (seed >> 8) % widest_gap;
            number = (seed >> 16) % 500;
            left_in_district = 1 + (seed >> 24) % 12 * ((seed >> 28) % 3);
        }
        left_in_district -= 1;
        number += 1 + (seed >> 32) % 97;
        let id = (u64::from(state.fips) * 100_000 + district) * 100_000 + number;
        schools.push(school(id, seed, index == 0));
    }
    schools
}

fn school(id: u64, seed: u64, is_first: bool) -> School {
    let traits = mix(seed, 1);
    let level = match traits % 100 {
        _ if is_first => Level::Elementary,
        0..55 => Level::Elementary,
        55..72 => Level::Middle,
        72..92 => Level::High,
        _ => Level::Combined,
    };
    let span = |low: i8, high: i8| (low..=high).fold(0, |bits, code| bits | Grade(code).bit());
    let one_in = |shift: u32, n: u64| (traits >> shift).is_multiple_of(n);
    let (mut grades, size) = match level {
        Level::Elementary => (span(0, 5), 8 + (traits >> 8) % 110),
        Level::Middle => (span(6, 8), 40 + (traits >> 8) % 290),
        Level::High => (span(9, 12), 30 + (traits >> 8) % 470),
        Level::Combined => (span(0, 12), 4 + (traits >> 8) % 70),
    };
    let is_young = matches!(level, Level::Elementary | Level::Combined);
    if is_young && (is_first || !one_in(20, 7)) {
        grades |= Grade::PREK.bit();
    }
    if level == Level::High && one_in(24, 20) {
        grades |= Grade(13).bit();
    }
    if level == Level::High && one_in(28, 16) {
        grades |= Grade(14).bit();
    }
    if one_in(32, 8) {
        grades |= Grade(15).bit();
    }
    if id / 10_000_000_000 == u64::from(CALIFORNIA) {
        grades &= !Grade::PREK.bit();
    }
    let opens_late = !is_first && one_in(36, 6);
    let closes_early = !is_first && !opens_late && one_in(40, 9);
    School {
        id,
        seed,
        level,
        grades,
        first_year: if opens_late { 1987 + ((traits >> 44) % 34) as u16 } else { *YEARS.start() },
        last_year: if closes_early { 1995 + ((traits >> 50) % 29) as u16 } else { *YEARS.end() },
        size: size as u16,
        is_first,
        prek_2021: 0,
    }
}

/// Divides the state's pre-K `total` of 2021 over the schools that report it, to the last student.
fn spread_prek(schools: &mut [School], total: u32) {
    let cell = Cell { year: PUBLISHED_YEAR, grade: Grade::PREK, race: 99, sex: 99 };
    let reports = |school: &School| {
        school.is_open(PUBLISHED_YEAR) && school.offers(Grade::PREK) && school.report(cell, 0) != Reported::Null
    };
    let weight = |school: &School| 20 + mix(school.seed, 2) % 100;
    let mut weight_left: u64 = schools.iter().filter(|school| reports(school)).map(weight).sum();
    let mut students_left = u64::from(total);
    for school in schools.iter_mut().filter(|school| reports(school)) {
        let students = students_left * weight(school) / weight_left.max(1);
        school.prek_2021 = students as u32;
        students_left -= students;
        weight_left -= weight(school);
    }
}

/// Returns a well-mixed number of two. Source: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(seed: u64, value: u64) -> u64 {
    let mut hash = seed ^ value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_are_of_twelve_digits_in_every_size() {
        for n_schools in [1, 57, 1_000, 24_000, 400_000] {
            let sample = Sample::new(n_schools);
            assert!(sample.schools().windows(2).all(|pair| pair[0].id < pair[1].id), "{n_schools}");
            assert!(sample.schools().iter().all(|school| STATES.iter().any(|s| u64::from(s.fips) == school.fips())));
            let n = sample.schools().len();
            assert!(n >= 57 && n.abs_diff(n_schools) <= 57, "{n_schools}: {n}");
        }
    }

    #[test]
    fn the_total_is_larger_than_any_grade() {
        for school in Sample::new(2_000).schools() {
            let total = school.students(2015, Grade::TOTAL);
            let largest = (-1..=15).map(Grade).filter(|g| school.offers(*g)).map(|g| school.students(2015, g)).max();
            assert!(largest.unwrap() <= total);
        }
    }

    #[test]
    fn numbered_ids_ascend_across_the_states() {
        let sample = Sample::new(100);
        let ids: Vec<u64> = (0..100_000).map(|index| sample.numbered_school(index, 100_000).id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id / 10_000_000_000 != 6));
    }
}
