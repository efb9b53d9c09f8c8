//! Simulates the REST API of the Education Data Portal, for tests and sample data.
//!
//! The simulator responds as the portal does, including its quirks: page size and links, unsupported filters that are
//! silently ignored, HTTP 500 for a year without data, and `leaid` without its leading zero. The schools are invented, but
//! the pre-K state totals for 2021 are the published ones. [`Fault`] rules make requests fail, and
//! [`Config::recorded`] serves recorded bodies instead of the sample. The simulator shares no code with the client that it
//! tests.
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use rollcall_simulator::{Action, Config, Fault, Simulator};
//!
//! let faults = vec![Fault::new(Action::DropRow { index: 3 }).on_path("2021/grade-pk/").on_page(2)];
//! let config = Config { page_size: 1_000, faults, ..Config::default() };
//! let portal = Simulator::start(config, ([127, 0, 0, 1], 0).into()).await?;
//! let url = format!("{}/api/v1/schools/ccd/enrollment/2021/grade-pk/", portal.origin());
//! # let _ = url;
//! portal.stop().await;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod config;
mod connection;
mod csv;
mod dataset;
mod datasets;
mod directory;
mod enrollment;
mod fault;
mod grade;
mod gzip;
mod json;
mod metadata;
mod page;
mod page_cache;
mod page_source;
mod portal_request;
mod query;
mod recorded;
mod request_log;
mod responder;
mod response;
mod response_body;
mod route;
mod rows;
mod sample;
mod serve;
mod server;
mod states;
mod summary;

pub use config::Config;
pub use fault::{Action, Fault};
pub use request_log::SeenRequest;
pub use serve::{ServeArgs, ServeError, serve};
pub use server::{Running, Simulator};
pub use states::published_totals;
