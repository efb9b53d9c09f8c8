//! How many requests partitions take, and how long these take together.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Returns the requests of a partition: if it has several pages, page 1 is requested again after the last one.
#[must_use]
pub fn n_requests(n_pages: u32) -> u64 {
    u64::from(n_pages) + u64::from(n_pages > 1)
}

/// Returns how long partitions take if each request takes `latency`.
///
/// A partition first requests page 1, then all other pages side by side, then page 1 again. Partitions start in order, as
/// soon as those before them leave a request unused.
///
/// - `n_pages`: pages of each partition, in the order of the plan.
/// - `in_flight`: requests at once, of all partitions.
#[must_use]
pub fn estimate_time(n_pages: &[u32], in_flight: usize, latency: Duration) -> Duration {
    // When each of the places for requests is free, in requests one after another.
    let mut places: BinaryHeap<Reverse<u64>> = (0..in_flight.max(1)).map(|_| Reverse(0)).collect();
    // What can be sent: from when on, of which partition, and in which stage: page 1, the others, page 1 again.
    let mut ready: BinaryHeap<Reverse<(u64, usize, u8)>> =
        n_pages.iter().enumerate().map(|(i, _)| Reverse((0, i, 0))).collect();
    let mut end = 0;
    while let Some(Reverse((from, partition, stage))) = ready.pop() {
        let n_pages = n_pages.get(partition).copied().unwrap_or(1);
        let n_side_by_side = if stage == 1 { n_pages.saturating_sub(1) } else { 1 };
        let mut done = from;
        for _ in 0..n_side_by_side {
            let Some(Reverse(free)) = places.pop() else { break };
            let at = free.max(from) + 1;
            places.push(Reverse(at));
            done = done.max(at);
        }
        end = end.max(done);
        if n_pages > 1 && stage < 2 {
            ready.push(Reverse((done, partition, stage + 1)));
        }
    }
    latency.saturating_mul(u32::try_from(end).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_rounds_of_requests() {
        let rounds = |n_pages: &[u32], in_flight| estimate_time(n_pages, in_flight, Duration::from_secs(1)).as_secs();
        assert_eq!(rounds(&[], 8), 0);
        assert_eq!(rounds(&[1], 8), 1);
        assert_eq!(rounds(&[1; 16], 8), 2);
        // Page 1, the others, and page 1 again.
        assert_eq!(rounds(&[2], 8), 3);
        assert_eq!(rounds(&[9], 8), 3);
        assert_eq!(rounds(&[10], 8), 4);
        assert_eq!(rounds(&[5], 1), 6);
        // 663 partitions of one page, of which every third has two: as good as full.
        let n_pages: Vec<u32> = (0..663).map(|i| if i % 3 == 0 { 2 } else { 1 }).collect();
        let n_all: u64 = n_pages.iter().map(|n| n_requests(*n)).sum();
        let found = rounds(&n_pages, 8);
        assert!((n_all.div_ceil(8)..n_all.div_ceil(8) + 4).contains(&found), "{n_all} in {found}");
    }
}
