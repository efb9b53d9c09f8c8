//! Prepares a run: locks the lake, plans, and writes the plan to the ledger.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rollcall_adapters::SystemClock;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::{FolderStore, LakeLock};
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{Keep, RunFacts};
use rollcall_core::ledger::write_plan;
use rollcall_core::plan::{Plan, plan_partitions};
use rollcall_core::ports::Clock;
use rollcall_core::request::{CatalogMode, Request};
use tokio::sync::OnceCell;

use crate::exit::BadInput;
use crate::lake;
use crate::lake::claim::{self, Source};
use crate::output;
use crate::portal_args::{OpenPortal, PortalSource};
use crate::query;
use crate::run::args::RunArgs;

/// A run whose plan has been written.
pub(crate) struct PreparedRun {
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) store: FolderStore,
    pub(crate) catalog: FileCatalog<FolderStore>,
    pub(crate) portal: OpenPortal,
    /// Where the data comes from, as the lake's mark records it.
    pub(crate) source: Arc<Source>,
    pub(crate) plan: Plan,
    pub(crate) facts: RunFacts,
    pub(crate) started_at: Timestamp,
    /// SQL to run after the run.
    pub(crate) query: Option<String>,
    /// Unlocks the lake when dropped.
    _lock: LakeLock,
}

/// Minimum time for a partition's pages, one after another, for them to be kept. Below it, requesting them again takes
/// less than a second with the default number of requests in flight.
const KEEP_FROM: SignedDuration = SignedDuration::from_secs(2);

/// Locks the lake, plans the request, and writes the plan to the ledger.
pub(crate) async fn prepare(
    args: &RunArgs,
    source: &PortalSource,
    dataset: Dataset,
    request: Request,
) -> anyhow::Result<PreparedRun> {
    let query = args.query.as_deref().map(|query| query::shipped::find_sql(query, &args.lake)).transpose()?;
    // A mistake must not wait until everything is fetched.
    if let Some(mistake) = query.as_deref().and_then(query::explain::syntax_error) {
        return Err(BadInput(format!("read `--query`: {mistake}")).into());
    }
    let portal = args.portal.open_at(source, &dataset)?;
    let store = args.lake.folder("`--on aws` uses the lake of the state machine")?;
    let (lock, found) = claim::lock(&store, args.portal.is_sample(), &dataset).await?;
    let started_at = SystemClock.now();
    let plan = plan_partitions(&portal.for_metadata(), &store, &dataset, &request, started_at).await?;
    for warning in &plan.warnings {
        output::print_message(&format!("warning: {warning}"));
    }
    if request.catalog == CatalogMode::Crawler {
        output::print_message(
            "warning: `catalog` crawler has no effect on a lake in a folder; the run registers partitions itself",
        );
    }
    let facts = RunFacts {
        run: run_name(started_at),
        portal_release: plan.portal_release.clone(),
        force: request.force,
        in_flight: args.portal.in_flight(&dataset),
        keep: Keep {
            from_duration: KEEP_FROM,
            after_commit: request.keep_pages,
            // The lake is locked.
            is_only_run: true,
            ..Keep::default()
        },
        max_partition_bytes: None,
    };
    let other_portal = args.portal.other_portal();
    let mark = claim::claim(&store, &found, args.portal.is_sample(), other_portal, &dataset).await?;
    let source = Source { mark, portal: other_portal.map(str::to_owned), is_recorded: OnceCell::new() }.into();
    write_plan(&store, &dataset, &facts.run, &plan.items).await?;
    tracing::debug!(run = facts.run, n_partitions = plan.items.len(), "plan written");
    let (dataset, catalog) = (Arc::new(dataset), lake::catalog(&store));
    Ok(PreparedRun { dataset, store, catalog, portal, source, plan, facts, started_at, query, _lock: lock })
}

/// Names a run after its start time, so that names sort by time.
fn run_name(started_at: Timestamp) -> String {
    started_at.strftime("%Y%m%dT%H%M%S-%3f").to_string()
}
