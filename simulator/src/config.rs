//! What the simulator serves.

use std::path::PathBuf;
use std::time::Duration;

use crate::fault::Fault;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Rows a page. The portal's clients cannot change it.
    pub page_size: usize,
    /// Waiting time before each data page; metadata comes at once.
    pub latency: Duration,
    /// Rows of every enrollment partition, of numbered schools; as many as the sample has without it.
    pub rows: Option<u64>,
    /// Whether a client that accepts gzip gets it.
    pub gzip: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Folder of recorded bodies, served in place of the sample.
    pub recorded: Option<PathBuf>,
    /// Schools of the sample, at least one in each state. The state totals of 2021 grade-pk do not depend on it.
    pub n_schools: usize,
}

impl Default for Config {
    /// The portal's page size, no waiting, no faults, and a quarter of the country's schools.
    fn default() -> Config {
        Config {
            page_size: 10_000,
            latency: Duration::ZERO,
            rows: None,
            gzip: true,
            faults: Vec::new(),
            recorded: None,
            n_schools: 24_000,
        }
    }
}
