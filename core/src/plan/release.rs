//! Finds out which release of its data the portal serves.

use crate::metadata::list::{PortalList, text};
use crate::ports::portal::Portal;

/// Path of the portal's list of releases, relative to its API root.
pub const CHANGES_PATH: &str = "api-changes/";

/// Maximum length of a release name. A longer text is not a release, and would be stored in every record.
const MAX_VERSION_CHARS: usize = 64;

/// Returns the portal's latest release, such as `0.26.1`. Runs record it, because releases revise past years.
///
/// Returns `None` if the list cannot be read, since nothing depends on it. Skips entries without a date or without a name
/// of 1 to 64 printable characters.
pub(super) async fn newest_release(portal: &impl Portal) -> Option<String> {
    let changes = PortalList::get(portal, CHANGES_PATH, 1).await.ok()?;
    // The list is not sorted. Its dates have the form month/day/year.
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
    (1..=MAX_VERSION_CHARS).contains(&n_chars) && !text.chars().any(char::is_control)
}
