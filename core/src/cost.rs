//! What fetching costs: requests, bytes and waiting, and dollars on AWS.

pub mod aws;
mod metered;
mod schedule;

pub use crate::cost::metered::Metered;
pub use crate::cost::schedule::{estimate_time, n_requests};
