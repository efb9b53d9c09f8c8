//! The partitions of a dataset: their paths at the portal and in the lake, their axis values, and the codes in their rows.

use crate::dataset::{Axis, AxisKind, Dataset, YEARS};
use crate::partition::{AxisValue, PartitionKey};

impl Axis {
    /// Returns whether `value` is valid for this axis.
    fn has(&self, value: &AxisValue) -> bool {
        match value {
            AxisValue::Int(year) => self.kind == AxisKind::Int && YEARS.contains(year),
            AxisValue::Text(text) => self.values.iter().any(|coded| coded.value == *text),
        }
    }
}

/// Fields that every request has, in addition to those for its axes.
pub(crate) const OTHER_FIELDS: [&str; 7] =
    ["dataset", "partitions", "mode", "failed_of", "force", "keep_pages", "catalog"];

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
