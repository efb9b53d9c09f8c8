//! `rollcall-simulator`: serves a simulated Education Data Portal until a signal ends it.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use rollcall_simulator::{ServeArgs, serve};

/// Serve a simulated REST API of the Education Data Portal
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
            // If stderr is closed, there is nowhere to report it.
            let _ = writeln!(std::io::stderr(), "{error}{cause}");
            ExitCode::FAILURE
        }
    }
}
