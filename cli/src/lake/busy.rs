//! Whether another command writes to a lake, for commands that find nothing in it yet.

use rollcall_adapters::folder::{FolderStore, LockState};

use crate::lake;
use crate::output::print_note;

/// Returns a line that says that another command holds the lake's lock; `None` if none is known to.
pub(crate) fn in_words(lock: LockState) -> Option<String> {
    let process = match lock {
        LockState::HeldBy(holder) => format!(" (pid {})", holder.id),
        LockState::Held => String::new(),
        LockState::Free | LockState::Unknown => return None,
    };
    Some(format!(
        "another command is using the lake{process}; if it is a run, what it has committed can be queried once it has \
         registered it"
    ))
}

/// Says so if the lake has no tables yet.
pub(crate) async fn note_first_run(store: &FolderStore) {
    let Some(note) = in_words(store.lock_state().await) else { return };
    // An unreadable catalog is reported by the command that needs it.
    if lake::catalog(store).tables().await.is_ok_and(|tables| tables.is_empty()) {
        print_note(&note);
    }
}
