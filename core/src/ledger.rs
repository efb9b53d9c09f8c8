//! What is known about runs and about each partition: plans, receipts, summaries, records, schemas.
//!
//! The ledger is derived: commits do not consult it, and it can be rebuilt from the objects. Each receipt is a separate
//! object until its run is published. Then it becomes part of the run's summary.

pub mod json;
pub(crate) mod listing;
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
pub use plan::{PlanItem, Reason, read_plan, read_run_descriptor, write_plan};
pub use prune::{old_runs, prune_runs};
pub use read_records::read_records;
pub use receipt::{ErrorFacts, Outcome, Receipt};
pub use records::{Committed, LastAttempt, PartitionRecord, Records, stale_partitions};
pub use run::{RunReceipts, read_run, read_runs, run_names, runs_meant};
pub use summary::{FailedPartition, Summary};
pub use survey::{Object, Seen, Survey, survey};
pub use update_records::read_current;
