//! `rollcall tables`: the tables and views that can be queried.

pub(crate) mod uncounted;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use rollcall_adapters::file_catalog::CatalogTable;
use rollcall_adapters::folder::FolderStore;
use serde::Serialize;

use crate::lake;
use crate::lake::args::LakeArgs;
use crate::lake::busy;
use crate::output::{self, Format};
use crate::table;
use crate::tables::uncounted::count_rows;
use crate::words::thousands;

/// What to do instead for a lake in a bucket.
pub(crate) const BUCKET_HINT: &str = "list the tables of a lake in a bucket with Athena, in the stack's work group";

#[derive(Debug, Args)]
pub(crate) struct TablesArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A table or a view.
#[derive(Serialize)]
struct Listed<'t> {
    /// Name with its database.
    name: String,
    kind: &'static str,
    n_partitions: Option<usize>,
    n_rows: Option<u64>,
    about: Cow<'t, str>,
}

pub(crate) async fn run(args: TablesArgs) -> anyhow::Result<ExitCode> {
    let store = args.lake.existing_folder(BUCKET_HINT).await?;
    busy::note_first_run(&store).await;
    list(&store, args.format).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the tables of a lake, each followed by its view.
pub(crate) async fn list(store: &FolderStore, format: Format) -> anyhow::Result<()> {
    let tables = lake::catalog(store).tables().await?;
    let uncounted = count_rows(store, &tables).await;
    let listed: Vec<Listed<'_>> = tables.iter().flat_map(|table| listed(table, &uncounted)).collect();
    if format == Format::Json {
        return output::print_json(&listed);
    }
    let mut text = table::table(&["table", "partitions", "rows", "about"]);
    for Listed { name, n_partitions, n_rows, about, .. } in &listed {
        let n_partitions = n_partitions.map(|number| thousands(number as u64));
        let n_rows = n_rows.map(thousands);
        // The rest is for `rollcall describe`.
        let about = about.split([';', '.']).next().unwrap_or_default();
        text.add_row([name, &n_partitions.unwrap_or_default(), &n_rows.unwrap_or_default(), about]);
    }
    table::align_right(&mut text, &[1, 2]);
    output::print_long(&table::render(&text))?;
    Ok(())
}

/// - `uncounted`: rows of the tables without partitions.
fn listed<'t>(table: &'t CatalogTable, uncounted: &BTreeMap<(&str, &str), u64>) -> Vec<Listed<'t>> {
    let is_counted = !table.partition_keys.is_empty();
    let n_rows = match is_counted {
        true => Some(table.partitions.iter().map(|partition| partition.n_rows).sum()),
        false => uncounted.get(&(table.database.as_str(), table.table.as_str())).copied(),
    };
    let mut listed = vec![Listed {
        name: format!("{}.{}", table.database, table.table),
        kind: "table",
        n_partitions: is_counted.then_some(table.partitions.len()),
        n_rows,
        about: Cow::Borrowed(&table.comment),
    }];
    listed.extend(table.view.as_ref().map(|view| Listed {
        name: format!("{}.{}", table.database, view.name),
        kind: "view",
        n_partitions: None,
        n_rows: None,
        about: Cow::Owned(format!("{} with labels; codes in measures are null", table.table)),
    }));
    listed
}
