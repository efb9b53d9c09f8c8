//! The page-fetch step: fetches the pages of one partition, checks them, commits one object and writes a receipt.

mod function_memory;

use std::sync::Arc;

use aws_config::SdkConfig;
use rollcall_adapters::SystemClock;
use rollcall_adapters::http_portal::{HttpPortal, PortalSettings};
use rollcall_core::Error;
use rollcall_core::cost::Metered;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{self, Keep, Progress, RunFacts, Spent, fetch_partition, record_failure};
use rollcall_core::ledger::read_run_descriptor;
use rollcall_core::ports::Clock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::certificates::Roots;
use crate::payload::{FetchEvent, Fetched};
use crate::s3::S3Store;
use crate::secret;
use crate::settings::{self, BadSetting};
use crate::step::page_fetch::function_memory::FunctionMemory;
use crate::step::{StartError, portal_settings};

/// Default number of requests in flight.
const IN_FLIGHT: usize = 8;
/// Default prefix of a secret's name.
const SECRET_PREFIX: &str = "rollcall/";

/// The page-fetch step with its clients.
pub struct PageFetch {
    store: S3Store,
    config: SdkConfig,
    settings: PortalSettings,
    /// For datasets with neither a secret nor a number of requests in flight.
    portal: HttpPortal,
    secret_prefix: String,
    /// Maximum memory of one partition with one of its pages, in bytes.
    max_partition_bytes: usize,
    /// Dataset, run and descriptor of the last event.
    last_descriptor: Mutex<Option<(String, String, Arc<Dataset>)>>,
}

impl PageFetch {
    /// Builds the clients.
    ///
    /// # Errors
    /// [`StartError`], with the name of the missing or invalid variable.
    pub async fn from_env() -> Result<Self, StartError> {
        let bucket = settings::required(settings::BUCKET, "the lake's bucket")?;
        let in_flight = match settings::optional(settings::IN_FLIGHT) {
            None => IN_FLIGHT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|in_flight| (1..=256).contains(in_flight))
                .ok_or_else(|| BadSetting::new(settings::IN_FLIGHT, "a number from 1 to 256", Some(&text)))?,
        };
        let memory = FunctionMemory::from_env()?;
        let roots = Roots::from_system();
        let portal_settings = PortalSettings {
            max_page_memory_bytes: memory.max_page_bytes,
            ..portal_settings(in_flight, roots.as_ref())?
        };
        let portal = HttpPortal::new(portal_settings.clone(), None)?;
        let config = crate::client::config(roots.as_ref()).await;
        Ok(Self {
            store: S3Store::new(&config, bucket),
            config,
            settings: portal_settings,
            portal,
            max_partition_bytes: memory.max_partition_bytes,
            last_descriptor: Mutex::default(),
            secret_prefix: settings::optional(settings::SECRET_PREFIX).unwrap_or_else(|| SECRET_PREFIX.to_owned()),
        })
    }

    /// Fetches a partition and records the outcome, including a failure. A partition that takes longer than this call is
    /// unfinished, as long as it makes progress and calls are left.
    ///
    /// # Errors
    /// Same as [`fetch_partition`] and [`secret::header`]; [`Error::InvalidRequest`] if the event's partition is
    /// invalid.
    pub async fn fetch(&self, event: FetchEvent, deadline: Instant) -> Result<Fetched, Error> {
        let started_at = SystemClock.now();
        let dataset = self.descriptor(&event.dataset, &event.run).await?;
        let partition = dataset.arrange(&event.partition).ok_or_else(|| Error::InvalidRequest {
            mistakes: vec![format!(
                "`partition`: expected a value for each axis of `{}`, found `{}`",
                dataset.name, event.partition
            )],
        })?;
        let dataset = &*dataset;
        let in_flight = self.in_flight(dataset);
        let run = RunFacts {
            run: event.run,
            portal_release: event.portal_release,
            force: event.force,
            in_flight,
            keep: Keep::default(),
            max_partition_bytes: Some(self.max_partition_bytes),
        };
        let (error, cost) = match self.portal_for(dataset).await {
            Ok(portal) => {
                let portal = portal.until(deadline);
                match fetch_partition(&portal, &self.store, &SystemClock, dataset, &partition, &run).await? {
                    fetch::Fetched::Finished(_) => return Ok(Fetched { is_finished: true, n_kept: 0, n_pages: 0 }),
                    fetch::Fetched::Unfinished { progress, .. } if event.calls_left > 0 => {
                        let Progress { n_kept, n_pages } = progress;
                        return Ok(Fetched { is_finished: false, n_kept, n_pages });
                    }
                    fetch::Fetched::Unfinished { error, cost, .. } => (error, cost),
                }
            }
            Err(error) => (error, Metered::default()),
        };
        let spent = Spent { started_at, cost };
        Err(record_failure(&self.store, &SystemClock, dataset, &partition, &run, spent, error).await)
    }

    /// Returns the descriptor that a run uses. All events of a run have the same one, so it is read once.
    async fn descriptor(&self, name: &str, run: &str) -> Result<Arc<Dataset>, Error> {
        let mut last = self.last_descriptor.lock().await;
        if let Some((_, _, dataset)) = last.as_ref().filter(|(of, by, _)| of == name && by == run) {
            return Ok(dataset.clone());
        }
        let dataset = Arc::new(read_run_descriptor(&self.store, name, run).await?);
        *last = Some((name.to_owned(), run.to_owned(), dataset.clone()));
        Ok(dataset)
    }

    /// Returns the number of requests in flight for a dataset.
    fn in_flight(&self, dataset: &Dataset) -> usize {
        dataset.in_flight.map_or(self.settings.in_flight, usize::from)
    }

    /// Returns the portal for a dataset, with its secret and its number of requests in flight. The secret is read for each
    /// event, so that a rotated secret takes effect.
    async fn portal_for(&self, dataset: &Dataset) -> Result<HttpPortal, Error> {
        let secret = secret::header(&self.config, &self.secret_prefix, dataset).await?;
        let in_flight = self.in_flight(dataset);
        if secret.is_none() && in_flight == self.settings.in_flight {
            return Ok(self.portal.clone());
        }
        HttpPortal::new(PortalSettings { in_flight, ..self.settings.clone() }, secret)
            .map_err(|error| Error::InvalidRequest { mistakes: vec![error.to_string()] })
    }
}
