//! The figures of a dataset, added up by year, by the value of its last axis, and by state.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::dataset::{Axis, Dataset};
use rollcall_core::figures::{FigureColumns, Figures, Tally};
use rollcall_core::ledger::{Outcome, Records};
use rollcall_core::lookup::current_state;
use rollcall_core::partition::{AxisValue, PartitionKey};

use crate::status::grid::position;

/// The figures of a dataset. Partitions that are totals over others are in `totals` alone.
pub(super) struct Series {
    pub(super) years: Vec<i32>,
    /// Values of the last axis in the descriptor's order; a single empty one if the year is the only axis.
    pub(super) values: Vec<String>,
    pub(super) by_value: BTreeMap<(String, i32), Tally>,
    pub(super) by_state: BTreeMap<(Option<i64>, i32), Tally>,
    pub(super) totals: BTreeMap<i32, Tally>,
    /// Values of the last axis that other years have, and that this year lacks although the portal may have rows of them.
    pub(super) missing: BTreeMap<i32, BTreeSet<String>>,
    /// Values of which the portal has no rows.
    pub(super) empty: BTreeSet<(String, i32)>,
    /// Whether the numbers are students rather than rows.
    pub(super) is_enrollment: bool,
}

impl Series {
    pub(super) fn new(
        dataset: &Dataset,
        columns: &FigureColumns,
        records: &Records,
        figures: &BTreeMap<PartitionKey, Figures>,
    ) -> Self {
        let last = dataset.axes.last().filter(|axis| !axis.is_year());
        let value_of = |partition: &PartitionKey| {
            let value = last.and_then(|axis| partition.value(&axis.name));
            value.map(ToString::to_string).unwrap_or_default()
        };
        let mut series = Self {
            years: Vec::new(),
            values: Vec::new(),
            by_value: BTreeMap::new(),
            by_state: BTreeMap::new(),
            totals: BTreeMap::new(),
            missing: BTreeMap::new(),
            empty: BTreeSet::new(),
            is_enrollment: columns.is_enrollment,
        };
        // The partitions of a year, without the year, and the value of the last axis of each.
        let mut of_years: BTreeMap<i32, BTreeSet<String>> = BTreeMap::new();
        let mut kinds: BTreeMap<String, String> = BTreeMap::new();
        for (partition, figures) in figures {
            let Some(year) = year(partition) else { continue };
            if is_total(dataset, partition) {
                figures.by_state.values().for_each(|tally| *series.totals.entry(year).or_default() += *tally);
                continue;
            }
            let value = value_of(partition);
            for (state, tally) in &figures.by_state {
                *series.by_value.entry((value.clone(), year)).or_default() += *tally;
                *series.by_state.entry((state.map(current_state), year)).or_default() += *tally;
            }
            of_years.entry(year).or_default().insert(without_year(partition));
            kinds.insert(without_year(partition), value);
        }
        for (partition, record) in records {
            let is_empty = record.last_attempt.as_ref().is_some_and(|attempt| attempt.outcome == Outcome::Empty);
            if let (Some(year), true) = (year(partition), is_empty && record.committed.is_none()) {
                of_years.entry(year).or_default().insert(without_year(partition));
                series.empty.insert((value_of(partition), year));
            }
        }
        of_years.retain(|year, _| series.by_value.keys().any(|(_, of)| of == year));
        for (year, present) in &of_years {
            let lacking = kinds.iter().filter(|(kind, _)| !present.contains(*kind)).map(|(_, value)| value.clone());
            let lacking: BTreeSet<String> = lacking.collect();
            if !lacking.is_empty() {
                series.missing.insert(*year, lacking);
            }
        }
        series.years = of_years.into_keys().collect();
        let values: BTreeSet<&String> = kinds.values().collect();
        series.values = values.into_iter().cloned().collect();
        series.values.sort_by_key(|value| last.map(|axis| position(axis, &AxisValue::Text(value.clone()))));
        series
    }

    /// Returns what the charts show of a tally: students, or rows. `None` if there are none.
    pub(super) fn number(&self, tally: &Tally) -> Option<i64> {
        if self.is_enrollment {
            (tally.n_summed > 0).then_some(tally.sum)
        } else {
            i64::try_from(tally.n_rows).ok().filter(|n_rows| *n_rows > 0)
        }
    }

    /// Returns what the numbers count.
    pub(super) fn unit(&self) -> &'static str {
        if self.is_enrollment { "students" } else { "rows" }
    }

    /// Returns the numbers of some values of the last axis together, by year. A year that lacks one of them has none.
    pub(super) fn of_values<'v>(&self, values: impl Iterator<Item = &'v String> + Clone) -> Vec<Option<i64>> {
        let of_year = |year: &i32| {
            if self.missing.get(year).is_some_and(|missing| values.clone().any(|value| missing.contains(value))) {
                return None;
            }
            let tallies = values.clone().filter_map(|value| self.by_value.get(&(value.clone(), *year)));
            tallies.filter_map(|tally| self.number(tally)).reduce(|sum, number| sum + number)
        };
        self.years.iter().map(of_year).collect()
    }

    /// Returns the years that lack nothing. Only they can be compared as a whole.
    pub(super) fn whole_years(&self) -> Vec<i32> {
        self.years.iter().copied().filter(|year| !self.missing.contains_key(year)).collect()
    }

    /// Returns the numbers of a state in these years.
    pub(super) fn of_state(&self, state: Option<i64>, years: &[i32]) -> Vec<Option<i64>> {
        let of_year = |year: &i32| self.by_state.get(&(state, *year)).and_then(|tally| self.number(tally));
        years.iter().map(of_year).collect()
    }

    /// Returns the numbers of each state in these years. Rows without a state are left out.
    pub(super) fn of_states(&self, years: &[i32]) -> BTreeMap<i64, Vec<Option<i64>>> {
        self.states().into_iter().flatten().map(|state| (state, self.of_state(Some(state), years))).collect()
    }

    /// Returns the states that have rows.
    pub(super) fn states(&self) -> BTreeSet<Option<i64>> {
        self.by_state.keys().map(|(state, _)| *state).collect()
    }
}

/// Returns the year of a partition.
pub(super) fn year(partition: &PartitionKey) -> Option<i32> {
    match partition.value("year") {
        Some(AxisValue::Int(year)) => Some(*year),
        _ => None,
    }
}

fn without_year(partition: &PartitionKey) -> String {
    let others = partition.axes().iter().filter(|(axis, _)| axis != "year");
    others.map(|(_, value)| value.to_string()).collect::<Vec<_>>().join("/")
}

/// Checks whether the rows of a partition are totals over other partitions.
fn is_total(dataset: &Dataset, partition: &PartitionKey) -> bool {
    let value = |axis: &Axis| partition.value(&axis.name).map(ToString::to_string);
    dataset.axes.iter().any(|axis| axis.total.is_some() && value(axis) == axis.total)
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;
    use rollcall_core::ledger::{LastAttempt, PartitionRecord};

    use super::*;

    /// Returns a record of a partition that the portal has no rows of.
    fn empty(partition: &PartitionKey) -> PartitionRecord {
        let at = Timestamp::UNIX_EPOCH;
        let attempt = LastAttempt { run: "r".into(), outcome: Outcome::Empty, error: None, portal_release: None, at };
        PartitionRecord { partition: partition.clone(), committed: None, last_attempt: Some(attempt) }
    }

    /// Returns the series of the enrollment dataset with these students: partition, state, number; and empty partitions.
    pub(in crate::report) fn series(students: &[(&str, i64, i64)], empty_paths: &[&str]) -> Series {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let mut figures: BTreeMap<PartitionKey, Figures> = BTreeMap::new();
        for (path, state, number) in students {
            let partition = dataset.parse_partition(path).unwrap();
            let tally = Tally { n_rows: 1, n_values: 1, n_summed: 1, sum: *number, ..Tally::default() };
            *figures.entry(partition).or_default().by_state.entry(Some(*state)).or_default() += tally;
        }
        let without_rows = empty_paths.iter().map(|path| dataset.parse_partition(path).unwrap());
        let records = without_rows.map(|partition| (partition.clone(), empty(&partition))).collect();
        Series::new(&dataset, &FigureColumns::of(&dataset), &records, &figures)
    }

    #[test]
    fn a_year_that_lacks_a_grade_has_no_number_for_its_band_but_one_without_rows_has() {
        let students = [
            ("year=2018/grade=grade-pk", 6, 10),
            ("year=2018/grade=grade-k", 6, 20),
            ("year=2019/grade=grade-pk", 6, 11),
            ("year=2020/grade=grade-k", 6, 22),
            ("year=2021/grade=grade-99", 6, 99),
        ];
        let series = series(&students, &["year=2019/grade=grade-k"]);
        let both = ["grade-pk".to_owned(), "grade-k".to_owned()];
        // A year with only a total has nothing to show.
        assert_eq!(series.years, [2018, 2019, 2020]);
        assert_eq!(series.values, both);
        assert_eq!(series.of_values(both.iter()), [Some(30), Some(11), None]);
        assert_eq!(series.of_values(both[1..].iter()), [Some(20), None, Some(22)]);
        assert_eq!(series.whole_years(), [2018, 2019]);
        assert_eq!(series.totals[&2021].sum, 99);
    }

    #[test]
    fn an_older_code_of_a_state_is_the_same_state() {
        let students = [("year=2018/grade=grade-pk", 43, 10), ("year=2018/grade=grade-k", 72, 20)];
        let series = series(&students, &[]);
        assert_eq!(series.of_state(Some(72), &series.years), [Some(30)]);
        assert_eq!(series.states(), BTreeSet::from([Some(72)]));
    }
}
