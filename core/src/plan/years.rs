//! Reads the available years from the portal's list of endpoints.
//!
//! For a year without data, the portal returns HTTP 500, just as it does for a fault. Years are therefore checked
//! before fetching.

use std::collections::BTreeSet;

use crate::dataset::Dataset;
use crate::dataset::years::parse_years;
use crate::error::years::YearsUnreadable;
use crate::metadata::list::{Fields, PortalList, text};
use crate::metadata::{ENDPOINTS_PATH, Endpoint};
use crate::ports::portal::Portal;
use crate::text::excerpt;

/// Maximum number of pages to read. The real list has one page.
const MAX_PAGES: u32 = 50;

/// A dataset's endpoint, as the portal lists it.
#[derive(Debug)]
pub(super) struct ListedEndpoint {
    /// Years with data.
    pub(super) years: BTreeSet<i32>,
    /// The entry of the list, unless it lacks what a descriptor is generated from.
    pub(super) endpoint: Option<Endpoint>,
}

/// Returns what the portal lists for a dataset's endpoint.
///
/// # Errors
/// [`YearsUnreadable`]. The caller decides whether to continue without the list.
///
/// Source of the format: recorded responses of the Education Data Portal, 2024-06.
pub(super) async fn listed_endpoint(
    portal: &impl Portal,
    dataset: &Dataset,
) -> Result<ListedEndpoint, YearsUnreadable> {
    let mut n_seen = 0;
    for page in 1..=MAX_PAGES {
        let listed = PortalList::get(portal, ENDPOINTS_PATH, page).await?;
        n_seen += listed.results.len() as u64;
        let count: Option<u64> = listed.count.as_ref().and_then(|count| serde_json::from_str(count.get()).ok());
        let is_last = listed.results.is_empty() || count.is_none_or(|count| n_seen >= count);
        if let Some(own) = listed.entries().find(|endpoint| is_endpoint_of(dataset, endpoint)) {
            let years = text(&own, "years_available");
            let unreadable = || {
                let json = own.get("years_available").map_or("none", |json| json.get());
                YearsUnreadable::Years(excerpt(years.as_deref().unwrap_or(json)))
            };
            let years = years.as_deref().and_then(parse_years).ok_or_else(unreadable)?;
            return Ok(ListedEndpoint { years, endpoint: Endpoint::read(&own) });
        }
        if is_last {
            break;
        }
    }
    Err(YearsUnreadable::NotListed(dataset.path.clone()))
}

/// Returns whether an entry of the list is the dataset's endpoint.
fn is_endpoint_of(dataset: &Dataset, endpoint: &Fields) -> bool {
    let url = text(endpoint, "endpoint_url").unwrap_or_default();
    url.trim_start_matches("/api/v1/").trim_end_matches('/') == dataset.path.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::release::newest_release;
    use crate::testing::{CannedPages, enrollment};
    use futures::executor::block_on;

    #[test]
    fn the_newest_release_is_the_one_with_the_latest_date_wherever_it_is_listed() {
        let body = r#"{"results":[{"version":"0.9.0","release_date":"12/30/2019"},
            {"version":"0.26.1","release_date":"7/14/2026"},{"version":"0.25.0","release_date":"3/30/2026"},
            {"version":null,"release_date":"1/1/2027"},{"version":"x","release_date":"soon"}]}"#;
        let release = block_on(newest_release(&CannedPages::new(vec![body.into()])));
        assert_eq!(release.as_deref(), Some("0.26.1"));
        assert_eq!(block_on(newest_release(&CannedPages::new(vec!["<html>".into()]))), None);
    }

    /// Found by use: B7.
    #[test]
    fn a39_a_release_with_a_long_name_or_control_characters_is_skipped() {
        let longest = "1".repeat(64);
        for (version, expected) in [
            (longest.as_str(), longest.as_str()),
            (&format!("{longest}1"), "0.25.0"),
            (&"9".repeat(5 << 20), "0.25.0"),
            ("1.0 (β)", "1.0 (β)"),
            ("1.0\\n", "0.25.0"),
            ("\\u001b[31m1.0", "0.25.0"),
            ("1.0\\u0085", "0.25.0"),
            ("", "0.25.0"),
        ] {
            let body = format!(
                r#"{{"results":[{{"version":"{version}","release_date":"7/14/2026"}},
                {{"version":"0.25.0","release_date":"3/30/2026"}}]}}"#
            );
            let release = block_on(newest_release(&CannedPages::new(vec![body])));
            assert_eq!(release.as_deref(), Some(expected), "{}", &version[..version.len().min(80)]);
        }
    }

    /// Malformed entries of a list, as JSON.
    const ODD: [&str; 12] = [
        r#"{"endpoint_url":"/api/v1/schools/ccd/directory/{year}/","years_available":2018}"#,
        r#"{"endpoint_url":"/api/v1/schools/ccd/directory/{year}/","years_available":null}"#,
        r#"{"endpoint_url":"/api/v1/schools/ccd/directory/{year}/","years_available":{"from":1986}}"#,
        r#"{"endpoint_url":7,"years_available":"2018","version":7,"release_date":"7/15/2026"}"#,
        r#"{"years_available":"2018","version":"9","release_date":20260715}"#,
        r#"{"endpoint_url":null,"version":{"major":9},"release_date":"7/15/2026"}"#,
        r#"{"endpoint_url":"x","endpoint_url":"y","version":["9"],"version":["9"],"release_date":"7/15/2026"}"#,
        r#"{"endpoint_url":"half \ud800","version":"half \ud800","release_date":"7/15/2026"}"#,
        r#"{"\ud800":1}"#,
        "null",
        "[[[[7]]]]",
        r#""text""#,
    ];

    async fn listed_years(portal: &CannedPages, dataset: &Dataset) -> Result<BTreeSet<i32>, YearsUnreadable> {
        Ok(listed_endpoint(portal, dataset).await?.years)
    }

    fn listed(entries: &[&str]) -> Result<BTreeSet<i32>, YearsUnreadable> {
        let body = format!(r#"{{"count":{},"results":[{}]}}"#, entries.len(), entries.join(","));
        block_on(listed_years(&CannedPages::new(vec![body]), &enrollment()))
    }

    /// Found by use: B4.
    #[test]
    fn a37_an_odd_entry_of_another_endpoint_or_release_spoils_no_other() {
        let own = r#"{"endpoint_url":"/api/v1/schools/ccd/enrollment/{year}/{grade}/","years_available":"2018","x":"\ud800"}"#;
        let release = r#"{"version":"0.26.1","release_date":"7/14/2026"}"#;
        for odd in ODD {
            assert_eq!(listed(&[odd, own, odd]).unwrap(), BTreeSet::from([2018]), "{odd}");
            let body = format!(r#"{{"results":[{odd},{release},{odd}]}}"#);
            assert_eq!(block_on(newest_release(&CannedPages::new(vec![body]))).as_deref(), Some("0.26.1"), "{odd}");
        }
        assert!(matches!(listed(&ODD), Err(YearsUnreadable::NotListed(_))));
        for count in ["null", "\"many\"", "-1", "{}"] {
            let body = format!(r#"{{"count":{count},"results":[{own}]}}"#);
            let years = block_on(listed_years(&CannedPages::new(vec![body]), &enrollment()));
            assert_eq!(years.unwrap(), BTreeSet::from([2018]), "{count}");
        }
    }

    /// Found by use: B4.
    #[test]
    fn a37_years_that_cannot_be_parsed_are_quoted() {
        for (years, found) in [
            ("2018", "2018"),
            ("null", "null"),
            (r#"{"from":1986}"#, r#"{"from":1986}"#),
            (r#"["2018"]"#, r#"["2018"]"#),
            (r#""soon""#, "soon"),
            (r#""\ud800""#, r#""\\ud800""#),
        ] {
            let path = "/api/v1/schools/ccd/enrollment/{year}/{grade}/";
            let own = format!(r#"{{"endpoint_url":"{path}","years_available":{years}}}"#);
            let expected =
                format!("read `years_available`: expected years or ranges separated by commas, found `{found}`");
            assert_eq!(listed(&[&own]).unwrap_err().to_string(), expected);
        }
        let bare = listed(&[r#"{"endpoint_url":"/api/v1/schools/ccd/enrollment/{year}/{grade}/"}"#]).unwrap_err();
        assert!(bare.to_string().ends_with("found `none`"), "{bare}");
    }

    /// A page of the list, with `count` and with an entry for each pair of path and years.
    fn list(count: usize, entries: &[(&str, &str)]) -> String {
        let entries: Vec<String> = entries
            .iter()
            .map(|(path, years)| format!("{{\"endpoint_url\":\"/api/v1/{path}\",\"years_available\":\"{years}\"}}"))
            .collect();
        format!("{{\"count\":{count},\"results\":[{}]}}", entries.join(","))
    }

    #[test]
    fn a_list_of_several_pages_is_read_only_up_to_the_entry_or_to_the_last_page() {
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
                (Err(YearsUnreadable::NotListed(path)), None) => assert_eq!(path, dataset.path),
                (result, _) => panic!("{pages:?}: {result:?}"),
            }
            assert_eq!(*portal.requested.lock().unwrap(), asked, "{pages:?}");
        }
    }

    #[test]
    fn at_most_fifty_pages_of_a_list_are_read() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let mut pages = vec![list(1_000_000, &[("schools/ccd/directory/{year}/", "1980")]); 51];
        pages[50] = list(1_000_000, &[(dataset.path.as_str(), "1986")]);
        let portal = CannedPages::new(pages.clone());
        assert!(matches!(block_on(listed_years(&portal, &dataset)), Err(YearsUnreadable::NotListed(_))));
        assert_eq!(portal.requested.lock().unwrap().len(), 50);
        pages.remove(0);
        assert_eq!(block_on(listed_years(&CannedPages::new(pages), &dataset)).unwrap(), BTreeSet::from([1986]));
    }
}
