//! The catalog function: what was committed becomes visible to queries. `README.md` beside this folder says what it is given and gives.

use rollcall_aws::lambda;
use rollcall_aws::step::catalog::CatalogStep;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::log();
    let step = CatalogStep::from_env().await?;
    lambda::serve(async |event, deadline| step.publish(event, deadline).await).await
}
