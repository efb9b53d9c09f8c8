//! Renders one page of a partition: the envelope, its links and its rows.

use std::io::Write as _;
use std::ops::Range;

use crate::directory::Directory;
use crate::enrollment::axes::Axes;
use crate::json::string_or_null;
use crate::page_source::PageSource;
use crate::query::{Filters, Query};
use crate::route::Partition;
use crate::summary::Summary;

/// Approximate sizes of rows, to allocate the body at once.
const ENROLLMENT_ROW_BYTES: u64 = 140;
const DIRECTORY_ROW_BYTES: u64 = 1_160;
const SUMMARY_ROW_BYTES: u64 = 48;

/// Returns the body of one page; `None` if the partition has no such page.
///
/// Page 1 exists even if the partition is empty, as in Django's paginator.
///
/// - `url`: absolute URL of the partition, without a query.
pub(crate) fn render(source: &PageSource<'_>, partition: &Partition, url: &str, query: &Query) -> Option<Vec<u8>> {
    let filters = Filters::from_query(query);
    let write = |n_rows: u64, row_bytes: u64, push_rows: &dyn Fn(Range<u64>, &mut Vec<u8>)| {
        Some(PageRange::new(query, n_rows, source.page_size)?.write(url, query, row_bytes, push_rows))
    };
    match partition {
        &Partition::Enrollment { year, grade, by_race, by_sex } => {
            let rows = source.enrollment(Axes { year, grade, by_race, by_sex }, &filters);
            write(rows.n_rows(), ENROLLMENT_ROW_BYTES, &|range, into| rows.push_rows(range, into))
        }
        Partition::Directory { year } => {
            let rows = Directory::select(source.sample, *year, &filters, source.rows_per_partition);
            write(rows.n_rows(), DIRECTORY_ROW_BYTES, &|range, into| rows.push_rows(range, into))
        }
        Partition::Described { dataset, codes } => {
            let rows = source.described(dataset, codes, query);
            write(rows.n_rows(), rows.row_bytes(), &|range, into| rows.push_rows(range, into))
        }
        Partition::Summary { districts } => {
            let rows = Summary::select(source, districts.as_deref(), query);
            write(rows.n_rows(), SUMMARY_ROW_BYTES, &|range, into| rows.push_rows(range, into))
        }
    }
}

/// The range of rows on a page.
struct PageRange {
    number: u64,
    first: u64,
    end: u64,
    n_rows: u64,
}

impl PageRange {
    fn new(query: &Query, n_rows: u64, page_size: u64) -> Option<PageRange> {
        let number = query.page()?;
        let first = (number - 1).checked_mul(page_size)?;
        let exists = number == 1 || first < n_rows;
        exists.then(|| PageRange { number, first, end: n_rows.min(first + page_size), n_rows })
    }

    fn write(&self, url: &str, query: &Query, row_bytes: u64, push_rows: &dyn Fn(Range<u64>, &mut Vec<u8>)) -> Vec<u8> {
        let link = |page: u64| format!("{url}{}", query.with_page(page));
        let next = (self.end < self.n_rows).then(|| link(self.number + 1));
        let previous = (self.number > 1).then(|| link(self.number - 1));
        let mut body = Vec::with_capacity(((self.end - self.first) * row_bytes + 400) as usize);
        // Writing to a `Vec` does not fail.
        let _ = write!(
            body,
            "{{\"count\":{},\"next\":{},\"previous\":{},\"results\":[",
            self.n_rows,
            string_or_null(next.as_deref()),
            string_or_null(previous.as_deref()),
        );
        push_rows(self.first..self.end, &mut body);
        body.extend_from_slice(b"]}");
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_pages_follows_from_the_rows() {
        let exists =
            |page: u64, n_rows| PageRange::new(&Query::parse(&format!("page={page}")), n_rows, 10_000).is_some();
        for (n_rows, n_pages) in [(0, 1), (1, 1), (10_000, 1), (10_001, 2), (20_000, 2)] {
            assert!(exists(n_pages, n_rows) && !exists(n_pages + 1, n_rows), "{n_rows}");
        }
        assert!(!exists(u64::MAX, 5));
    }
}
