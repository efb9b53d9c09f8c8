//! Lambda `catalog`: makes committed data visible to queries. `functions/catalog/README.md` describes its event and response.

use rollcall_aws::lambda;
use rollcall_aws::step::catalog::CatalogStep;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::log();
    let step = CatalogStep::from_env().await?;
    lambda::serve(async |event, deadline| step.publish(event, deadline).await).await
}
