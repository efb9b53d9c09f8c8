//! A stand-in of the Education Data Portal's REST API on the loopback interface.
//!
//! It answers as the portal does, oddities included: page size and links, filters that are silently ignored, HTTP 500
//! for a year without data, `leaid` without its leading zero. The schools are invented; the state totals of 2021
//! pre-K are the published ones. Requests can be made to go wrong, see [`Fault`]; recorded bodies can take the place
//! of the invented ones, see [`Config::recorded`]. It shares no code with the client it tests.
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

mod answer;
mod cache;
mod config;
mod directory;
mod edit;
mod enrollment;
mod fault;
mod grade;
mod json;
mod log;
mod metadata;
mod page;
mod query;
mod recorded;
mod responder;
mod route;
mod sample;
mod serve;
mod server;
mod states;

pub use config::Config;
pub use fault::{Action, Fault};
pub use log::SeenRequest;
pub use serve::{ServeArgs, ServeError, serve};
pub use server::{Running, Simulator};
pub use states::published_totals;
