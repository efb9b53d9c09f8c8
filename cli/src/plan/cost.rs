//! What a planned run is expected to cost, on this machine and on AWS.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rollcall_core::cost::{self, Basis, Length, Metered, aws};
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ledger::{self, Summary};
use rollcall_core::ports::Store;
use serde::Serialize;

use crate::words::{counted, dollars, duration, size};

/// Maximum number of runs that are looked at for what requests have cost.
const MAX_RUNS: usize = 5;

/// The expected cost of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PlanCost {
    /// Pages, those of partitions of unknown length included.
    pub(super) n_pages: u64,
    /// Requests for pages. Planning takes about three more.
    pub(super) n_requests: u64,
    /// Partitions of unknown length.
    pub(super) n_estimated: usize,
    /// Their number by what their length is based on.
    estimated: BTreeMap<Basis, usize>,
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
        lengths: &[Length],
        measured: Option<Metered>,
        (in_flight, in_flight_on_aws): (usize, u32),
    ) -> Self {
        let n_pages: Vec<u32> = lengths.iter().map(Length::n_whole).collect();
        let n_requests = lengths.iter().map(Length::n_requests).sum::<f64>();
        let mut estimated = BTreeMap::new();
        for length in lengths.iter().filter(|length| !length.is_known()) {
            *estimated.entry(length.basis).or_insert(0) += 1;
        }
        let latency = measured.and_then(|cost| cost.latency());
        let aws = latency.map(|latency| AwsCost {
            usd: aws::Usage::of_plan(&n_pages, in_flight_on_aws, latency).usd(),
            seconds: aws::estimate_time(&n_pages, in_flight_on_aws, latency).as_secs_f64(),
            prices: &aws::PRICES.date,
        });
        Self {
            n_pages: lengths.iter().map(|length| length.n_pages).sum::<f64>().round() as u64,
            n_requests: n_requests.round() as u64,
            n_estimated: estimated.values().sum(),
            estimated,
            received_bytes: measured.and_then(|cost| received_bytes(n_requests, cost)),
            request_seconds: latency.map(|latency| latency.as_secs_f64()),
            in_flight,
            seconds: latency.map(|latency| cost::estimate_time(&n_pages, in_flight, latency).as_secs_f64()),
            aws,
        }
    }

    /// Returns the cost of runs one after the other; `None` if there is nothing to fetch. What is not known of one of them is
    /// not known of all.
    pub(super) fn sum<'c>(costs: impl Iterator<Item = &'c Self>) -> Option<Self> {
        costs.filter(|cost| cost.n_requests > 0).cloned().reduce(|sum, cost| {
            let mut estimated = sum.estimated;
            cost.estimated.into_iter().for_each(|(basis, n)| *estimated.entry(basis).or_insert(0) += n);
            let (n_before, n_requests) = (sum.n_requests as f64, cost.n_requests as f64);
            let mean = |(one, other)| (one * n_before + other * n_requests) / (n_before + n_requests);
            Self {
                n_pages: sum.n_pages + cost.n_pages,
                n_requests: sum.n_requests + cost.n_requests,
                n_estimated: sum.n_estimated + cost.n_estimated,
                estimated,
                received_bytes: sum.received_bytes.zip(cost.received_bytes).map(|(one, other)| one + other),
                request_seconds: sum.request_seconds.zip(cost.request_seconds).map(mean),
                in_flight: sum.in_flight.max(cost.in_flight),
                seconds: sum.seconds.zip(cost.seconds).map(|(one, other)| one + other),
                aws: sum.aws.zip(cost.aws).map(|(one, other)| AwsCost {
                    usd: one.usd + other.usd,
                    seconds: one.seconds + other.seconds,
                    prices: one.prices,
                }),
            }
        })
    }

    /// Returns the number of pages, and what it is based on.
    pub(super) fn pages(&self) -> String {
        let pages = counted(self.n_pages, "page");
        if self.n_estimated == 0 {
            return pages;
        }
        let by: Vec<String> = self.estimated.iter().map(|(basis, n)| format!("{n} {}", in_words(*basis))).collect();
        format!("about {pages}; ~ is an estimate: {}", by.join(", "))
    }

    /// Returns the time on this machine for a table; `?` if it is not known.
    pub(super) fn time_cell(&self) -> String {
        let time = self.seconds.map(|seconds| duration(Duration::from_secs_f64(seconds)));
        time.unwrap_or_else(|| "?".to_owned())
    }

    /// Returns the dollars on AWS for a table; `?` if they are not known.
    pub(super) fn dollars_cell(&self) -> String {
        self.aws.as_ref().map_or_else(|| "?".to_owned(), |aws| format!("{:.2}", aws.usd))
    }

    /// Returns the cost as one or two lines.
    pub(super) fn describe(&self) -> String {
        let about = if self.n_estimated > 0 { "about " } else { "" };
        let mut text = format!("here: {about}{}", counted(self.n_requests, "request"));
        if let Some(bytes) = self.received_bytes {
            text.push_str(&format!(", {}", size(bytes)));
        }
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

/// Returns what the length of partitions is based on, after their number.
fn in_words(basis: Basis) -> &'static str {
    match basis {
        Basis::Known => "known",
        Basis::OtherYears => "by other years",
        Basis::Dataset => "by the mean in the lake",
        Basis::Scale => "by the estimate for the whole portal",
        Basis::Nothing => "taken as one page",
    }
}

/// Formats an expected time.
fn time(seconds: f64) -> String {
    match Duration::from_secs_f64(seconds) {
        time if time < Duration::from_secs(1) => "less than 1 s".to_owned(),
        time => format!("about {}", duration(time)),
    }
}

/// Formats the time of a request: `0.2 s`, `12 ms`.
fn latency_in_words(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

/// Returns the size of so many responses, if they are like those of the last run.
fn received_bytes(n_requests: f64, cost: Metered) -> Option<u64> {
    (cost.received_bytes > 0).then(|| (n_requests * cost.received_bytes as f64 / cost.n_received as f64) as u64)
}

/// Returns what the requests of the last run have cost that measured it, and when it ended.
pub(super) async fn last_cost(store: &impl Store, dataset: &Dataset) -> anyhow::Result<Option<(Timestamp, Metered)>> {
    let mut measured: Vec<Summary> = Vec::new();
    for run in ledger::run_names(store, dataset).await?.iter().rev().take(MAX_RUNS) {
        let summary: Option<Summary> = ledger::read_json(store, &keys::summary(dataset, run)).await?;
        measured.extend(summary.filter(|summary| summary.cost.n_received > 0 && summary.n_rows > 0));
    }
    let last = measured.into_iter().max_by_key(|summary| summary.finished_at);
    Ok(last.map(|summary| (summary.finished_at, summary.cost)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Length = Length { n_pages: 2.0, basis: Basis::Known };
    const ESTIMATED: Length = Length { n_pages: 2.4, basis: Basis::OtherYears };

    #[test]
    fn a_cost_follows_from_pages_and_from_what_the_last_run_measured() {
        let measured = Metered { n_requests: 12, n_received: 10, received_bytes: 4_000_000, received_ms: 2_000 };
        let cost = PlanCost::new(&[KNOWN, KNOWN, ESTIMATED], Some(measured), (8, 2));
        assert_eq!((cost.n_requests, cost.n_estimated, cost.received_bytes), (9, 1, Some(3_760_000)));
        // Page 1, the other page, and page 1 again, of three partitions side by side.
        assert_eq!(cost.seconds, Some(0.6));
        assert_eq!(cost.pages(), "about 6 pages; ~ is an estimate: 1 by other years");
        assert_eq!(
            cost.describe(),
            "here: about 9 requests, 3.8 MB, less than 1 s with 8 in flight and 0.2 s a request, as in the last run\n\
             on AWS: less than 0.01 USD in about 3 s, with the template's defaults and prices of 2026-11-23\n"
        );
        let unmeasured = PlanCost::new(&[KNOWN, KNOWN], None, (8, 2));
        assert_eq!(unmeasured.pages(), "4 pages");
        assert_eq!(unmeasured.describe(), "here: 6 requests; no run has measured yet how long one takes\n");
        assert_eq!(PlanCost::new(&[], None, (8, 2)).n_requests, 0);
    }

    #[test]
    fn runs_one_after_the_other_cost_their_sum() {
        let measured = |received_ms| Metered { n_requests: 1, n_received: 1, received_bytes: 1_000, received_ms };
        let fast = PlanCost::new(&[KNOWN], Some(measured(1_000)), (8, 2));
        let slow = PlanCost::new(&[KNOWN, ESTIMATED], Some(measured(4_000)), (4, 2));
        let nothing = PlanCost::new(&[], None, (8, 2));
        let sum = PlanCost::sum([&fast, &nothing, &slow].into_iter()).unwrap();
        assert_eq!((sum.n_pages, sum.n_requests, sum.n_estimated), (6, 9, 1));
        assert_eq!((sum.seconds, sum.request_seconds, sum.received_bytes), (Some(15.0), Some(3.0), Some(9_400)));
        let unknown = PlanCost::new(&[KNOWN], None, (8, 2));
        let sum = PlanCost::sum([&fast, &unknown].into_iter()).unwrap();
        assert_eq!((sum.n_requests, sum.seconds, sum.aws), (6, None, None));
        assert_eq!(PlanCost::sum([&nothing].into_iter()), None);
    }
}
