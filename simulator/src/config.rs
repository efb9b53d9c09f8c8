//! The configuration of the simulator.

use std::path::PathBuf;
use std::time::Duration;

use crate::fault::Fault;

/// Configuration of a simulator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Rows per page. Clients cannot change it.
    pub page_size: usize,
    /// Delay before each page of data. Metadata is not delayed.
    pub latency: Duration,
    /// Rows in each enrollment partition, which then has numbered schools. `None` for the rows of the sample.
    pub rows: Option<u64>,
    /// Rows in each partition of every dataset. `None` for the sample's enrollment and directory, and 300 rows in each
    /// partition of the other datasets.
    pub rows_per_partition: Option<u64>,
    /// Descriptors of further datasets, as TOML. One with the path of a built-in dataset replaces it.
    pub descriptors: Vec<String>,
    /// Whether bodies are compressed for clients that accept gzip.
    pub gzip: bool,
    /// Fault rules.
    pub faults: Vec<Fault>,
    /// Folder of recorded bodies to serve instead of the sample.
    pub recorded: Option<PathBuf>,
    /// Approximate number of schools in the sample, which has at least one in each state. The state totals for 2021
    /// grade-pk do not depend on it.
    pub n_schools: usize,
    /// Names of further releases of the portal, each a week newer than the one before it. The first is a week newer than
    /// the latest built-in one.
    pub releases: Vec<String>,
}

impl Default for Config {
    /// The page size of the portal, no delay, no faults, and a quarter as many schools as in the US.
    fn default() -> Config {
        Config {
            page_size: 10_000,
            latency: Duration::ZERO,
            rows: None,
            rows_per_partition: None,
            descriptors: Vec::new(),
            gzip: true,
            faults: Vec::new(),
            recorded: None,
            n_schools: 24_000,
            releases: Vec::new(),
        }
    }
}
