//! The flags of `rollcall run`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use rollcall_core::dataset::Dataset;

use crate::completions;
use crate::lake::args::LakeArgs;
use crate::lake::offer::Offer;
use crate::output::Format;
use crate::portal_args::PortalArgs;
use crate::request::RequestArgs;
use crate::words::shell_word;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) lake: LakeArgs,
    /// Where to run instead of on this machine; requires a build with `--features aws`
    #[arg(long, value_enum, value_name = "WHERE", conflicts_with_all = LOCAL_FLAGS)]
    pub(super) on: Option<Elsewhere>,
    /// On AWS: state machine, by name or ARN [default: the one whose name ends in `-ingest`]
    #[arg(long, value_name = "NAME|ARN", requires = "on")]
    pub(crate) state_machine: Option<String>,
    /// On AWS: start the run without waiting for it to end
    #[arg(long, requires = "on")]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(super) portal: PortalArgs,
    /// Query to run afterwards: the name of a shipped query, or SQL
    #[arg(long, value_name = "NAME|SQL", allow_hyphen_values = true, add = completions::queries())]
    pub(super) query: Option<String>,
    /// Number of partitions that may fail; one more stops the run
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) tolerated_failures: usize,
    /// Seconds between two times that what is committed so far is registered for queries
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_interval)]
    pub(super) publish_every: Duration,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// Flags that have no effect on AWS, where the template's parameters apply instead.
const LOCAL_FLAGS: [&str; 8] = [
    "portal",
    "sample",
    "in_flight",
    "retry_wait",
    "partition_timeout",
    "tolerated_failures",
    "publish_every",
    "query",
];

/// Parses a number of seconds from 0.1 to 86,400; fractions are allowed.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds from 0.1 to 86400".to_owned())
}

/// Where a run can take place other than on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Elsewhere {
    /// The deployed state machine
    Aws,
}

impl RunArgs {
    /// Returns what offers further runs of a dataset with these flags.
    pub(crate) fn offer<'o>(&'o self, dataset: &'o Dataset) -> Offer<'o> {
        let mut flags = self.request.run_flags();
        match self.on {
            None => flags.extend(self.portal.flags()),
            Some(Elsewhere::Aws) => {
                flags.push("--on aws".to_owned());
                flags.extend(self.state_machine.as_ref().map(|name| format!("--state-machine {}", shell_word(name))));
            }
        }
        Offer { lake: &self.lake, dataset, dataset_arg: self.request.dataset_arg(), flags }
    }
}
