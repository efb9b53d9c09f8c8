//! `rollcall run`: the three steps, on a folder.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::FolderStore;
use rollcall_adapters::portal::HttpPortal;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{RunFacts, fetch_partition};
use rollcall_core::keys;
use rollcall_core::ledger::{self, Outcome, Receipt, Summary};
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::{PlanItem, plan_partitions};
use rollcall_core::ports::{Clock, Portal};
use rollcall_core::publish::publish_partitions;
use rollcall_core::request::CatalogMode;
use serde::Serialize;

use crate::exit;
use crate::lake::LakeArgs;
use crate::output::{self, Format, counted, size, thousands};
use crate::portal::PortalArgs;
use crate::progress::{CountedPortal, RunBar};
use crate::query;
use crate::request::RequestArgs;

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
}

/// How fetching ended.
enum Ended {
    AllTried,
    Interrupted,
}

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let (dataset, request) = args.request.resolve()?;
    let query = args.query.as_deref().map(query::find).transpose()?;
    let store = args.lake.store();
    let _lock = store.lock()?;
    let open = args.portal.open(&dataset).await?;
    let started_at = SystemClock.now();
    let run = run_name(started_at);
    let plan = plan_partitions(&open.portal, &store, &dataset, &request).await?;
    for warning in &plan.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    if request.catalog == CatalogMode::Crawler {
        output::complain("warning: `catalog` crawler has no effect on a folder; partitions are added directly");
    }
    ledger::write_json(&store, &keys::plan(&dataset, &run), &plan.items).await?;
    let facts = RunFacts {
        run: run.clone(),
        portal_release: plan.portal_release,
        force: request.force,
        pages_at_once: args.portal.in_flight(),
    };
    let dataset = Arc::new(dataset);
    let ended = fetch_all(open.portal, &store, &dataset, &plan.items, &facts).await;
    let catalog = args.lake.catalog();
    let summary = publish_partitions(&store, &catalog, &SystemClock, &dataset, &plan.items, &run, started_at).await?;
    let planned: Vec<PartitionKey> = plan.items.iter().map(|item| item.partition.clone()).collect();
    let mut found = ledger::read_receipts(&store, &dataset, &run, &planned).await?;
    // In the plan's order.
    let receipts: Vec<Receipt> = planned.iter().filter_map(|partition| found.remove(partition)).collect();
    match args.format {
        Format::Json => {
            output::print_json(&Report { summary: &summary, partitions: &receipts, warnings: &plan.warnings })?
        }
        Format::Table => output::print(&describe(&summary, &receipts, &dataset))?,
    }
    if args.portal.is_sample() {
        output::complain(
            "note: sample data. The schools are invented; the 2021 grade-pk totals of 22 states are published figures.",
        );
    }
    if let Some(query) = query {
        if args.format == Format::Table {
            output::print("\n")?;
        }
        query::print_result(&catalog, store.root(), &query, args.format.into()).await?;
    }
    let code = match ended {
        Ended::Interrupted => exit::INTERRUPTED,
        Ended::AllTried if summary.count(Outcome::Failed) > 0 => exit::PARTIAL,
        Ended::AllTried => exit::OK,
    };
    Ok(ExitCode::from(code))
}

/// Names a run by its start, so that names sort by time.
fn run_name(started_at: Timestamp) -> String {
    started_at.strftime("%Y%m%dT%H%M%S-%3f").to_string()
}

/// Fetches every partition, as many open at once as there are requests in flight: the next partitions' first pages then
/// fill the places that a partition's last pages leave.
async fn fetch_all(
    portal: HttpPortal,
    store: &FolderStore,
    dataset: &Arc<Dataset>,
    items: &[PlanItem],
    facts: &RunFacts,
) -> Ended {
    let bar = Arc::new(RunBar::new(items.len()));
    let fetches = stream::iter(items.iter().map(|item| item.partition.clone()))
        .map(|partition| {
            let (portal, store, bar) = (portal.clone(), store.clone(), bar.clone());
            let (dataset, facts) = (dataset.clone(), facts.clone());
            let task = tokio::spawn(async move {
                let portal = CountedPortal { portal, bar: &bar };
                fetch_with_retries(&portal, &store, &dataset, &partition, &facts).await;
                bar.partition_done();
            });
            AbortOnDrop(task)
        })
        .buffer_unordered(facts.pages_at_once)
        .for_each(|_| async {});
    let ended = tokio::select! {
        () = fetches => Ended::AllTried,
        () = interrupted() => Ended::Interrupted,
    };
    bar.finish();
    if matches!(ended, Ended::Interrupted) {
        output::complain("interrupted: what is committed stays; the rest counts as failed");
    }
    ended
}

/// One partition, tried again from page 1 where that may help. The last try's receipt stays.
async fn fetch_with_retries(
    portal: &impl Portal,
    store: &FolderStore,
    dataset: &Dataset,
    partition: &PartitionKey,
    facts: &RunFacts,
) {
    for tries in 1..=PARTITION_TRIES {
        match fetch_partition(portal, store, &SystemClock, dataset, partition, facts).await {
            Ok(_) => return,
            Err(error) if error.is_retryable() && tries < PARTITION_TRIES => {
                tracing::warn!(%partition, tries, error = error.chain(), "partition fetched again");
            }
            Err(error) => return report_failure(partition, &error),
        }
    }
}

fn report_failure(partition: &PartitionKey, error: &Error) {
    tracing::debug!(%partition, "partition given up");
    output::complain(&format!("failed: {}: {}", error.name(), error.chain()));
}

/// A task that ends with its handle, so that an interrupted run leaves none behind.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Future for AbortOnDrop {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        // A task that panicked left no receipt; the summary counts it as failed.
        std::pin::Pin::new(&mut self.0).poll(context).map(|_| ())
    }
}

/// Resolves at Ctrl-C or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
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
    if summary.count(Outcome::Failed) > 0 {
        text.push_str(&format!("run the failed ones again: rollcall run --failed-of {}\n", summary.run));
    }
    text
}
