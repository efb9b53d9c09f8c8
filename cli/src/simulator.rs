//! `rollcall simulator`: a stand-in of the portal on this machine.

use std::process::ExitCode;

use clap::Args;
use rollcall_simulator::ServeArgs;

use crate::exit::BadInput;

#[derive(Debug, Args)]
pub(crate) struct SimulatorArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

pub(crate) async fn run(args: SimulatorArgs) -> anyhow::Result<ExitCode> {
    rollcall_simulator::serve(args.serve).await.map_err(|error| BadInput(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}
