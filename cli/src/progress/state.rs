//! What is known of a run while it fetches, as numbers. Times are given by the caller.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rollcall_adapters::http_portal::NextTry;
use rollcall_core::cost::{Lengths, n_requests};
use rollcall_core::partition::PartitionKey;

use crate::progress::retry::Retry;

/// Time over which the rate is measured.
const RATE_OVER: Duration = Duration::from_secs(30);
/// Shortest time between two samples of the rate.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// Share of the requests from which on the time left is estimated, and their least number.
const MIN_SHARE: f64 = 0.05;
const MIN_RECEIVED: u64 = 8;

/// A run while it fetches.
#[derive(Debug, Default)]
pub(crate) struct RunState {
    n_planned: usize,
    n_done: usize,
    n_failed: usize,
    n_rows: u64,
    size_bytes: u64,
    /// Responses with a page.
    n_received: u64,
    /// Pages that the lake had kept, which are not requested.
    n_kept: u64,
    /// Responses and kept pages of the partitions that are done.
    n_arrived_of_done: u64,
    /// The partitions that have not started.
    waiting: BTreeSet<PartitionKey>,
    /// How many pages partitions have, or had in an earlier run.
    lengths: Lengths,
    open: BTreeMap<PartitionKey, OpenPartition>,
    /// Responses at points in time, the oldest first.
    samples: VecDeque<(Duration, u64)>,
}

/// A partition that is being fetched.
#[derive(Debug, Default)]
pub(super) struct OpenPartition {
    /// Pages, as far as they are known from page 1 or an earlier run.
    pub(super) n_pages: Option<u32>,
    /// Requests that it will probably take.
    n_requests: f64,
    /// Responses with a page.
    pub(super) n_received: u32,
    /// Pages that the lake had kept.
    n_kept: u32,
    /// Whether its page 1 has arrived.
    is_known: bool,
    pub(super) retry: Option<Retry>,
    /// The attempt at the whole partition, if it is not the first: `attempt 2 of 3`.
    pub(super) attempt: Option<String>,
}

impl OpenPartition {
    /// Returns the number of pages that need not be requested any more.
    pub(super) fn n_arrived(&self) -> u64 {
        u64::from(self.n_received) + u64::from(self.n_kept)
    }
}

impl RunState {
    /// Creates the state before anything is fetched.
    ///
    /// - `lengths`: what is known from earlier runs.
    pub(crate) fn new(planned: impl IntoIterator<Item = PartitionKey>, lengths: Lengths) -> Self {
        let waiting: BTreeSet<PartitionKey> = planned.into_iter().collect();
        Self { n_planned: waiting.len(), waiting, lengths, samples: [(Duration::ZERO, 0)].into(), ..Self::default() }
    }

    /// A partition is fetched from now on.
    pub(crate) fn start(&mut self, partition: &PartitionKey) {
        self.waiting.remove(partition);
        let length = self.lengths.of(partition);
        let n_pages = length.is_known().then(|| length.n_whole());
        let n_requests = length.n_requests();
        self.open.insert(partition.clone(), OpenPartition { n_pages, n_requests, ..OpenPartition::default() });
    }

    /// Page 1 says how many pages there are.
    pub(crate) fn pages_known(&mut self, partition: &PartitionKey, n_pages: u32) {
        self.lengths.learn(partition, n_pages);
        if let Some(open) = self.open.get_mut(partition) {
            open.n_pages = Some(n_pages);
            open.n_requests = n_requests(n_pages) as f64;
            // Another attempt begins again with this page.
            if std::mem::replace(&mut open.is_known, true) {
                self.n_received -= u64::from(open.n_received.saturating_sub(1));
                open.n_received = open.n_received.min(1);
                self.n_kept -= u64::from(std::mem::take(&mut open.n_kept));
            }
        }
    }

    /// A page arrived.
    pub(crate) fn received(&mut self, partition: &PartitionKey, size_bytes: usize, now: Duration) {
        self.n_received += 1;
        self.size_bytes += size_bytes as u64;
        if let Some(open) = self.open.get_mut(partition) {
            open.n_received += 1;
            open.retry = None;
        }
        let last = self.samples.back().map_or(Duration::ZERO, |(at, _)| *at);
        if now.saturating_sub(last) >= SAMPLE_EVERY {
            self.samples.push_back((now, self.n_received));
        }
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= RATE_OVER) {
            self.samples.pop_front();
        }
    }

    /// A page is not requested, because the lake has kept it. It counts for how far the run is, but not for its pace.
    pub(crate) fn skipped(&mut self, partition: &PartitionKey) {
        if let Some(open) = self.open.get_mut(partition) {
            open.n_kept += 1;
            self.n_kept += 1;
        }
    }

    /// A request failed and is made again at a time.
    pub(crate) fn retrying(&mut self, partition: &PartitionKey, next: NextTry<'_>, at: Duration) {
        if let Some(open) = self.open.get_mut(partition) {
            let retry = Retry::new(next, at);
            if retry.is_attempt() {
                open.attempt = Some(retry.place());
            }
            open.retry = Some(retry);
        }
    }

    /// A partition is done.
    ///
    /// - `n_rows`: its rows; `None` if it failed.
    pub(crate) fn end(&mut self, partition: &PartitionKey, n_rows: Option<u64>) {
        self.n_arrived_of_done += self.open.remove(partition).map_or(0, |open| open.n_arrived());
        self.n_done += 1;
        match n_rows {
            Some(n_rows) => self.n_rows += n_rows,
            None => self.n_failed += 1,
        }
    }

    /// Returns a picture of the state.
    pub(super) fn at(&self, now: Duration) -> Picture<'_> {
        let n_expected = self.n_expected();
        let n_arrived = (self.n_received + self.n_kept) as f64;
        let share = if n_expected > 0.0 { (n_arrived / n_expected).min(1.0) } else { 1.0 };
        let rate = self.rate(now);
        let means_something = share >= MIN_SHARE && self.n_received >= MIN_RECEIVED && rate > 0.0;
        let left = means_something.then(|| (n_expected - n_arrived).max(0.0) / rate);
        let retries = self.open.values().filter_map(|open| open.retry.as_ref());
        let wait = retries.map(|retry| retry.wait(now)).max().unwrap_or_default();
        let mut open: Vec<(&PartitionKey, &OpenPartition)> = self.open.iter().collect();
        // Those that wait are why a run is slow.
        open.sort_by_key(|(_, open)| open.retry.is_none());
        Picture {
            n_planned: self.n_planned,
            n_done: self.n_done,
            n_failed: self.n_failed,
            n_retrying: self.open.values().filter(|open| open.retry.is_some()).count(),
            n_rows: self.n_rows,
            size_bytes: self.size_bytes,
            share,
            rate,
            left: left.map(|left| Duration::from_secs_f64(left).max(wait)),
            wait,
            open,
            now,
        }
    }

    /// Returns the number of responses that the whole run will take, as far as it can be known.
    fn n_expected(&self) -> f64 {
        let waiting = self.waiting.iter().map(|partition| self.lengths.of(partition)).map(|length| length.n_requests());
        let open = self.open.values().map(|open| open.n_requests);
        self.n_arrived_of_done as f64 + waiting.chain(open).sum::<f64>()
    }

    /// Returns the number of responses a second, over the last half minute.
    fn rate(&self, now: Duration) -> f64 {
        let Some((since, n_before)) = self.samples.front() else { return 0.0 };
        let seconds = now.saturating_sub(*since).as_secs_f64();
        if seconds > 0.0 { self.n_received.saturating_sub(*n_before) as f64 / seconds } else { 0.0 }
    }
}

/// The state at a point in time.
#[derive(Debug)]
pub(super) struct Picture<'s> {
    pub(super) n_planned: usize,
    pub(super) n_done: usize,
    pub(super) n_failed: usize,
    pub(super) n_retrying: usize,
    /// Rows of the partitions that are done.
    pub(super) n_rows: u64,
    /// Size of the pages that arrived.
    pub(super) size_bytes: u64,
    /// Share of the responses that arrived, from 0 to 1.
    pub(super) share: f64,
    /// Pages a second.
    pub(super) rate: f64,
    /// Time left, if an estimate means something; not less than `wait`.
    pub(super) left: Option<Duration>,
    /// Longest wait before a retry.
    pub(super) wait: Duration,
    /// Partitions that are being fetched, those that wait first.
    pub(super) open: Vec<(&'s PartitionKey, &'s OpenPartition)>,
    pub(super) now: Duration,
}

#[cfg(test)]
mod tests {
    use rollcall_adapters::http_portal::Retried;

    use super::*;
    use rollcall_core::partition::AxisValue;

    fn partition(i: i32) -> PartitionKey {
        PartitionKey::new(vec![("year".to_owned(), AxisValue::Int(i))])
    }

    /// A run of partitions of unequal length, eight requests at once, each of which takes its own time. Returns the estimated
    /// and the true time left at a quarter of the requests.
    fn estimate(seed: u64, are_lengths_known: bool) -> (f64, f64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let n_pages: Vec<u32> =
            (0..120).map(|_| if random.u8(..10) == 0 { random.u32(5..40) } else { random.u32(1..4) }).collect();
        let mut lengths = Lengths::default();
        if are_lengths_known {
            n_pages.iter().zip(0..).for_each(|(n, i)| lengths.learn(&partition(i), *n));
        }
        let mut state = RunState::new((0..120).map(partition), lengths);
        let n_all: u64 = n_pages.iter().map(|n| n_requests(*n)).sum();
        let (mut now, mut estimated_at, mut estimated) = (Duration::ZERO, Duration::ZERO, None);
        // Requests in flight: when each ends, and its partition.
        let mut in_flight: Vec<(Duration, i32)> = Vec::new();
        let mut left: BTreeMap<i32, u64> = BTreeMap::new();
        let (mut next, mut n_received) = (0, 0);
        loop {
            while in_flight.len() < 8 {
                let of_open = left.iter().find(|(i, n_left)| {
                    let in_flight = in_flight.iter().filter(|(_, of)| of == *i).count() as u64;
                    // Until page 1 has arrived, nothing else is requested.
                    **n_left > in_flight && state.open.get(&partition(**i)).is_some_and(|it| it.n_received > 0)
                });
                let i = match of_open {
                    Some((i, _)) => *i,
                    None if next < 120 => {
                        left.insert(next, n_requests(n_pages[next as usize]));
                        state.start(&partition(next));
                        next += 1;
                        next - 1
                    }
                    None => break,
                };
                in_flight.push((now + Duration::from_millis(random.u64(100..900)), i));
            }
            let Some(first) = (0..in_flight.len()).min_by_key(|i| in_flight[*i].0) else { break };
            let (at, i) = in_flight.swap_remove(first);
            now = at;
            n_received += 1;
            state.received(&partition(i), 300_000, now);
            if state.open[&partition(i)].n_received == 1 {
                state.pages_known(&partition(i), n_pages[i as usize]);
            }
            let n_left = left.get_mut(&i).unwrap();
            *n_left -= 1;
            if *n_left == 0 {
                left.remove(&i);
                state.end(&partition(i), Some(1));
            }
            if estimated.is_none() && n_received * 4 >= n_all {
                (estimated, estimated_at) = (state.at(now).left, now);
            }
        }
        assert_eq!(state.at(now).share, 1.0);
        (estimated.expect("a quarter means something").as_secs_f64(), (now - estimated_at).as_secs_f64())
    }

    #[test]
    fn the_time_left_is_right_once_lengths_are_known() {
        for seed in 0..50 {
            let (estimated, truth) = estimate(seed, true);
            assert!(
                (estimated / truth - 1.0).abs() < 0.3,
                "seed {seed}: {estimated:.0} s estimated, {truth:.0} s in truth"
            );
        }
        // Otherwise the other partitions are taken to be like those seen so far.
        let right = (0..50).filter(|seed| {
            let (estimated, truth) = estimate(*seed, false);
            (estimated / truth - 1.0).abs() < 0.5
        });
        assert!(right.count() >= 40);
    }

    #[test]
    fn kept_pages_count_as_done_but_not_for_the_pace() {
        let mut state = RunState::new([partition(1)], Lengths::default());
        state.start(&partition(1));
        state.received(&partition(1), 1, Duration::from_secs(1));
        state.pages_known(&partition(1), 39);
        (0..29).for_each(|_| state.skipped(&partition(1)));
        let picture = state.at(Duration::from_secs(1));
        assert_eq!((picture.share, picture.rate), (0.75, 1.0));
        (0..9).for_each(|_| state.received(&partition(1), 1, Duration::from_secs(10)));
        assert_eq!(state.at(Duration::from_secs(10)).left, Some(Duration::from_secs(1)));
        // Another attempt begins again with page 1, and reads them again.
        state.received(&partition(1), 1, Duration::from_secs(11));
        state.pages_known(&partition(1), 39);
        assert_eq!(state.at(Duration::from_secs(11)).share, 0.025);
        state.end(&partition(1), Some(1));
        assert_eq!(state.at(Duration::from_secs(11)).share, 1.0);
    }

    #[test]
    fn the_time_left_is_at_least_the_longest_wait() {
        let mut state = RunState::new((0..10).map(partition), Lengths::default());
        let next =
            NextTry { what: Retried::Request, reason: "HTTP 503", wait: Duration::from_secs(30), number: 2, limit: 4 };
        state.start(&partition(9));
        state.retrying(&partition(9), next, Duration::from_secs(30));
        let picture = state.at(Duration::from_secs(4));
        assert_eq!((picture.left, picture.wait), (None, Duration::from_secs(26)));
        for i in 0..9 {
            state.start(&partition(i));
            state.received(&partition(i), 1, Duration::from_secs(5));
            state.end(&partition(i), Some(1));
        }
        // The other pages took half a second each, so that one more would.
        assert_eq!(state.at(Duration::from_secs(5)).left, Some(Duration::from_secs(25)));
        assert_eq!(state.at(Duration::from_secs(29)).left, Some(Duration::from_secs_f64(29.0 / 9.0)));
    }

    #[test]
    fn no_time_left_is_shown_before_it_means_something() {
        let mut state = RunState::new((0..100).map(partition), Lengths::default());
        for i in 0..7 {
            state.start(&partition(i));
            state.received(&partition(i), 1, Duration::from_secs(u64::try_from(i).unwrap()));
            state.end(&partition(i), Some(1));
        }
        assert_eq!(state.at(Duration::from_secs(7)).left, None);
        state.start(&partition(7));
        state.received(&partition(7), 1, Duration::from_secs(7));
        state.end(&partition(7), None);
        let picture = state.at(Duration::from_secs(8));
        assert_eq!((picture.n_done, picture.n_failed, picture.n_rows, picture.size_bytes), (8, 1, 7, 8));
        assert_eq!(picture.left, Some(Duration::from_secs(92)));
    }
}
