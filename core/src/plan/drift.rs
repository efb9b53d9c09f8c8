//! Warns before a run if the portal says something else about a dataset's rows than its descriptor.

use crate::dataset::Dataset;
use crate::drift::{Change, drift_of_rows};
use crate::error::chain;
use crate::metadata::{Endpoint, fetch_columns};
use crate::ports::portal::Portal;

/// Maximum number of changes in one warning.
const MAX_NAMED: usize = 5;

/// Returns a warning if the portal's list of columns has changed since the descriptor was written, or cannot be read.
/// Costs one request.
///
/// Returns `None` for a source that has no such list.
pub(super) async fn drift_warning(portal: &impl Portal, dataset: &Dataset, endpoint: &Endpoint) -> Option<String> {
    let name = &dataset.name;
    let columns = match fetch_columns(portal, endpoint.id).await {
        Ok(columns) => columns,
        Err(error) if error.is_no_such_list() => return None,
        Err(error) => {
            return Some(format!("columns of `{name}` were not checked against the portal's list: {}", chain(&error)));
        }
    };
    let changes = drift_of_rows(dataset, endpoint, &columns);
    let mut named: Vec<String> = changes.iter().take(MAX_NAMED).map(Change::to_string).collect();
    if let Some(n_more @ 1..) = changes.len().checked_sub(MAX_NAMED) {
        named.push(format!("and {n_more} more"));
    }
    (!named.is_empty()).then(|| {
        format!(
            "the descriptor of `{name}` differs from the portal's list of its columns: {}; `rollcall datasets drift` says \
             more",
            named.join(", ")
        )
    })
}
