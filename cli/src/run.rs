//! `rollcall run`: the three steps, on a folder.

use std::collections::BTreeSet;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::{StreamExt, future, stream};
use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::{FolderStore, LakeLock};
use rollcall_adapters::http_portal::{HttpPortal, PAGES_PER_REQUEST};
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{RunFacts, fetch_partition};
use rollcall_core::ledger::Summary;
use rollcall_core::ledger::{PlanItem, write_plan};
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::{Plan, plan_partitions};
use rollcall_core::ports::Clock;
use rollcall_core::publish::{PlannedRun, Registrar, publish_partitions};
use rollcall_core::request::{CatalogMode, Request};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::exit;
use crate::lake::{self, LakeArgs, anew};
use crate::lake_mark;
use crate::output::{self, Format, counted, shell_word};
use crate::portal::{OpenPortal, PortalArgs};
use crate::progress::{RunBar, RunPortal};
use crate::query;
use crate::reach::{Reach, WatchedPortal};
use crate::report::Report;
use crate::request::{RequestArgs, Resolved};
use crate::signals::Signals;

/// Times a partition is fetched before it counts as failed; the state machine retries as often.
const PARTITION_TRIES: u32 = 3;

/// Time that what was received is given to be committed once the run is asked to end.
const DRAIN: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) lake: LakeArgs,
    /// Run it there instead of on this machine; needs a program built with `--features aws`
    #[arg(long, value_enum, value_name = "WHERE", conflicts_with_all = LOCAL_FLAGS)]
    on: Option<Elsewhere>,
    /// On AWS: the state machine, by name or ARN; else the only one whose name ends in `-ingest`
    #[arg(long, value_name = "NAME|ARN", requires = "on")]
    pub(crate) state_machine: Option<String>,
    /// On AWS: start it, and do not wait for its end
    #[arg(long, requires = "on")]
    pub(crate) detach: bool,
    #[command(flatten)]
    portal: PortalArgs,
    /// Afterwards, run this query: a shipped query's name, or SQL
    #[arg(long, value_name = "NAME|SQL", allow_hyphen_values = true)]
    query: Option<String>,
    /// Partitions that may fail before the rest is not tried
    #[arg(long, value_name = "N", default_value_t = 20)]
    tolerated_failures: usize,
    /// How the summary is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// What the template's parameters decide on AWS.
const LOCAL_FLAGS: [&str; 7] =
    ["portal", "sample", "in_flight", "retry_wait", "partition_timeout", "tolerated_failures", "query"];

/// How fetching ended.
#[derive(Clone, Copy)]
enum Ended {
    AllTried,
    TooManyFailed,
    Unreachable,
    Interrupted,
    /// The lake is not in its place any more.
    LakeLost,
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

/// Where a run may take place beside this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Elsewhere {
    /// The deployed state machine
    Aws,
}

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    match args.on {
        None => run_here(args).await,
        #[cfg(feature = "aws")]
        Some(Elsewhere::Aws) => crate::run_on_aws::run(&args).await,
        #[cfg(not(feature = "aws"))]
        Some(Elsewhere::Aws) => Err(crate::aws::missing("run on aws").into()),
    }
}

async fn run_here(args: RunArgs) -> anyhow::Result<ExitCode> {
    // The input may come from a terminal, where Ctrl-C ends the process as it does anywhere.
    let Resolved { dataset, request, .. } = args.request.resolve()?;
    let mut signals = Signals::listen()?;
    let prepared = tokio::select! {
        prepared = prepare(&args, dataset, request) => prepared?,
        () = signals.asked() => return Ok(interrupted("nothing was fetched")),
    };
    let (ended, not_tried) = fetch_all(&prepared, &args, &mut signals).await;
    let summary = tokio::select! {
        biased;
        summary = publish(&prepared, &not_tried) => summary?,
        () = signals.asked() => {
            return Ok(interrupted("what is committed stays; the next run registers it for queries"));
        }
    };
    let answer = match &prepared.query {
        None => Answer::NotAsked,
        Some(_) if matches!(ended, Ended::Interrupted) => Answer::Interrupted,
        Some(sql) => tokio::select! {
            result = query::result(&prepared.catalog, prepared.store.root(), sql, args.format.into()) => {
                result.map_or_else(Answer::Failed, Answer::Given)
            }
            () = signals.asked() => Answer::Interrupted,
        },
    };
    report(&prepared, &args, ended, &summary, answer)
}

/// What became of the query after a run.
enum Answer {
    NotAsked,
    /// As it is printed.
    Given(String),
    Failed(anyhow::Error),
    Interrupted,
}

fn interrupted(what: &str) -> ExitCode {
    output::complain(&format!("interrupted: {what}"));
    ExitCode::from(exit::INTERRUPTED)
}

/// From a request to a plan that the ledger holds.
async fn prepare(args: &RunArgs, dataset: Dataset, request: Request) -> anyhow::Result<Prepared> {
    let query = args.query.as_deref().map(query::find).transpose()?;
    let open = args.portal.open(&dataset).await?;
    let store = args.lake.folder("`--on aws` runs on the lake of the state machine")?;
    let (lock, mark) = lake_mark::lock(&store, args.portal.is_sample(), &dataset).await?;
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
        pages_at_once: PAGES_PER_REQUEST * args.portal.in_flight(),
    };
    lake_mark::claim(&store, mark, args.portal.is_sample(), &dataset).await?;
    write_plan(&store, &dataset, &facts.run, &plan.items).await?;
    tracing::debug!(run = facts.run, n_partitions = plan.items.len(), "plan written");
    let (dataset, catalog) = (Arc::new(dataset), lake::catalog(&store));
    Ok(Prepared { dataset, store, catalog, open, plan, facts, started_at, query, _lock: lock })
}

/// Names a run by its start, so that names sort by time.
fn run_name(started_at: Timestamp) -> String {
    started_at.strftime("%Y%m%dT%H%M%S-%3f").to_string()
}

/// Fetches every partition, as many open at once as there are requests in flight: the next partitions' first pages then
/// fill the places that a partition's last pages leave. Gives how it ended, and which partitions were not tried.
async fn fetch_all(prepared: &Prepared, args: &RunArgs, signals: &mut Signals) -> (Ended, BTreeSet<PartitionKey>) {
    let items = &prepared.plan.items;
    let bar = Arc::new(RunBar::new(items.len()));
    let tried = Arc::new(Tried::default());
    let reach = Arc::new(Reach::new(items.len().min(args.portal.in_flight())));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let fetches = stream::iter(items.iter().map(|item| item.partition.clone()))
        .take_while(|_| future::ready(tried.n_failed() <= args.tolerated_failures && !stop.is_cancelled()))
        .map(|partition| {
            let (open, store, bar, stop) = (prepared.open.clone(), prepared.store.clone(), bar.clone(), stop.clone());
            let (dataset, facts, tried) = (prepared.dataset.clone(), prepared.facts.clone(), tried.clone());
            let reach = reach.clone();
            AbortOnDropHandle::new(tasks.spawn(async move {
                let portal = WatchedPortal { portal: open.for_partition(), reach: &reach };
                let portal = RunPortal { portal, bar: &bar, stop: &stop };
                tried.begin(&partition);
                let attempt = fetch_with_retries(&portal, &store, &dataset, &partition, &facts).await;
                tried.end(&partition, attempt);
                bar.partition_done();
            }))
        })
        .buffer_unordered(args.portal.in_flight())
        .inspect(|joined| {
            // Its partition has no receipt, and so counts as failed.
            if let Err(error) = joined {
                output::complain(&format!("failed: a partition's task ended early: {error}"));
                tried.note_failure();
                reach.reached();
            }
        })
        .count();
    let mut fetches = pin!(fetches);
    let ended = tokio::select! {
        // Before its fetches are seen to end.
        biased;
        why = reach.unreachable() => {
            output::complain(&format!(
                "stopped: the portal cannot be reached, so no further partition is tried: {why}\nhint: check \
                 `--portal` and the network"
            ));
            Ended::Unreachable
        }
        n_tried = &mut fetches => if n_tried == items.len() { Ended::AllTried } else { Ended::TooManyFailed },
        () = signals.asked() => Ended::Interrupted,
        () = prepared.store.lost() => Ended::LakeLost,
    };
    if !matches!(ended, Ended::AllTried | Ended::TooManyFailed) {
        // What waits for the portal ends now, and what was received is committed, with its receipt. A lake that does not
        // answer is left behind.
        stop.cancel();
        let drained = future::join(fetches, prepared.store.settle());
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            output::complain("warning: the lake does not answer; stopped waiting for writes under way");
        }
    }
    bar.finish();
    let not_tried = tried.rest_of(items);
    let rest = counted(not_tried.len() as u64, "partition");
    match ended {
        Ended::AllTried | Ended::LakeLost | Ended::Unreachable => {}
        Ended::TooManyFailed => output::complain(&format!(
            "stopped: more than {} failed; {rest} not tried",
            counted(args.tolerated_failures as u64, "partition")
        )),
        Ended::Interrupted => output::complain(&format!("interrupted: what is committed stays; {rest} not tried")),
    }
    (ended, not_tried)
}

/// What was begun, and what it came to.
#[derive(Default)]
struct Tried {
    partitions: Mutex<BTreeSet<PartitionKey>>,
    n_failed: AtomicUsize,
}

impl Tried {
    fn partitions(&self) -> MutexGuard<'_, BTreeSet<PartitionKey>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn n_failed(&self) -> usize {
        self.n_failed.load(Ordering::Relaxed)
    }

    fn note_failure(&self) {
        self.n_failed.fetch_add(1, Ordering::Relaxed);
    }

    fn begin(&self, partition: &PartitionKey) {
        self.partitions().insert(partition.clone());
    }

    fn end(&self, partition: &PartitionKey, attempt: Attempt) {
        match attempt {
            Attempt::Succeeded => {}
            Attempt::Failed => self.note_failure(),
            Attempt::NotTried => {
                self.partitions().remove(partition);
            }
        }
    }

    /// The planned partitions that were not begun, or ended before they came to anything.
    fn rest_of(&self, items: &[PlanItem]) -> BTreeSet<PartitionKey> {
        let tried = self.partitions();
        items.iter().map(|item| &item.partition).filter(|partition| !tried.contains(*partition)).cloned().collect()
    }
}

/// What trying a partition came to.
enum Attempt {
    /// It left a receipt of anything but a failure.
    Succeeded,
    Failed,
    /// The run ended before its rows were received.
    NotTried,
}

/// One partition, tried again from page 1 where that may help. The last try's receipt stays.
async fn fetch_with_retries(
    portal: &RunPortal<'_, WatchedPortal<'_, HttpPortal>>,
    store: &FolderStore,
    dataset: &Dataset,
    partition: &PartitionKey,
    facts: &RunFacts,
) -> Attempt {
    let WatchedPortal { portal: http, reach } = &portal.portal;
    let mut before = None;
    for tries in 1..=PARTITION_TRIES {
        let fetched = fetch_partition(portal, store, &SystemClock, dataset, partition, facts).await;
        match &fetched {
            // The run says so, once.
            Err(error) if error.is_unreachable() => {
                let makes_sense = tokio::select! {
                    makes_sense = reach.not_connected(error) => makes_sense,
                    () = portal.stop.cancelled() => false,
                };
                if !makes_sense {
                    return Attempt::Failed;
                }
            }
            Err(Error::Interrupted { .. }) => {}
            _ => reach.reached(),
        }
        match fetched {
            Ok(_) => return Attempt::Succeeded,
            // A try that ended counts, whatever the next one would have come to.
            Err(Error::Interrupted { .. }) => {
                return before.map_or(Attempt::NotTried, |error| report_failure(partition, &error));
            }
            // There is one deadline for all tries.
            Err(error @ Error::DeadlineExceeded { .. }) => return report_failure(partition, &error),
            Err(error) if error.is_retryable() && tries < PARTITION_TRIES && !portal.stop.is_cancelled() => {
                tracing::warn!(%partition, tries, error = error.chain(), "partition fetched again");
                tokio::select! {
                    () = http.pause(tries) => {}
                    () = portal.stop.cancelled() => return report_failure(partition, &error),
                }
                before = Some(error);
            }
            Err(error) => return report_failure(partition, &error),
        }
    }
    Attempt::Failed
}

fn report_failure(partition: &PartitionKey, error: &Error) -> Attempt {
    tracing::debug!(%partition, "partition given up");
    output::complain(&format!("failed: {}: {}", error.name(), error.chain()));
    Attempt::Failed
}

/// Registers what was committed, and sums up the run.
async fn publish(prepared: &Prepared, not_tried: &BTreeSet<PartitionKey>) -> anyhow::Result<Summary> {
    let Prepared { dataset, store, catalog, plan, facts, .. } = prepared;
    store.check_lock().await?;
    let run = PlannedRun { name: &facts.run, started_at: prepared.started_at, items: &plan.items, not_tried };
    Ok(publish_partitions(store, catalog, &SystemClock, dataset, &run, Registrar::Publisher).await?)
}

/// Tells what the run came to, and what the query after it.
fn report(
    prepared: &Prepared,
    args: &RunArgs,
    ended: Ended,
    summary: &Summary,
    answer: Answer,
) -> anyhow::Result<ExitCode> {
    let Prepared { dataset, plan, .. } = prepared;
    let code = match ended {
        Ended::Interrupted => exit::INTERRUPTED,
        Ended::Unreachable => exit::PORTAL,
        _ if summary.n_open() > 0 => exit::PARTIAL,
        _ => exit::OK,
    };
    let query = match (args.format, &answer) {
        (Format::Json, Answer::Given(result)) => Some(serde_json::from_str(result)?),
        _ => None,
    };
    let report = Report::new(summary, &plan.warnings, query);
    report.print(dataset, args.format, &args.again(&summary.run, dataset), &args.anew(dataset))?;
    output::note_sample(args.portal.is_sample());
    let query_code = match answer {
        Answer::NotAsked => ExitCode::from(exit::OK),
        Answer::Given(result) => {
            if args.format == Format::Table {
                output::print(&format!("\n{result}"))?;
            }
            ExitCode::from(exit::OK)
        }
        Answer::Failed(failure) => exit::report(&failure),
        Answer::Interrupted => interrupted("the query was not finished; ask it again with `rollcall query`"),
    };
    // What the fetching came to weighs more than the query after it.
    Ok(if code == exit::OK { query_code } else { ExitCode::from(code) })
}

impl RunArgs {
    /// The command that writes anew what is stale in the lake of these flags.
    pub(crate) fn anew(&self, dataset: &Dataset) -> String {
        let mut text = anew(dataset, self.request.dataset_named(), &self.lake);
        text.extend(self.on.map(|_| " --on aws"));
        text
    }

    /// The command that fetches what failed in a run of these flags.
    pub(crate) fn again(&self, run: &str, dataset: &Dataset) -> String {
        let mut words = vec!["rollcall run --failed-of".to_owned(), run.to_owned()];
        words.extend(self.request.dataset_flag(dataset));
        match self.on {
            None => words.extend(self.lake.flag().into_iter().chain(self.portal.flag())),
            Some(Elsewhere::Aws) => {
                words.push("--on aws".to_owned());
                words.extend(self.state_machine.as_ref().map(|it| format!("--state-machine {}", shell_word(it))));
            }
        }
        words.join(" ")
    }
}
