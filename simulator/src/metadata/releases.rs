//! The list `api-changes/`: releases of the portal.

use serde::Serialize;

/// A row of `api-changes/`.
#[derive(Serialize)]
pub(super) struct Release {
    version: String,
    /// Month, day, year, without leading zeros.
    release_date: String,
}

/// A day. The order is that of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// The releases, unordered as on the portal: the latest is neither first nor last. Dates are invented, except for that
/// of 0.25.0.
const RELEASES: [(&str, Date); 6] = [
    ("0.1.0 - Beta", date(2018, 3, 15)),
    ("0.10.0", date(2019, 12, 9)),
    ("0.25.0", date(2026, 3, 30)),
    ("0.26.1", LATEST),
    ("0.24.0", date(2025, 11, 3)),
    ("0.9.0", date(2019, 9, 24)),
];
const LATEST: Date = date(2026, 7, 14);

/// Returns the releases and, after the latest one, the further ones a week apart.
pub(super) fn releases(further: &[String]) -> Vec<Release> {
    let mut date = LATEST;
    let further = further.iter().map(|version| {
        date = date.a_week_later();
        release(version, date)
    });
    let (until_latest, others) = RELEASES.split_at(4);
    let built_in = |releases: &[(&str, Date)]| releases.iter().map(|(name, date)| release(name, *date)).collect();
    let mut releases: Vec<Release> = built_in(until_latest);
    releases.extend(further);
    releases.append(&mut built_in(others));
    releases
}

fn release(version: &str, Date { year, month, day }: Date) -> Release {
    Release { version: version.to_owned(), release_date: format!("{month}/{day}/{year}") }
}

const fn date(year: u16, month: u8, day: u8) -> Date {
    Date { year, month, day }
}

impl Date {
    fn a_week_later(self) -> Date {
        let n_days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if self.year.is_multiple_of(4) => 29,
            2 => 28,
            _ => 31,
        };
        match self.day + 7 {
            day if day <= n_days => Date { day, ..self },
            day if self.month == 12 => date(self.year + 1, 1, day - n_days),
            day => date(self.year, self.month + 1, day - n_days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_releases_are_a_week_apart_and_neither_first_nor_last() {
        let further: Vec<String> = (1..=87).map(|number| format!("1.{number}")).collect();
        let releases = releases(&further);
        let date = |version: &str| {
            let found = releases.iter().find(|release| release.version == version).unwrap();
            found.release_date.clone()
        };
        for (version, expected) in [
            ("0.26.1", "7/14/2026"),
            ("1.1", "7/21/2026"),
            ("1.2", "7/28/2026"),
            ("1.3", "8/4/2026"),
            ("1.25", "1/5/2027"),
            ("1.85", "2/29/2028"),
            ("1.86", "3/7/2028"),
        ] {
            assert_eq!(date(version), expected, "{version}");
        }
        assert!(releases.first().unwrap().version == "0.1.0 - Beta" && releases.last().unwrap().version == "0.9.0");
    }
}
