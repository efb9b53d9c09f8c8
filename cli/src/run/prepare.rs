//! From a request to a plan that the ledger holds.

use std::sync::Arc;

use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::{FolderStore, LakeLock};
use rollcall_adapters::http_portal::PAGES_PER_REQUEST;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::RunFacts;
use rollcall_core::ledger::write_plan;
use rollcall_core::plan::{Plan, plan_partitions};
use rollcall_core::ports::Clock;
use rollcall_core::request::{CatalogMode, Request};

use crate::lake::mark;
use crate::lake::{self};
use crate::output::{self};
use crate::portal_args::OpenPortal;
use crate::query;
use crate::run::args::RunArgs;

/// Everything that a run works with, once its plan is made.
pub(crate) struct Prepared {
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) store: FolderStore,
    pub(crate) catalog: FileCatalog<FolderStore>,
    pub(crate) open: OpenPortal,
    pub(crate) plan: Plan,
    pub(crate) facts: RunFacts,
    pub(crate) started_at: Timestamp,
    /// SQL to run afterwards.
    pub(crate) query: Option<String>,
    pub(crate) _lock: LakeLock,
}

/// From a request to a plan that the ledger holds.
pub(crate) async fn prepare(args: &RunArgs, dataset: Dataset, request: Request) -> anyhow::Result<Prepared> {
    let query = args.query.as_deref().map(query::find).transpose()?;
    let open = args.portal.open(&dataset).await?;
    let store = args.lake.folder("`--on aws` runs on the lake of the state machine")?;
    let (lock, found) = mark::lock(&store, args.portal.is_sample(), &dataset).await?;
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
    mark::claim(&store, found, args.portal.is_sample(), &dataset).await?;
    write_plan(&store, &dataset, &facts.run, &plan.items).await?;
    tracing::debug!(run = facts.run, n_partitions = plan.items.len(), "plan written");
    let (dataset, catalog) = (Arc::new(dataset), lake::catalog(&store));
    Ok(Prepared { dataset, store, catalog, open, plan, facts, started_at, query, _lock: lock })
}

/// Names a run by its start, so that names sort by time.
pub(crate) fn run_name(started_at: Timestamp) -> String {
    started_at.strftime("%Y%m%dT%H%M%S-%3f").to_string()
}
