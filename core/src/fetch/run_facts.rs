//! Facts about a run that apply to all its partitions.

use jiff::SignedDuration;

/// Facts about the run that apply to all its partitions.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Run name.
    pub run: String,
    /// Portal release that the run reads, if known.
    pub portal_release: Option<String>,
    /// Whether a partition may replace a fuller one.
    pub force: bool,
    /// Maximum number of requests in flight, at least 1.
    pub in_flight: usize,
    /// Which pages are kept until their partition is committed.
    pub keep: Keep,
    /// Maximum memory in bytes of one partition with one of its pages, even if its descriptor allows the partition
    /// more; `None` for no such maximum.
    pub max_partition_bytes: Option<usize>,
}

/// Pages fetched at once for each request in flight: one being transferred, one being decoded.
const PAGES_PER_REQUEST: usize = 2;

impl RunFacts {
    /// Returns the maximum number of pages of one partition that are fetched at once, if there is memory for them. With
    /// more pages than requests, requests stay in flight while received pages are decoded.
    pub(crate) fn pages_at_once(&self) -> usize {
        PAGES_PER_REQUEST * self.in_flight.max(1)
    }

    /// Returns the maximum number of pages of one partition that are requested but not kept yet: half as many again as
    /// requests in flight, so that requests stay in flight while received pages are compressed and written.
    pub(crate) fn pages_to_keep_at_once(&self) -> usize {
        let in_flight = self.in_flight.max(1);
        in_flight + in_flight.div_ceil(2)
    }
}

/// Which pages a run keeps in the lake, so that an unfinished partition continues where it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Minimum number of pages of a partition whose pages are kept. Fetching fewer again costs less than keeping them.
    pub from_pages: u32,
    /// Minimum time for a partition's pages if they were requested one after another, each as slow as page 1. Pages are
    /// also kept once a fetch has taken that long.
    pub from_duration: SignedDuration,
    /// Whether the pages of every partition are kept, and stay after the commit.
    pub after_commit: bool,
    /// Whether this process is the whole run, and the only one on its lake: it counts its fetches itself, and
    /// everything that other runs kept belongs to runs that are over.
    pub is_only_run: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self { from_pages: 16, from_duration: SignedDuration::from_secs(1), after_commit: false, is_only_run: false }
    }
}
