//! Executions of the deployed state machine: finds the machine, starts executions and follows their progress.

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use aws_sdk_sfn::types::{ExecutionStatus, MapRunItemCounts};
use jiff::{SignedDuration, Timestamp};
use rollcall_core::ports::BoxError;
use serde_json::Value;
use twox_hash::XxHash3_64;

use crate::latest_map_run::latest_map_run;
use crate::payload::Planned;
use crate::sdk_error::cause;

/// Suffix of the state machine's name. The template appends it to the stack's name.
const NAME_SUFFIX: &str = "-ingest";
/// The state whose output is [`Planned`].
const PLAN_STATE: &str = "PlanPartitions";
/// Length of the time slot that an execution's name contains.
const SLOT: SignedDuration = SignedDuration::from_mins(1);

/// The deployed state machine.
#[derive(Debug, Clone)]
pub struct StateMachine {
    client: Client,
    arn: String,
}

/// One execution of the state machine.
#[derive(Debug, Clone)]
pub struct Execution {
    client: Client,
    /// ARN.
    pub arn: String,
    /// Name, which is also the run name.
    pub name: String,
}

/// Progress of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The planner is running; no partition is being fetched yet.
    Planning,
    /// Partitions are being fetched, or all have been fetched.
    Fetching(Counts),
    /// The execution has ended.
    Ended(End),
}

/// Partition counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Planned.
    pub n_planned: u64,
    /// Ended, successfully or not.
    pub n_done: u64,
    /// Failed, included in `n_done`.
    pub n_failed: u64,
    /// Being fetched.
    pub n_running: u64,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub status: String,
    /// Error name; empty if there is none.
    pub error: String,
    /// Error message.
    pub cause: String,
}

/// Why a state machine or an execution could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// No state machine matches, or several do.
    #[error("find state machine: expected {expected}, found {found}")]
    NotFound {
        /// The state machine that was searched for.
        expected: String,
        /// The state machines that exist.
        found: String,
    },
    /// The same request was already run within the same minute.
    #[error(
        "start execution `{name}`: expected no run of this request in this minute, found one that has already ended"
    )]
    Ended {
        /// Execution name.
        name: String,
    },
    /// A call failed.
    #[error("{action}")]
    Call {
        /// The call, such as `list state machines`.
        action: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

fn call(action: impl Into<String>, source: BoxError) -> ExecutionError {
    ExecutionError::Call { action: action.into(), source }
}

impl StateMachine {
    /// Finds a state machine by its name or ARN. If `named` is `None`, finds the only one whose name has the template's
    /// suffix.
    ///
    /// # Errors
    /// [`ExecutionError::NotFound`], with the names of the existing state machines.
    pub async fn find(config: &SdkConfig, named: Option<&str>) -> Result<Self, ExecutionError> {
        let client = Client::new(config);
        if let Some(arn) = named.filter(|named| named.starts_with("arn:")) {
            return Ok(Self { client, arn: arn.to_owned() });
        }
        let mut pages = client.list_state_machines().into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(machine) = pages.next().await {
            all.push(machine.map_err(|error| call("list state machines", cause(error)))?);
        }
        let is_match = |name: &str| named.map_or(name.ends_with(NAME_SUFFIX), |named| name == named);
        let mut matches = all.iter().filter(|machine| is_match(machine.name()));
        match (matches.next(), matches.next()) {
            (Some(machine), None) => Ok(Self { arn: machine.state_machine_arn().to_owned(), client }),
            _ => {
                let names: Vec<String> = all.iter().map(|machine| format!("`{}`", machine.name())).collect();
                Err(ExecutionError::NotFound {
                    expected: named.map_or_else(
                        || format!("one whose name ends in `{NAME_SUFFIX}`"),
                        |named| format!("`{named}`"),
                    ),
                    found: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
                })
            }
        }
    }

    /// Starts a run of `request`. If a run of the same request was started in the same minute and is still running,
    /// returns that run instead, so that a command entered twice starts one run.
    ///
    /// # Errors
    /// [`ExecutionError::Ended`] if that run has ended; [`ExecutionError::NotFound`] if no state machine has this ARN.
    pub async fn start(&self, request: &Value, now: Timestamp) -> Result<Execution, ExecutionError> {
        let (name, input) = (execution_name(request, now), request.to_string());
        let started = self.client.start_execution().state_machine_arn(&self.arn).name(&name).input(input).send().await;
        match started {
            Ok(started) => Ok(Execution { client: self.client.clone(), arn: started.execution_arn, name }),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_execution_already_exists()) => {
                Err(ExecutionError::Ended { name })
            }
            Err(error) if error.as_service_error().is_some_and(is_missing_state_machine) => {
                Err(ExecutionError::NotFound { expected: format!("`{}`", self.arn), found: "none".to_owned() })
            }
            Err(error) => Err(call(format!("start execution of `{}`", self.arn), cause(error))),
        }
    }
}

fn is_missing_state_machine(error: &StartExecutionError) -> bool {
    error.is_state_machine_does_not_exist() || error.is_invalid_arn()
}

/// Returns an execution name, built from the minute and the request. Names sort by time.
fn execution_name(request: &Value, now: Timestamp) -> String {
    let slot = now.as_second() - now.as_second().rem_euclid(SLOT.as_secs());
    let slot = Timestamp::from_second(slot).unwrap_or(now);
    // JSON objects are serialized with their keys sorted.
    let digest = XxHash3_64::oneshot(request.to_string().as_bytes());
    format!("{}-{:08x}", slot.strftime("%Y%m%dT%H%M%S"), digest >> 32)
}

impl Execution {
    /// Returns the progress of the execution.
    ///
    /// # Errors
    /// [`ExecutionError::Call`].
    pub async fn progress(&self) -> Result<Progress, ExecutionError> {
        let found = self.client.describe_execution().execution_arn(&self.arn).send().await;
        let found = found.map_err(|error| call(format!("read execution `{}`", self.name), cause(error)))?;
        if found.status != ExecutionStatus::Running {
            return Ok(Progress::Ended(End {
                status: found.status.as_str().to_owned(),
                error: found.error.unwrap_or_default(),
                cause: found.cause.map(|cause| cause_message(&cause)).unwrap_or_default(),
            }));
        }
        let maps = self.client.list_map_runs().execution_arn(&self.arn).send().await;
        let maps = maps.map_err(|error| call(format!("list map runs of `{}`", self.name), cause(error)))?;
        let Some(map) = latest_map_run(&maps.map_runs) else { return Ok(Progress::Planning) };
        let map = self.client.describe_map_run().map_run_arn(map).send().await;
        let map = map.map_err(|error| call(format!("read map run of `{}`", self.name), cause(error)))?;
        Ok(Progress::Fetching(map.item_counts.as_ref().map(counts_from).unwrap_or_default()))
    }

    /// Returns the planner's output, or `None` if the planner has not ended successfully.
    ///
    /// # Errors
    /// [`ExecutionError::Call`].
    pub async fn planned(&self) -> Result<Option<Planned>, ExecutionError> {
        let history = self.client.get_execution_history().execution_arn(&self.arn).into_paginator();
        let mut events = history.items().send();
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| call(format!("read history of `{}`", self.name), cause(error)))?;
            if let Some(exited) = event.state_exited_event_details.filter(|exited| exited.name == PLAN_STATE) {
                return Ok(exited.output.and_then(|output| serde_json::from_str(&output).ok()));
            }
        }
        Ok(None)
    }
}

fn counts_from(counts: &MapRunItemCounts) -> Counts {
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    let n_failed = count(counts.failed) + count(counts.timed_out) + count(counts.aborted);
    let n_done = count(counts.succeeded) + n_failed;
    Counts { n_planned: count(counts.total), n_done, n_failed, n_running: count(counts.running) }
}

/// Returns the message in a cause. If a function failed, the cause is JSON that contains the message.
fn cause_message(cause: &str) -> String {
    let json: Option<Value> = serde_json::from_str(cause).ok();
    let message = json.as_ref().and_then(|cause| cause.get("errorMessage")).and_then(Value::as_str);
    message.unwrap_or(cause).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_has_one_name_per_minute() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let request = json!({"years": [2020, 2021], "grades": ["grade-pk"]});
        let name = execution_name(&request, at("2026-11-23T12:00:01Z"));
        assert_eq!(name, "20261123T120000-acbd0389");
        assert!(rollcall_core::request::is_run_name(&name));
        let same = json!({"grades": ["grade-pk"], "years": [2020, 2021]});
        assert_eq!(execution_name(&same, at("2026-11-23T12:00:59.9Z")), name);
        assert_ne!(execution_name(&request, at("2026-11-23T12:01:00Z")), name);
        assert_ne!(execution_name(&json!({"years": [2020], "grades": ["grade-pk"]}), at("2026-11-23T12:00:01Z")), name);
    }

    #[test]
    fn the_message_of_a_functions_error_is_extracted_from_its_json() {
        assert_eq!(
            cause_message(r#"{"errorType": "InvalidRequest", "errorMessage": "check request: x"}"#),
            "check request: x"
        );
        assert_eq!(cause_message("3 of 8 failed"), "3 of 8 failed");
        assert_eq!(cause_message("{}"), "{}");
    }
}
