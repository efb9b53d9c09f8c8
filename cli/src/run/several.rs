//! Runs several datasets one after the other, with one summary.

use std::process::ExitCode;

use rollcall_core::dataset::Dataset;
use rollcall_core::error::chain;
use rollcall_core::ledger::{Outcome, Summary};
use serde::Serialize;

use crate::escape::visible;
use crate::exit::{self, is_of_dataset_only};
use crate::output::{self, Format};
use crate::run::args::RunArgs;
use crate::run::fetch::FetchEnd;
use crate::run::fetch_and_publish::fetch_and_publish;
use crate::run::prepare::prepare;
use crate::run::report::RunReport;
use crate::signals::{Signals, tell_interrupted};
use crate::table;
use crate::warnings;
use crate::words::{counted, thousands};

/// A dataset that was not run.
#[derive(Serialize)]
struct Skipped {
    dataset: String,
    reason: String,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct SeveralReport<'r> {
    runs: Vec<RunReport<'r>>,
    skipped: &'r [Skipped],
}

/// The runs so far.
#[derive(Default)]
struct Runs {
    ended: Vec<(Dataset, Summary, Vec<String>)>,
    skipped: Vec<Skipped>,
}

/// Runs the datasets one after the other. A dataset for which the request is invalid, such as one without the requested
/// years, is skipped and named.
pub(super) async fn run(args: &RunArgs, datasets: Vec<Dataset>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let source = args.portal.source().await?;
    let n_datasets = datasets.len();
    let mut runs = Runs::default();
    let mut end = FetchEnd::AllTried;
    for (i, dataset) in datasets.into_iter().enumerate() {
        if !output::is_quiet() {
            output::print_message(&format!("[{}/{n_datasets}] {}", i + 1, dataset.name));
        }
        let prepared = match args.request.resolve_for(&dataset) {
            Ok(request) => tokio::select! {
                prepared = prepare(args, &source, dataset.clone(), request) => prepared,
                () = signals.stop_requested() => {
                    tell_interrupted("committed partitions are kept");
                    end = FetchEnd::Interrupted;
                    break;
                }
            },
            Err(error) => Err(error),
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) if is_of_dataset_only(&error) => {
                let reason = chain(args.request.in_flags(error).as_ref());
                output::print_message(&format!("skipped: {reason}"));
                runs.skipped.push(Skipped { dataset: dataset.name, reason });
                continue;
            }
            Err(error) => {
                runs.print(args)?;
                return Err(error);
            }
        };
        let (ended, summary) = match fetch_and_publish(&prepared, args, &mut signals).await {
            Ok(Some(ended)) => ended,
            Ok(None) => {
                tell_interrupted(&format!(
                    "committed partitions of {} are kept; the next run registers them for queries",
                    dataset.name
                ));
                end = FetchEnd::Interrupted;
                break;
            }
            Err(error) => {
                runs.print(args)?;
                return Err(error);
            }
        };
        runs.ended.push((dataset, summary, prepared.plan.warnings));
        if matches!(ended, FetchEnd::Interrupted | FetchEnd::Unreachable | FetchEnd::LakeLost) {
            end = ended;
            break;
        }
    }
    runs.print(args)?;
    let n_run = runs.ended.len() + runs.skipped.len();
    if n_run < n_datasets {
        output::print_message(&format!("stopped: {} not run", counted((n_datasets - n_run) as u64, "dataset")));
    }
    warnings::note_sample(args.portal.is_sample() && !runs.ended.is_empty());
    let has_open = runs.ended.iter().any(|(_, summary, _)| summary.n_open() > 0);
    Ok(match end {
        FetchEnd::Interrupted => ExitCode::from(exit::INTERRUPTED),
        FetchEnd::Unreachable => ExitCode::from(exit::PORTAL),
        _ if has_open => ExitCode::from(exit::PARTIAL),
        _ if runs.ended.is_empty() => ExitCode::from(exit::BAD_INPUT),
        _ => ExitCode::from(exit::OK),
    })
}

impl Runs {
    /// Prints one line for each dataset, with the commands that fetch what failed, and the totals.
    fn print(&self, args: &RunArgs) -> anyhow::Result<()> {
        if args.format == Format::Json {
            let runs =
                self.ended.iter().map(|(_, summary, warnings)| RunReport::new(summary, warnings, None)).collect();
            return output::print_json(&SeveralReport { runs, skipped: &self.skipped });
        }
        let mut table = table::table(&["dataset", "rows", "pages", "outcome"]);
        let mut totals = [0; Outcome::ALL.len()];
        let (mut n_planned, mut n_rows, mut n_pages) = (0, 0, 0);
        for (dataset, summary, _) in &self.ended {
            table.add_row([
                visible(&dataset.name).into_owned(),
                thousands(summary.n_rows),
                thousands(summary.n_pages),
                if summary.n_planned == 0 { "nothing to fetch".to_owned() } else { summary.outcomes_in_words() },
            ]);
            for (total, outcome) in totals.iter_mut().zip(Outcome::ALL) {
                *total += summary.count(*outcome);
            }
            n_planned += summary.n_planned;
            n_rows += summary.n_rows;
            n_pages += summary.n_pages;
        }
        for skipped in &self.skipped {
            table.add_row([visible(&skipped.dataset).as_ref(), "", "", "skipped"]);
        }
        table::align_right(&mut table, &[1, 2]);
        let mut text = table::render(&table);
        let outcomes = totals.iter().zip(Outcome::ALL).filter(|(n, _)| **n > 0);
        let outcomes: Vec<String> = outcomes.map(|(n, outcome)| format!("{n} {}", outcome.as_str())).collect();
        if self.ended.is_empty() {
            text.push_str(&format!(
                "{}: {} skipped\n",
                counted(self.skipped.len() as u64, "dataset"),
                self.skipped.len()
            ));
            output::print(&text)?;
            return Ok(());
        }
        let skipped = match self.skipped.len() {
            0 => String::new(),
            n => format!(", {n} skipped"),
        };
        text.push_str(&format!(
            "{}{skipped}, {}: {}; {}, {}\n",
            counted((self.ended.len() + self.skipped.len()) as u64, "dataset"),
            counted(n_planned as u64, "partition"),
            if outcomes.is_empty() { "nothing to fetch".to_owned() } else { outcomes.join(", ") },
            counted(n_rows, "row"),
            counted(n_pages, "page"),
        ));
        for (dataset, summary, _) in self.ended.iter().filter(|(_, summary, _)| summary.n_open() > 0) {
            text.push_str(&format!("run the rest again: {}\n", args.offer(dataset).retry(&summary.run)));
        }
        output::print(&text)?;
        Ok(())
    }
}
