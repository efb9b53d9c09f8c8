//! Checks every page's `next`.

use url::Url;

use crate::error::Error;
use crate::partition::PartitionKey;
use crate::text::excerpt;

/// Checks every page's `next`. Pages are asked for by number; the link must say the same, and is never followed.
pub(crate) struct Links<'l> {
    pub(crate) root: &'l Url,
    pub(crate) path: &'l str,
    pub(crate) partition: &'l PartitionKey,
}

impl Links<'_> {
    pub(crate) fn check(&self, page: u32, next: Option<&str>, is_last: bool, n_pages: u32) -> Result<(), Error> {
        let Some(next) = next else { return Ok(()) };
        let refuse = |expected: String| {
            Err(Error::UntrustedNext { partition: self.partition.clone(), page, expected, found: excerpt(next) })
        };
        if is_last {
            let pages = if n_pages == 1 { "page" } else { "pages" };
            return refuse(format!("none after the last of {n_pages} {pages}"));
        }
        let Ok(mut due) = self.root.join(self.path) else {
            return refuse(format!("a link below `{}`", self.root));
        };
        due.query_pairs_mut().append_pair("page", &(page + 1).to_string());
        // Compared as parsed, so that spellings of the same URL are equal and nothing else is.
        match Url::parse(next) {
            Ok(found) if found == due => Ok(()),
            _ => refuse(format!("`{due}`")),
        }
    }
}
