//! The flags of `rollcall run`.

use clap::{Args, ValueEnum};
use rollcall_core::dataset::Dataset;

use crate::lake::{LakeArgs, anew};
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
    /// Run it there instead of on this machine; needs a program built with `--features aws`
    #[arg(long, value_enum, value_name = "WHERE", conflicts_with_all = LOCAL_FLAGS)]
    pub(super) on: Option<Elsewhere>,
    /// On AWS: the state machine, by name or ARN; else the only one whose name ends in `-ingest`
    #[arg(long, value_name = "NAME|ARN", requires = "on")]
    pub(crate) state_machine: Option<String>,
    /// On AWS: start it, and do not wait for its end
    #[arg(long, requires = "on")]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(super) portal: PortalArgs,
    /// Afterwards, run this query: a shipped query's name, or SQL
    #[arg(long, value_name = "NAME|SQL", allow_hyphen_values = true)]
    pub(super) query: Option<String>,
    /// Partitions that may fail before the rest is not tried
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) tolerated_failures: usize,
    /// How the summary is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// What the template's parameters decide on AWS.
const LOCAL_FLAGS: [&str; 7] =
    ["portal", "sample", "in_flight", "retry_wait", "partition_timeout", "tolerated_failures", "query"];

/// Where a run may take place beside this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Elsewhere {
    /// The deployed state machine
    Aws,
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
