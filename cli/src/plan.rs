//! `rollcall plan`: prints what a run would fetch, and why, without changing anything.

mod args;
mod cost;
mod several;

use std::process::ExitCode;

use rollcall_adapters::SystemClock;
use rollcall_core::cost::{Length, Lengths, aws};
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{PlanItem, Reason, read_records, stale_partitions};
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::plan_partitions;
use rollcall_core::ports::{Clock, Store};
use rollcall_core::request::Request;
use serde::Serialize;

use crate::lake::Lake;
use crate::lake::mark::LakeMark;
use crate::lake::offer::Offer;
use crate::output::{self, Format};
pub(crate) use crate::plan::args::PlanArgs;
use crate::plan::cost::{PlanCost, last_cost};
use crate::request::ResolvedRequest;
use crate::table;
use crate::warnings;
use crate::words::{counted, thousands};

/// A planned partition, with its size as the ledger records it.
#[derive(Serialize)]
struct PlanRow {
    partition: PartitionKey,
    reason: Reason,
    /// Number of pages when the partition was last committed; `null` if unknown.
    n_pages: Option<u32>,
    /// The number of pages that is expected, and what that is based on.
    length: Length,
}

#[derive(Serialize)]
struct PlanReport<'r> {
    dataset: &'r str,
    partitions: &'r [PlanRow],
    cost: &'r PlanCost,
    /// Partitions whose schema or encoding differs from what a run would write today.
    stale: &'r [PartitionKey],
    warnings: &'r [String],
}

pub(crate) async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    if let Some(datasets) = args.request.several()? {
        return several::run(&args, &datasets).await;
    }
    plan_one(&args).await.map_err(|error| args.request.in_flags(error))
}

async fn plan_one(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let ResolvedRequest { dataset, request, .. } = args.request.resolve()?;
    match args.lake.open().await? {
        Lake::Folder(store) => {
            if let Some(mark) = LakeMark::find(&store).await? {
                mark.check_kind(&store, args.portal.is_sample())?;
                mark.check_table(&dataset)?;
            }
            show(args, &store, &dataset, &request).await
        }
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => show(args, &store, &dataset, &request).await,
    }
}

async fn show(args: &PlanArgs, store: &impl Store, dataset: &Dataset, request: &Request) -> anyhow::Result<ExitCode> {
    let portal = args.portal.open(dataset).await?;
    let plan = plan_partitions(&portal.for_metadata(), store, dataset, request, SystemClock.now()).await?;
    for warning in &plan.warnings {
        output::print_message(&format!("warning: {warning}"));
    }
    let records = read_records(store, dataset).await?;
    let stale = stale_partitions(&records, dataset);
    let (dataset_arg, flags) = (args.request.dataset_arg(), args.portal.flags());
    let offer = Offer { lake: &args.lake, dataset, dataset_arg, flags };
    warnings::warn_stale(&stale, &offer.refresh());
    let lengths = Lengths::of_records(dataset, &records);
    let rows = plan.items.into_iter().map(|PlanItem { partition, reason }| {
        let length = lengths.of(&partition);
        PlanRow { partition, reason, n_pages: length.is_known().then(|| length.n_whole()), length }
    });
    let rows: Vec<PlanRow> = rows.collect();
    let lengths: Vec<Length> = rows.iter().map(|row| row.length).collect();
    let cost = PlanCost::new(
        &lengths,
        last_cost(store, dataset).await?.map(|(_, cost)| cost),
        (args.portal.in_flight(dataset), aws::in_flight(dataset)),
    );
    match args.format {
        Format::Json => {
            let warnings = &plan.warnings;
            let report = PlanReport { dataset: &dataset.name, partitions: &rows, cost: &cost, stale: &stale, warnings };
            output::print_json(&report)?;
        }
        Format::Table => output::print_long(&describe(&rows, &cost))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(rows: &[PlanRow], cost: &PlanCost) -> String {
    if rows.is_empty() {
        return "0 partitions: nothing to fetch\n".to_owned();
    }
    let mut table = table::table(&["partition", "reason", "pages"]);
    for row in rows {
        let estimated = if row.length.is_known() { "" } else { "~" };
        table.add_row([
            row.partition.to_string(),
            row.reason.as_str().to_owned(),
            format!("{estimated}{}", thousands(row.length.n_whole().into())),
        ]);
    }
    table::align_right(&mut table, &[2]);
    // What matters most is at the top: the end of a long list is far away in a pager.
    let totals = format!("{}: {}\n", counted(rows.len() as u64, "partition"), cost.pages());
    format!("{totals}{}\n{}", cost.describe(), table::render(&table))
}
