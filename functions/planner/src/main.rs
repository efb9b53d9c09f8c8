//! The planner: an execution's input to a plan in the lake. `README.md` beside this folder says what it is given and gives.

use rollcall_aws::lambda;
use rollcall_aws::step::planner::Planner;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::log();
    let step = Planner::from_env().await?;
    lambda::serve(async |event, deadline| step.plan(event, deadline).await).await
}
