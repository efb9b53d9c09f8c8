//! Reads from the lake what the report shows of each dataset.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use rollcall_core::dataset::Dataset;
use rollcall_core::figures::{FigureColumns, Figures};
use rollcall_core::keys;
use rollcall_core::ledger::{Records, Summary, Survey, read_current, read_runs, stale_partitions};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::Store;

use crate::bars::BARS;
use crate::cite::{Citation, cite};
use crate::output;

/// What the lake has of a dataset.
pub(super) struct DatasetFound<'d> {
    pub(super) dataset: &'d Dataset,
    pub(super) records: Records,
    pub(super) survey: Survey,
    pub(super) stale: Vec<PartitionKey>,
    /// Summaries of its runs, the latest first.
    pub(super) runs: Vec<Summary>,
    /// Runs without a summary: in progress, or killed.
    pub(super) unfinished: Vec<String>,
    /// `None` if there is no data.
    pub(super) citation: Option<Citation>,
    pub(super) columns: Arc<FigureColumns>,
    /// `None` if the charts are left out.
    pub(super) figures: Option<BTreeMap<PartitionKey, Figures>>,
    /// Partitions that the charts lack, with the error.
    pub(super) unread: Vec<(PartitionKey, String)>,
}

/// Reads the datasets of which the lake has something; the first one if it has nothing of any.
pub(super) async fn read_lake<'d>(
    store: &(impl Store + Clone + 'static),
    datasets: &'d [Dataset],
    has_charts: bool,
) -> anyhow::Result<Vec<DatasetFound<'d>>> {
    let mut found = Vec::new();
    for dataset in datasets {
        found.extend(read_ledger(store, dataset).await?);
    }
    if found.is_empty() {
        let default = datasets.iter().find(|dataset| dataset.name == rollcall_core::request::DEFAULT_DATASET);
        found.extend(default.or(datasets.first()).map(nothing_of));
    }
    if has_charts {
        read_data(store, &mut found).await;
    }
    Ok(found)
}

fn nothing_of(dataset: &Dataset) -> DatasetFound<'_> {
    DatasetFound {
        dataset,
        records: Records::new(),
        survey: Survey::default(),
        stale: Vec::new(),
        runs: Vec::new(),
        unfinished: Vec::new(),
        citation: None,
        columns: Arc::new(FigureColumns::of(dataset)),
        figures: None,
        unread: Vec::new(),
    }
}

/// Reads what the ledger knows; `None` if the lake has nothing of the dataset.
async fn read_ledger<'d>(store: &impl Store, dataset: &'d Dataset) -> anyhow::Result<Option<DatasetFound<'d>>> {
    let (records, survey) = read_current(store, dataset).await?;
    let all_runs = read_runs(store, dataset).await?;
    if records.is_empty() && survey.strays.is_empty() && all_runs.is_empty() {
        return Ok(None);
    }
    let (mut runs, mut unfinished) = (Vec::new(), Vec::new());
    for (name, summary) in all_runs {
        match summary {
            Some(summary) => runs.push(summary),
            None => unfinished.push(name),
        }
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run.started_at));
    let has_data = records.values().any(|record| record.committed.is_some());
    let citation = if has_data { Some(cite(store, dataset, None).await?) } else { None };
    let stale = stale_partitions(&records, dataset);
    Ok(Some(DatasetFound { records, survey, stale, runs, unfinished, citation, ..nothing_of(dataset) }))
}

/// Adds up the files of all datasets. A file that cannot be read is named, and the charts lack it.
async fn read_data(store: &(impl Store + Clone + 'static), found: &mut [DatasetFound<'_>]) {
    let n_files: usize = found.iter().map(|dataset| committed(dataset).count()).sum();
    let bar = if output::is_quiet() { ProgressBar::hidden() } else { BARS.add(ProgressBar::new(n_files as u64)) };
    if let Ok(style) = ProgressStyle::with_template("reading partition {pos} of {len}") {
        bar.set_style(style);
    }
    let at_once = std::thread::available_parallelism().map_or(2, |n| n.get() * 2);
    for dataset in found {
        let mut files = stream::iter(committed(dataset).cloned().collect::<Vec<_>>())
            .map(|partition| {
                let (store, columns) = (store.clone(), dataset.columns.clone());
                let key = keys::partition_object(dataset.dataset, &partition);
                // A task of its own, so that files are added up on all cores.
                let added = tokio::spawn(async move {
                    let content = store.read(&key).await.map_err(|error| rollcall_core::error::chain(&error))?;
                    let content = content.ok_or_else(|| "the file is gone".to_owned())?;
                    columns.add_up(content.bytes).map_err(|error| error.to_string())
                });
                async move { (partition, added.await.unwrap_or_else(|error| Err(error.to_string()))) }
            })
            .buffer_unordered(at_once);
        let (mut figures, mut unread) = (BTreeMap::new(), Vec::new());
        while let Some((partition, result)) = files.next().await {
            bar.inc(1);
            match result {
                Ok(of_partition) => {
                    figures.insert(partition, of_partition);
                }
                Err(error) => unread.push((partition, error)),
            }
        }
        drop(files);
        unread.sort();
        (dataset.figures, dataset.unread) = (Some(figures), unread);
    }
    bar.finish_and_clear();
}

fn committed<'f>(found: &'f DatasetFound<'_>) -> impl Iterator<Item = &'f PartitionKey> {
    found.records.values().filter(|record| record.committed.is_some()).map(|record| &record.partition)
}
