//! A lake in a folder: the same tree as in a bucket, readable as it is.
//!
//! A data object is written beside the tree, flushed, and renamed into place, so that a reader sees the old file or the
//! new one and an open reader keeps the old. Its modification time is when its last page was received, since the file's
//! own bytes may not hold a time.

mod calls;
mod facts;
mod file;
mod held;
mod listing;
mod lock;
mod mark;
mod objects;
mod paths;
mod store;

pub use crate::folder::lock::LakeLock;
pub use crate::folder::mark::Found;
pub use crate::folder::store::FolderStore;
