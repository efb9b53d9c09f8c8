//! The portal that a command asks: the live one, another origin, or the sample in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use anyhow::Context;
use clap::Args;
use rollcall_adapters::portal::{HttpPortal, LIVE_ORIGIN, PortalSettings, parse_origin};
use rollcall_adapters::secret;
use rollcall_core::dataset::Dataset;
use rollcall_simulator::{Config, Running, Simulator};

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
    #[arg(long, value_name = "N", default_value = "8")]
    in_flight: NonZeroUsize,
}

/// A portal, and the server behind it where that is our own.
pub(crate) struct OpenPortal {
    /// The portal.
    pub(crate) portal: HttpPortal,
    /// Stops when dropped.
    _sample: Option<Running>,
}

impl PortalArgs {
    /// Whether the sample is asked.
    pub(crate) fn is_sample(&self) -> bool {
        self.sample
    }

    /// Requests in flight at once.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
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
        settings.in_flight = self.in_flight.get();
        Ok(OpenPortal { portal: HttpPortal::new(settings, secret)?, _sample: sample })
    }
}
