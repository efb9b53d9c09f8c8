//! The portal that a command asks: the live one, another origin, or the sample in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rollcall_adapters::http_portal::{HttpPortal, LIVE_ORIGIN, PortalSettings, parse_origin};
use rollcall_adapters::secret;
use rollcall_core::dataset::Dataset;
use rollcall_simulator::{Config, Running, Simulator};
use tokio::time::Instant;

use crate::words::shell_word;

/// Time for the portal's lists of endpoints and of releases; it takes up to 29 s for one answer.
const METADATA_TIMEOUT: Duration = Duration::from_secs(120);

/// Which portal.
#[derive(Debug, Clone, Args)]
pub(crate) struct PortalArgs {
    /// Origin of the portal; `/api/v1/` is added
    #[arg(long, value_name = "URL", default_value = LIVE_ORIGIN)]
    portal: String,
    /// Ask a portal of sample data in this process instead: invented schools, no network
    #[arg(long, conflicts_with = "portal")]
    sample: bool,
    /// Requests in flight at once, over all partitions
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=256))]
    in_flight: u16,
    /// Most seconds to wait before a request is made again; doubles with each further one, up to 60
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_wait)]
    retry_wait: Duration,
    /// Minutes that one partition may take, its retries included
    #[arg(long, value_name = "MINUTES", default_value = "60")]
    partition_timeout: NonZeroU32,
}

/// Seconds from 0 to 60, fractions allowed.
fn parse_wait(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.0..=60.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds from 0 to 60".to_owned())
}

/// A portal, and the server behind it where that is our own.
#[derive(Clone)]
pub(crate) struct OpenPortal {
    portal: HttpPortal,
    partition_timeout: Duration,
    /// Stops when dropped.
    _sample: Option<Arc<Running>>,
}

impl OpenPortal {
    /// The portal for what is asked before the data: it must not hold a run up for long.
    pub(crate) fn for_metadata(&self) -> HttpPortal {
        self.portal.until(Instant::now() + METADATA_TIMEOUT)
    }

    /// The portal for one partition, whose time begins now.
    pub(crate) fn for_partition(&self) -> HttpPortal {
        self.portal.until(Instant::now() + self.partition_timeout)
    }
}

impl PortalArgs {
    /// Whether the sample is asked.
    pub(crate) fn is_sample(&self) -> bool {
        self.sample
    }

    /// The flag that names this portal again; none for the live one.
    pub(crate) fn flag(&self) -> Option<String> {
        match self.sample {
            true => Some("--sample".to_owned()),
            false => (self.portal != LIVE_ORIGIN).then(|| format!("--portal {}", shell_word(&self.portal))),
        }
    }

    /// Requests in flight at once.
    pub(crate) fn in_flight(&self) -> usize {
        usize::from(self.in_flight)
    }

    /// Gets the portal ready for a dataset, with its secret.
    pub(crate) async fn open(&self, dataset: &Dataset) -> anyhow::Result<OpenPortal> {
        let secret = secret::header(dataset, |variable| std::env::var(variable).ok())?;
        let sample = if self.sample {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            Some(Simulator::start(Config::default(), address).await.context("start sample portal")?)
        } else {
            None
        };
        let origin = match &sample {
            Some(sample) => parse_origin(&sample.origin())?,
            None => parse_origin(&self.portal)?,
        };
        let mut settings = PortalSettings::new(origin);
        settings.in_flight = self.in_flight();
        settings.backoff = self.retry_wait;
        let partition_timeout = Duration::from_secs(60 * u64::from(self.partition_timeout.get()));
        Ok(OpenPortal { portal: HttpPortal::new(settings, secret)?, partition_timeout, _sample: sample.map(Arc::new) })
    }
}
