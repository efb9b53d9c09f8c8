//! Which map run of an execution counts.

use aws_sdk_sfn::types::MapRunListItem;

/// Returns the ARN of the latest map run of an execution, or `None` if it has none. The state machine has one map, which
/// may have been retried because it could not read the plan.
pub(crate) fn latest_map_run(map_runs: &[MapRunListItem]) -> Option<String> {
    let started = |map_run: &&MapRunListItem| (map_run.start_date().secs(), map_run.start_date().subsec_nanos());
    map_runs.iter().max_by_key(started).map(|map_run| map_run.map_run_arn().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sfn::primitives::DateTime;

    #[test]
    fn a_retried_map_run_counts_instead_of_the_one_that_could_not_read_the_plan() {
        let map_run = |arn: &str, started: i64| {
            let built = MapRunListItem::builder().map_run_arn(arn).execution_arn("e").state_machine_arn("s");
            built.start_date(DateTime::from_secs(started)).build().unwrap()
        };
        assert_eq!(latest_map_run(&[]), None);
        assert_eq!(latest_map_run(&[map_run("old", 1), map_run("new", 2)]).as_deref(), Some("new"));
        assert_eq!(latest_map_run(&[map_run("new", 2), map_run("old", 1)]).as_deref(), Some("new"));
    }
}
