//! What every AWS client is built from: region, credentials, endpoint, retries and one HTTPS client.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::ProvideCredentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use rollcall_core::ports::BoxError;

use crate::roots::Roots;

/// Tries of one call, by the SDK's standard rules.
const TRIES: u32 = 3;

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
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(https.build_https())
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
