//! The planner step: checks an execution's input, asks the portal for available years and writes the plan to the lake.

use rollcall_adapters::SystemClock;
use rollcall_adapters::http_portal::HttpPortal;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::write_plan;
use rollcall_core::plan::plan_partitions;
use rollcall_core::ports::Clock;
use rollcall_core::request::{self, Request, is_run_name, with_every_axis};
use rollcall_core::text::excerpt;
use rollcall_core::{Error, keys};
use serde_json::Value;
use tokio::time::Instant;

use crate::certificates::Roots;
use crate::payload::{ObjectReference, PlanEvent, Planned, split_schedule};
use crate::s3::S3Store;
use crate::settings;
use crate::step::{StartError, portal_settings};

/// The planner step with its clients.
pub struct Planner {
    store: S3Store,
    portal: HttpPortal,
}

impl Planner {
    /// Builds the clients.
    ///
    /// # Errors
    /// [`StartError`], with the name of the missing or invalid variable.
    pub async fn from_env() -> Result<Self, StartError> {
        let bucket = settings::required(settings::BUCKET, "the lake's bucket")?;
        let roots = Roots::from_system();
        let portal = HttpPortal::new(portal_settings(1, roots.as_ref())?, None)?;
        let config = crate::client::config(roots.as_ref()).await;
        Ok(Self { store: S3Store::new(&config, bucket), portal })
    }

    /// Plans a run and writes its plan.
    ///
    /// # Errors
    /// Same as [`plan_partitions`]; also [`Error::InvalidRequest`] if the execution's name is not a valid run name.
    pub async fn plan(&self, event: PlanEvent, deadline: Instant) -> Result<Planned, Error> {
        let PlanEvent { run, execution, started_at, input } = event;
        if !is_run_name(&run) {
            return Err(Error::InvalidRequest {
                mistakes: vec![format!(
                    "execution name: expected at most 80 letters, digits, `-` and `_`, found `{}`",
                    excerpt(&run)
                )],
            });
        }
        let (schedule, request) = split_schedule(input)?;
        let dataset = Dataset::find(&self.store, &request::dataset_name(&request)?).await?;
        let request = complete(request, schedule.as_deref(), &dataset);
        let request = Request::parse(&request, &dataset)?;
        request.check_for_bucket(&dataset)?;
        let now = SystemClock.now();
        let plan = plan_partitions(&self.portal.until(deadline), &self.store, &dataset, &request, now).await?;
        for warning in &plan.warnings {
            tracing::warn!(run, warning, "plan warning");
        }
        write_plan(&self.store, &dataset, &run, &plan.items).await?;
        let key = keys::plan(&dataset, &run);
        tracing::info!(run, dataset = dataset.name, n_planned = plan.items.len(), "planned");
        Ok(Planned {
            run,
            execution,
            started_at,
            schedule,
            dataset: dataset.name,
            plan: ObjectReference { bucket: self.store.bucket().to_owned(), key },
            n_planned: plan.items.len(),
            portal_release: plan.portal_release,
            force: request.force,
            catalog: request.catalog,
            warnings: plan.warnings,
        })
    }
}

/// Completes the request of a dataset's own schedule. The template, which makes these requests, knows a dataset's name but
/// not its axes.
fn complete(request: Value, schedule: Option<&str>, dataset: &Dataset) -> Value {
    if schedule == Some(&dataset.name) { with_every_axis(request, dataset) } else { request }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_schedule_of_a_dataset_fetches_all_values_of_the_axes_that_it_does_not_name() {
        let enrollment = Dataset::built_in("ccd_enrollment").unwrap();
        let named = json!({"dataset": "ccd_enrollment", "years": "latest-3"});
        let completed = json!({"dataset": "ccd_enrollment", "years": "latest-3", "grades": "all"});
        assert_eq!(complete(named.clone(), Some("ccd_enrollment"), &enrollment), completed);
        assert_eq!(complete(completed.clone(), Some("ccd_enrollment"), &enrollment), completed);
        let mut null = named.clone();
        null["grades"] = Value::Null;
        assert_eq!(complete(null, Some("ccd_enrollment"), &enrollment), completed);
        for schedule in [None, Some("default"), Some("ccd_directory")] {
            assert_eq!(complete(named.clone(), schedule, &enrollment), named);
        }
        let directory = Dataset::built_in("ccd_directory").unwrap();
        let named = json!({"dataset": "ccd_directory", "years": "latest-3"});
        assert_eq!(complete(named.clone(), Some("ccd_directory"), &directory), named);
    }
}
