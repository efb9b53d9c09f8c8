//! `rollcall-simulator`: serves a stand-in of the Education Data Portal until it is told to stop.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use rollcall_simulator::{ServeArgs, serve};

/// Serves a stand-in of the Education Data Portal's REST API
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: ServeArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            // Nothing is left to do when stderr is closed.
            let _ = writeln!(std::io::stderr(), "{error}{cause}");
            ExitCode::FAILURE
        }
    }
}
