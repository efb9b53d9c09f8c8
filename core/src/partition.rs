//! The axis values of one partition, and its Hive path in the lake.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::MapAccess, ser::SerializeMap};

/// One value of an axis: `2021` or `grade-pk`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AxisValue {
    /// A number, such as a year.
    Int(i32),
    /// A string value, as in the portal's paths, such as `grade-pk`.
    Text(String),
}

impl fmt::Display for AxisValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// The axis values of one partition, in the descriptor's order.
///
/// Formatted as its Hive path, `year=2021/grade=grade-pk`.
/// In JSON, it is an object, `{"year": 2021, "grade": "grade-pk"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    axes: Vec<(String, AxisValue)>,
}

impl PartitionKey {
    /// Creates a partition from axis names and values, in the descriptor's order.
    #[must_use]
    pub fn new(axes: Vec<(String, AxisValue)>) -> Self {
        Self { axes }
    }

    /// Returns axis names and values, in the descriptor's order.
    #[must_use]
    pub fn axes(&self) -> &[(String, AxisValue)] {
        &self.axes
    }

    /// Returns the value of one axis.
    #[must_use]
    pub fn value(&self, axis: &str) -> Option<&AxisValue> {
        self.axes.iter().find_map(|(name, value)| (name == axis).then_some(value))
    }

    /// Returns the same partition with its axes in the order of `names`, or `None` if it has different axes. Other programs
    /// may reorder the fields of JSON objects that pass through them.
    pub(crate) fn in_order<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Self> {
        let axes: Option<Vec<_>> = names.map(|name| Some((name.to_owned(), self.value(name)?.clone()))).collect();
        axes.filter(|axes| axes.len() == self.axes.len()).map(Self::new)
    }

    /// Parses a Hive path such as `year=2021/grade=grade-pk`.
    ///
    /// - `axes`: name of each axis, in order, and whether its values are integers.
    ///
    /// Returns `None` if the path has different axes, or an integer is invalid or not in canonical form.
    #[must_use]
    pub fn parse_hive_path(path: &str, axes: &[(&str, bool)]) -> Option<Self> {
        let mut segments = path.split('/');
        let mut values = Vec::with_capacity(axes.len());
        for (name, is_int) in axes {
            let (found, value) = segments.next()?.split_once('=')?;
            if found != *name || value.is_empty() {
                return None;
            }
            let value = if *is_int {
                // `+2021` or `02021` would be a second path for the same partition.
                AxisValue::Int(value.parse().ok().filter(|number: &i32| number.to_string() == value)?)
            } else {
                AxisValue::Text(value.to_owned())
            };
            values.push(((*name).to_owned(), value));
        }
        segments.next().is_none().then_some(Self { axes: values })
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.axes.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

impl Serialize for PartitionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.axes.len()))?;
        for (name, value) in &self.axes {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PartitionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = PartitionKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of axis values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PartitionKey, A::Error> {
                let mut axes = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    axes.push(entry);
                }
                Ok(PartitionKey { axes })
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_path_parses_back_to_its_values(year in 1900..2100i32, grade in "[a-z0-9-]{1,12}") {
            let key = PartitionKey::new(vec![
                ("year".into(), AxisValue::Int(year)),
                ("grade".into(), AxisValue::Text(grade)),
            ]);
            let axes = [("year", true), ("grade", false)];
            prop_assert_eq!(PartitionKey::parse_hive_path(&key.to_string(), &axes), Some(key.clone()));
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<PartitionKey>(&json).unwrap(), key);
        }

        #[test]
        fn a_path_that_parses_prints_back_unchanged(path in "year=[+-]?[0-9]{1,11}/grade=[a-z0-9=+-]{0,4}") {
            let axes = [("year", true), ("grade", false)];
            if let Some(key) = PartitionKey::parse_hive_path(&path, &axes) {
                prop_assert_eq!(key.to_string(), path);
            }
        }
    }

    #[test]
    fn a_path_with_other_axes_does_not_parse() {
        let axes = [("year", true), ("grade", false)];
        for path in [
            "year=2021",
            "grade=grade-pk/year=2021",
            "year=x/grade=grade-pk",
            "year=2021/grade=grade-pk/extra=1",
            "year=2021/grade=",
            "year=+2021/grade=grade-pk",
            "year=02021/grade=grade-pk",
            "year=-0/grade=grade-pk",
        ] {
            assert_eq!(PartitionKey::parse_hive_path(path, &axes), None, "{path}");
        }
    }
}
