//! The partitions of a dataset: their paths at the portal and in the lake, their axis values, and the codes in their rows.

use crate::dataset::years::YEARS;
use crate::dataset::{Axis, AxisKind, Dataset};
use crate::partition::{AxisValue, PartitionKey};

impl Axis {
    /// Parses a value as requests and paths have it, other than a year. Returns `None` if the axis does not list it.
    pub(crate) fn parse_value(&self, text: &str) -> Option<AxisValue> {
        let coded = self.values.iter().find(|coded| coded.value == text)?;
        Some(match self.kind {
            AxisKind::Int => AxisValue::Int(i32::try_from(coded.code).ok()?),
            AxisKind::String => AxisValue::Text(coded.value.clone()),
        })
    }

    /// Returns whether `value` is valid for this axis.
    fn has(&self, value: &AxisValue) -> bool {
        match value {
            AxisValue::Int(year) if self.is_year() => YEARS.contains(year),
            AxisValue::Int(number) => {
                self.kind == AxisKind::Int && self.values.iter().any(|coded| coded.code == i64::from(*number))
            }
            AxisValue::Text(text) => {
                self.kind == AxisKind::String && self.values.iter().any(|coded| coded.value == *text)
            }
        }
    }
}

/// Fields that every request has, in addition to those for its axes.
pub(crate) const OTHER_FIELDS: [&str; 9] =
    ["dataset", "axes", "partitions", "mode", "refresh_after_days", "failed_of", "force", "keep_pages", "catalog"];

/// Returns the request field that selects the values of an axis: `year` → `years`.
#[must_use]
pub fn plural(axis: &Axis) -> String {
    format!("{}s", axis.name)
}

impl Dataset {
    /// Returns the path of a partition, relative to the portal's API root.
    #[must_use]
    pub fn portal_path(&self, partition: &PartitionKey) -> String {
        let mut path = self.path.clone();
        for (name, value) in partition.axes() {
            path = path.replace(&format!("{{{name}}}"), &value.to_string());
        }
        path
    }

    /// Returns the year of a partition, or `None` if the dataset has no years.
    #[must_use]
    pub fn year(&self, partition: &PartitionKey) -> Option<i32> {
        let axis = self.axes.iter().find(|axis| axis.is_year())?;
        match partition.value(&axis.name)? {
            AxisValue::Int(year) => Some(*year),
            AxisValue::Text(_) => None,
        }
    }

    /// Parses a Hive path made of this dataset's axes. Returns `None` for any other path.
    #[must_use]
    pub fn parse_partition(&self, path: &str) -> Option<PartitionKey> {
        let axes: Vec<(&str, bool)> =
            self.axes.iter().map(|axis| (axis.name.as_str(), axis.kind == AxisKind::Int)).collect();
        PartitionKey::parse_hive_path(path, &axes)
    }

    /// Returns whether `partition` is valid for this dataset: each text value is one that its axis lists, and the year is
    /// plausible.
    #[must_use]
    pub fn has(&self, partition: &PartitionKey) -> bool {
        partition.axes().len() == self.axes.len()
            && self.axes.iter().zip(partition.axes()).all(|(axis, (name, value))| axis.name == *name && axis.has(value))
    }

    /// Returns the same partition with its axes in this dataset's order, or `None` if it has different axes.
    #[must_use]
    pub fn arrange(&self, partition: &PartitionKey) -> Option<PartitionKey> {
        partition.in_order(self.axes.iter().map(|axis| axis.name.as_str()))
    }

    /// Returns each axis with the code that rows of `partition` have for it, in axis order.
    #[must_use]
    pub fn codes(&self, partition: &PartitionKey) -> Vec<(String, i64)> {
        self.axes
            .iter()
            .filter_map(|axis| {
                let code = match partition.value(&axis.name)? {
                    AxisValue::Int(value) => i64::from(*value),
                    AxisValue::Text(value) => axis.values.iter().find(|v| v.value == *value)?.code,
                };
                Some((axis.name.clone(), code))
            })
            .collect()
    }
}
