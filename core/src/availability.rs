//! Which years the portal has, as its own list of endpoints says, and which release of its data it serves.
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
        let body = portal.get(ENDPOINTS_PATH, page, 0).await?;
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

/// Path of the portal's list of releases below its API root.
const CHANGES_PATH: &str = "api-changes/";

#[derive(Deserialize)]
struct Changes {
    results: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    version: Option<String>,
    release_date: Option<String>,
}

/// The portal's newest release, such as `0.26.1`: history is revised between releases, so runs note it.
///
/// `None` where the list cannot be read; nothing depends on it.
pub async fn newest_release(portal: &impl Portal) -> Option<String> {
    let body = portal.get(CHANGES_PATH, 1, 0).await.ok()?;
    let changes: Changes = serde_json::from_slice(&body.bytes).ok()?;
    // The list is not sorted, and its dates are month/day/year.
    let dated = changes.results.into_iter().filter_map(|change| {
        let date = change.release_date?;
        let mut parts = date.split('/').map(|part| part.trim().parse::<u32>().ok());
        let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
        Some(((year, month, day), change.version?))
    });
    dated.max().map(|(_, version)| version)
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
    use crate::testing::CannedPages;
    use futures::executor::block_on;

    #[test]
    fn the_newest_release_is_the_one_of_the_latest_date_wherever_it_stands() {
        let body = r#"{"results":[{"version":"0.9.0","release_date":"12/30/2019"},
            {"version":"0.26.1","release_date":"7/14/2026"},{"version":"0.25.0","release_date":"3/30/2026"},
            {"version":null,"release_date":"1/1/2027"},{"version":"x","release_date":"soon"}]}"#;
        let release = block_on(newest_release(&CannedPages::new(vec![body.into()])));
        assert_eq!(release.as_deref(), Some("0.26.1"));
        assert_eq!(block_on(newest_release(&CannedPages::new(vec!["<html>".into()]))), None);
    }

    /// A page of the list: `count`, and entries by path with their years.
    fn list(count: usize, entries: &[(&str, &str)]) -> String {
        let entries: Vec<String> = entries
            .iter()
            .map(|(path, years)| format!("{{\"endpoint_url\":\"/api/v1/{path}\",\"years_available\":\"{years}\"}}"))
            .collect();
        format!("{{\"count\":{count},\"results\":[{}]}}", entries.join(","))
    }

    #[test]
    fn a_list_of_several_pages_is_read_to_the_entry_or_to_its_end_and_no_further() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let (ours, other) = ((dataset.path.as_str(), "1986-2022"), ("schools/ccd/directory/{year}/", "1980"));
        for (pages, found, asked) in [
            (vec![list(1, &[ours]), list(1, &[])], Some(37), vec![1]),
            (vec![list(4, &[ours, other]), list(4, &[other, other])], Some(37), vec![1]),
            (vec![list(4, &[other, other]), list(4, &[other, ours]), list(4, &[])], Some(37), vec![1, 2]),
            (vec![list(5, &[other, other]), list(5, &[other, other]), list(5, &[ours])], Some(37), vec![1, 2, 3]),
            (vec![list(4, &[other, other]), list(4, &[other, other]), list(4, &[ours])], None, vec![1, 2]),
            (vec![list(9, &[other, other]), list(9, &[]), list(9, &[ours])], None, vec![1, 2]),
            (vec![list(1, &[other, other]), list(1, &[ours])], None, vec![1]),
            (vec![list(0, &[]), list(0, &[ours])], None, vec![1]),
        ] {
            let portal = CannedPages::new(pages.clone());
            match (block_on(listed_years(&portal, &dataset)), found) {
                (Ok(years), Some(n_years)) => assert_eq!(years.len(), n_years, "{pages:?}"),
                (Err(Unreadable::NotListed(path)), None) => assert_eq!(path, dataset.path),
                (result, _) => panic!("{pages:?}: {result:?}"),
            }
            assert_eq!(*portal.asked.lock().unwrap(), asked, "{pages:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_given_up_after_fifty_pages() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let mut pages = vec![list(1_000_000, &[("schools/ccd/directory/{year}/", "1980")]); 51];
        pages[50] = list(1_000_000, &[(dataset.path.as_str(), "1986")]);
        let portal = CannedPages::new(pages.clone());
        assert!(matches!(block_on(listed_years(&portal, &dataset)), Err(Unreadable::NotListed(_))));
        assert_eq!(portal.asked.lock().unwrap().len(), 50);
        pages.remove(0);
        assert_eq!(block_on(listed_years(&CannedPages::new(pages), &dataset)).unwrap(), BTreeSet::from([1986]));
    }

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
