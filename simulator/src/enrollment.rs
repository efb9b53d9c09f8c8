//! The rows of an enrollment partition and their order.
//!
//! Rows are ordered by sex, then school, then race, as on the portal. The contents of a row depend only on its
//! position, so the cost of a page depends only on its own rows.

pub(crate) mod axes;
mod row;
mod school_cells;
mod schools;

use std::ops::Range;

use crate::enrollment::axes::{Axes, TOTAL, races};
use crate::enrollment::row::RowWriter;
use crate::enrollment::school_cells::SchoolCells;
use crate::enrollment::schools::Schools;
use crate::query::Filters;
use crate::sample::Sample;
use crate::sample::school::{Reported, School};

/// The rows of one partition that match the filters.
pub(crate) struct Enrollment<'a> {
    sample: &'a Sample,
    axes: Axes,
    schools: Schools,
    sexes: Vec<u8>,
    /// All races of the year, in the portal's order. Each school permutes them.
    races: &'static [u8],
    allowed_races: Vec<u8>,
    n_rows: u64,
}

impl<'a> Enrollment<'a> {
    /// Selects the rows.
    ///
    /// - `fixed_rows`: number of rows in the partition before filtering, for a partition of numbered schools.
    pub(crate) fn select(sample: &'a Sample, axes: Axes, filters: &Filters, fixed_rows: Option<u64>) -> Self {
        let all_sexes: &[u8] = if axes.by_sex { &[1, 2, TOTAL] } else { &[TOTAL] };
        let races = races(axes.year, axes.by_race);
        let is_empty = !filters.allow_year(axes.year) || !filters.allow_grade(axes.grade);
        let sexes: Vec<u8> = all_sexes.iter().copied().filter(|sex| !is_empty && filters.allow_sex(*sex)).collect();
        let allowed_races: Vec<u8> = races.iter().copied().filter(|race| filters.allow_race(*race)).collect();
        let schools = match fixed_rows {
            None => Schools::from_sample(sample, axes, filters),
            Some(rows) => Schools::numbered(sample, rows.div_ceil((all_sexes.len() * races.len()) as u64), filters),
        };
        let per_school = (sexes.len() * allowed_races.len()) as u64;
        let n_rows = (schools.len() * per_school).min(fixed_rows.unwrap_or(u64::MAX));
        Enrollment { sample, axes, schools, sexes, races, allowed_races, n_rows }
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Returns the schools of a partition without races and sexes, in the order of the rows, each with what it reports.
    pub(crate) fn reports(&self) -> impl Iterator<Item = (School, Reported)> {
        let Axes { year, grade, .. } = self.axes;
        let schools = (0..self.n_rows).filter_map(|position| self.schools.get(self.sample, position));
        schools.map(move |school| (school, school.report_total(year, grade)))
    }

    /// Appends the rows at `positions` as JSON objects, separated by commas.
    pub(crate) fn push_rows(&self, positions: Range<u64>, into: &mut Vec<u8>) {
        let n_races = self.allowed_races.len().max(1) as u64;
        let n_schools = self.schools.len().max(1);
        let writer = RowWriter::new(self.axes);
        let mut current: Option<(u64, SchoolCells)> = None;
        let first = positions.start;
        for position in positions {
            let (school_and_sex, race_position) = (position / n_races, (position % n_races) as usize);
            let (sex_position, school_position) = ((school_and_sex / n_schools) as usize, school_and_sex % n_schools);
            let cells = match current.take() {
                Some((position, cells)) if position == school_position => cells,
                _ => match self.schools.get(self.sample, school_position) {
                    Some(school) => SchoolCells::new(school, self.axes, self.races, &self.allowed_races),
                    None => continue,
                },
            };
            let sex = self.sexes.get(sex_position).copied().unwrap_or(TOTAL);
            let race = cells.races.get(race_position).copied().unwrap_or(TOTAL);
            if position != first {
                into.push(b',');
            }
            writer.push(&cells, race, sex, into);
            current = Some((school_position, cells));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrollment::axes::RACES_SINCE_2008;
    use crate::grade::Grade;
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
    fn a_row_has_the_fields_of_the_portal() {
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
    fn rows_are_ordered_by_sex_then_school_and_races_are_unordered() {
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
            let cells = SchoolCells::new(*school, BY_BOTH, &RACES_SINCE_2008, &RACES_SINCE_2008);
            let total = u64::from(school.students(2014, Grade(8)));
            assert_eq!(cells.students(TOTAL, TOTAL), total);
            for sex in [1, 2, TOTAL] {
                let sum: u64 = (1..=7).map(|race| cells.students(race, sex)).sum();
                assert_eq!(sum, cells.students(TOTAL, sex));
            }
        }
    }

    #[test]
    fn a_partition_with_a_fixed_size_has_exactly_that_many_rows() {
        for (by_race, by_sex) in [(false, false), (true, false), (false, true), (true, true)] {
            for n_rows in [0, 1, 23, 24, 25, 1_000] {
                let axes = Axes { by_race, by_sex, ..BY_BOTH };
                assert_eq!(rows(axes, "", Some(n_rows)).len() as u64, n_rows);
            }
        }
    }

    #[test]
    fn a_filter_keeps_only_the_matching_rows() {
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
    fn the_number_of_races_depends_on_the_year() {
        for (year, n) in [(1997, 1), (1998, 6), (2007, 6), (2008, 8)] {
            assert_eq!(races(year, true).len(), n);
        }
    }
}
