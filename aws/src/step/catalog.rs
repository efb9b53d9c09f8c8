//! The catalog step: turns plan, receipts and objects into Glue partitions, reads them back and writes the summary.

use jiff::SignedDuration;
use rollcall_adapters::SystemClock;
use rollcall_core::dataset::Dataset;
use rollcall_core::error::chain;
use rollcall_core::ledger::PlanItem;
use rollcall_core::ledger::{self, RunReceipts, read_run_descriptor};
use rollcall_core::ports::{CatalogError, Clock, StoreError};
use rollcall_core::publish::{CatalogChanges, PlannedRun, Registrar, prune_history, publish_receipts};
use rollcall_core::{Error, keys};
use tokio::time::Instant;

use crate::certificates::Roots;
use crate::glue::GlueCatalog;
use crate::map_run::{Found, MapRuns};
use crate::metrics;
use crate::payload::{ObjectReference, Planned, PublishEvent, Published};
use crate::s3::S3Store;
use crate::settings::{self, BadSetting};
use crate::step::StartError;

/// The catalog step with its clients.
pub struct CatalogStep {
    store: S3Store,
    catalog: GlueCatalog,
    map_runs: MapRuns,
    /// Namespace of the metrics.
    namespace: String,
    /// Days to keep an edition after it was replaced; `None` to keep all.
    history_days: Option<u16>,
}

impl CatalogStep {
    /// Builds the clients.
    ///
    /// # Errors
    /// [`StartError`], with the name of the missing or invalid variable.
    pub async fn from_env() -> Result<Self, StartError> {
        let bucket = settings::required(settings::BUCKET, "the lake's bucket")?;
        let days = settings::optional(settings::HISTORY_DAYS).unwrap_or_else(|| "0".to_owned());
        let history_days: u16 =
            days.parse().map_err(|_| BadSetting::new(settings::HISTORY_DAYS, "a number of days", Some(&days)))?;
        let config = crate::client::config(Roots::from_system().as_ref()).await;
        Ok(Self {
            catalog: GlueCatalog::new(&config, &bucket)
                .with_database_prefix(settings::optional(settings::DATABASE_PREFIX).unwrap_or_default()),
            map_runs: MapRuns::new(&config),
            namespace: settings::optional(settings::NAMESPACE).unwrap_or_else(|| metrics::NAMESPACE.to_owned()),
            store: S3Store::new(&config, bucket),
            history_days: (history_days > 0).then_some(history_days),
        })
    }

    /// Publishes the partitions of a run, or checks those that the crawler has added. Writes the summary.
    ///
    /// # Errors
    /// Same as [`publish_receipts`]; also [`Error::CatalogFailed`] if the crawl failed or the time is up. Publishing may
    /// stop anywhere: the next call completes it.
    pub async fn publish(&self, event: PublishEvent, deadline: Instant) -> Result<Published, Error> {
        let dataset = read_run_descriptor(&self.store, &event.planned.dataset, &event.planned.run).await?;
        let published = tokio::time::timeout_at(deadline, self.publish_until_done(&dataset, event)).await;
        published.unwrap_or_else(|elapsed| {
            let message = "publish partitions: expected to end within the time of the function".to_owned();
            let source = CatalogError { message, source: elapsed.into() };
            Err(Error::CatalogFailed { table: dataset.qualified_table(), source })
        })
    }

    async fn publish_until_done(&self, dataset: &Dataset, event: PublishEvent) -> Result<Published, Error> {
        let PublishEvent { planned, fetch_error, crawl } = event;
        if let Some(error) = &fetch_error {
            tracing::error!(run = planned.run, error = error.error, cause = error.cause, "fetching was stopped");
        }
        let last_crawl = crawl.map(|crawl| crawl.crawler.last_crawl);
        let registrar = match last_crawl {
            None => Registrar::Publisher,
            Some(Some(last)) if last.status == "SUCCEEDED" => Registrar::Crawler,
            Some(last) => {
                let (found, message) =
                    last.map_or(("none".to_owned(), String::new()), |last| (last.status, last.error_message));
                return Err(Error::CatalogFailed {
                    table: dataset.qualified_table(),
                    source: CatalogError {
                        message: format!("expected the status SUCCEEDED of the last crawl, found {found}"),
                        source: message.into(),
                    },
                });
            }
        };
        let plan: Option<Vec<PlanItem>> = ledger::read_json(&self.store, &planned.plan.key).await?;
        let plan = plan.ok_or_else(|| Error::StoreFailed {
            action: "read",
            key: planned.plan.key.clone(),
            source: StoreError {
                message: "expected the run's plan".to_owned(),
                source: "found none, or an unreadable one".into(),
            },
        })?;
        let receipts = ledger::read_run(&self.store, dataset, &planned.run).await?;
        let Found { map_run, without_receipt } = self.without_receipt(dataset, &planned, &plan, &receipts).await;
        let run = PlannedRun {
            name: &planned.run,
            started_at: planned.started_at,
            items: &plan,
            without_receipt: &without_receipt,
            registered: CatalogChanges::default(),
        };
        let summary =
            publish_receipts(&self.store, &self.catalog, &SystemClock, dataset, &run, receipts, registrar).await?;
        metrics::emit(&metrics::from_summary(&summary, &self.namespace, planned.schedule.as_deref()));
        self.prune_history(dataset).await;
        let reference =
            ObjectReference { bucket: self.store.bucket().to_owned(), key: keys::summary(dataset, &planned.run) };
        let published =
            Published::from_summary(&planned, &summary, dataset, reference, fetch_error.as_ref(), map_run.as_deref());
        tracing::info!(run = published.run, message = published.message, "published");
        Ok(published)
    }

    /// Deletes the editions that were replaced long ago. If that fails, the next run does it.
    async fn prune_history(&self, dataset: &Dataset) {
        let Some(days) = self.history_days else { return };
        let before = SystemClock.now() - SignedDuration::from_hours(24 * i64::from(days));
        let (store, catalog) = (&self.store, &self.catalog);
        match prune_history(store, catalog, &SystemClock, dataset, before, false).await {
            Ok(deleted) => tracing::info!(dataset = dataset.name, n_deleted = deleted.len(), "old editions deleted"),
            Err(error) => tracing::warn!(dataset = dataset.name, error = error.chain(), "old editions not deleted"),
        }
    }

    /// Finds out what happened to the planned partitions without a receipt. If Step Functions cannot be queried, they count
    /// as failed for an unknown reason, and are planned again all the same.
    async fn without_receipt(
        &self,
        dataset: &Dataset,
        planned: &Planned,
        plan: &[PlanItem],
        receipts: &RunReceipts,
    ) -> Found {
        let missing = receipts.missing(dataset, plan);
        let Some(execution) = planned.execution.as_deref().filter(|_| !missing.is_empty()) else {
            return Found::default();
        };
        self.map_runs.without_receipt(execution, dataset, &missing).await.unwrap_or_else(|error| {
            tracing::warn!(run = planned.run, error = chain(&error), "cannot find out which partitions were started");
            Found::default()
        })
    }
}
