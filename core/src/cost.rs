//! What fetching costs: requests, bytes and waiting, and dollars on AWS.

pub mod aws;
mod lengths;
mod metered;
mod schedule;

pub use crate::cost::lengths::{Basis, Length, Lengths};
pub use crate::cost::metered::Metered;
pub use crate::cost::schedule::{estimate_time, n_requests};
