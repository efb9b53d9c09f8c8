//! The years of a dataset, as the portal writes them.

use crate::sample::school::YEARS;

/// The years for which a dataset has data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Years {
    /// The portal's text, in HTML.
    pub(crate) html: String,
    pub(crate) years: Vec<u16>,
}

impl Years {
    /// Reads text such as `1980, 1984-2022` or `1991, and 1999-2020`. Words without a year are skipped.
    pub(crate) fn parse(text: &str) -> Years {
        let mut years = Vec::new();
        for item in text.split(',') {
            let item = item.trim().trim_start_matches("and ");
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            if let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
                years.extend(first..=last);
            }
        }
        Years { html: text.replace('-', "&ndash;"), years }
    }
}

impl Default for Years {
    /// The years of the sample.
    fn default() -> Years {
        Years::parse(&format!("{}-{}", YEARS.start(), YEARS.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_years_are_read() {
        let years = Years::parse("1991, 1993, and 1999-2001");
        assert_eq!(years.years, [1991, 1993, 1999, 2000, 2001]);
        assert_eq!(years.html, "1991, 1993, and 1999&ndash;2001");
        assert_eq!(Years::default().years.len(), 39);
    }
}
