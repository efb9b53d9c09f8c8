//! Limits that the user sets to the time and memory of a query.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;

use crate::words::size;

/// Limits of a query; without them it takes what it needs.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Limits {
    /// End a query that has not finished after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
    /// Memory for sorting, grouping and joining, such as 500MB or 2GB; what exceeds it goes to temporary files where
    /// possible
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<u64>,
}

impl Limits {
    fn memory(self) -> Option<usize> {
        self.memory_limit.and_then(|limit| usize::try_from(limit).ok())
    }

    /// Returns the resources of a query. What sorts, groups and joins shares the memory equally.
    pub(super) fn environment(self) -> Result<Arc<RuntimeEnv>, DataFusionError> {
        let builder = RuntimeEnvBuilder::new();
        let pool = self.memory().map(|limit| Arc::new(FairSpillPool::new(limit)));
        pool.map_or(builder.clone(), |pool| builder.with_memory_pool(pool)).build_arc()
    }

    /// Sets how much each thread keeps back for writing temporary files, which the engine takes from the limit: a quarter
    /// of it in all, at most what the engine takes without a limit.
    pub(super) fn configure(self, config: &mut SessionConfig) {
        let n_threads = config.target_partitions().max(1);
        let reserved = &mut config.options_mut().execution.sort_spill_reservation_bytes;
        *reserved = self.memory().map_or(*reserved, |limit| (limit / 4 / n_threads).min(*reserved));
    }

    /// Awaits a query for the time it may take.
    ///
    /// # Errors
    /// Fails if it takes longer.
    pub(super) async fn within_time<T>(self, query: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let Some(seconds) = self.timeout else { return query.await };
        match tokio::time::timeout(Duration::from_secs(seconds), query).await {
            Ok(result) => result,
            Err(_) => {
                let error = format!("run query: expected it to finish within {seconds} s, found it still running");
                anyhow::bail!("{error}\nhint: raise --timeout, or let it read fewer partitions")
            }
        }
    }

    /// Returns the error for a query that needs more memory than it may have.
    pub(super) fn memory_exceeded(self) -> anyhow::Error {
        let limit = self.memory_limit.map_or_else(|| "what there is".to_owned(), size);
        anyhow::anyhow!(
            "run query: expected it to need at most {limit} of memory, found that it needs more\nhint: raise --memory-limit, \
             or let it read fewer partitions or columns"
        )
    }
}

/// Parses a size in bytes, such as `500MB`.
fn parse_size(text: &str) -> Result<u64, String> {
    /// Below this the engine cannot work at all.
    const MIN: u64 = 10_000_000;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "kb" | "k" => 1_000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        _ => return Err("expected a number with its unit, such as 500MB or 2GB".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.filter(|bytes| *bytes >= MIN).ok_or_else(|| "expected at least 10MB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!(parse_size("500MB"), Ok(500_000_000));
        assert_eq!(parse_size("2 gb"), Ok(2_000_000_000));
        assert_eq!(parse_size("10000k"), Ok(10_000_000));
        for wrong in ["500", "", "MB", "5TB", "-1GB", "1.5GB", "10KB", "99999999999999999999GB", "0GB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
