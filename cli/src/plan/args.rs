//! The flags of `rollcall plan`.

use clap::Args;

use crate::lake::args::LakeArgs;
use crate::output::Format;
use crate::portal_args::PortalArgs;
use crate::request::RequestArgs;

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(super) request: RequestArgs,
    #[command(flatten)]
    pub(super) lake: LakeArgs,
    #[command(flatten)]
    pub(super) portal: PortalArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
}
