//! `rollcall run --on aws`: starts the run on the deployed state machine, follows it, and prints its outcome.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use rollcall_adapters::SystemClock;
use rollcall_aws::execution::{End, Execution, ExecutionError, Progress, StateMachine};
use rollcall_aws::payload::Planned;
use rollcall_aws::s3::S3Store;
use rollcall_core::dataset::Dataset;
use rollcall_core::error::chain;
use rollcall_core::keys;
use rollcall_core::ledger::{self, Receipt, Summary};
use rollcall_core::ports::{Clock, Store};
use serde::Serialize;

use crate::aws;
use crate::exit::{self, BadInput};
use crate::lake::offer::dataset_flag;
use crate::output::{self, Format};
use crate::progress;
use crate::progress::execution::ExecutionState;
use crate::request::dataset::refuse_several;
use crate::run::args::RunArgs;
use crate::run::report::RunReport;
use crate::signals::Signals;

/// First and longest interval between two polls of an execution. A run takes from seconds to hours.
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(200);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Number of consecutive polls that may fail; one more failure ends the command.
const MAX_FAILED_POLLS: u32 = 5;
/// Maximum number of receipts that are read after a poll.
const MAX_RECEIPTS: usize = 50;
/// Error of an execution in which some partitions failed. The others are published.
const PARTIAL_FAILURE: &str = "PartialFailure";
const SUCCEEDED: &str = "SUCCEEDED";

/// What `--detach --format json` prints.
#[derive(Serialize)]
struct StartedRun<'e> {
    run: &'e str,
    execution: &'e str,
}

/// Starts the run. Without `--detach`, waits for it to end and prints its outcome.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    refuse_several("--on aws", args.request.several()?.as_deref())?;
    let resolved = args.request.resolve()?;
    resolved.request.check_for_bucket(&resolved.dataset)?;
    if !args.lake.is_default() {
        return Err(BadInput(format!(
            "run on aws: expected no lake, found {}\nhint: omit --lake and ROLLCALL_LAKE; the state machine \
             writes to its own bucket",
            args.lake.flag().unwrap_or_default()
        ))
        .into());
    }
    let config = aws::config().await?;
    let machine = StateMachine::find(&config, args.state_machine.as_deref()).await.map_err(with_hint)?;
    let execution = machine.start(&resolved.input, SystemClock.now()).await.map_err(with_hint)?;
    if args.detach {
        print_started(&execution, args, &resolved.dataset)?;
        return Ok(ExitCode::SUCCESS);
    }
    tracing::info!(run = execution.name, arn = execution.arn, "execution started");
    // Until here, Ctrl-C ends the process as usual. From here on, it also prints how to stop the execution.
    let mut signals = Signals::listen()?;
    let ended = tokio::select! {
        ended = follow(&execution, &resolved.dataset, &config) => {
            ended.with_context(|| {
                format!(
                    "follow run {}, which continues on AWS\nhint: aws stepfunctions describe-execution --execution-arn {}",
                    execution.name, execution.arn
                )
            })?
        }
        () = signals.stop_requested() => {
            output::print_message(&format!(
                "interrupted: run {} continues on AWS\nhint: to stop it: aws stepfunctions stop-execution --execution-arn {}",
                execution.name, execution.arn
            ));
            return Ok(ExitCode::from(exit::INTERRUPTED));
        }
    };
    let is_published = ended.status == SUCCEEDED || ended.error == PARTIAL_FAILURE;
    let planned = if is_published { execution.planned().await? } else { None };
    match planned {
        Some(planned) => print_published(args, &resolved.dataset, &config, &planned).await,
        None => Ok(print_failure(&execution, &ended)),
    }
}

/// Polls an execution until it ends, and shows its progress.
async fn follow(
    execution: &Execution,
    dataset: &Dataset,
    config: &rollcall_aws::SdkConfig,
) -> Result<End, ExecutionError> {
    let opening = format!("following run {} on AWS", execution.name);
    let progress = progress::Progress::start(ExecutionState::default(), Some(&opening));
    let mut receipts = Receipts { seen: BTreeSet::new(), store: None };
    let (mut interval, mut n_failed) = (FIRST_POLL_INTERVAL, 0);
    let ended = loop {
        match execution.progress().await {
            Ok(Progress::Ended(end)) => break Ok(end),
            Ok(Progress::Planning) => n_failed = 0,
            Ok(Progress::Fetching(counts)) => {
                n_failed = 0;
                progress.counted(counts);
                for receipt in receipts.new_ones(execution, dataset, config).await {
                    progress.state().received(&receipt);
                }
            }
            Err(error) if n_failed == MAX_FAILED_POLLS => break Err(error),
            Err(error) => {
                n_failed += 1;
                tracing::warn!(run = execution.name, error = chain(&error), "polling the execution failed");
            }
        }
        tokio::time::sleep(interval).await;
        interval = (interval * 2).min(MAX_POLL_INTERVAL);
    };
    progress.finish();
    ended
}

/// The receipts of an execution, as they appear in its lake.
struct Receipts {
    seen: BTreeSet<String>,
    /// The lake; `None` until the planner has named it.
    store: Option<S3Store>,
}

impl Receipts {
    /// Returns receipts that were not returned before, a limited number at a time.
    ///
    /// Who may follow executions may not be allowed to read the lake. Progress then shows only the counts.
    async fn new_ones(
        &mut self,
        execution: &Execution,
        dataset: &Dataset,
        config: &rollcall_aws::SdkConfig,
    ) -> Vec<Receipt> {
        if self.store.is_none() {
            let planned = execution.planned().await.ok().flatten();
            self.store = planned.map(|planned| S3Store::new(config, &planned.plan.bucket));
        }
        let Some(store) = &self.store else { return Vec::new() };
        let listed = store.list(&keys::receipts_prefix(dataset, &execution.name)).await.unwrap_or_default();
        let new = listed.into_iter().map(|listed| listed.key).filter(|key| !self.seen.contains(key));
        let new: Vec<String> = new.take(MAX_RECEIPTS).collect();
        let mut receipts = Vec::new();
        for key in new {
            if let Ok(Some(receipt)) = ledger::read_json(store, &key).await {
                receipts.push(receipt);
                self.seen.insert(key);
            }
        }
        receipts
    }
}

fn print_started(execution: &Execution, args: &RunArgs, dataset: &Dataset) -> anyhow::Result<()> {
    if args.format == Format::Json {
        return output::print_json(&StartedRun { run: &execution.name, execution: &execution.arn });
    }
    let dataset = dataset_flag(dataset, args.request.dataset_arg()).map(|flag| format!(" {flag}")).unwrap_or_default();
    output::print(&format!(
        "run {} started\nfollow it: rollcall status --lake s3://BUCKET{dataset} --run {}\n           aws stepfunctions \
         describe-execution --execution-arn {}\n",
        execution.name, execution.name, execution.arn
    ))?;
    Ok(())
}

/// Prints the outcome of a published run, from the summary in its lake.
async fn print_published(
    args: &RunArgs,
    dataset: &Dataset,
    config: &rollcall_aws::SdkConfig,
    planned: &Planned,
) -> anyhow::Result<ExitCode> {
    let bucket = &planned.plan.bucket;
    for warning in &planned.warnings {
        output::print_message(&format!("warning: {warning}"));
    }
    let store = S3Store::new(config, bucket);
    let summary_key = keys::summary(dataset, &planned.run);
    let summary: Option<Summary> = ledger::read_json(&store, &summary_key).await?;
    let Some(summary) = summary else {
        anyhow::bail!("read `s3://{bucket}/{summary_key}`: expected the summary of the run, found no object");
    };
    for failed in &summary.failed {
        let (name, message) = (&failed.error.name, &failed.error.message);
        let partition = format!("`{}`", failed.partition);
        // Most messages name the partition. If the function was killed, the message is from Step Functions.
        let named = if message.contains(&partition) { String::new() } else { format!("{partition}: ") };
        output::print_message(&format!("failed: {name}: {named}{message}"));
    }
    let report = RunReport::new(&summary, &planned.warnings, None).with_usd();
    report.print(args.format, &args.offer(dataset))?;
    Ok(ExitCode::from(if summary.n_open() > 0 { exit::PARTIAL } else { exit::OK }))
}

/// Prints why a run ended without a summary.
fn print_failure(execution: &Execution, end: &End) -> ExitCode {
    let (error, cause) = (&end.error, &end.cause);
    let reason = match (error.is_empty(), cause.is_empty()) {
        (true, _) => format!("run {}: expected status {SUCCEEDED}, found {}", execution.name, end.status),
        (false, true) => error.clone(),
        (false, false) => format!("{error}: {cause}"),
    };
    output::print_message(&format!("error: {reason}\nhint: the execution is {}", execution.arn));
    ExitCode::from(exit::code_of_name(error))
}

/// Adds a hint to errors that the user can fix.
fn with_hint(error: ExecutionError) -> anyhow::Error {
    match error {
        ExecutionError::NotFound { .. } => BadInput(format!(
            "{error}\nhint: name it with --state-machine, or set AWS_REGION to the Region of the stack"
        ))
        .into(),
        ExecutionError::Ended { .. } => BadInput(format!("{error}\nhint: start it again in a minute")).into(),
        ExecutionError::Call { .. } => error.into(),
    }
}
