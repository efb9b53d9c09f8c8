//! `rollcall status` for several datasets: one line for each that the lake holds.

use std::collections::BTreeMap;

use rollcall_adapters::SystemClock;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{Outcome, read_current, stale_partitions};
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::output::{self, Format};
use crate::table;
use crate::words::{self, age, counted, thousands};

/// The state of one dataset, in numbers.
#[derive(Serialize)]
struct DatasetStatus<'d> {
    dataset: &'d str,
    is_sample: bool,
    n_committed: u64,
    n_rows: u64,
    size_bytes: u64,
    /// Time of the oldest page of the newest object; `null` if there is none.
    newest: Option<jiff::Timestamp>,
    /// Number of partitions by the outcome of their last attempt.
    last_outcomes: BTreeMap<Outcome, usize>,
    n_stale: usize,
    n_strays: usize,
    n_unreadable: usize,
}

/// Prints the state of each dataset of which the lake has partitions.
pub(super) async fn show_several(
    store: &impl Store,
    lake: &str,
    datasets: &[Dataset],
    is_sample: bool,
    format: Format,
) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for dataset in datasets {
        all.extend(status_of(store, dataset, is_sample).await?);
    }
    if format == Format::Json {
        return output::print_json(&all);
    }
    if all.is_empty() {
        output::print(&format!("{}: nothing fetched yet into `{lake}`\n", counted(datasets.len() as u64, "dataset")))?;
        return Ok(());
    }
    let now = SystemClock.now();
    let mut table = table::table(&["dataset", "partitions", "rows", "size", "newest", "to look at"]);
    for status in &all {
        table.add_row([
            status.dataset.to_owned(),
            thousands(status.n_committed),
            thousands(status.n_rows),
            words::size(status.size_bytes),
            status.newest.map_or_else(|| "-".to_owned(), |newest| age(newest, now)),
            status.to_look_at(),
        ]);
    }
    table::align_right(&mut table, &[1, 2, 3, 4]);
    let total = |count: fn(&DatasetStatus<'_>) -> u64| all.iter().map(count).sum::<u64>();
    let mut text = table::render(&table);
    text.push_str(&format!(
        "{}: {} committed, {}, {}\n",
        counted(all.len() as u64, "dataset"),
        counted(total(|status| status.n_committed), "partition"),
        counted(total(|status| status.n_rows), "row"),
        words::size(total(|status| status.size_bytes))
    ));
    output::print_long(&text)?;
    Ok(())
}

/// Returns the state of a dataset, or `None` if the lake has nothing of it.
async fn status_of<'d>(
    store: &impl Store,
    dataset: &'d Dataset,
    is_sample: bool,
) -> anyhow::Result<Option<DatasetStatus<'d>>> {
    let (records, survey) = read_current(store, dataset).await?;
    if records.is_empty() && survey.strays.is_empty() {
        return Ok(None);
    }
    let committed = || records.values().filter_map(|record| record.committed.as_ref());
    let mut last_outcomes = BTreeMap::new();
    for attempt in records.values().filter_map(|record| record.last_attempt.as_ref()) {
        *last_outcomes.entry(attempt.outcome).or_insert(0) += 1;
    }
    Ok(Some(DatasetStatus {
        dataset: &dataset.name,
        is_sample,
        n_committed: committed().count() as u64,
        n_rows: committed().map(|committed| committed.n_rows).sum(),
        size_bytes: committed().map(|committed| committed.size_bytes).sum(),
        newest: committed().map(|committed| committed.fetched_at).max(),
        last_outcomes,
        n_stale: stale_partitions(&records, dataset).len(),
        n_strays: survey.strays.len(),
        n_unreadable: survey.unreadable().len(),
    }))
}

impl DatasetStatus<'_> {
    /// Returns what needs attention: `3 failed, 1 stale`.
    fn to_look_at(&self) -> String {
        let open = self.last_outcomes.iter().filter(|(outcome, _)| outcome.is_open());
        let open = open.map(|(outcome, n)| (*n, outcome.as_str()));
        let others = [(self.n_stale, "stale"), (self.n_strays, "stray"), (self.n_unreadable, "unreadable")];
        let counts = open.chain(others).filter(|(n, _)| *n > 0);
        counts.map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
    }
}
