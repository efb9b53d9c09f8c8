//! `rollcall datasets drift`: what has changed at the portal since descriptors were written.

use std::process::ExitCode;

use clap::Args;
use rollcall_core::dataset::Dataset;
use rollcall_core::dataset::built_in::built_in_paths;
use rollcall_core::drift::{Drift, drift, new_endpoints};

use crate::completions;
use crate::datasets::source::SourceArgs;
use crate::exit;
use crate::output::{self, Format};
use crate::request::dataset::load_all;
use crate::table;
use crate::words::counted;

#[derive(Debug, Args)]
pub(crate) struct DriftArgs {
    /// Datasets by name, names such as 'ccd_*', a section, or descriptor files [default: all, and new endpoints]
    #[arg(value_name = "NAME|FILE.toml", add = completions::datasets())]
    datasets: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) async fn run(args: &DriftArgs) -> anyhow::Result<ExitCode> {
    let is_all = args.datasets.is_empty();
    let mut datasets: Vec<Dataset> = Vec::new();
    let named = args.datasets.iter().map(String::as_str);
    for name in named.chain(is_all.then_some("all")) {
        datasets.extend(load_all(name)?);
    }
    let metadata = args.source.read().await?;
    let n_compared = datasets.len() as u64;
    let mut drifts: Vec<Drift> = datasets.iter().map(|dataset| drift(dataset, &metadata)).collect();
    if is_all {
        let known = built_in_paths().into_iter().map(|(_, path)| path).collect();
        drifts.extend(new_endpoints(&metadata, &known));
    }
    drifts.retain(|drift| !drift.changes.is_empty());
    match args.format {
        Format::Json => output::print_json(&drifts)?,
        Format::Table => {
            let mut table = table::table(&["dataset", "change"]);
            for drift in &drifts {
                for change in &drift.changes {
                    table.add_row([drift.dataset.clone(), change.to_string()]);
                }
            }
            let n_changes = drifts.iter().map(|drift| drift.changes.len() as u64).sum();
            let rows = if drifts.is_empty() { String::new() } else { table::render(&table) };
            output::print(&format!("{rows}{}: {}\n", counted(n_compared, "dataset"), counted(n_changes, "change")))?;
        }
    }
    Ok(ExitCode::from(if drifts.is_empty() { exit::OK } else { exit::DRIFT }))
}
