//! How many pages partitions have: what is known, and what that suggests for the others.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dataset::{Axis, Dataset};
use crate::ledger::records::Records;
use crate::partition::{AxisValue, PartitionKey};

/// Rows of a full page of the portal, for partitions of which only the rows are known.
const PAGE_LENGTH: u64 = 10_000;

/// Pages of a mean partition of each built-in dataset, as `docs/scale.py` estimates them.
const SCALE: &str = include_str!("../../../docs/scale_pages.csv");

/// What is known of the lengths of a dataset's partitions.
#[derive(Debug, Clone, Default)]
pub struct Lengths {
    /// Name of the axis of years.
    year: Option<String>,
    /// Pages of a mean partition, if there is an estimate for the dataset.
    of_scale: Option<f64>,
    known: BTreeMap<PartitionKey, u32>,
    /// Pages and number of the known partitions that differ only in the year, by their other values.
    alike: BTreeMap<Vec<AxisValue>, (u64, u64)>,
    /// Pages and number of all known partitions.
    all: (u64, u64),
}

/// The number of pages of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Length {
    /// Number of pages; a fraction if it is a mean.
    pub n_pages: f64,
    /// What it is based on.
    pub basis: Basis,
}

/// What the number of pages of a partition is based on, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// It is known.
    Known,
    /// The mean of the partitions that differ only in the year.
    OtherYears,
    /// The mean of all known partitions of the dataset.
    Dataset,
    /// The estimate for the whole portal in `docs/scale.md`.
    Scale,
    /// Nothing: one page is assumed.
    Nothing,
}

impl Lengths {
    /// Starts without any known partition.
    #[must_use]
    pub fn new(dataset: &Dataset) -> Self {
        let year = dataset.axes.iter().find(|axis| Axis::is_year(axis)).map(|axis| axis.name.clone());
        let mut lines = SCALE.lines().filter_map(|line| line.split_once(','));
        let of_scale = lines.find(|(name, _)| *name == dataset.name).and_then(|(_, n_pages)| n_pages.parse().ok());
        Self { year, of_scale, ..Self::default() }
    }

    /// Starts with the partitions that a lake holds.
    #[must_use]
    pub fn of_records(dataset: &Dataset, records: &Records) -> Self {
        let mut lengths = Self::new(dataset);
        let committed = records.iter().filter_map(|(partition, record)| Some((partition, record.committed.as_ref()?)));
        for (partition, committed) in committed {
            let of_rows = u32::try_from(committed.n_rows.div_ceil(PAGE_LENGTH)).unwrap_or(u32::MAX);
            lengths.learn(partition, committed.n_pages.unwrap_or(of_rows));
        }
        lengths
    }

    /// Learns how many pages a partition has.
    pub fn learn(&mut self, partition: &PartitionKey, n_pages: u32) {
        let n_pages = n_pages.max(1);
        let before = self.known.insert(partition.clone(), n_pages);
        let alike = self.alike.entry(other_values(self.year.as_deref(), partition)).or_default();
        for (sum, n) in [alike, &mut self.all] {
            *sum = *sum + u64::from(n_pages) - u64::from(before.unwrap_or(0));
            *n += u64::from(before.is_none());
        }
    }

    /// Returns how many pages a partition has, or probably has.
    #[must_use]
    pub fn of(&self, partition: &PartitionKey) -> Length {
        let mean = |(sum, n): (u64, u64)| (n > 0).then(|| sum as f64 / n as f64);
        let alike = || mean(*self.alike.get(&other_values(self.year.as_deref(), partition))?);
        let known = self.known.get(partition).copied().map(f64::from);
        let found = known.map(|n_pages| (n_pages, Basis::Known));
        let found = found.or_else(|| Some((alike()?, Basis::OtherYears)));
        let found = found.or_else(|| Some((mean(self.all)?, Basis::Dataset)));
        let found = found.or_else(|| Some((self.of_scale?, Basis::Scale)));
        let (n_pages, basis) = found.unwrap_or((1.0, Basis::Nothing));
        Length { n_pages, basis }
    }
}

impl Length {
    /// Returns the number of requests: if there are several pages, page 1 is requested again after the last one.
    #[must_use]
    pub fn n_requests(&self) -> f64 {
        if self.n_pages > 1.0 { self.n_pages + 1.0 } else { 1.0 }
    }

    /// Returns the number of pages as a whole number.
    #[must_use]
    pub fn n_whole(&self) -> u32 {
        self.n_pages.round().max(1.0) as u32
    }

    /// Returns whether it is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.basis == Basis::Known
    }
}

/// Returns the values of all axes but the year.
fn other_values(year: Option<&str>, partition: &PartitionKey) -> Vec<AxisValue> {
    let others = partition.axes().iter().filter(|(name, _)| Some(name.as_str()) != year);
    others.map(|(_, value)| value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::built_in::built_in_paths;
    use crate::testing::enrollment;

    fn of(year: i32, grade: &str) -> PartitionKey {
        enrollment().parse_partition(&format!("year={year}/grade={grade}")).unwrap()
    }

    #[test]
    fn an_unknown_partition_is_like_other_years_or_else_like_its_dataset() {
        let mut lengths = Lengths::new(&enrollment());
        let found = |lengths: &Lengths, year, grade| {
            let length = lengths.of(&of(year, grade));
            (length.n_pages, length.basis)
        };
        assert_eq!(found(&lengths, 2021, "grade-k"), (2.8, Basis::Scale));
        lengths.learn(&of(2019, "grade-k"), 10);
        lengths.learn(&of(2020, "grade-k"), 6);
        lengths.learn(&of(2020, "grade-pk"), 2);
        assert_eq!(found(&lengths, 2020, "grade-k"), (6.0, Basis::Known));
        assert_eq!(found(&lengths, 2021, "grade-k"), (8.0, Basis::OtherYears));
        assert_eq!(found(&lengths, 2021, "grade-1"), (6.0, Basis::Dataset));
        // What is learned later replaces what was known.
        lengths.learn(&of(2020, "grade-k"), 14);
        assert_eq!(found(&lengths, 2021, "grade-k"), (12.0, Basis::OtherYears));
        assert_eq!(Lengths::default().of(&of(2021, "grade-k")), Length { n_pages: 1.0, basis: Basis::Nothing });
    }

    #[test]
    fn a_length_is_a_number_of_requests() {
        let length = |n_pages| Length { n_pages, basis: Basis::Scale };
        assert_eq!([1.0, 1.5, 3.0].map(|n_pages| length(n_pages).n_requests()), [1.0, 2.5, 4.0]);
        assert_eq!([0.2, 1.4, 2.5].map(|n_pages| length(n_pages).n_whole()), [1, 1, 3]);
    }

    #[test]
    fn every_built_in_dataset_has_an_estimate() {
        for (name, _) in built_in_paths() {
            let dataset = Dataset::built_in(name).unwrap();
            assert!(Lengths::new(&dataset).of_scale.is_some_and(|n_pages| n_pages >= 1.0), "{name}");
        }
    }
}
