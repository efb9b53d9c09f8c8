//! Helpers for the behaviour tests: the real binary, a portal on loopback, a lake in a temporary folder, AWS emulators.

pub mod chance;
pub mod emulator;
pub mod https;
mod lake;
mod process;
mod project;
pub mod raw_portal;
mod samples;
pub mod server;
mod terminal;
mod test_portal;

pub use lake::{ENROLLMENT, Seen, TestLake, by_path, data, files_below, records};
pub use process::{Killed, Outcome, binary, executables, in_namespaces, rollcall, wait_until};
pub use project::{dataset_names, python, recorded_bodies, state_machine, workspace};
pub use samples::{HUNDRED, SEED_RANKING, descriptor_with_secret, partition, published_top_ten, registered};
pub use terminal::{on_dumb_terminal, on_terminal, on_terminal_after};
pub use test_portal::{TestPortal, client, stalled, write_page};
