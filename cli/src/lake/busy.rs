//! Whether a run goes on in a lake, for commands that find nothing in it yet.

use rollcall_adapters::folder::{FolderStore, LockingProcess};

use crate::lake;

/// Returns a line that says that a process writes to the lake.
pub(crate) fn note(holder: &LockingProcess) -> String {
    format!("a run is in progress (pid {}); what it has committed can be queried once it has registered it", holder.id)
}

/// Returns the same line if a run goes on in a lake that has no tables yet.
pub(crate) async fn note_of_first_run(store: &FolderStore) -> Option<String> {
    let holder = store.lock_holder().await?;
    // An unreadable catalog is reported by the command that needs it.
    let tables = lake::catalog(store).tables().await.ok()?;
    tables.is_empty().then(|| note(&holder))
}
