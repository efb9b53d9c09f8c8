//! What every AWS client is built from: region, credentials, endpoint, retries and one HTTPS client.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::ProvideCredentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use rollcall_core::ports::BoxError;

use crate::certificates::Roots;

/// Tries of one call, by the SDK's standard rules.
const TRIES: u32 = 3;
/// Time to connect, which is the SDK's own.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// Time until one try of a call is answered, all that it sends included. The SDK would wait without end, and the function
/// be killed, with no word of why.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Region, credentials and endpoint from the environment or the user's profile, as every AWS tool reads them.
///
/// - `roots`: certificates that are trusted; where there are none, those of the system.
pub async fn config(roots: Option<&Roots>) -> SdkConfig {
    loader(roots).load().await
}

/// The same, to be told more before it is loaded.
pub fn loader(roots: Option<&Roots>) -> ConfigLoader {
    let mut https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    if let Some(roots) = roots {
        https = https.tls_context(roots.tls_context());
    }
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(https.build_https())
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
}

/// Finds the credentials that calls will be signed with, before the first one is made.
///
/// # Errors
/// Why there are none.
pub async fn find_credentials(config: &SdkConfig) -> Result<(), BoxError> {
    match config.credentials_provider() {
        Some(provider) => Ok(provider.provide_credentials().await.map(drop)?),
        None => Err("no provider of credentials".into()),
    }
}
