//! Which years the portal has, as its own list of endpoints says.
//!
//! A year without data answers HTTP 500 like a fault, so years are checked before anything is fetched.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::dataset::Dataset;
use crate::ports::{Portal, PortalError};

/// Path of the portal's list of endpoints below its API root.
pub const ENDPOINTS_PATH: &str = "api-endpoints/";

/// Most pages of the list; the real one has a single page.
const MOST_PAGES: u32 = 50;

/// Why the list could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The portal did not answer.
    #[error("portal did not list its endpoints")]
    Portal(#[from] PortalError),
    /// The answer is not such a list.
    #[error("read list of endpoints")]
    Body(#[from] serde_json::Error),
    /// The dataset's endpoint is not on it.
    #[error("find `{0}` in the list of endpoints: found none with this path")]
    NotListed(String),
    /// Its years are no list of years.
    #[error("read `years_available`: expected years, ranges and commas, found `{0}`")]
    Years(String),
}

#[derive(Deserialize)]
struct Envelope {
    count: usize,
    results: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    endpoint_url: Option<String>,
    years_available: Option<String>,
}

/// The years that the portal lists for a dataset's endpoint.
///
/// # Errors
/// [`Unreadable`], for the caller to go ahead without or to refuse.
///
/// Source of the format: recorded answers of the Education Data Portal, 2024-06.
pub async fn listed_years(portal: &impl Portal, dataset: &Dataset) -> Result<BTreeSet<i32>, Unreadable> {
    let mut n_seen = 0;
    for page in 1..=MOST_PAGES {
        let body = portal.get(ENDPOINTS_PATH, page).await?;
        let envelope: Envelope = serde_json::from_slice(&body.bytes)?;
        n_seen += envelope.results.len();
        let is_last = envelope.results.is_empty() || n_seen >= envelope.count;
        for endpoint in envelope.results {
            let Some(url) = endpoint.endpoint_url else { continue };
            let path = url.trim_start_matches("/api/v1/").trim_end_matches('/');
            if path == dataset.path.trim_end_matches('/') {
                let text = endpoint.years_available.unwrap_or_default();
                return parse_years(&text).ok_or_else(|| Unreadable::Years(crate::error::excerpt(&text)));
            }
        }
        if is_last {
            break;
        }
    }
    Err(Unreadable::NotListed(dataset.path.clone()))
}

/// Reads years as the portal writes them: `1991, 1993, and 1999&ndash;2020`. `None` when anything else is there.
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

/// A year of four digits.
pub(crate) fn parse_year(text: &str) -> Option<i32> {
    let text = text.trim();
    let is_year = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    is_year.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_read_as_the_portal_writes_them() {
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
