//! Dollars and time on AWS, by the template's settings and list prices.

use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;

use crate::dataset::Dataset;
use crate::ledger::receipt::Receipt;

/// List prices in USD: `infra/prices.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// When they were read.
    pub date: String,
    gb_second: f64,
    million_calls: f64,
    thousand_transitions: f64,
    thousand_puts: f64,
    thousand_gets: f64,
    #[expect(dead_code, reason = "only docs/scale.py computes storage")]
    gb_month: f64,
    log_gb: f64,
}

/// The prices in `infra/prices.toml`.
///
/// # Panics
/// Never: a test reads them.
#[expect(clippy::expect_used, reason = "the file is compiled in, and a test reads it")]
pub static PRICES: LazyLock<Prices> =
    LazyLock::new(|| toml::from_str(include_str!("../../../infra/prices.toml")).expect("the file is valid"));

// Settings of `infra/template.yaml` that costs depend on.

/// Default of `FetchMB`: memory of page-fetch in MB.
pub const PAGE_FETCH_MB: u32 = 256;
/// Default of `MapConcurrency`: partitions at once.
pub const MAP_CONCURRENCY: u32 = 2;
/// Default of `RequestsInFlight`: requests of a partition at once.
pub const IN_FLIGHT: u32 = 8;
/// Seconds after which page-fetch is stopped, and called again for the rest of a large partition.
pub const CALL_S: u32 = 840;

/// Returns the requests of a partition at once on AWS: as many as the dataset says, or the template's default.
#[must_use]
pub fn in_flight(dataset: &Dataset) -> u32 {
    dataset.in_flight.map_or(IN_FLIGHT, u32::from)
}

/// Seconds of a call beside its requests.
const CALL_OVERHEAD: Duration = Duration::from_secs(1);
/// GB-seconds of the planner and the catalog function in a run.
const OTHER_GB_SECONDS: f64 = 10.0 * 0.25 + 60.0 * 0.5;
/// Pages from which on they are kept until the commit.
const KEPT_FROM: u32 = 16;
/// Bytes of log of a partition.
const LOG_BYTES: f64 = 10_000.0;

/// What a run uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    n_partitions: u64,
    /// Time of page-fetch, all calls together.
    fetch_seconds: f64,
    /// Calls of page-fetch.
    n_calls: u64,
    n_kept_pages: u64,
}

impl Usage {
    /// Returns what partitions would use if each request takes `latency`.
    ///
    /// - `n_pages`: pages of each partition.
    /// - `in_flight`: requests of a partition at once, [`in_flight`].
    #[must_use]
    pub fn of_plan(n_pages: &[u32], in_flight: u32, latency: Duration) -> Self {
        let seconds = |n_pages: u32| (latency * round_trips(n_pages, in_flight) + CALL_OVERHEAD).as_secs_f64();
        Self::of(n_pages.iter().map(|n_pages| (*n_pages, seconds(*n_pages))))
    }

    /// Returns what a run used.
    #[must_use]
    pub fn of_receipts(receipts: &[Receipt]) -> Self {
        let seconds = |receipt: &Receipt| receipt.finished_at.duration_since(receipt.started_at).as_secs_f64().max(0.0);
        Self::of(receipts.iter().map(|receipt| (receipt.n_pages, seconds(receipt) + CALL_OVERHEAD.as_secs_f64())))
    }

    fn of(partitions: impl Iterator<Item = (u32, f64)>) -> Self {
        partitions.fold(Self::default(), |sum, (n_pages, seconds)| Self {
            n_partitions: sum.n_partitions + 1,
            fetch_seconds: sum.fetch_seconds + seconds,
            n_calls: sum.n_calls + 1 + (seconds / f64::from(CALL_S)) as u64,
            n_kept_pages: sum.n_kept_pages + if n_pages >= KEPT_FROM { u64::from(n_pages) } else { 0 },
        })
    }

    /// Returns the price in USD.
    #[must_use]
    pub fn usd(&self) -> f64 {
        if self.n_partitions == 0 {
            return 0.0;
        }
        let (prices, n_partitions) = (&*PRICES, self.n_partitions as f64);
        let gb_seconds = self.fetch_seconds * f64::from(PAGE_FETCH_MB) / 1024.0 + OTHER_GB_SECONDS;
        let n_further = (self.n_calls - self.n_partitions) as f64;
        // The object and the receipt; kept pages; plan, descriptor, schema, records, summary and two listings.
        let n_puts = 2.0 * n_partitions + self.n_kept_pages as f64 + 7.0;
        // Before and after the commit, and the receipt.
        let n_gets = 3.0 * n_partitions + 10.0;
        gb_seconds * prices.gb_second
            + (self.n_calls as f64 + 2.0) * prices.million_calls / 1e6
            + (9.0 + 4.0 * n_partitions + 3.0 * n_further) * prices.thousand_transitions / 1e3
            + n_puts * prices.thousand_puts / 1e3
            + n_gets * prices.thousand_gets / 1e3
            + n_partitions * LOG_BYTES / 1e9 * prices.log_gb
    }
}

/// Returns how long a run of partitions would take if each request takes `latency`: its partitions side by side, or as
/// long as its largest one.
#[must_use]
pub fn estimate_time(n_pages: &[u32], in_flight: u32, latency: Duration) -> Duration {
    let longest = n_pages.iter().map(|n_pages| round_trips(*n_pages, in_flight)).max().unwrap_or_default();
    let seconds = Usage::of_plan(n_pages, in_flight, latency).fetch_seconds / f64::from(MAP_CONCURRENCY);
    Duration::from_secs_f64(seconds).max(latency * longest)
}

/// Returns how many times a partition waits for the portal: for page 1, the others, then page 1 again.
fn round_trips(n_pages: u32, in_flight: u32) -> u32 {
    if n_pages <= 1 { 1 } else { 2 + (n_pages - 1).div_ceil(in_flight.max(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_those_of_the_template() {
        let template = include_str!("../../../infra/template.yaml");
        let number = |before: &str, after: &str| -> u32 {
            let found = template.split_once(before).and_then(|(_, rest)| rest.split_once(after));
            let digits: String = found.unwrap().1.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        };
        assert_eq!(number("  MapConcurrency: {", "Default: "), MAP_CONCURRENCY);
        assert_eq!(number("  RequestsInFlight: {", "Default: "), IN_FLIGHT);
        assert_eq!(number("  FetchMB: {", "Default: "), PAGE_FETCH_MB);
        assert_eq!(number("  PageFetchFunction:", "Timeout: "), CALL_S);
    }

    #[test]
    fn a_run_costs_what_the_price_list_says() {
        assert_eq!(PRICES.date.len(), 10);
        assert_eq!(Usage::default().usd(), 0.0);
        // Two partitions of one page at 5 s: 12 s of page-fetch with 0.25 GB, 4 calls, 17 transitions, 11 PUT, 16 GET.
        let two = Usage::of_plan(&[1, 1], 2, Duration::from_secs(5));
        let expected = (12.0 * 0.25 + 32.5) * 0.000_016_666_7
            + 4.0 * 0.2e-6
            + 17.0 * 0.025e-3
            + 11.0 * 0.005e-3
            + 16.0 * 0.4e-6
            + 1e-5;
        assert!((two.usd() - expected).abs() < 1e-9, "{} {expected}", two.usd());
        // Ten pages with two in flight are seven round trips.
        assert_eq!(estimate_time(&[10], 2, Duration::from_secs(5)), Duration::from_secs(35));
        assert_eq!(estimate_time(&[10; 8], 2, Duration::from_secs(5)), Duration::from_secs(144));
    }
}
