//! Compares request paths with the template of a dataset.

use crate::dataset::{Axis, AxisValues, Dataset};

/// What a path is for a dataset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathMatch {
    /// A partition, with the code of each axis.
    Partition(Vec<i64>),
    /// A partition of a year without data.
    NoSuchYear,
    Other,
}

impl Dataset {
    /// Compares a path below the API root, without a trailing slash.
    pub(crate) fn match_path(&self, path: &str) -> PathMatch {
        let mut codes = vec![None; self.axes.len()];
        let mut has_data = true;
        let mut segments = path.split('/');
        for expected in self.path.trim_end_matches('/').split('/') {
            let Some(segment) = segments.next() else {
                return PathMatch::Other;
            };
            let Some(name) = expected.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
                if segment == expected {
                    continue;
                }
                return PathMatch::Other;
            };
            let axis = self.axes.iter().zip(&mut codes).find(|(axis, _)| axis.name == name);
            let Some((code, (axis, place))) = axis.and_then(|found| Some((code_of(found.0, segment)?, found))) else {
                return PathMatch::Other;
            };
            if let AxisValues::Years(years) = &axis.values {
                has_data &= years.years.iter().any(|year| i64::from(*year) == code);
            }
            *place = Some(code);
        }
        match codes.into_iter().collect() {
            _ if segments.next().is_some() => PathMatch::Other,
            Some(codes) if has_data => PathMatch::Partition(codes),
            Some(_) => PathMatch::NoSuchYear,
            None => PathMatch::Other,
        }
    }
}

/// Returns the code of a value in the path. Any four digits are a year.
fn code_of(axis: &Axis, segment: &str) -> Option<i64> {
    match &axis.values {
        AxisValues::Coded(values) => values.iter().find(|(value, _)| value == segment).map(|(_, code)| *code),
        AxisValues::Years(_) => {
            let is_year = segment.len() == 4 && segment.bytes().all(|byte| byte.is_ascii_digit());
            segment.parse().ok().filter(|_| is_year)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::CodeLists;

    #[test]
    fn a_path_is_compared_segment_by_segment() {
        let text = r#"
            name = "a"
            title = "A"
            path = "schools/x/{year}/{wave}/by-y/"
            key = []
            column = []
            axis = [{ name = "year", years = "2001, 2003" }, { name = "wave", values = [1, { value = "two", code = -2 }] }]
        "#;
        let dataset = Dataset::parse(text, &CodeLists::default()).unwrap();
        for (path, expected) in [
            ("schools/x/2003/1/by-y", PathMatch::Partition(vec![2003, 1])),
            ("schools/x/2001/two/by-y", PathMatch::Partition(vec![2001, -2])),
            ("schools/x/2002/two/by-y", PathMatch::NoSuchYear),
            ("schools/x/2002/three/by-y", PathMatch::Other),
            ("schools/x/+200/1/by-y", PathMatch::Other),
            ("schools/x/2003/1", PathMatch::Other),
            ("schools/x/2003/1/by-y/z", PathMatch::Other),
            ("schools/z/2003/1/by-y", PathMatch::Other),
        ] {
            assert_eq!(dataset.match_path(path), expected, "{path}");
        }
    }
}
