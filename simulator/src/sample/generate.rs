//! Generates the schools of a state.

use crate::grade::Grade;
use crate::sample::hash::{SEED, mix};
use crate::sample::school::{Cell, Level, PUBLISHED_YEAR, Reported, School, YEARS};
use crate::states::{CALIFORNIA, State};

/// Generates `n` schools of one state, in districts.
pub(super) fn state_schools(state: &State, n: u64) -> Vec<School> {
    let state_seed = mix(SEED, u64::from(state.fips));
    let max_gap = (80_000 / n).clamp(1, 40);
    let (mut district, mut number, mut left_in_district) = (1, 0, 0);
    let mut schools = Vec::new();
    for index in 0..n {
        let seed = mix(state_seed, index + 1);
        if left_in_district == 0 {
            district += 1 + (seed >> 8) % max_gap;
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

/// Generates one school from its seed.
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

/// Distributes the pre-K `total` of a state in 2021 over the schools that report it, so that their counts add up to it.
pub(super) fn distribute_prek(schools: &mut [School], total: u32) {
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
