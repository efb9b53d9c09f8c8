//! `rollcall run`: the three steps, on a folder.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use futures::{StreamExt, future, stream};
use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::{FolderStore, LakeLock};
use rollcall_adapters::portal::BODIES_PER_REQUEST;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{RunFacts, fetch_partition};
use rollcall_core::keys;
use rollcall_core::ledger::{self, Outcome, Receipt, Summary};
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::{Plan, plan_partitions};
use rollcall_core::ports::Clock;
use rollcall_core::publish::{PlannedRun, Registrar, publish_partitions};
use rollcall_core::request::{CatalogMode, Request};
use serde::Serialize;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::exit;
use crate::lake::LakeArgs;
use crate::lake_mark;
use crate::output::{self, Format, counted, size, thousands};
use crate::portal::{OpenPortal, PortalArgs};
use crate::progress::{CountedPortal, RunBar};
use crate::query;
use crate::request::RequestArgs;
use crate::signals::Signals;

/// Times a partition is fetched before it counts as failed; the state machine retries as often.
const PARTITION_TRIES: u32 = 3;
/// Partitions shown one by one; beyond, only those that failed.
const MOST_SHOWN: usize = 60;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    lake: LakeArgs,
    #[command(flatten)]
    portal: PortalArgs,
    /// Afterwards, run this query: a shipped query's name, or SQL
    #[arg(long, value_name = "NAME|SQL", allow_hyphen_values = true)]
    query: Option<String>,
    /// Partitions that may fail before the rest is not tried any more
    #[arg(long, value_name = "N", default_value_t = 20)]
    tolerated_failures: usize,
    /// How the summary is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'r> {
    #[serde(flatten)]
    summary: &'r Summary,
    partitions: &'r [Receipt],
    warnings: &'r [String],
    /// Rows of the query, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<serde_json::Value>,
}

/// How fetching ended.
#[derive(Clone, Copy)]
enum Ended {
    AllTried,
    TooManyFailed,
    Interrupted,
}

/// Everything that a run works with, once its plan is made.
struct Prepared {
    dataset: Arc<Dataset>,
    store: FolderStore,
    catalog: FileCatalog<FolderStore>,
    open: OpenPortal,
    plan: Plan,
    facts: RunFacts,
    started_at: Timestamp,
    /// SQL to run afterwards.
    query: Option<String>,
    _lock: LakeLock,
}

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    // The input may come from a terminal, where Ctrl-C ends the process as it does anywhere.
    let (dataset, request) = args.request.resolve()?;
    let mut signals = Signals::listen()?;
    let prepared = tokio::select! {
        prepared = prepare(&args, dataset, request) => prepared?,
        () = signals.asked() => return Ok(interrupted("nothing was fetched")),
    };
    let ended = fetch_all(&prepared, &args, &mut signals).await;
    tokio::select! {
        code = finish(&prepared, &args, ended) => code,
        () = signals.asked() => Ok(interrupted("what is committed stays; the next run registers it for queries")),
    }
}

fn interrupted(what: &str) -> ExitCode {
    output::complain(&format!("interrupted: {what}"));
    ExitCode::from(exit::INTERRUPTED)
}

/// From a request to a plan that the ledger holds.
async fn prepare(args: &RunArgs, dataset: Dataset, request: Request) -> anyhow::Result<Prepared> {
    let query = args.query.as_deref().map(query::find).transpose()?;
    let open = args.portal.open(&dataset).await?;
    let store = args.lake.store();
    let lock = store.lock()?;
    let mark = lake_mark::check(&store, args.portal.is_sample(), &dataset).await?;
    let started_at = SystemClock.now();
    let plan = plan_partitions(&open.for_metadata(), &store, &dataset, &request).await?;
    for warning in &plan.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    if request.catalog == CatalogMode::Crawler {
        output::complain("warning: `catalog` crawler has no effect on a folder; partitions are added directly");
    }
    let facts = RunFacts {
        run: run_name(started_at),
        portal_release: plan.portal_release.clone(),
        force: request.force,
        // As many as there may be bodies in memory.
        pages_at_once: BODIES_PER_REQUEST * args.portal.in_flight(),
    };
    lake_mark::claim(&store, mark, args.portal.is_sample(), &dataset).await?;
    ledger::write_json(&store, &keys::plan(&dataset, &facts.run), &plan.items).await?;
    let (dataset, catalog) = (Arc::new(dataset), args.lake.catalog());
    Ok(Prepared { dataset, store, catalog, open, plan, facts, started_at, query, _lock: lock })
}

/// Names a run by its start, so that names sort by time.
fn run_name(started_at: Timestamp) -> String {
    started_at.strftime("%Y%m%dT%H%M%S-%3f").to_string()
}

/// Fetches every partition, as many open at once as there are requests in flight: the next partitions' first pages then
/// fill the places that a partition's last pages leave.
async fn fetch_all(prepared: &Prepared, args: &RunArgs, signals: &mut Signals) -> Ended {
    let items = &prepared.plan.items;
    let bar = Arc::new(RunBar::new(items.len()));
    let n_failed = Arc::new(AtomicUsize::new(0));
    let is_tolerable = || n_failed.load(Ordering::Relaxed) <= args.tolerated_failures;
    let tasks = TaskTracker::new();
    let fetches = stream::iter(items.iter().map(|item| item.partition.clone()))
        .take_while(|_| future::ready(is_tolerable()))
        .map(|partition| {
            let (open, store, bar) = (prepared.open.clone(), prepared.store.clone(), bar.clone());
            let (dataset, facts, n_failed) = (prepared.dataset.clone(), prepared.facts.clone(), n_failed.clone());
            AbortOnDropHandle::new(tasks.spawn(async move {
                if !fetch_with_retries(&open, &bar, &store, &dataset, &partition, &facts).await {
                    n_failed.fetch_add(1, Ordering::Relaxed);
                }
                bar.partition_done();
            }))
        })
        .buffer_unordered(args.portal.in_flight())
        .inspect(|joined| {
            // Its partition has no receipt, and so counts as failed.
            if let Err(error) = joined {
                output::complain(&format!("failed: a partition's task ended early: {error}"));
                n_failed.fetch_add(1, Ordering::Relaxed);
            }
        })
        .count();
    let ended = tokio::select! {
        n_tried = fetches => if n_tried == items.len() { Ended::AllTried } else { Ended::TooManyFailed },
        () = signals.asked() => Ended::Interrupted,
    };
    // Tasks that were stopped end at their next wait, and their writes go on: both before the catalog looks.
    tasks.close();
    tasks.wait().await;
    prepared.store.settle().await;
    bar.finish();
    match ended {
        Ended::AllTried => {}
        Ended::TooManyFailed => output::complain(&format!(
            "stopped: more than {} failed; the rest was not tried and counts as failed",
            counted(args.tolerated_failures as u64, "partition")
        )),
        Ended::Interrupted => output::complain("interrupted: what is committed stays; the rest counts as failed"),
    }
    ended
}

/// One partition, tried again from page 1 where that may help. The last try's receipt stays. Gives whether it came to
/// anything but a failure.
async fn fetch_with_retries(
    open: &OpenPortal,
    bar: &RunBar,
    store: &FolderStore,
    dataset: &Dataset,
    partition: &PartitionKey,
    facts: &RunFacts,
) -> bool {
    let portal = CountedPortal { portal: open.for_partition(), bar };
    for tries in 1..=PARTITION_TRIES {
        match fetch_partition(&portal, store, &SystemClock, dataset, partition, facts).await {
            Ok(_) => return true,
            // There is one deadline for all tries.
            Err(error @ Error::DeadlineExceeded { .. }) => return report_failure(partition, &error),
            Err(error) if error.is_retryable() && tries < PARTITION_TRIES => {
                tracing::warn!(%partition, tries, error = error.chain(), "partition fetched again");
                portal.portal.pause(tries).await;
            }
            Err(error) => return report_failure(partition, &error),
        }
    }
    false
}

fn report_failure(partition: &PartitionKey, error: &Error) -> bool {
    tracing::debug!(%partition, "partition given up");
    output::complain(&format!("failed: {}: {}", error.name(), error.chain()));
    false
}

/// Publishes, tells what the run came to, and answers the query.
async fn finish(prepared: &Prepared, args: &RunArgs, ended: Ended) -> anyhow::Result<ExitCode> {
    let Prepared { dataset, store, catalog, plan, facts, .. } = prepared;
    let run = PlannedRun { name: &facts.run, started_at: prepared.started_at, items: &plan.items };
    let summary = publish_partitions(store, catalog, &SystemClock, dataset, &run, Registrar::Publisher).await?;
    let planned: Vec<PartitionKey> = plan.items.iter().map(|item| item.partition.clone()).collect();
    let mut found = ledger::read_receipts(store, dataset, &facts.run, &planned).await?;
    // In the plan's order.
    let receipts: Vec<Receipt> = planned.iter().filter_map(|partition| found.remove(partition)).collect();
    output::warn_unreadable(&summary.unreadable);
    let code = match ended {
        Ended::Interrupted => exit::INTERRUPTED,
        Ended::AllTried | Ended::TooManyFailed if summary.count(Outcome::Failed) > 0 => exit::PARTIAL,
        Ended::AllTried | Ended::TooManyFailed => exit::OK,
    };
    let queried = match &prepared.query {
        Some(sql) => query::result(catalog, store.root(), sql, args.format.into()).await.map(Some),
        None => Ok(None),
    };
    let (result, failure) = match queried {
        Ok(result) => (result, None),
        Err(failure) => (None, Some(failure)),
    };
    match args.format {
        Format::Json => {
            let query = result.as_deref().map(serde_json::from_str).transpose()?;
            output::print_json(&Report { summary: &summary, partitions: &receipts, warnings: &plan.warnings, query })?;
        }
        Format::Table => {
            let mut text = describe(&summary, &receipts, dataset);
            if summary.count(Outcome::Failed) > 0 {
                text.push_str(&format!("run the failed ones again: {}\n", args.again(&summary.run, dataset)));
            }
            output::print(&text)?;
        }
    }
    output::note_sample(args.portal.is_sample());
    if let (Format::Table, Some(result)) = (args.format, result) {
        output::print(&format!("\n{result}"))?;
    }
    let query_code = failure.map(|failure| exit::report(&failure));
    // What the fetching came to weighs more than the query after it.
    Ok(query_code.filter(|_| code == exit::OK).unwrap_or(ExitCode::from(code)))
}

impl RunArgs {
    /// The command that fetches what failed in a run of these flags.
    fn again(&self, run: &str, dataset: &Dataset) -> String {
        let mut words = vec!["rollcall run --failed-of".to_owned(), run.to_owned()];
        words.extend(self.request.dataset_flag(dataset));
        words.extend(self.lake.flag());
        words.extend(self.portal.flag());
        words.join(" ")
    }
}

/// The summary for people.
fn describe(summary: &Summary, receipts: &[Receipt], dataset: &Dataset) -> String {
    let mut text = format!("run {} of {}\n", summary.run, dataset.name);
    let is_long = receipts.len() > MOST_SHOWN;
    let shown: Vec<&Receipt> =
        receipts.iter().filter(|receipt| !is_long || receipt.outcome == Outcome::Failed).collect();
    if !shown.is_empty() {
        let mut table = output::table(&["partition", "outcome", "rows", "pages", "size"]);
        for receipt in shown {
            table.add_row([
                receipt.partition.to_string(),
                match &receipt.error {
                    Some(error) => format!("failed: {}", error.name),
                    None => receipt.outcome.as_str().to_owned(),
                },
                thousands(receipt.n_rows),
                thousands(receipt.n_pages.into()),
                receipt.size_bytes.map_or_else(|| "-".to_owned(), size),
            ]);
        }
        output::align_right(&mut table, &[2, 3, 4]);
        text.push_str(&output::render(&table));
    }
    let outcomes = summary.outcomes_in_words();
    let took_ms = summary.finished_at.duration_since(summary.started_at).as_millis();
    text.push_str(&format!(
        "{}: {}; {}, {}, {}.{} s\n",
        counted(summary.n_planned as u64, "partition"),
        if outcomes.is_empty() { "nothing to fetch".to_owned() } else { outcomes },
        counted(summary.n_rows, "row"),
        counted(summary.n_pages, "page"),
        took_ms / 1000,
        took_ms % 1000 / 100,
    ));
    text
}
