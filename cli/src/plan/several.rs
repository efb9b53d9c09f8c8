//! `rollcall plan` for several datasets: one line for each.

use std::process::ExitCode;

use rollcall_adapters::SystemClock;
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
    /// Number of partitions whose pages are not known.
    n_unknown: usize,
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
    let mut table = table::table(&["dataset", "partitions", "pages"]);
    for count in &counts {
        for warning in &count.warnings {
            output::print_message(&format!("warning: {}: {warning}", count.dataset));
        }
        if let Some(reason) = &count.skipped {
            output::print_message(&format!("skipped: {}: {reason}", count.dataset));
        }
        table.add_row([
            count.dataset.clone(),
            count.skipped.as_ref().map_or_else(|| thousands(count.n_partitions as u64), |_| "skipped".to_owned()),
            match (count.n_unknown, &count.skipped) {
                (_, Some(_)) => String::new(),
                (0, None) => thousands(count.n_pages),
                (_, None) => "?".to_owned(),
            },
        ]);
    }
    table::align_right(&mut table, &[1, 2]);
    let total = |count: fn(&PlanCounts) -> u64| counts.iter().map(count).sum::<u64>();
    let mut text = table::render(&table);
    text.push_str(&format!(
        "{}, {}: {}",
        counted(counts.len() as u64, "dataset"),
        counted(total(|count| count.n_partitions as u64), "partition"),
        counted(total(|count| count.n_pages), "page")
    ));
    let n_unknown = total(|count| count.n_unknown as u64);
    if n_unknown > 0 {
        text.push_str(&format!(" known, ? for {}", counted(n_unknown, "partition")));
    }
    text.push('\n');
    output::print(&text)?;
    Ok(code)
}

async fn count_all(
    args: &PlanArgs,
    source: &PortalSource,
    store: &impl Store,
    datasets: &[Dataset],
) -> anyhow::Result<Vec<PlanCounts>> {
    let mut counts = Vec::with_capacity(datasets.len());
    for dataset in datasets {
        let counted = match count(args, source, store, dataset).await {
            Err(error) if is_of_dataset_only(&error) => PlanCounts {
                dataset: dataset.name.clone(),
                n_partitions: 0,
                n_pages: 0,
                n_unknown: 0,
                warnings: Vec::new(),
                skipped: Some(chain(error.as_ref())),
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
) -> anyhow::Result<PlanCounts> {
    let request = args.request.resolve_for(dataset)?;
    let portal = args.portal.open_at(source, dataset)?;
    let plan = plan_partitions(&portal.for_metadata(), store, dataset, &request, SystemClock.now()).await?;
    let records = read_records(store, dataset).await?;
    let n_pages = |partition| records.get(partition)?.committed.as_ref()?.n_pages;
    let known: Vec<u32> = plan.items.iter().filter_map(|item| n_pages(&item.partition)).collect();
    Ok(PlanCounts {
        dataset: dataset.name.clone(),
        n_partitions: plan.items.len(),
        n_pages: known.iter().copied().map(u64::from).sum(),
        n_unknown: plan.items.len() - known.len(),
        warnings: plan.warnings,
        skipped: None,
    })
}
