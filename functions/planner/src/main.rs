//! Lambda `planner`: turns an execution's input into a plan in the lake. `functions/planner/README.md` describes its event
//! and response.

use rollcall_aws::lambda;
use rollcall_aws::step::planner::Planner;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::log();
    let step = Planner::from_env().await?;
    lambda::serve(async |event, deadline| step.plan(event, deadline).await).await
}
