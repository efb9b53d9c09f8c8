//! What is known of runs and of each partition: plans, receipts, summaries, records, schemas.
//!
//! The ledger is derived. A commit never asks it; it can be rebuilt from the objects. A receipt is an object of its own
//! until its run is published; then it is part of the run's summary.

pub mod json;
pub mod plan;
pub mod prune;
pub mod read_records;
pub mod receipt;
pub mod records;
pub mod run;
pub mod schemas;
pub mod summary;
pub mod survey;
pub mod update_records;

pub use json::{read_json, write_json};
pub use plan::{PlanItem, Reason, read_plan, write_plan};
pub use prune::{old_runs, prune_runs};
pub use read_records::read_records;
pub use receipt::{ErrorFacts, Outcome, Receipt};
pub use records::{Committed, LastAttempt, PartitionRecord, Records, stale_partitions};
pub use run::{RunReceipts, read_run};
pub use summary::{FailedPartition, Summary};
pub use survey::{Object, Seen, Survey, survey};
pub use update_records::follow_objects;
