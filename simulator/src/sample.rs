//! The invented schools of the sample.
//!
//! Nothing is random: every number is a hash of the school, the year and the grade. Two simulators with the same number of
//! schools therefore serve the same rows.

mod generate;
pub(crate) mod hash;
pub(crate) mod school;

use crate::sample::generate::{distribute_prek, state_schools};
use crate::sample::hash::{SEED, mix};
use crate::sample::school::{Level, School, YEARS};
use crate::states::{CALIFORNIA, STATES, prek_total};

/// Maximum number of schools. Up to this number, every district number is below 100,000.
const MAX_SCHOOLS: usize = 400_000;
/// Number of the first district of the numbered schools in each state.
const FIRST_NUMBERED_DISTRICT: u64 = 20_000;

/// The schools of the sample, in ascending order of id.
#[derive(Debug)]
pub(crate) struct Sample {
    schools: Vec<School>,
    /// Ids of the schools that are open in all years.
    steady_schools: Vec<u64>,
    /// Ids of their districts.
    steady_districts: Vec<u64>,
    /// States of the numbered schools.
    numbered_fips: Vec<u8>,
}

impl Sample {
    /// Generates about `n_schools` schools, at least one in each state.
    pub(crate) fn new(n_schools: usize) -> Sample {
        let n_schools = n_schools.min(MAX_SCHOOLS) as u64;
        let n_real: u64 = STATES.iter().map(|state| u64::from(state.n_schools)).sum();
        let mut schools = Vec::new();
        for state in &STATES {
            let n = (u64::from(state.n_schools) * n_schools / n_real).max(1);
            let mut in_state = state_schools(state, n);
            distribute_prek(&mut in_state, prek_total(state));
            schools.append(&mut in_state);
        }
        let numbered_fips = STATES.iter().map(|state| state.fips).filter(|fips| *fips != CALIFORNIA).collect();
        let is_steady = |school: &&School| school.is_open(*YEARS.start()) && school.is_open(*YEARS.end());
        let steady_schools: Vec<u64> = schools.iter().filter(is_steady).map(|school| school.id).collect();
        let mut steady_districts: Vec<u64> = steady_schools.iter().map(|id| id / 100_000).collect();
        steady_districts.dedup();
        Sample { schools, steady_schools, steady_districts, numbered_fips }
    }

    /// Returns all schools, ordered by id.
    pub(crate) fn schools(&self) -> &[School] {
        &self.schools
    }

    /// Returns the id of school `index` of `n` that are open in all years: spread over the sample if it has as many, else
    /// numbered ones.
    pub(crate) fn steady_school(&self, index: u64, n: u64) -> u64 {
        spread(&self.steady_schools, index, n).unwrap_or_else(|| self.numbered_school(index, n).id)
    }

    /// Returns the id of district `index` of `n` with a school that is open in all years, likewise.
    pub(crate) fn steady_district(&self, index: u64, n: u64) -> u64 {
        spread(&self.steady_districts, index, n).unwrap_or_else(|| {
            let per_state = n.div_ceil(self.numbered_fips.len() as u64).max(1);
            let fips = self.numbered_fips.get((index / per_state) as usize).copied().unwrap_or_default();
            u64::from(fips) * 100_000 + FIRST_NUMBERED_DISTRICT + index % per_state
        })
    }

    /// Returns numbered school `index` of `n`.
    ///
    /// Numbered schools are not part of the sample. They are always open and offer all grades.
    pub(crate) fn numbered_school(&self, index: u64, n: u64) -> School {
        let n_states = self.numbered_fips.len() as u64;
        let per_state = n.div_ceil(n_states).max(1);
        let fips = self.numbered_fips.get((index / per_state) as usize).copied().unwrap_or_default();
        let place = index % per_state;
        let district = FIRST_NUMBERED_DISTRICT + place / 100;
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

/// Returns item `index` of `n` that are spread over all `items`; `None` if there are not as many.
fn spread(items: &[u64], index: u64, n: u64) -> Option<u64> {
    let n_items = items.len() as u64;
    let place = index.checked_mul(n_items)?.checked_div(n)?;
    items.get(place as usize).copied().filter(|_| n <= n_items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::Grade;

    #[test]
    fn ids_ascend_and_belong_to_a_state_at_every_size() {
        for n_schools in [1, 57, 1_000, 24_000, 400_000] {
            let sample = Sample::new(n_schools);
            assert!(sample.schools().windows(2).all(|pair| pair[0].id < pair[1].id), "{n_schools}");
            assert!(sample.schools().iter().all(|school| STATES.iter().any(|s| u64::from(s.fips) == school.fips())));
            let n = sample.schools().len();
            assert!(n >= 57 && n.abs_diff(n_schools) <= 57, "{n_schools}: {n}");
        }
    }

    #[test]
    fn the_total_is_the_sum_of_what_is_reported_in_the_grades() {
        let sample = Sample::new(2_000);
        let reported = |school: &School| -> Vec<u32> {
            let grades = (-1..=15).map(Grade).filter(|grade| school.offers(*grade));
            grades.filter_map(|grade| school.report_total(2015, grade).students()).collect()
        };
        for school in sample.schools() {
            assert_eq!(school.students(2015, Grade::TOTAL), reported(school).iter().sum::<u32>());
        }
        assert!(sample.schools().iter().any(|school| reported(school).iter().sum::<u32>() > 1_000));
    }

    #[test]
    fn numbered_ids_ascend_across_the_states() {
        let sample = Sample::new(100);
        let ids: Vec<u64> = (0..100_000).map(|index| sample.numbered_school(index, 100_000).id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id / 10_000_000_000 != 6));
    }
}
