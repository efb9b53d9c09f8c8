//! The command line of rollcall: starts runs on this machine or on AWS, and queries the resulting lake with SQL.
//!
//! Each command has a file, or a file and a folder, named after it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod aws;
mod bars;
mod changes;
mod cite;
mod completions;
mod datasets;
mod describe;
mod diff;
mod escape;
mod exit;
mod help;
mod lake;
mod man;
mod output;
mod plan;
mod portal_args;
mod portal_lists;
mod progress;
mod prune;
mod query;
mod repair;
mod report;
mod request;
mod rows;
mod run;
mod signals;
mod simulator;
mod status;
mod table;
mod tables;
mod template;
mod usage;
mod verify;
mod warnings;
mod whole_file;
mod words;

use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use clap_complete::env::CompleteEnv;
use tracing_subscriber::EnvFilter;

use crate::bars::LogWriter;
use crate::completions::script::{Shell, script};

/// Fetch US school enrollment from the Education Data Portal into a Parquet lake, and query it with SQL.
///
/// A run plans partitions (one per year and grade), fetches each into one Parquet file, and registers the files in the
/// lake's catalog, which queries read. Data is printed to stdout, progress and logs to stderr.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print neither progress nor notes; warnings and errors remain
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Messages")]
    quiet: bool,
    /// Log what the run does, such as retries; twice: each request
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Messages")]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch partitions into the lake and register them for queries
    Run(run::args::RunArgs),
    /// Show what a run would fetch, and why, without fetching it
    Plan(plan::PlanArgs),
    /// Show the lake's partitions as a grid, or the outcome of one run
    Status(status::StatusArgs),
    /// Query the lake: run a shipped query by name, or any SQL; without one, open a shell
    Query(query::QueryArgs),
    /// List the tables and views that can be queried
    Tables(tables::TablesArgs),
    /// Describe the columns of a table or view, and what their values mean
    Describe(describe::DescribeArgs),
    /// Compare the lake at two releases or dates, or two lakes
    Diff(diff::DiffArgs),
    /// Compare the lake with the portal, and its tables with each other
    Verify(verify::VerifyArgs),
    /// Write a page with the state of the lake and charts of its data, to be opened in a browser
    Report(report::ReportArgs),
    /// Print how to cite a dataset or the data of a query
    Cite(cite::CiteArgs),
    /// List, show, check or generate dataset descriptors
    Datasets(datasets::DatasetsArgs),
    /// Rebuild the ledger and the catalog from the lake's data files
    Repair(repair::RepairArgs),
    /// Delete the ledger files of old runs, and old editions; current data is kept
    Prune(prune::PruneArgs),
    /// Serve a simulated portal on this machine
    Simulator(simulator::SimulatorArgs),
    /// Print shell completions
    Completions {
        /// Shell to print completions for
        shell: Shell,
    },
    /// Write the manual pages into a folder
    Man(man::ManArgs),
}

/// Returns the definition of the command line.
fn program() -> clap::Command {
    help::with_help(Cli::command())
}

fn main() -> ExitCode {
    // Answers a shell that completes, and ends the process.
    CompleteEnv::with_factory(program).var(completions::VARIABLE).complete();
    let cli = match usage::parse::<Cli>(program()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if cli.quiet {
        output::be_quiet();
    }
    let directives = match cli.verbose {
        0 => std::env::var("ROLLCALL_LOG").unwrap_or_else(|_| "error".to_owned()),
        1 => "info".to_owned(),
        _ => "debug".to_owned(),
    };
    let filter = match EnvFilter::try_new(&directives) {
        // A run itself says which partitions fail, and why.
        Ok(filter) => match format!("{}=off", rollcall_core::fetch::FAILED_TARGET).parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        },
        Err(error) => return exit::report(&exit::BadInput(format!("read `ROLLCALL_LOG`: {error}")).into()),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(bars::are_drawn()).with_writer(|| LogWriter).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into()),
    };
    let result = runtime.block_on(dispatch(cli.command));
    // A request that is still waiting for a response must not keep the process alive. The end of the process ends the
    // threads; detaching those that are about to end by themselves may crash in glibc (bug 19951).
    std::mem::forget(runtime);
    match result {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    signals::catch_file_size_limit()?;
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Query(args) => query::run(args).await,
        Command::Tables(args) => tables::run(args).await,
        Command::Describe(args) => describe::run(args).await,
        Command::Diff(args) => diff::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Report(args) => report::run(args).await,
        Command::Cite(args) => cite::run(args).await,
        Command::Datasets(args) => datasets::run(&args).await,
        Command::Repair(args) => repair::run(args).await,
        Command::Prune(args) => prune::run(args).await,
        Command::Simulator(args) => simulator::run(args).await,
        Command::Completions { shell } => {
            output::print_data(&script(shell)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man(args) => man::run(&args, program()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definition_of_every_command() {
        program().debug_assert();
    }
}
