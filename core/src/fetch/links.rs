//! Checks the `next` link of every page.

use url::Url;

use crate::error::Error;
use crate::partition::PartitionKey;
use crate::text::excerpt;

/// Checks the `next` link of every page. Pages are requested by number. The link must match the next page, but is never
/// followed.
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
            return refuse(match n_pages {
                1 => "null on the only page".to_owned(),
                _ => format!("null on the last of {n_pages} pages"),
            });
        }
        let Ok(mut due) = self.root.join(self.path) else {
            return refuse(format!("a link below `{}`", self.root));
        };
        due.query_pairs_mut().append_pair("page", &(page + 1).to_string());
        // Parsed URLs are compared, so that different spellings of one URL are equal, but different URLs are not.
        match Url::parse(next) {
            Ok(found) if found == due => Ok(()),
            _ => refuse(format!("`{due}`")),
        }
    }
}
