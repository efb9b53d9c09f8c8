//! A lake in a folder: the same tree as in a bucket, in ordinary files.
//!
//! A data object is written to a temporary file outside the tree, flushed, and renamed into place. A reader therefore
//! sees either the old file or the new one, and a reader that has the old file open keeps it. The file's modification
//! time records when its last page was received, because the file's bytes must not contain a time.

mod calls;
mod copy;
mod facts;
mod file;
mod held;
mod listing;
mod lock;
mod lock_state;
mod mark;
mod objects;
mod paths;
mod store;

pub use crate::folder::lock::LakeLock;
pub use crate::folder::lock_state::{LockState, LockingProcess};
pub use crate::folder::mark::FolderState;
pub use crate::folder::store::FolderStore;
