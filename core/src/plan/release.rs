//! Which release of its data the portal serves.

use crate::plan::portal_list::{PortalList, text};
use crate::ports::portal::Portal;

/// Path of the portal's list of releases below its API root.
const CHANGES_PATH: &str = "api-changes/";

/// Most characters of a release's name. What is longer is none, and would go into each record.
const MOST_VERSION_CHARS: usize = 64;

/// The portal's newest release, such as `0.26.1`: history is revised between releases, so runs note it.
///
/// `None` where the list cannot be read; nothing depends on it. An entry without a date and a name of at most 64 printable
/// characters is passed over.
pub(super) async fn newest_release(portal: &impl Portal) -> Option<String> {
    let changes = PortalList::get(portal, CHANGES_PATH, 1).await.ok()?;
    // The list is not sorted, and its dates are month/day/year.
    let dated = changes.entries().filter_map(|change| {
        let date = text(&change, "release_date")?;
        let mut parts = date.split('/').map(|part| part.trim().parse::<u32>().ok());
        let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
        Some(((year, month, day), text(&change, "version").filter(|version| is_version(version))?))
    });
    dated.max().map(|(_, version)| version)
}

fn is_version(text: &str) -> bool {
    let n_chars = text.chars().count();
    (1..=MOST_VERSION_CHARS).contains(&n_chars) && !text.chars().any(char::is_control)
}
