//! The rows of an enrollment partition: which there are, in which order, and their JSON.
//!
//! Sex is the outermost axis, then the school, then race, as in the portal's storage order. Any row is found by its
//! position alone, so a page costs no more than its own rows.

use std::ops::Range;

use crate::grade::Grade;
use crate::json::push_number;
use crate::query::Filters;
use crate::sample::{Cell, Reported, Sample, School};

/// The total of an axis, and the only value of an axis that is not asked for.
const TOTAL: u8 = 99;
/// Source: BD README of the CCD model, "five races through 2007, seven since 2008; detail only from 1998".
const RACES_SINCE_2008: [u8; 8] = [TOTAL, 3, 6, 1, 7, 4, 2, 5];
const RACES_SINCE_1998: [u8; 6] = [TOTAL, 3, 1, 4, 2, 5];
/// Relative sizes of races 1 to 7 before a school's own share is laid on.
const RACE_SIZES: [u64; 7] = [45, 15, 26, 5, 1, 1, 5];
/// Steps that visit every item of a list of 1, 6 or 8.
const STRIDES: [usize; 4] = [5, 7, 11, 13];

/// What an enrollment path names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes {
    pub(crate) year: u16,
    pub(crate) grade: Grade,
    pub(crate) by_race: bool,
    pub(crate) by_sex: bool,
}

/// The rows of one partition that pass the filters.
pub(crate) struct Enrollment<'a> {
    sample: &'a Sample,
    axes: Axes,
    schools: Schools,
    sexes: Vec<u8>,
    /// In storage order, before the school's own order.
    races: &'static [u8],
    allowed_races: Vec<u8>,
    n_rows: u64,
}

/// The schools of a partition, in order of id.
enum Schools {
    /// Positions in the sample's list.
    Listed(Vec<usize>),
    /// Every numbered school.
    Numbered { n: u64 },
    /// Positions among `n` numbered schools.
    SomeNumbered { positions: Vec<u64>, n: u64 },
}

impl<'a> Enrollment<'a> {
    /// Selects the rows; with `fixed_rows`, those of a partition of exactly so many rows before filters.
    pub(crate) fn select(sample: &'a Sample, axes: Axes, filters: &Filters, fixed_rows: Option<u64>) -> Self {
        let all_sexes: &[u8] = if axes.by_sex { &[1, 2, TOTAL] } else { &[TOTAL] };
        let races = races(axes.year, axes.by_race);
        let is_empty = !filters.allow_year(axes.year) || !filters.allow_grade(axes.grade);
        let sexes: Vec<u8> = all_sexes.iter().copied().filter(|sex| !is_empty && filters.allow_sex(*sex)).collect();
        let allowed_races: Vec<u8> = races.iter().copied().filter(|race| filters.allow_race(*race)).collect();
        let schools = match fixed_rows {
            None => Schools::Listed(listed_schools(sample, axes, filters)),
            Some(rows) => numbered_schools(sample, rows.div_ceil((all_sexes.len() * races.len()) as u64), filters),
        };
        let per_school = (sexes.len() * allowed_races.len()) as u64;
        let n_rows = (schools.len() * per_school).min(fixed_rows.unwrap_or(u64::MAX));
        Enrollment { sample, axes, schools, sexes, races, allowed_races, n_rows }
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Appends the rows at `positions` as JSON objects, separated by commas.
    pub(crate) fn push_rows(&self, positions: Range<u64>, into: &mut Vec<u8>) {
        let n_races = self.allowed_races.len().max(1) as u64;
        let n_schools = self.schools.len().max(1);
        let writer = RowWriter::new(self.axes);
        let mut current: Option<(u64, Figures)> = None;
        let first = positions.start;
        for position in positions {
            let (of_school, race_position) = (position / n_races, (position % n_races) as usize);
            let (sex_position, school_position) = ((of_school / n_schools) as usize, of_school % n_schools);
            let figures = match current.take() {
                Some((position, figures)) if position == school_position => figures,
                _ => match self.schools.get(self.sample, school_position) {
                    Some(school) => Figures::of(school, self.axes, self.races, &self.allowed_races),
                    None => continue,
                },
            };
            let sex = self.sexes.get(sex_position).copied().unwrap_or(TOTAL);
            let race = figures.races.get(race_position).copied().unwrap_or(TOTAL);
            if position != first {
                into.push(b',');
            }
            writer.push(&figures, race, sex, into);
            current = Some((school_position, figures));
        }
    }
}

impl Schools {
    fn len(&self) -> u64 {
        match self {
            Schools::Listed(positions) => positions.len() as u64,
            Schools::Numbered { n } => *n,
            Schools::SomeNumbered { positions, .. } => positions.len() as u64,
        }
    }

    fn get(&self, sample: &Sample, position: u64) -> Option<School> {
        match self {
            Schools::Listed(positions) => {
                positions.get(position as usize).and_then(|index| sample.schools().get(*index)).copied()
            }
            Schools::Numbered { n } => Some(sample.numbered_school(position, *n)),
            Schools::SomeNumbered { positions, n } => {
                positions.get(position as usize).map(|index| sample.numbered_school(*index, *n))
            }
        }
    }
}

fn races(year: u16, by_race: bool) -> &'static [u8] {
    match year {
        _ if !by_race => &[TOTAL],
        2008.. => &RACES_SINCE_2008,
        1998.. => &RACES_SINCE_1998,
        _ => &[TOTAL],
    }
}

fn listed_schools(sample: &Sample, axes: Axes, filters: &Filters) -> Vec<usize> {
    let schools = sample.schools().iter().enumerate();
    let of_partition = schools.filter(|(_, school)| school.is_open(axes.year) && school.offers(axes.grade));
    of_partition.filter(|(_, school)| filters.allow_school(school)).map(|(index, _)| index).collect()
}

fn numbered_schools(sample: &Sample, n: u64, filters: &Filters) -> Schools {
    if !filters.restrict_schools() {
        return Schools::Numbered { n };
    }
    let positions = (0..n).filter(|index| filters.allow_school(&sample.numbered_school(*index, n))).collect();
    Schools::SomeNumbered { positions, n }
}

/// The figures of one school in one partition, from which each of its cells follows.
struct Figures {
    school: School,
    /// `ncessch`.
    id_text: [u8; 12],
    males: u64,
    females: u64,
    /// Races in the school's own order; only the first ones are in use when a filter took some out.
    races: [u8; 8],
    /// Share of the races up to and including each of 1 to 7, of the last.
    race_bounds: [u64; 7],
}

impl Figures {
    fn of(school: School, axes: Axes, all_races: &[u8], allowed_races: &[u8]) -> Figures {
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
        Figures { school, id_text, males, females: students - males, races, race_bounds }
    }

    /// Students of one cell: the races add up to the total, and so do the sexes.
    fn students(&self, race: u8, sex: u8) -> u64 {
        let of_race = |students: u64| {
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
            1 => of_race(self.males),
            2 => of_race(self.females),
            _ => of_race(self.males) + of_race(self.females),
        }
    }
}

/// The parts of a row that are the same in all of a partition.
struct RowWriter {
    axes: Axes,
    head: Vec<u8>,
    grade: Vec<u8>,
}

impl RowWriter {
    fn new(axes: Axes) -> RowWriter {
        let head = format!("{{\"year\":{},\"ncessch\":\"", axes.year).into_bytes();
        let grade = format!(",\"grade\":{},\"race\":", axes.grade.0).into_bytes();
        RowWriter { axes, head, grade }
    }

    fn push(&self, figures: &Figures, race: u8, sex: u8, into: &mut Vec<u8>) {
        let id = figures.id_text.as_slice();
        let lost_zero = usize::from(id.first() == Some(&b'0'));
        into.extend_from_slice(&self.head);
        into.extend_from_slice(id);
        into.extend_from_slice(b"\",\"ncessch_num\":");
        into.extend_from_slice(id.get(lost_zero..).unwrap_or_default());
        into.extend_from_slice(&self.grade);
        push_number(race.into(), into);
        into.extend_from_slice(b",\"sex\":");
        push_number(sex.into(), into);
        into.extend_from_slice(b",\"enrollment\":");
        let cell = Cell { year: self.axes.year, grade: self.axes.grade, race, sex };
        match figures.school.report(cell, figures.students(race, sex) as u32) {
            Reported::Students(students) => push_number(students.into(), into),
            Reported::Code(code) => {
                into.push(b'-');
                push_number(code.unsigned_abs().into(), into);
            }
            Reported::Null => into.extend_from_slice(b"null"),
        }
        into.extend_from_slice(b",\"fips\":");
        into.extend_from_slice(id.get(lost_zero..2).unwrap_or_default());
        // The enrollment endpoints lose the leading zero of `leaid`.
        into.extend_from_slice(b",\"leaid\":\"");
        into.extend_from_slice(id.get(lost_zero..7).unwrap_or_default());
        into.extend_from_slice(b"\"}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    fn rows(axes: Axes, query: &str, fixed_rows: Option<u64>) -> Vec<serde_json::Value> {
        let sample = Sample::new(100);
        let filters = Filters::from_query(&Query::parse(query));
        let enrollment = Enrollment::select(&sample, axes, &filters, fixed_rows);
        let mut text = b"[".to_vec();
        enrollment.push_rows(0..enrollment.n_rows(), &mut text);
        text.push(b']');
        serde_json::from_slice(&text).unwrap()
    }

    const BY_BOTH: Axes = Axes { year: 2014, grade: Grade(8), by_race: true, by_sex: true };

    #[test]
    fn a_row_has_the_shape_of_the_portal() {
        let sample = Sample::new(57);
        let axes = Axes { year: 2021, grade: Grade::PREK, by_race: false, by_sex: false };
        let enrollment = Enrollment::select(&sample, axes, &Filters::default(), None);
        let mut text = Vec::new();
        enrollment.push_rows(0..1, &mut text);
        let id = sample.schools()[0].id;
        let expected = format!(
            "{{\"year\":2021,\"ncessch\":\"0{id}\",\"ncessch_num\":{id},\"grade\":-1,\"race\":99,\"sex\":99,\
             \"enrollment\":21946,\"fips\":1,\"leaid\":\"{}\"}}",
            id / 100_000
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn the_order_is_sex_then_school_then_races_in_no_order() {
        let rows = rows(BY_BOTH, "", Some(240));
        let sexes: Vec<_> = rows.iter().map(|row| row["sex"].as_u64().unwrap()).collect();
        assert!(sexes.is_sorted());
        let ids: Vec<_> = rows[..80].iter().map(|row| row["ncessch_num"].as_u64().unwrap()).collect();
        assert!(ids.is_sorted());
        let mut races: Vec<_> = rows[..8].iter().map(|row| row["race"].as_u64().unwrap()).collect();
        assert!(!races.is_sorted());
        races.sort_unstable();
        assert_eq!(races, [1, 2, 3, 4, 5, 6, 7, 99]);
    }

    #[test]
    fn the_cells_of_a_school_add_up_to_its_total() {
        let sample = Sample::new(500);
        for school in sample.schools() {
            let figures = Figures::of(*school, BY_BOTH, &RACES_SINCE_2008, &RACES_SINCE_2008);
            let total = u64::from(school.students(2014, Grade(8)));
            assert_eq!(figures.students(TOTAL, TOTAL), total);
            for sex in [1, 2, TOTAL] {
                let sum: u64 = (1..=7).map(|race| figures.students(race, sex)).sum();
                assert_eq!(sum, figures.students(TOTAL, sex));
            }
        }
    }

    #[test]
    fn a_fixed_partition_has_exactly_the_rows_asked_for() {
        for (by_race, by_sex) in [(false, false), (true, false), (false, true), (true, true)] {
            for n_rows in [0, 1, 23, 24, 25, 1_000] {
                let axes = Axes { by_race, by_sex, ..BY_BOTH };
                assert_eq!(rows(axes, "", Some(n_rows)).len() as u64, n_rows);
            }
        }
    }

    #[test]
    fn a_filter_keeps_the_matching_rows_only() {
        let kept = rows(BY_BOTH, "race=1,99&sex=2&fips=48,6", None);
        assert!(!kept.is_empty());
        let both = rows(BY_BOTH, "", None);
        let matches = |row: &&serde_json::Value| {
            [1, 99].contains(&row["race"].as_i64().unwrap())
                && row["sex"] == 2
                && [48, 6].contains(&row["fips"].as_i64().unwrap())
        };
        let expected: Vec<_> = both.iter().filter(matches).cloned().collect();
        assert_eq!(kept, expected);
        assert!(rows(BY_BOTH, "year=2013", None).is_empty());
    }

    #[test]
    fn races_follow_the_year() {
        for (year, n) in [(1997, 1), (1998, 6), (2007, 6), (2008, 8)] {
            assert_eq!(races(year, true).len(), n);
        }
    }
}
