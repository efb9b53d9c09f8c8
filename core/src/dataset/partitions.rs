//! The partitions of a dataset: their paths at the portal and in the lake, their axis values, the codes in their rows.

use crate::dataset::{Axis, AxisKind, Dataset, YEARS};
use crate::partition::{AxisValue, PartitionKey};

impl Axis {
    /// Whether `value` can be one of this axis.
    fn has(&self, value: &AxisValue) -> bool {
        match value {
            AxisValue::Int(year) => self.kind == AxisKind::Int && YEARS.contains(year),
            AxisValue::Text(text) => self.values.iter().any(|coded| coded.value == *text),
        }
    }
}

/// Fields of a request beside those of the axes.
pub(crate) const OTHER_FIELDS: [&str; 6] = ["dataset", "partitions", "mode", "failed_of", "force", "catalog"];

/// The field of a request that names values of an axis: `year` → `years`.
#[must_use]
pub fn plural(axis: &Axis) -> String {
    format!("{}s", axis.name)
}

impl Dataset {
    /// Path of a partition below the portal's API root.
    #[must_use]
    pub fn portal_path(&self, partition: &PartitionKey) -> String {
        let mut path = self.path.clone();
        for (name, value) in partition.axes() {
            path = path.replace(&format!("{{{name}}}"), &value.to_string());
        }
        path
    }

    /// Reads a Hive path of this dataset's axes; `None` when it is none.
    #[must_use]
    pub fn parse_partition(&self, path: &str) -> Option<PartitionKey> {
        let axes: Vec<(&str, bool)> =
            self.axes.iter().map(|axis| (axis.name.as_str(), axis.kind == AxisKind::Int)).collect();
        PartitionKey::parse_hive_path(path, &axes)
    }

    /// Whether `partition` can be one of this dataset: a word that its axis lists, a plausible year.
    #[must_use]
    pub fn has(&self, partition: &PartitionKey) -> bool {
        partition.axes().len() == self.axes.len()
            && self.axes.iter().zip(partition.axes()).all(|(axis, (name, value))| axis.name == *name && axis.has(value))
    }

    /// Returns the same partition with its axes in this dataset's order; `None` when it has other axes.
    #[must_use]
    pub fn arrange(&self, partition: &PartitionKey) -> Option<PartitionKey> {
        partition.in_order(self.axes.iter().map(|axis| axis.name.as_str()))
    }

    /// The code that rows of `partition` carry for each axis, in axis order.
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
