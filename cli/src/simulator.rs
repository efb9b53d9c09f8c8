//! `rollcall simulator`: serves a simulated portal on this machine.

use std::process::ExitCode;

use clap::Args;
use rollcall_simulator::ServeArgs;

#[derive(Debug, Args)]
pub(crate) struct SimulatorArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

pub(crate) async fn run(args: SimulatorArgs) -> anyhow::Result<ExitCode> {
    rollcall_simulator::serve(args.serve).await?;
    Ok(ExitCode::SUCCESS)
}
