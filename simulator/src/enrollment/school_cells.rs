//! The student counts of one school, by race and sex.

use crate::enrollment::axes::{Axes, TOTAL};
use crate::sample::school::School;

/// Relative sizes of races 1 to 7, before they are weighted for each school.
const RACE_SIZES: [u64; 7] = [45, 15, 26, 5, 1, 1, 5];
/// Strides that visit every item of a list of 1, 6 or 8 items.
const STRIDES: [usize; 4] = [5, 7, 11, 13];

/// The numbers from which all cells of one school in one partition are computed.
pub(super) struct SchoolCells {
    pub(super) school: School,
    /// `ncessch`.
    pub(super) id_text: [u8; 12],
    males: u64,
    females: u64,
    /// The selected races in the school's order, followed by unused slots.
    pub(super) races: [u8; 8],
    /// Cumulative shares of races 1 to 7, relative to the last entry.
    race_bounds: [u64; 7],
}

impl SchoolCells {
    /// - `all_races`: races of the year.
    /// - `allowed_races`: races that match the filters.
    pub(super) fn new(school: School, axes: Axes, all_races: &[u8], allowed_races: &[u8]) -> SchoolCells {
        let students = u64::from(school.students(axes.year, axes.grade));
        let males = students * (46 + school.seed % 9) / 100;
        let start = (school.seed >> 8) as usize;
        let stride = STRIDES.get((school.seed >> 16) as usize % STRIDES.len()).copied().unwrap_or(1);
        let steps =
            (0..all_races.len()).filter_map(|step| all_races.get((start % 64 + step * stride) % all_races.len()));
        let mut races = [TOTAL; 8];
        for (place, race) in races.iter_mut().zip(steps.filter(|race| allowed_races.contains(race))) {
            *place = *race;
        }
        let mut race_bounds = [0; 7];
        let mut bound = 0;
        for (race, (place, size)) in (1..).zip(race_bounds.iter_mut().zip(RACE_SIZES)) {
            let is_known = all_races.len() == 8 || race <= 5;
            bound += if is_known { size * (1 + (school.seed >> (20 + 3 * race)) % 8) } else { 0 };
            *place = bound;
        }
        let mut id_text = [b'0'; 12];
        let mut rest = school.id;
        for place in id_text.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        SchoolCells { school, id_text, males, females: students - males, races, race_bounds }
    }

    /// Returns the number of students in one cell. Races add up to the total, and so do sexes.
    pub(super) fn students(&self, race: u8, sex: u8) -> u64 {
        let race_share = |students: u64| {
            if race == TOTAL {
                return students;
            }
            let bound = |race: u8| {
                let index = usize::from(race).checked_sub(1);
                index.and_then(|index| self.race_bounds.get(index)).copied().unwrap_or(0)
            };
            let all = self.race_bounds.last().copied().unwrap_or(0).max(1);
            students * bound(race) / all - students * bound(race - 1) / all
        };
        match sex {
            1 => race_share(self.males),
            2 => race_share(self.females),
            _ => race_share(self.males) + race_share(self.females),
        }
    }
}
