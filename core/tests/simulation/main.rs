//! A seeded simulation: overlapping runs against a changing source, while everything outside core fails.
//!
//! The seed decides everything: what the source holds and when it changes, which runs there are and when they start,
//! which requests fail before or after their effect, which tasks die, which are given up on and continue late, and the
//! order of all effects. There are no threads and only a simulated clock, so a seed always does the same thing. After
//! every step an auditor (`audit.rs`) compares objects, receipts, records and catalog with what the portal served. At
//! the end of each seed the faults stop, one run with force repairs everything, and one more run finds nothing to do.
//!
//! - `cargo test -p rollcall-core --test simulation` simulates the first 2,000 seeds.
//! - `ROLLCALL_SEEDS=100000` simulates that many; `make simulate` does so in a release build.
//! - `ROLLCALL_SEED=17` simulates only that seed and prints every event (with `-- --nocapture`).
//! - `make planted` plants fourteen bugs in a copy of core; the simulation must find each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod audit;
mod catalog;
mod mishaps;
mod portal;
mod runs;
mod schedule;
mod seed;
mod source;
mod store;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::seed::{Common, Simulated};

/// Number of seeds in a plain `cargo test`.
const SEEDS: u64 = 2_000;
/// Number of trace lines that a failure prints.
const LAST_LINES: usize = 60;

/// Events that must occur in at least one seed, so that the simulation keeps covering them.
const MUST_HAPPEN: [&str; 67] = [
    "a fetch that was given up ended",
    "catalog: error after the effect",
    "catalog: error before the effect",
    "catalog: partial change",
    "fetch: BadBody",
    "fetch: CountMismatch",
    "fetch: DeadlineExceeded",
    "fetch: DuplicateKey",
    "fetch: Interrupted",
    "fetch: PortalRefused",
    "fetch: PortalUnavailable",
    "fetch: ShrankTooMuch",
    "fetch: StoreFailed",
    "fetch: UntrustedNext",
    "fetch: WriteConflict",
    "fetch: WrongPartition",
    "fetch: empty",
    "fetch: rewritten",
    "fetch: superseded",
    "fetch: unchanged",
    "fetch: unfinished",
    "fetch: written",
    "fetching stopped early",
    "lake of the previous layout",
    "object copied before it is replaced",
    "object corrupted by hand",
    "object deleted by hand",
    "object removed",
    "own write found after a lost response",
    "page 1 changed while other pages were read",
    "partition continued from a kept page",
    "partition not tried",
    "portal: bad body",
    "portal: count changed",
    "portal: count off",
    "portal: deadline",
    "portal: first page of another version",
    "portal: interrupted",
    "portal: lost row",
    "portal: next elsewhere",
    "portal: no response",
    "portal: page of another version",
    "portal: refused",
    "portal: repeated row",
    "portal: unavailable",
    "portal: wrong axis",
    "receipt deleted that replaced the summarized one",
    "response of a step lost",
    "rows of several versions that page 1 did not show",
    "run interrupted",
    "run killed",
    "run published again",
    "run published",
    "source changed between two pages",
    "stale partition planned",
    "stale writer",
    "store: condition lost to own write",
    "store: condition lost",
    "store: conflict",
    "store: deletion fails",
    "store: error after the effect",
    "store: ledger condition lost",
    "store: ledger write fails",
    "store: partial deletion",
    "store: read fails",
    "store: write fails before its effect",
    "write landed after its sender died",
];

/// Reads a number from the environment.
fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found `{text}`")))
}

/// Simulates a seed. A violation or a panic fails the test and prints the end of its trace.
fn check(common: &Common, seed: u64) -> Simulated {
    let again = format!(
        "rerun with: ROLLCALL_SEED={seed} cargo test -p rollcall-core --test simulation -- --nocapture every_promise"
    );
    let simulated = catch_unwind(AssertUnwindSafe(|| common.simulate(seed)))
        .unwrap_or_else(|_| panic!("seed {seed} panicked\n{again}"));
    if simulated.violation.is_some() {
        let reported = simulated.to_string();
        let lines: Vec<&str> = reported.lines().collect();
        panic!("\n{}\n{again}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"));
    }
    simulated
}

#[test]
fn every_promise_holds_under_faults_and_every_fault_occurs() {
    let common = Common::new();
    if let Some(seed) = from_env("ROLLCALL_SEED") {
        let simulated = common.simulate(seed);
        println!("{simulated}");
        assert!(simulated.violation.is_none(), "seed {seed} violates a promise");
        return;
    }
    let n_seeds = from_env("ROLLCALL_SEEDS").unwrap_or(SEEDS);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..n_seeds {
        for (what, n) in check(&common, seed).counts {
            *counts.entry(what).or_default() += n;
        }
    }
    println!("{n_seeds} seeds");
    counts.iter().for_each(|(what, n)| println!("{n:>9} {what}"));
    let never: Vec<&str> = MUST_HAPPEN.into_iter().filter(|what| !counts.contains_key(*what)).collect();
    assert!(never.is_empty() || n_seeds < SEEDS, "events that never occurred: {never:?}");
}

#[test]
fn a_seed_always_does_the_same() {
    for seed in [1, 17, 171] {
        // The second run finds every object in the decoder's cache, which must make no difference.
        let common = Common::new();
        let (first, second) = (check(&common, seed), check(&common, seed));
        assert_eq!(first.hash(), second.hash());
        assert_eq!(first.to_string(), second.to_string());
    }
    assert_ne!(check(&Common::new(), 1).hash(), check(&Common::new(), 2).hash());
}
