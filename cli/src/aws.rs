//! Connects to AWS, or fails if the program was built without it.

use crate::exit::BadInput;

/// Returns Region, credentials and endpoint from the usual AWS settings.
///
/// # Errors
/// [`BadInput`] if no Region is set or no credentials are found.
#[cfg(feature = "aws")]
pub(crate) async fn config() -> Result<rollcall_aws::SdkConfig, BadInput> {
    let config = rollcall_aws::client::config(None).await;
    if config.region().is_none() {
        return Err(BadInput(
            "connect to AWS: expected a Region, found none\nhint: set AWS_REGION, or AWS_PROFILE to a profile that names one"
                .to_owned(),
        ));
    }
    rollcall_aws::client::find_credentials(&config).await.map_err(|error| {
        BadInput(format!(
            "connect to AWS: expected credentials, found none: {}\nhint: set AWS_PROFILE, or after an SSO login: eval \"$(aws configure export-credentials --format env)\"",
            rollcall_core::error::chain(error.as_ref())
        ))
    })?;
    Ok(config)
}

/// Returns the error for `action` in a program that was built without the AWS SDK.
#[cfg(not(feature = "aws"))]
pub(crate) fn missing(action: &str) -> BadInput {
    BadInput(format!(
        "{action}: expected a build with feature `aws`, found one without\nhint: build rollcall with `--features aws`"
    ))
}
