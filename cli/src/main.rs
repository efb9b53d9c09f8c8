//! The command line of rollcall: the three steps of a run on a folder, and a SQL engine over the result; or a run of the
//! same request on AWS.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod aws;
mod datasets;
mod escape;
mod exit;
mod lake;
mod output;
mod plan;
mod portal_args;
mod progress;
mod prune;
mod query;
mod repair;
mod report;
mod request;
mod run;
mod signals;
mod simulator;
mod status;
mod table;
mod template;
mod warnings;
mod words;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tracing_subscriber::EnvFilter;

use crate::progress::StderrBesideBars;

/// US school enrollment, year by grade, from the Education Data Portal into a Parquet lake that answers SQL.
///
/// A run plans partitions (a year and a grade each), fetches them, commits each as one Parquet file, and registers them
/// in the lake's catalog, which queries read. Data is printed to stdout, progress and logs to stderr.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch partitions into the lake and register them for queries
    Run(run::args::RunArgs),
    /// Show what a run would fetch, and why; changes nothing
    Plan(plan::PlanArgs),
    /// Show what is in the lake as a grid, or what one run came to
    Status(status::StatusArgs),
    /// Run a shipped query by name, or any SQL, over the lake's catalog
    Query(query::QueryArgs),
    /// List, show or check dataset descriptors, or print their tables for the template
    Datasets(datasets::DatasetsArgs),
    /// Rebuild the ledger and the catalog from the objects in the lake
    Repair(repair::RepairArgs),
    /// Delete what old runs left in the ledger; data stays
    Prune(prune::PruneArgs),
    /// Serve a stand-in of the portal on this machine
    Simulator(simulator::SimulatorArgs),
    /// Print shell completions
    Completions {
        /// Shell to complete for
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let directives = std::env::var("ROLLCALL_LOG").unwrap_or_else(|_| "error".to_owned());
    let filter = match EnvFilter::try_new(&directives) {
        Ok(filter) => filter,
        Err(error) => return exit::report(&exit::BadInput(format!("read `ROLLCALL_LOG`: {error}")).into()),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| StderrBesideBars)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into()),
    };
    let result = runtime.block_on(dispatch(cli.command));
    // A request that is still waiting for its answer must not hold the process up.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    signals::outlive_file_size_limit()?;
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Query(args) => query::run(args).await,
        Command::Datasets(args) => datasets::run(&args),
        Command::Repair(args) => repair::run(args).await,
        Command::Prune(args) => prune::run(args).await,
        Command::Simulator(args) => simulator::run(args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rollcall", &mut script);
            output::print_data(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
