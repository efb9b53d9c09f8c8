//! The configuration shared by all AWS clients: region, credentials, endpoint, retries and one HTTPS client.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::ProvideCredentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use rollcall_core::ports::BoxError;

use crate::certificates::Roots;

/// Maximum number of attempts per call, in the SDK's standard retry mode.
const MAX_ATTEMPTS: u32 = 3;
/// Maximum time to connect; the SDK's default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// Maximum time for one attempt, from the start of the request to the first byte of the response. By default, the SDK waits
/// forever, and the function would be killed without an explanation.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Loads the region, credentials and endpoint from the environment or the user's profile, as other AWS tools do.
///
/// - `roots`: trusted root certificates; `None` for the system's.
pub async fn config(roots: Option<&Roots>) -> SdkConfig {
    loader(roots).load().await
}

/// Returns the loader behind [`config`], so that the caller can add settings.
pub fn loader(roots: Option<&Roots>) -> ConfigLoader {
    let mut https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    if let Some(roots) = roots {
        https = https.tls_context(roots.tls_context());
    }
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(https.build_https())
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
}

/// Checks, before the first call, that there are credentials to sign calls with.
///
/// # Errors
/// Returns why no credentials are available.
pub async fn find_credentials(config: &SdkConfig) -> Result<(), BoxError> {
    match config.credentials_provider() {
        Some(provider) => Ok(provider.provide_credentials().await.map(drop)?),
        None => Err("no credentials provider".into()),
    }
}
