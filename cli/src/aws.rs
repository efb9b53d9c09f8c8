//! What commands need of AWS, and what they say in a program that was built without it.

use crate::exit::BadInput;

/// Region, credentials and endpoint, as every AWS tool finds them.
///
/// # Errors
/// [`BadInput`] when no Region is set.
#[cfg(feature = "aws")]
pub(crate) async fn config() -> Result<rollcall_aws::SdkConfig, BadInput> {
    let config = rollcall_aws::client::config().await;
    match config.region() {
        Some(_) => Ok(config),
        None => Err(BadInput(
            "connect to AWS: expected a Region, found none\nhint: set AWS_REGION, or AWS_PROFILE to a profile that names one"
                .to_owned(),
        )),
    }
}

/// What a program that was built without the AWS SDK says of `action`.
#[cfg(not(feature = "aws"))]
pub(crate) fn missing(action: &str) -> BadInput {
    BadInput(format!(
        "{action}: expected a program built with AWS, found one without\nhint: build it with `--features aws`"
    ))
}
