//! Query strings: decoding, the filters that the portal supports, and how it writes them in links.

use std::fmt::Write as _;

use crate::grade::Grade;
use crate::sample::school::School;

/// The decoded `name=value` pairs of a request, sorted by name as in the portal's links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        let pair = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (decode(name), decode(value))
        };
        let mut pairs: Vec<_> = text.split('&').filter(|text| !text.is_empty()).map(pair).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        Query(pairs)
    }

    /// Returns the last value of `name`. An empty value counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the numbers of a filter; `None` if it is absent. A value that is not a number matches no row.
    pub(crate) fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        self.get(name).map(|text| text.split(',').filter_map(|value| value.trim().parse().ok()).collect())
    }

    /// Returns the requested page: 1 if absent, `None` if it is not a page number.
    pub(crate) fn page(&self) -> Option<u64> {
        self.get("page").map_or(Some(1), |value| value.parse().ok().filter(|page| *page > 0))
    }

    /// Returns the query with another page, such as `?a=1&page=2`, sorted by name. Omits `page` for page 1.
    pub(crate) fn with_page(&self, page: u64) -> String {
        let mut pairs = self.0.clone();
        pairs.retain(|(name, _)| name != "page");
        if page > 1 {
            pairs.push(("page".to_owned(), page.to_string()));
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let mut text = String::new();
        for (name, value) in pairs {
            text.push(if text.is_empty() { '?' } else { '&' });
            encode(&name, &mut text);
            text.push('=');
            encode(&value, &mut text);
        }
        text
    }
}

/// The filters on enrollment and directory rows that the portal supports. It ignores others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    year: Option<Vec<i64>>,
    ncessch: Option<Vec<i64>>,
    ncessch_num: Option<Vec<i64>>,
    leaid: Option<Vec<i64>>,
    fips: Option<Vec<i64>>,
    grade: Option<Vec<i64>>,
    race: Option<Vec<i64>>,
    sex: Option<Vec<i64>>,
}

impl Filters {
    pub(crate) fn from_query(query: &Query) -> Filters {
        Filters {
            year: query.numbers("year"),
            ncessch: query.numbers("ncessch"),
            ncessch_num: query.numbers("ncessch_num"),
            leaid: query.numbers("leaid"),
            fips: query.numbers("fips"),
            grade: query.numbers("grade"),
            race: query.numbers("race"),
            sex: query.numbers("sex"),
        }
    }

    pub(crate) fn allow_year(&self, year: u16) -> bool {
        allows(&self.year, i64::from(year))
    }

    pub(crate) fn allow_grade(&self, grade: Grade) -> bool {
        allows(&self.grade, i64::from(grade.0))
    }

    pub(crate) fn allow_race(&self, race: u8) -> bool {
        allows(&self.race, i64::from(race))
    }

    pub(crate) fn allow_sex(&self, sex: u8) -> bool {
        allows(&self.sex, i64::from(sex))
    }

    /// Checks whether a filter could exclude schools.
    pub(crate) fn restrict_schools(&self) -> bool {
        [&self.ncessch, &self.ncessch_num, &self.leaid, &self.fips].into_iter().any(Option::is_some)
    }

    pub(crate) fn allow_school(&self, school: &School) -> bool {
        let id = school.id as i64;
        allows(&self.ncessch, id)
            && allows(&self.ncessch_num, id)
            && allows(&self.leaid, school.district() as i64)
            && allows(&self.fips, school.fips() as i64)
    }
}

fn allows(values: &Option<Vec<i64>>, value: i64) -> bool {
    values.as_ref().is_none_or(|values| values.contains(&value))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => into.push(char::from(byte)),
            b' ' => into.push('+'),
            _ => {
                // Writing to a `String` does not fail.
                let _ = write!(into, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_their_names_in_alphabetical_order() {
        let cases = [
            ("sex=1&race=3", 2, "?page=2&race=3&sex=1"),
            ("page=3&fips=1", 2, "?fips=1&page=2"),
            ("page=2", 1, ""),
            ("fips=17%2C55&a=b+c", 2, "?a=b+c&fips=17%2C55&page=2"),
        ];
        for (text, page, link) in cases {
            assert_eq!(Query::parse(text).with_page(page), link, "{text}");
        }
    }

    #[test]
    fn a_page_is_a_positive_number() {
        for (text, page) in [("", Some(1)), ("page=7", Some(7)), ("page=0", None), ("page=x", None), ("page=-1", None)]
        {
            assert_eq!(Query::parse(text).page(), page, "{text}");
        }
    }

    #[test]
    fn a_comma_means_or_and_a_word_matches_nothing() {
        let filters = Filters::from_query(&Query::parse("sex=1,2&race=white&enrollment=5"));
        assert!(filters.allow_sex(2) && !filters.allow_sex(99));
        assert!(!filters.allow_race(1));
        assert!(!filters.restrict_schools());
    }
}
