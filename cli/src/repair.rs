//! `rollcall repair`: the ledger and the catalog, from the objects.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use rollcall_adapters::SystemClock;
use rollcall_core::ledger;
use rollcall_core::ports::{Catalog, Clock};
use rollcall_core::publish::{converge, publish_lookups};

use crate::lake::LakeArgs;
use crate::output;
use crate::request::load_dataset;

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name, or a descriptor file; every one built in when none is named
    #[arg(long, value_name = "NAME|FILE.toml")]
    dataset: Option<String>,
}

pub(crate) async fn run(args: RepairArgs) -> anyhow::Result<ExitCode> {
    let names = match &args.dataset {
        Some(name) => vec![name.as_str()],
        None => rollcall_core::dataset::Dataset::built_in_names(),
    };
    let store = args.lake.store();
    let catalog = args.lake.catalog();
    let _lock = store.lock()?;
    for name in names {
        let dataset = load_dataset(name)?;
        let n_rebuilt = ledger::rebuild(&store, &dataset).await?;
        let mut partitions: BTreeSet<_> = ledger::committed_partitions(&store, &dataset).await?.into_iter().collect();
        // A table file that cannot be read is rebuilt whole.
        if let Ok(registered) = catalog.partitions(&dataset).await {
            partitions.extend(registered.into_iter().map(|partition| partition.partition));
        }
        if partitions.is_empty() {
            continue;
        }
        let partitions: Vec<_> = partitions.into_iter().collect();
        let published = converge(&store, &catalog, &dataset, &partitions).await?;
        output::print(&format!(
            "{}: {} recorded from objects; catalog: {} put, {} taken out\n",
            dataset.name, n_rebuilt, published.n_put, published.n_removed
        ))?;
    }
    publish_lookups(&store, &catalog, SystemClock.now(), "repair").await?;
    Ok(ExitCode::SUCCESS)
}
