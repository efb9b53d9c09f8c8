//! `rollcall status --run`: the outcome of one run.

use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use rollcall_core::ledger::{self, PlanItem, Receipt, Summary};
use rollcall_core::ports::Store;
use serde::ser::Error;
use serde::{Serialize, Serializer};

use crate::changes;
use crate::exit::BadInput;
use crate::lake::offer::Offer;
use crate::output::{self, Format};
use crate::table;
use crate::warnings;
use crate::words::{self, counted, in_one_line};

#[derive(Serialize)]
struct RunStatus<'r> {
    run: &'r str,
    is_finished: bool,
    #[serde(serialize_with = "without_receipts")]
    summary: Option<&'r Summary>,
    /// In the order of the plan.
    partitions: &'r [RunRow],
}

/// A planned partition, with its receipt.
#[derive(Serialize)]
struct RunRow {
    #[serde(flatten)]
    item: PlanItem,
    /// `null` while the run is in progress, and if the run was killed.
    #[serde(serialize_with = "without_partition")]
    receipt: Option<Receipt>,
}

/// Serializes a receipt without its partition, which its row has.
fn without_partition<S: Serializer>(receipt: &Option<Receipt>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(receipt).map_err(S::Error::custom)?;
    if let Some(receipt) = value.as_object_mut() {
        receipt.remove("partition");
    }
    value.serialize(serializer)
}

/// Serializes a summary without what the rows say: the receipts, and the errors of those that failed.
fn without_receipts<S: Serializer>(summary: &Option<&Summary>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(summary).map_err(S::Error::custom)?;
    if let Some(summary) = value.as_object_mut() {
        summary.retain(|name, _| name != "partitions" && name != "failed");
    }
    value.serialize(serializer)
}

/// Prints the outcome of one run.
pub(crate) async fn show_run(store: &impl Store, offer: &Offer<'_>, run: &str, format: Format) -> anyhow::Result<()> {
    let (dataset, lake) = (offer.dataset, offer.lake.name());
    let plan: Option<Vec<PlanItem>> = if rollcall_core::request::is_run_name(run) {
        ledger::read_json(store, &keys::plan(dataset, run)).await?
    } else {
        None
    };
    let Some(plan) = plan else {
        let meant = ledger::runs_meant(&ledger::run_names(store, dataset).await?, run);
        let hint = meant.map_or_else(String::new, |meant| format!("\nhint: {meant}; all: {}", offer.list_runs()));
        return Err(BadInput(format!(
            "show run: expected a run of `{}` in `{lake}`, found none named `{}`{hint}",
            dataset.name,
            rollcall_core::text::excerpt(run)
        ))
        .into());
    };
    let summary: Option<Summary> = ledger::read_json(store, &keys::summary(dataset, run)).await?;
    let mut receipts = ledger::read_run(store, dataset, run).await?.receipts;
    let rows: Vec<RunRow> =
        plan.into_iter().map(|item| RunRow { receipt: receipts.remove(&item.partition), item }).collect();
    if format == Format::Json {
        let is_finished = summary.is_some();
        output::print_json(&RunStatus { run, is_finished, summary: summary.as_ref(), partitions: &rows })?;
        warn(dataset, &rows);
        return Ok(());
    }
    let mut table = table::table(&["partition", "outcome", "rows", "error"]);
    for row in &rows {
        let receipt = row.receipt.as_ref();
        let error = receipt.and_then(|receipt| receipt.error.as_ref());
        table.add_row([
            row.item.partition.to_string(),
            receipt.map_or("no receipt", |receipt| receipt.outcome.as_str()).to_owned(),
            receipt.map_or_else(String::new, |receipt| words::thousands(receipt.n_rows)),
            error.map_or_else(String::new, |error| format!("{}: {}", error.name, in_one_line(&error.message))),
        ]);
    }
    table::align_right(&mut table, &[2]);
    let mut text = table::render(&table);
    text.push_str(&match &summary {
        Some(summary) => {
            format!("{}: {}\n", counted(summary.n_planned as u64, "partition"), summary.outcomes_in_words())
        }
        None => format!("unfinished: no summary; {} planned\n", counted(rows.len() as u64, "partition")),
    });
    if let Some(summary) = &summary {
        text.push_str(&changes::describe(summary, dataset));
    }
    rows.iter()
        .filter_map(|row| row.receipt.as_ref())
        .for_each(|receipt| text.push_str(&changes::describe_cells(receipt)));
    output::print_long(&text)?;
    warn(dataset, &rows);
    Ok(())
}

/// Prints what the receipts say about the rows.
fn warn(dataset: &Dataset, rows: &[RunRow]) {
    let receipts = || rows.iter().filter_map(|row| row.receipt.as_ref());
    warnings::warn_unknown_fields(receipts());
    warnings::note_kept_keys(receipts(), dataset.reason.as_deref());
}
