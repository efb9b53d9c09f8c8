//! Lambda `page-fetch`: fetches one partition from the portal into the lake. `functions/page-fetch/README.md` describes its
//! event and response.

use rollcall_aws::lambda;
use rollcall_aws::step::page_fetch::PageFetch;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::log();
    let step = PageFetch::from_env().await?;
    lambda::serve(async |event, deadline| step.fetch(event, deadline).await).await
}
