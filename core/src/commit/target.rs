//! What a commit is about.

use crate::dataset::Dataset;
use crate::partition::PartitionKey;

/// A partition to commit.
#[derive(Debug)]
pub(crate) struct Target<'t, S> {
    pub(crate) store: &'t S,
    pub(crate) dataset: &'t Dataset,
    pub(crate) partition: &'t PartitionKey,
    /// Whether it may replace a fuller one.
    pub(crate) force: bool,
    /// Whether there is memory to compare it with the object that it replaces.
    pub(crate) compares: bool,
}
