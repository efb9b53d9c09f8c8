//! `rollcall datasets view`: prints the SQL of the views with labels.

use rollcall_core::dataset::Dataset;

use crate::output;
use crate::request::dataset::load_all;

/// Prints the statement that makes the view of each dataset, for engines that do not read the lake's catalog.
pub(super) fn print_views(datasets: &str) -> anyhow::Result<()> {
    output::print_data(&load_all(datasets)?.iter().map(statement).collect::<Vec<_>>().join("\n"))?;
    Ok(())
}

fn statement(dataset: &Dataset) -> String {
    let view = dataset.labeled_view();
    format!("create or replace view {}.{} as\n{};\n", dataset.database, view.name, view.sql(&dataset.database))
}
