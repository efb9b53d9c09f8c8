//! What a planned run is expected to cost, on this machine and on AWS.

use std::time::Duration;

use rollcall_core::cost::{self, Metered, aws, n_requests};
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ledger::{self, Summary};
use rollcall_core::ports::Store;
use serde::Serialize;

use crate::words::{counted, dollars, duration, size};

/// Maximum number of runs that are looked at for what requests have cost.
const MAX_RUNS: usize = 5;

/// A partition of the plan, as far as its size is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Pages when it was last committed.
    pub(super) n_pages: Option<u32>,
    /// Rows that are committed.
    pub(super) n_rows: Option<u64>,
}

/// The expected cost of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PlanCost {
    /// Requests for pages. Planning takes about three more.
    n_requests: u64,
    /// Partitions of unknown size, which are taken to be like the others.
    n_estimated: usize,
    /// Size of all pages, decompressed; `null` if no run has measured it.
    received_bytes: Option<u64>,
    /// Time of a request in the last run that measured it; `null` if none has.
    request_seconds: Option<f64>,
    /// Requests at once.
    in_flight: usize,
    /// Time of the run on this machine; `null` if no run has measured that of a request.
    seconds: Option<f64>,
    /// `null` if no run has measured the time of a request.
    aws: Option<AwsCost>,
}

/// The expected cost of a run on AWS, with the template's defaults.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct AwsCost {
    usd: f64,
    seconds: f64,
    /// Date of the prices.
    prices: &'static str,
}

impl PlanCost {
    /// Estimates the cost of fetching partitions.
    ///
    /// - `measured`: from [`last_cost`].
    /// - `in_flight`: requests at once, of all partitions here, and of one on AWS.
    pub(super) fn new(
        partitions: &[Known],
        measured: Option<(Metered, u64)>,
        (in_flight, in_flight_on_aws): (usize, u32),
    ) -> Self {
        let known: Vec<u32> = partitions.iter().filter_map(|partition| partition.n_pages).collect();
        let n_known: u64 = known.iter().copied().map(u64::from).sum();
        let mean =
            n_known.checked_div(known.len() as u64).map_or(1, |mean| u32::try_from(mean).unwrap_or(u32::MAX)).max(1);
        let n_pages: Vec<u32> = partitions.iter().map(|partition| partition.n_pages.unwrap_or(mean)).collect();
        let latency = measured.and_then(|(cost, _)| cost.latency());
        let aws = latency.map(|latency| AwsCost {
            usd: aws::Usage::of_plan(&n_pages, in_flight_on_aws, latency).usd(),
            seconds: aws::estimate_time(&n_pages, in_flight_on_aws, latency).as_secs_f64(),
            prices: &aws::PRICES.date,
        });
        Self {
            n_requests: n_pages.iter().copied().map(n_requests).sum(),
            n_estimated: partitions.len() - known.len(),
            received_bytes: measured.and_then(|measured| received_bytes(partitions, measured)),
            request_seconds: latency.map(|latency| latency.as_secs_f64()),
            in_flight,
            seconds: latency.map(|latency| cost::estimate_time(&n_pages, in_flight, latency).as_secs_f64()),
            aws,
        }
    }

    /// Returns the cost as one or two lines.
    pub(super) fn describe(&self) -> String {
        let about = if self.n_estimated > 0 { "about " } else { "" };
        let mut text = format!("here: {about}{}", counted(self.n_requests, "request"));
        if let Some(bytes) = self.received_bytes {
            text.push_str(&format!(", {}", size(bytes)));
        }
        let time = |seconds: f64| match Duration::from_secs_f64(seconds) {
            time if time < Duration::from_secs(1) => "less than 1 s".to_owned(),
            time => format!("about {}", duration(time)),
        };
        match (self.seconds, self.request_seconds) {
            (Some(seconds), Some(request_seconds)) => text.push_str(&format!(
                ", {} with {} in flight and {} a request, as in the last run\n",
                time(seconds),
                self.in_flight,
                latency_in_words(request_seconds)
            )),
            _ => text.push_str("; no run has measured yet how long one takes\n"),
        }
        if let Some(AwsCost { usd, seconds, prices }) = &self.aws {
            text.push_str(&format!(
                "on AWS: {} in {}, with the template's defaults and prices of {prices}\n",
                dollars(*usd),
                time(*seconds)
            ));
        }
        text
    }
}

/// Formats the time of a request: `0.2 s`, `12 ms`.
fn latency_in_words(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

/// Returns the size of all pages, by the rows of the partitions and the bytes of a row in the last run.
fn received_bytes(partitions: &[Known], (cost, n_rows): (Metered, u64)) -> Option<u64> {
    let known: Vec<u64> = partitions.iter().filter_map(|partition| partition.n_rows).collect();
    if known.is_empty() || n_rows == 0 {
        return None;
    }
    let mean = known.iter().sum::<u64>() as f64 / known.len() as f64;
    Some((mean * partitions.len() as f64 * cost.received_bytes as f64 / n_rows as f64) as u64)
}

/// Returns what the requests of the last run have cost that measured it, and its rows.
pub(super) async fn last_cost(store: &impl Store, dataset: &Dataset) -> anyhow::Result<Option<(Metered, u64)>> {
    let mut measured: Vec<Summary> = Vec::new();
    for run in ledger::run_names(store, dataset).await?.iter().rev().take(MAX_RUNS) {
        let summary: Option<Summary> = ledger::read_json(store, &keys::summary(dataset, run)).await?;
        measured.extend(summary.filter(|summary| summary.cost.n_received > 0 && summary.n_rows > 0));
    }
    let last = measured.into_iter().max_by_key(|summary| summary.finished_at);
    Ok(last.map(|summary| (summary.cost, summary.n_rows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_follows_from_pages_and_from_what_the_last_run_measured() {
        let known = |n_pages, n_rows| Known { n_pages, n_rows };
        let partitions = [known(Some(2), Some(15_000)), known(Some(2), Some(11_000)), known(None, None)];
        let measured = Metered { n_requests: 12, n_received: 10, received_bytes: 4_000_000, received_ms: 2_000 };
        let cost = PlanCost::new(&partitions, Some((measured, 20_000)), (8, 2));
        assert_eq!((cost.n_requests, cost.n_estimated, cost.received_bytes), (9, 1, Some(7_800_000)));
        // Page 1, the other page, and page 1 again, of three partitions side by side.
        assert_eq!(cost.seconds, Some(0.6));
        assert_eq!(
            cost.describe(),
            "here: about 9 requests, 7.8 MB, less than 1 s with 8 in flight and 0.2 s a request, as in the last run\n\
             on AWS: less than 0.01 USD in about 2 s, with the template's defaults and prices of 2026-11-23\n"
        );
        let unmeasured = PlanCost::new(&partitions[..2], None, (8, 2));
        assert_eq!(unmeasured.describe(), "here: 6 requests; no run has measured yet how long one takes\n");
        assert_eq!(PlanCost::new(&[], None, (8, 2)).n_requests, 0);
    }
}
