//! Everything specific to AWS: the lake in a bucket, Glue as the catalog, secrets, the three steps as Lambda functions, and
//! the executions of the state machine that calls them.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod certificates;
pub mod client;
#[cfg(feature = "execution")]
pub mod execution;
#[cfg(feature = "glue")]
pub mod glue;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(any(feature = "execution", feature = "glue"))]
mod latest_map_run;
#[cfg(feature = "glue")]
pub mod map_run;
pub mod metrics;
pub mod notice;
pub mod payload;
pub mod s3;
mod sdk_error;
#[cfg(feature = "portal")]
pub mod secret;
pub mod settings;
pub mod step;

pub use aws_config::SdkConfig;
