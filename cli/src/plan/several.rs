//! `rollcall plan` for several datasets: one line for each.

use std::process::ExitCode;

use rollcall_adapters::SystemClock;
use rollcall_core::cost::{Length, Lengths, Metered, aws};
use rollcall_core::dataset::Dataset;
use rollcall_core::error::chain;
use rollcall_core::ledger::read_records;
use rollcall_core::plan::plan_partitions;
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::exit::{self, is_of_dataset_only};
use crate::lake::Lake;
use crate::lake::mark::LakeMark;
use crate::output::{self, Format};
use crate::plan::args::PlanArgs;
use crate::plan::cost::{PlanCost, last_cost};
use crate::portal_args::PortalSource;
use crate::table;
use crate::words::{counted, thousands};

/// The plan of one dataset, in numbers.
#[derive(Serialize)]
struct PlanCounts {
    dataset: String,
    n_partitions: usize,
    /// Number of pages of the partitions that were committed before.
    n_pages: u64,
    /// `null` if a run would skip the dataset.
    cost: Option<PlanCost>,
    warnings: Vec<String>,
    /// Why a run would skip the dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

/// Prints how much a run would fetch for each dataset.
pub(super) async fn run(args: &PlanArgs, datasets: &[Dataset]) -> anyhow::Result<ExitCode> {
    let source = args.portal.source().await?;
    let counts = match args.lake.open().await? {
        Lake::Folder(store) => {
            if let Some(mark) = LakeMark::find(&store).await? {
                mark.check_kind(&store, args.portal.is_sample())?;
            }
            count_all(args, &source, &store, datasets).await?
        }
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => count_all(args, &source, &store, datasets).await?,
    };
    let are_all_skipped = counts.iter().all(|count| count.skipped.is_some());
    let code = ExitCode::from(if are_all_skipped { exit::BAD_INPUT } else { exit::OK });
    if args.format == Format::Json {
        output::print_json(&counts)?;
        return Ok(code);
    }
    for count in &counts {
        for warning in &count.warnings {
            output::print_message(&format!("warning: {}: {warning}", count.dataset));
        }
        if let Some(reason) = &count.skipped {
            output::print_message(&format!("skipped: {}: {reason}", count.dataset));
        }
    }
    output::print_long(&describe(&counts))?;
    Ok(code)
}

/// Returns the totals, and a line for each dataset.
fn describe(counts: &[PlanCounts]) -> String {
    let mut table = table::table(&["dataset", "partitions", "pages", "requests", "here", "USD on AWS"]);
    for count in counts {
        let mut cells = vec![count.dataset.clone()];
        match &count.cost {
            None => cells.push("skipped".to_owned()),
            Some(cost) => {
                let estimated = if cost.n_estimated == 0 { "" } else { "~" };
                let number = |number| format!("{estimated}{}", thousands(number));
                cells.extend([thousands(count.n_partitions as u64), number(cost.n_pages), number(cost.n_requests)]);
                cells.extend([cost.time_cell(), cost.dollars_cell()]);
            }
        }
        table.add_row(cells);
    }
    table::align_right(&mut table, &[1, 2, 3, 4, 5]);
    let n_partitions = counts.iter().map(|count| count.n_partitions as u64).sum();
    let sum = PlanCost::sum(counts.iter().filter_map(|count| count.cost.as_ref()));
    let totals = format!(
        "{}, {}: {}\n{}",
        counted(counts.len() as u64, "dataset"),
        counted(n_partitions, "partition"),
        sum.as_ref().map_or_else(|| "nothing to fetch".to_owned(), PlanCost::pages),
        sum.as_ref().map(PlanCost::describe).unwrap_or_default()
    );
    format!("{totals}\n{}", table::render(&table))
}

async fn count_all(
    args: &PlanArgs,
    source: &PortalSource,
    store: &impl Store,
    datasets: &[Dataset],
) -> anyhow::Result<Vec<PlanCounts>> {
    // The pace of the portal is that of the last run, be it of another dataset.
    let mut measured = Vec::with_capacity(datasets.len());
    for dataset in datasets {
        measured.push(last_cost(store, dataset).await?);
    }
    let pace = measured.iter().flatten().max_by_key(|(at, _)| *at);
    let pace = pace.map(|(_, cost)| Metered { received_bytes: 0, ..*cost });
    let mut counts = Vec::with_capacity(datasets.len());
    for (dataset, measured) in datasets.iter().zip(&measured) {
        let measured = measured.map(|(_, cost)| cost).or(pace);
        let counted = match count(args, source, store, dataset, measured).await {
            Err(error) if is_of_dataset_only(&error) => PlanCounts {
                dataset: dataset.name.clone(),
                n_partitions: 0,
                n_pages: 0,
                cost: None,
                warnings: Vec::new(),
                skipped: Some(chain(args.request.in_flags(error).as_ref())),
            },
            counted => counted?,
        };
        counts.push(counted);
    }
    Ok(counts)
}

async fn count(
    args: &PlanArgs,
    source: &PortalSource,
    store: &impl Store,
    dataset: &Dataset,
    measured: Option<Metered>,
) -> anyhow::Result<PlanCounts> {
    let request = args.request.resolve_for(dataset)?;
    let portal = args.portal.open_at(source, dataset)?;
    let plan = plan_partitions(&portal.for_metadata(), store, dataset, &request, SystemClock.now()).await?;
    let lengths = Lengths::of_records(dataset, &read_records(store, dataset).await?);
    let lengths: Vec<Length> = plan.items.iter().map(|item| lengths.of(&item.partition)).collect();
    let cost = PlanCost::new(&lengths, measured, (args.portal.in_flight(dataset), aws::in_flight(dataset)));
    let known = lengths.iter().filter(|length| length.is_known());
    Ok(PlanCounts {
        dataset: dataset.name.clone(),
        n_partitions: plan.items.len(),
        n_pages: known.map(|length| u64::from(length.n_whole())).sum(),
        cost: Some(cost),
        warnings: plan.warnings,
        skipped: None,
    })
}
