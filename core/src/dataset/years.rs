//! Years, the values of the axis that the portal lists.

use std::collections::BTreeSet;

use crate::dataset::{Axis, AxisKind};

/// Name of the axis whose values the portal lists.
pub const YEAR: &str = "year";

/// Plausible years. The portal's data starts in 1980; a year outside this range is a typo.
pub const YEARS: std::ops::RangeInclusive<i32> = 1900..=2100;

impl Axis {
    /// Returns whether the values are years, which the portal lists.
    #[must_use]
    pub fn is_year(&self) -> bool {
        self.kind == AxisKind::Int && self.values.is_empty()
    }
}

/// Parses years in the portal's format: `1991, 1993, and 1999&ndash;2020`. Returns `None` for anything else.
#[must_use]
pub fn parse_years(html: &str) -> Option<BTreeSet<i32>> {
    let text = html
        .replace("&ndash;", "-")
        .replace("&mdash;", "-")
        .replace("&#8211;", "-")
        .replace("&#x2013;", "-")
        .replace("&nbsp;", " ")
        .replace(['\u{2013}', '\u{2014}'], "-")
        .replace('\u{a0}', " ");
    let mut years = BTreeSet::new();
    for item in text.split(',') {
        let item = item.trim();
        let item = item.strip_prefix("and ").unwrap_or(item);
        // `2005 and 2007` has no comma.
        for item in item.split(" and ") {
            let item = item.trim();
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (parse_year(first)?, parse_year(last)?);
            if first > last {
                return None;
            }
            years.extend(first..=last);
        }
    }
    Some(years)
}

/// Parses a four-digit year that is in [`YEARS`].
pub(crate) fn parse_year(text: &str) -> Option<i32> {
    let text = text.trim();
    let is_year = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|year| is_year && YEARS.contains(year))
}

/// Lists years as ranges: `1980, 1984-2022`.
pub(crate) fn describe_years(years: impl Iterator<Item = i32>) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for year in years {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == year => *last = year,
            _ => ranges.push((year, year)),
        }
    }
    let words: Vec<String> = ranges
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_has_four_digits_and_is_within_the_years_that_partitions_may_have() {
        assert_eq!(parse_year(" 2019 "), Some(2019));
        for text in ["02019", "+2019", "201", "20l9", "1000", "9999", ""] {
            assert_eq!(parse_year(text), None, "{text}");
        }
    }

    #[test]
    fn years_in_the_portals_format_are_parsed() {
        for (html, n_years, first, last) in [
            ("1986&ndash;2022", 37, 1986, 2022),
            ("1980, 1984&ndash;2022", 40, 1980, 2022),
            ("1991, 1993, 1995, 1997, and 1999&ndash;2020", 26, 1991, 2020),
            ("1986-2024", 39, 1986, 2024),
            ("1986–2024", 39, 1986, 2024),
            ("2018", 1, 2018, 2018),
            ("2005 and 2007", 2, 2005, 2007),
        ] {
            let years = parse_years(html).unwrap();
            assert_eq!(
                (years.len(), years.first().copied(), years.last().copied()),
                (n_years, Some(first), Some(last)),
                "{html}"
            );
        }
        for html in ["", "all", "1986&ndash;", "2022&ndash;1986", "86", "1986;1987", "<b>1986</b>"] {
            assert_eq!(parse_years(html), None, "{html}");
        }
    }
}
