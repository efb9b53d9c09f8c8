//! `rollcall run --on aws`: the same request, run by the deployed state machine.

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
use rollcall_core::ledger::{self, Summary};
use rollcall_core::ports::Clock;
use serde::Serialize;

use crate::aws;
use crate::exit::{self, BadInput};
use crate::output::{self, Format};
use crate::progress::ExecutionBar;
use crate::report::Report;
use crate::run::args::RunArgs;
use crate::signals::Signals;

/// Wait between two looks at an execution, at first and at most: a run takes from seconds to hours.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LAST_LOOK: Duration = Duration::from_secs(5);
/// Looks that may fail in a row before the run is left to itself.
const LOOKS_LOST: u32 = 5;
/// The error of an execution of which some partitions failed; the others are published.
const PARTIAL_FAILURE: &str = "PartialFailure";
const SUCCEEDED: &str = "SUCCEEDED";

/// What `--detach --format json` prints.
#[derive(Serialize)]
struct Started<'e> {
    run: &'e str,
    execution: &'e str,
}

/// Starts the run, and unless it is detached waits for its end and tells what it came to.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let resolved = args.request.resolve()?;
    if args.request.is_dataset_from_file() {
        return Err(BadInput(format!(
            "run dataset `{}` on aws: expected a dataset built in, found a file\nhint: put it into datasets/, and build and \
             deploy again",
            resolved.dataset.name
        ))
        .into());
    }
    if !args.lake.is_default() {
        return Err(BadInput(format!(
            "run on aws: expected no lake of its own, found {}\nhint: leave out --lake and ROLLCALL_LAKE; the state \
             machine has its bucket",
            args.lake.flag().unwrap_or_default()
        ))
        .into());
    }
    let config = aws::config().await?;
    let machine = StateMachine::find(&config, args.state_machine.as_deref()).await.map_err(explained)?;
    let execution = machine.start(&resolved.input, SystemClock.now()).await.map_err(explained)?;
    if args.detach {
        tell_started(&execution, args, &resolved.dataset)?;
        return Ok(ExitCode::SUCCESS);
    }
    tracing::info!(run = execution.name, arn = execution.arn, "execution started");
    // Until here Ctrl-C ends the process as it does anywhere; from here on there is something to say first.
    let mut signals = Signals::listen()?;
    let ended = tokio::select! {
        ended = follow(&execution) => {
            ended.with_context(|| {
                format!(
                    "follow run {}, which goes on\nhint: aws stepfunctions describe-execution --execution-arn {}",
                    execution.name, execution.arn
                )
            })?
        }
        () = signals.asked() => {
            output::complain(&format!(
                "interrupted: run {} goes on\nhint: aws stepfunctions stop-execution --execution-arn {}",
                execution.name, execution.arn
            ));
            return Ok(ExitCode::from(exit::INTERRUPTED));
        }
    };
    let is_published = ended.status == SUCCEEDED || ended.error == PARTIAL_FAILURE;
    let planned = if is_published { execution.planned().await? } else { None };
    match planned {
        Some(planned) => tell_published(args, &resolved.dataset, &config, &planned).await,
        None => Ok(tell_failed(&execution, &ended)),
    }
}

/// Follows an execution to its end, with a bar.
async fn follow(execution: &Execution) -> Result<End, ExecutionError> {
    let bar = ExecutionBar::new();
    let mut wait = FIRST_LOOK;
    let mut n_lost = 0;
    loop {
        match execution.progress().await {
            Ok(Progress::Ended(end)) => return Ok(end),
            Ok(Progress::Planning) => n_lost = 0,
            Ok(Progress::Fetching(counts)) => {
                n_lost = 0;
                bar.show(counts);
            }
            Err(error) if n_lost == LOOKS_LOST => return Err(error),
            Err(error) => {
                n_lost += 1;
                tracing::warn!(run = execution.name, error = chain(&error), "look at execution failed");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_LOOK);
    }
}

fn tell_started(execution: &Execution, args: &RunArgs, dataset: &Dataset) -> anyhow::Result<()> {
    if args.format == Format::Json {
        return output::print_json(&Started { run: &execution.name, execution: &execution.arn });
    }
    let dataset = args.request.dataset_flag(dataset).map(|flag| format!(" {flag}")).unwrap_or_default();
    output::print(&format!(
        "run {} started\nfollow it: rollcall status --lake s3://BUCKET{dataset} --run {}\n           aws stepfunctions \
         describe-execution --execution-arn {}\n",
        execution.name, execution.name, execution.arn
    ))?;
    Ok(())
}

/// Tells what a run came to, from its lake.
async fn tell_published(
    args: &RunArgs,
    dataset: &Dataset,
    config: &rollcall_aws::SdkConfig,
    planned: &Planned,
) -> anyhow::Result<ExitCode> {
    let bucket = &planned.plan.bucket;
    for warning in &planned.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    let store = S3Store::new(config, bucket);
    let summary_key = keys::summary(dataset, &planned.run);
    let summary: Option<Summary> = ledger::read_json(&store, &summary_key).await?;
    let Some(summary) = summary else {
        anyhow::bail!("read `s3://{bucket}/{summary_key}`: expected the run's summary, found none");
    };
    for failed in &summary.failed {
        let (name, message) = (&failed.error.name, &failed.error.message);
        let partition = format!("`{}`", failed.partition);
        // Most messages name it; a killed one's is the state machine's.
        let named = if message.contains(&partition) { String::new() } else { format!("{partition}: ") };
        output::complain(&format!("failed: {name}: {named}{message}"));
    }
    let report = Report::new(&summary, &planned.warnings, None);
    report.print(dataset, args.format, &args.again(&summary.run, dataset), &args.anew(dataset))?;
    Ok(ExitCode::from(if summary.n_open() > 0 { exit::PARTIAL } else { exit::OK }))
}

/// Tells why a run ended without a summary.
fn tell_failed(execution: &Execution, end: &End) -> ExitCode {
    let (error, cause) = (&end.error, &end.cause);
    let words = match (error.is_empty(), cause.is_empty()) {
        (true, _) => format!("run {}: expected an end as {SUCCEEDED}, found {}", execution.name, end.status),
        (false, true) => error.clone(),
        (false, false) => format!("{error}: {cause}"),
    };
    output::complain(&format!("error: {words}\nhint: the execution is {}", execution.arn));
    ExitCode::from(exit::code_of_name(error))
}

/// With what to do about it.
fn explained(error: ExecutionError) -> anyhow::Error {
    match error {
        ExecutionError::NotFound { .. } => {
            BadInput(format!("{error}\nhint: name it with --state-machine, or set AWS_REGION to that of the stack"))
                .into()
        }
        ExecutionError::Ended { .. } => BadInput(format!("{error}\nhint: start it again in the next minute")).into(),
        ExecutionError::Call { .. } => error.into(),
    }
}
