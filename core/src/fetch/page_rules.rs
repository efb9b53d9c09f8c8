//! What every page of a partition must agree with, as page 1 says.

use crate::error::Error;
use crate::error::found::CountFound;
use crate::fetch::links::Links;
use crate::page::Page;

/// What every page of a partition must agree with, as page 1 says.
pub(super) struct PageRules<'r> {
    pub(super) links: Links<'r>,
    /// Number of rows of the partition.
    pub(super) count: u64,
    /// Number of rows of every page but the last.
    pub(super) page_length: u64,
    pub(super) n_pages: u32,
}

impl<'r> PageRules<'r> {
    /// Derives the rules from page 1. Returns `None` if the portal has no rows.
    ///
    /// # Errors
    /// [`Error::CountMismatch`], or [`Error::UntrustedNext`] for an empty partition with another page.
    pub(super) fn from_first(links: Links<'r>, first: &Page) -> Result<Option<Self>, Error> {
        let (count, page_length) = (first.count, first.batch.num_rows() as u64);
        if count == 0 && page_length == 0 {
            links.check(1, first.next.as_deref(), true, 1)?;
            return Ok(None);
        }
        let n_pages = count.checked_div(page_length).and_then(|_| u32::try_from(count.div_ceil(page_length)).ok());
        match n_pages.filter(|_| page_length <= count) {
            Some(n_pages) => Ok(Some(Self { links, count, page_length, n_pages })),
            None => Err(Error::CountMismatch {
                partition: links.partition.clone(),
                expected: count,
                found: CountFound::Received(page_length),
            }),
        }
    }

    /// Checks `count`, `next` and the number of rows of page `page`.
    ///
    /// # Errors
    /// [`Error::CountMismatch`], [`Error::UntrustedNext`].
    pub(super) fn check(&self, page: u32, decoded: &Page) -> Result<(), Error> {
        if decoded.count != self.count {
            return Err(self.mismatch(CountFound::OnPage { page, count: decoded.count }));
        }
        let n_rows = decoded.batch.num_rows() as u64;
        let n_earlier = u64::from(page - 1) * self.page_length;
        let n_due = self.page_length.min(self.count.saturating_sub(n_earlier));
        if decoded.next.is_none() && page < self.n_pages {
            return Err(self.mismatch(CountFound::Received(n_earlier + n_rows)));
        }
        self.links.check(page, decoded.next.as_deref(), page == self.n_pages, self.n_pages)?;
        if n_rows != n_due {
            return Err(self.mismatch(if page == self.n_pages {
                CountFound::Received(n_earlier + n_rows)
            } else {
                CountFound::PageLength { page, n_rows, expected: n_due }
            }));
        }
        Ok(())
    }

    /// Returns the error for rows that do not agree with `count`.
    pub(super) fn mismatch(&self, found: CountFound) -> Error {
        Error::CountMismatch { partition: self.links.partition.clone(), expected: self.count, found }
    }
}
