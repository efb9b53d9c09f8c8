//! Flags that choose a command's portal: the live one, one at another address, or the sample served in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rollcall_adapters::http_portal::{HttpPortal, LIVE_ORIGIN, PortalSettings, parse_origin};
use rollcall_adapters::secret;
use rollcall_core::dataset::Dataset;
use rollcall_core::dataset::built_in::built_in_paths;
use rollcall_simulator::{Config, Running, Simulator};
use tokio::time::Instant;
use url::Url;

use crate::escape::visible;
use crate::output::print_message;
use crate::portal_lists::{CachedLists, ListCache};
use crate::words::shell_word;

/// Time limit for reading the portal's lists of endpoints, columns and releases. The portal takes up to 29 s for one response.
pub(crate) const METADATA_TIMEOUT: Duration = Duration::from_secs(120);

/// Default number of requests in flight.
const IN_FLIGHT: u16 = 8;
/// Default of `--retry-wait`, in seconds.
const RETRY_WAIT: &str = "1";
/// Default of `--partition-timeout`, in minutes.
const PARTITION_TIMEOUT: &str = "60";

#[derive(Debug, Clone, Args)]
pub(crate) struct PortalArgs {
    /// Scheme, host and port of the portal, without `/api/v1/`
    #[arg(long, value_name = "URL", default_value = LIVE_ORIGIN)]
    portal: String,
    /// Use a simulated portal in this process: invented schools, no network
    #[arg(long, conflicts_with = "portal")]
    sample: bool,
    /// Maximum number of requests in flight, across all partitions [default: 8, or more if the dataset says so]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    in_flight: Option<u16>,
    /// Maximum wait before the first retry of a request, in seconds; doubles with each retry, up to 60
    #[arg(long, value_name = "SECONDS", default_value = RETRY_WAIT, value_parser = parse_wait)]
    retry_wait: Duration,
    /// Maximum time for one partition in minutes, including retries
    #[arg(long, value_name = "MINUTES", default_value = PARTITION_TIMEOUT)]
    partition_timeout: NonZeroU32,
}

/// Parses a number of seconds from 0 to 60; fractions are allowed.
fn parse_wait(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.0..=60.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds from 0 to 60".to_owned())
}

/// A portal ready for requests, with its simulator if it is the sample.
#[derive(Clone)]
pub(crate) struct OpenPortal {
    portal: HttpPortal,
    /// Its address as people read it; the sample has none of its own.
    name: String,
    partition_timeout: Duration,
    lists: ListCache,
    /// Stops the simulator when dropped.
    _sample: Option<Arc<Running>>,
}

/// Where the portal is, and the simulator that serves it if it is the sample.
pub(crate) struct PortalSource {
    origin: Url,
    lists: ListCache,
    sample: Option<Arc<Running>>,
}

impl OpenPortal {
    /// Returns the portal for the requests that precede any data, with a short deadline.
    pub(crate) fn for_metadata(&self) -> CachedLists {
        CachedLists::new(&self.portal.until(Instant::now() + METADATA_TIMEOUT), self.lists.clone())
    }

    /// Returns the address of the portal, or that it is the sample.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the portal for one partition, with a deadline that starts now.
    pub(crate) fn for_partition(&self) -> HttpPortal {
        self.portal.until(Instant::now() + self.partition_timeout)
    }
}

impl PortalArgs {
    /// Checks whether the portal is the sample.
    pub(crate) fn is_sample(&self) -> bool {
        self.sample
    }

    /// Returns the address of the portal; `None` for the live one, and for the sample.
    pub(crate) fn other_portal(&self) -> Option<&str> {
        (!self.sample && self.portal != LIVE_ORIGIN).then_some(self.portal.as_str())
    }

    /// Returns the flags that choose this portal and how it is asked, quoted for a shell; none for the defaults.
    pub(crate) fn flags(&self) -> Vec<String> {
        let portal = self.other_portal().map(|portal| format!("--portal {}", shell_word(portal)));
        let (retry_wait, timeout) = (self.retry_wait, self.partition_timeout);
        let settings = [
            self.sample.then(|| "--sample".to_owned()),
            portal,
            self.in_flight.map(|in_flight| format!("--in-flight {in_flight}")),
            (parse_wait(RETRY_WAIT) != Ok(retry_wait)).then(|| format!("--retry-wait {}", retry_wait.as_secs_f64())),
            (PARTITION_TIMEOUT.parse() != Ok(timeout)).then(|| format!("--partition-timeout {timeout}")),
        ];
        settings.into_iter().flatten().collect()
    }

    /// Returns the maximum number of requests in flight for a dataset.
    pub(crate) fn in_flight(&self, dataset: &Dataset) -> usize {
        usize::from(self.in_flight.unwrap_or_else(|| dataset.in_flight.unwrap_or(0).max(IN_FLIGHT)))
    }

    /// Connects to the portal for a dataset, with its secret. Starts the simulator for sample data.
    pub(crate) async fn open(&self, dataset: &Dataset) -> anyhow::Result<OpenPortal> {
        self.open_at(&self.source().await?, dataset)
    }

    /// Starts the simulator for sample data, for any number of datasets.
    pub(crate) async fn source(&self) -> anyhow::Result<PortalSource> {
        if !self.sample {
            let origin = parse_origin(&self.portal)?;
            return Ok(PortalSource { origin, lists: ListCache::default(), sample: None });
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sample = Simulator::start(Config::default(), address).await.context("start sample portal")?;
        let origin = parse_origin(&sample.origin())?;
        Ok(PortalSource { origin, lists: ListCache::default(), sample: Some(Arc::new(sample)) })
    }

    /// Connects to the portal for a dataset, with its secret.
    pub(crate) fn open_at(&self, source: &PortalSource, dataset: &Dataset) -> anyhow::Result<OpenPortal> {
        if self.sample && !built_in_paths().iter().any(|(_, path)| *path == dataset.path) {
            print_message(&format!(
                "warning: the sample portal serves only the built-in datasets, not `{}`\nhint: `rollcall simulator --port \
                 8765 --dataset FILE` serves it, for `--portal http://127.0.0.1:8765` instead of `--sample`",
                visible(&dataset.path)
            ));
        }
        let secret = secret::header(dataset, |variable| std::env::var(variable).ok())?;
        let mut settings = PortalSettings::new(source.origin.clone());
        settings.in_flight = self.in_flight(dataset);
        settings.backoff = self.retry_wait;
        let partition_timeout = Duration::from_secs(60 * u64::from(self.partition_timeout.get()));
        Ok(OpenPortal {
            portal: HttpPortal::new(settings, secret)?,
            name: if self.sample { "the sample portal".to_owned() } else { source.origin.to_string() },
            partition_timeout,
            lists: source.lists.clone(),
            _sample: source.sample.clone(),
        })
    }
}
