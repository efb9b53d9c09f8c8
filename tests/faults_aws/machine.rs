//! The state machine, its schedule, and the events that it passes on.

use jiff::Timestamp;
use rollcall_aws::payload::{ObjectReference, Planned, Published};
use rollcall_core::cost::Metered;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{ErrorFacts, FailedPartition, Outcome, Summary};
use rollcall_simulator::{Action, Fault as PortalFault};
use rollcall_tests::emulator::proxy::{Fault, Rule, Seen, json_error};
use rollcall_tests::{partition, state_machine};
use serde_json::{Value, json};

use crate::ground::{
    CREATE, Ground, UPDATE, fetch_event, fetch_event_alone, finished, of_type, plan_event, pre_k, publish_event,
    template,
};

/// Guards: state holds references and counts, however large the plan; a message names at most twenty partitions.
#[test]
fn w1_w2_state_stays_small_however_many_partitions_are_planned_or_fail() {
    let machine = state_machine();
    let map = &machine["States"]["FetchPartitions"];
    assert_eq!(map["ItemReader"]["Resource"], "arn:aws:states:::s3:getObject", "the plan is read from the lake");
    assert_eq!((&map["ResultPath"], map.get("ResultPath").is_some()), (&Value::Null, true), "results are dropped");

    let ground = Ground::new();
    let mut grades: Vec<String> = (1..=15).map(|n| format!("grade-{n}")).collect();
    grades.extend(["grade-pk", "grade-k", "grade-99"].map(str::to_owned));
    let request = json!({"years": "1986-2024", "grades": grades});
    let planned = ground.function("planner").call(&plan_event("r1", &request)).response();
    let n_planned = planned["n_planned"].as_u64().expect("the value is a number");
    assert!(n_planned >= 39 * 18, "{n_planned}");
    assert!(planned.to_string().len() < 2_048, "{planned}");
    assert_eq!(planned["plan"]["bucket"], json!(ground.bucket));
    let plan = ground.read(planned["plan"]["key"].as_str().expect("the key is text")).expect("the plan exists");
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&plan).expect("the plan is an array").len() as u64, n_planned);

    let error = ErrorFacts { name: "PortalUnavailable".to_owned(), message: "x".repeat(2_000) };
    let failed = |year: i32| FailedPartition { partition: partition(year, "grade-pk"), error: error.clone() };
    let failed: Vec<FailedPartition> = (1..=720).map(failed).collect();
    let now = Timestamp::now();
    let summary = Summary {
        run: "r".repeat(80),
        dataset: "ccd_enrollment".to_owned(),
        started_at: now,
        finished_at: now,
        n_planned: 720,
        outcomes: [(Outcome::Failed, 720)].into(),
        n_rows: 0,
        n_pages: 0,
        cost: Metered::default(),
        change: None,
        n_changed: 0,
        n_published: 0,
        n_withdrawn: 0,
        unreadable: Vec::new(),
        stale: Vec::new(),
        failed,
        receipts: Vec::new(),
    };
    let enrollment = Dataset::built_in("ccd_enrollment").expect("it is built in");
    let reference = ObjectReference { bucket: "b".repeat(63), key: "k".repeat(200) };
    let planned: Planned =
        serde_json::from_str(include_str!("../../functions/planner/response.json")).expect("it is one");
    let published = json!(Published::from_summary(&planned, &summary, &enrollment, reference, None, Some(MAP_RUN)));
    // The message names twenty partitions; the notice spells out ten errors.
    assert!(published.to_string().len() < 16_384, "{published}");
    assert!(published["message"].as_str().is_some_and(|message| message.contains(" and 700 more")), "{published}");
}

/// ARNs of an execution and of its map run.
const EXECUTION: &str = "arn:aws:states:us-east-1:000000000000:execution:rollcall-dev-ingest:r1";
const MAP_RUN: &str = "arn:aws:states:us-east-1:000000000000:mapRun:rollcall-dev-ingest/fetch:1";

/// Returns a rule by which Step Functions responds to `operation` with `response`.
fn responds(operation: &str, response: &Value) -> Rule {
    Rule::new(&format!("AWSStepFunctions.{operation}"), Fault::Respond { status: 200, body: response.to_string() })
}

/// Returns rules for a map run of four items: how many succeeded, failed and were aborted, and the child executions
/// that started, each with its status.
fn map_run([succeeded, failed, aborted]: [u64; 3], children: &[&str]) -> Vec<Rule> {
    let of_map_run = json!({"mapRunArn": MAP_RUN, "executionArn": EXECUTION, "stateMachineArn": "s", "startDate": 0});
    let counts = json!({
        "total": 4, "succeeded": succeeded, "failed": failed, "aborted": aborted, "pending": 0, "running": 0,
        "timedOut": 0, "resultsWritten": 0
    });
    let child = |(number, status): (usize, &&str)| {
        let arn = format!("{EXECUTION}-{number}");
        json!({"executionArn": arn, "name": number.to_string(), "status": status, "stateMachineArn": "s", "startDate": 0})
    };
    let children: Vec<Value> = children.iter().enumerate().map(child).collect();
    let input = fetch_event_alone("r1", &partition(2018, "grade-pk")).to_string();
    vec![
        responds("ListMapRuns", &json!({"mapRuns": [of_map_run]})),
        responds("DescribeMapRun", &json!({"mapRunArn": MAP_RUN, "itemCounts": counts, "executionCounts": counts})),
        responds("ListExecutions", &json!({"executions": children})),
        responds(
            "DescribeExecution",
            &json!({
                "executionArn": "c", "status": "ABORTED", "input": input, "error": "Runtime.OutOfMemory",
                "cause": "{\"errorType\":\"Runtime.OutOfMemory\",\"errorMessage\":\"RequestId: 1 Error: out of memory\"}",
            }),
        ),
    ]
}

/// Guards: how Step Functions is queried, and that this happens only if a receipt is missing. Step Functions stops a
/// map with too many failed items before it starts the rest. The emulator starts them all, so the responses here are
/// made up.
#[test]
fn w4_a_partition_that_never_started_was_not_tried_and_a_killed_one_failed() {
    let ground = Ground::with_tables();
    let catalog = ground.function("catalog");
    // The first partition has a receipt. The second was started and killed, in the cases that start any.
    let plan = [2021, 2018, 2019, 2020].map(|year| partition(year, "grade-pk"));
    let denied = json_error(400, "AccessDeniedException", "User: x is not authorized");
    let again = |run: &str, n_asked: usize| {
        // Without a map run there is nothing to refer to.
        let see = if n_asked > 1 { format!("; the executions are in {MAP_RUN}") } else { String::new() };
        format!("{see}; run them again with {{\"failed_of\": \"{run}\"}}")
    };
    let killed = "year=2018/grade=grade-pk (NoReceipt)";
    let all =
        format!("3 of 4 failed: {killed}, year=2019/grade=grade-pk (NoReceipt), year=2020/grade=grade-pk (NoReceipt)");
    for (run, rules, n_asked, expected) in [
        ("no-map", vec![responds("ListMapRuns", &json!({"mapRuns": []}))], 1, "3 of 4 not tried".to_owned()),
        ("stopped", map_run([1, 0, 3], &["ABORTED", "SUCCEEDED"]), 4, format!("1 of 4 failed: {killed}; 2 not tried")),
        // There are as many items without a child execution as partitions without a receipt, so the one failed child is
        // not examined further.
        ("at-once", map_run([0, 1, 3], &["FAILED"]), 3, "3 of 4 not tried".to_owned()),
        ("all-begun", map_run([1, 3, 0], &["SUCCEEDED", "FAILED"]), 4, all.clone()),
        ("denied", vec![Rule::new("AWSStepFunctions.", denied)], 1, all),
    ] {
        let _ = ground.fetch(&plan[0], run).expect("the partition is fetched");
        let mut event = publish_event(&ground, run, &plan);
        event["execution"] = json!(EXECUTION);
        ground.proxy.set(rules);
        let _ = ground.proxy.take_seen();

        let published = catalog.call(&event).response();

        assert_eq!(ground.proxy.take_seen_of("AWSStepFunctions.").len(), n_asked, "{run}");
        assert_eq!(
            (&published["n_failed"], &published["message"]),
            (&json!(3), &json!(expected.clone() + &again(run, n_asked))),
            "{run}"
        );
        // Where Step Functions knows how the killed partition ended, its error says so.
        let failures = published["notice"]["failures"].as_array().expect("the notice has failures");
        let why: Vec<&str> = failures.iter().filter_map(|failure| failure["message"].as_str()).collect();
        let known = "expected a receipt, found none: its execution ended with 'Runtime.OutOfMemory': RequestId: 1 Error: \
                     out of memory";
        assert_eq!(why.contains(&known), n_asked == 4, "{run}: {why:?}");
        // Publishing the run again finds everything in the summary.
        let repeated = catalog.call(&event).response();
        assert_eq!(repeated["outcomes"], published["outcomes"]);
        assert_eq!(repeated["message"], json!(expected + &again(run, 1)));
        assert_eq!(ground.proxy.take_seen_of("AWSStepFunctions.").len(), 0, "{run}");
        ground.proxy.set([]);
        // All three still have to be fetched.
        let request = json!({"failed_of": run});
        let planned = ground.function("planner").call(&plan_event(&format!("{run}-again"), &request)).response();
        assert_eq!(planned["n_planned"], 3, "{run}");
    }
    assert!(catalog.output().contains("cannot find out which partitions were started"), "{}", catalog.output());
    // With every receipt present, Step Functions is not queried.
    let mut event = publish_event(&ground, "whole", &plan[..1]);
    event["execution"] = json!(EXECUTION);
    let _ = ground.fetch(&plan[0], "whole").expect("the partition is fetched");
    assert_eq!(catalog.call(&event).response()["n_failed"], 0);
    assert_eq!(ground.proxy.take_seen_of("AWSStepFunctions.").len(), 0);
}

/// Returns the maximum number of history events of a state: entered, exited and, for each try of a task, scheduled,
/// started and ended. A state whose failure is caught adds one more. Without waits for concurrency.
fn n_events(state: &Value) -> u64 {
    let retriers = state["Retry"].as_array().into_iter().flatten();
    let n_retries: u64 = retriers
        .filter(|retrier| !errors_of(retrier).contains(&THROTTLED))
        .filter_map(|retrier| retrier["MaxAttempts"].as_u64())
        .sum();
    match state["Type"].as_str() {
        Some("Task") => 3 + 3 * (1 + n_retries),
        Some("Map") => 6,
        _ => 2,
    }
}

/// Error of a call for which no concurrency is left.
const THROTTLED: &str = "Lambda.TooManyRequestsException";

/// Guard: each partition has its own execution, so the history of the run does not grow with its plan. The waits for
/// concurrency of a partition, and of a run, are limited by the timeout of the run.
#[test]
fn w3_no_history_comes_near_the_limit_of_25_000_events() {
    let machine = state_machine();
    let states = machine["States"].as_object().expect("the machine has states");
    let map = &states["FetchPartitions"]["ItemProcessor"];
    assert_eq!(map["ProcessorConfig"], json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}));
    let time = machine["TimeoutSeconds"].as_u64().expect("the value is a number");
    let throttled = map["States"]["FetchPartition"]["Retry"].as_array().into_iter().flatten();
    let throttled = throttled.filter(|retrier| errors_of(retrier) == [THROTTLED]).collect::<Vec<_>>();
    let [throttled] = throttled.as_slice() else { panic!("{throttled:?}") };
    // Full jitter halves the waits on average.
    let mean_wait = throttled["MaxDelaySeconds"].as_u64().expect("the value is a number") / 2;
    let of_waits = 3 * time / mean_wait;
    let of_call: u64 = map["States"].as_object().expect("the machine has states").values().map(n_events).sum();
    let n_calls = 1 + states["FetchPartitions"]["ItemSelector"]["calls_left"].as_u64().expect("the value is a number");
    let of_partition = n_calls * of_call + of_waits;
    assert!(of_partition < 20_000, "{of_partition}");
    // Only the wait for a crawler can add more events, until the run times out.
    let round: u64 = ["WaitForCrawler", "ReadCrawler", "CrawlerReady?"]
        .map(|state| match state {
            // A run would not survive a failure in every round.
            "ReadCrawler" => 5,
            state => n_events(&states[state]),
        })
        .iter()
        .sum();
    let wait = states["WaitForCrawler"]["Seconds"].as_u64().expect("the value is a number");
    let others: u64 = states.values().map(n_events).sum();
    let most = others + (round * (time / wait)).max(of_waits);
    assert!(most < 20_000, "{most}");
}

/// Guard: each retrier has its own count, so one retrier handles all errors and kills of a fetch. Every transient
/// failure of publishing is retried.
#[test]
fn w4_a_partition_is_fetched_at_most_three_times_for_any_mix_of_errors_and_kills() {
    let machine = state_machine();
    let fetch = &machine["States"]["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"];
    // A service error means that the function did not start.
    let is_of_service = |error: &str| error.starts_with("Lambda.") && error != "Lambda.Unknown";
    let begun: Vec<u64> = fetch["Retry"]
        .as_array()
        .expect("the state has retriers")
        .iter()
        .filter(|retrier| !errors_of(retrier).into_iter().all(is_of_service))
        .map(|retrier| retrier["MaxAttempts"].as_u64().expect("the value is a number"))
        .collect();
    assert_eq!(begun, [2]);
    let publish = machine["States"]["PublishPartitions"]["Retry"].as_array().expect("the state has retriers");
    for error in ["CatalogFailed", "StoreFailed", "WriteConflict"] {
        assert!(publish.iter().any(|retrier| errors_of(retrier).contains(&error)), "{error}");
    }
    // Every name under which Lambda reports that a function was killed.
    let plan = machine["States"]["PlanPartitions"]["Retry"].as_array().expect("the state has retriers");
    let fetch = fetch["Retry"].as_array().expect("the state has retriers");
    for error in [
        "Runtime.ExitError",
        "Runtime.OutOfMemory",
        "Runtime.Unknown",
        "Sandbox.Failure",
        "Sandbox.Timedout",
        "Lambda.Unknown",
        "States.Timeout",
    ] {
        for retriers in [plan, fetch, publish] {
            assert!(retriers.iter().any(|retrier| errors_of(retrier).contains(&error)), "{error}");
        }
    }
    let map = &machine["States"]["FetchPartitions"]["Retry"];
    assert_eq!((&map[0]["ErrorEquals"], &map[0]["MaxAttempts"]), (&json!(["States.ItemReaderFailed"]), &json!(3)));
}

fn errors_of(retrier: &Value) -> Vec<&str> {
    retrier["ErrorEquals"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Guard: the state that sends the notice is retried, catches every error, and changes nothing of the state.
#[test]
fn w18_a_notice_that_cannot_be_sent_changes_nothing() {
    let machine = state_machine();
    let notice = &machine["States"]["SendNotice"];
    assert_eq!(machine["States"]["PublishPartitions"]["Next"], "SendNotice");
    assert!(notice["ResultPath"].is_null() && notice.get("ResultPath").is_some());
    assert_eq!(errors_of(&notice["Retry"][0]), ["States.ALL"]);
    let caught = json!([{"ErrorEquals": ["States.ALL"], "ResultPath": null, "Next": notice["Next"]}]);
    assert_eq!(notice["Catch"], caught);
}

/// Guard: a failed run says how to rerun what failed, and exactly that is planned.
#[test]
fn w5_what_failed_is_rerun_by_the_name_of_its_run() {
    let ground = Ground::with_tables();
    let refused = Action::Status { code: 404, retry_after: None, body: None };
    ground.portal.server.set_faults(vec![PortalFault::new(refused).on_path("2020/")]);
    let [planner, page_fetch, catalog] = ["planner", "page-fetch", "catalog"].map(|name| ground.function(name));
    let request = json!({"years": [2020, 2021], "grades": ["grade-pk"]});
    let planned = planner.call(&plan_event("r1", &request)).response();
    for year in [2020, 2021] {
        let _ = page_fetch.call(&fetch_event(&ground, "r1", &partition(year, "grade-pk")));
    }
    let published = catalog.call(&planned).response();
    let message = published["message"].as_str().expect("the message is text");
    let (failed, again) = message.split_once("; run them again with ").expect("the message says how to rerun");
    assert_eq!(failed, "1 of 2 failed: year=2020/grade=grade-pk (PortalRefused)");
    assert_eq!(
        (&published["n_failed"], &published["n_published"]),
        (&json!(1), &json!(1)),
        "the other partition is committed"
    );

    ground.portal.server.set_faults(Vec::new());
    let request: Value = serde_json::from_str(again).expect("the hint is a request");
    let planned = planner.call(&plan_event("r2", &request)).response();
    let plan = ground.read_json(planned["plan"]["key"].as_str().expect("the key is text"));
    assert_eq!(plan.as_array().map(Vec::len), Some(1));
    assert_eq!(plan[0]["partition"], json!({"year": 2020, "grade": "grade-pk"}));
    assert_eq!(page_fetch.call(&fetch_event(&ground, "r2", &partition(2020, "grade-pk"))), finished());
    assert_eq!(catalog.call(&planned).response()["n_failed"], 0);
    // The state machine does not catch the failure of a partition, so that a redrive retries it.
    let map = &state_machine()["States"]["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"];
    assert!(map["Catch"].is_null());
}

/// Guard: an existing edition is not written again. The scheduler delivers at least once, under a new name each time.
#[test]
fn w7_a_schedule_that_starts_twice_writes_once() {
    let ground = Ground::with_tables();
    let [planner, page_fetch, catalog] = ["planner", "page-fetch", "catalog"].map(|name| ground.function(name));
    let schedule = &template()["Parameters"]["ScheduleInput"]["Default"];
    let request: Value =
        serde_json::from_str(schedule.as_str().expect("the value is text")).expect("the schedule's request is JSON");
    let mut seen = Vec::new();
    for run in ["first", "second"] {
        let planned = planner.call(&plan_event(run, &request)).response();
        for item in ground
            .read_json(planned["plan"]["key"].as_str().expect("the key is text"))
            .as_array()
            .expect("the plan is a list")
        {
            let event = json!({
                "run": run, "dataset": planned["dataset"], "partition": item["partition"],
                "portal_release": planned["portal_release"], "force": planned["force"],
            });
            assert_eq!(page_fetch.call(&event), finished());
        }
        let published = catalog.call(&planned).response();
        seen.push((published["outcomes"].clone(), published["n_published"].clone(), ground.proxy.take_seen()));
    }
    let outcome = |name: &str, n: u64| {
        let mut outcomes = json!({"written": 0, "rewritten": 0, "unchanged": 0, "empty": 0, "superseded": 0, "failed": 0, "not_tried": 0});
        outcomes[name] = json!(n);
        outcomes
    };
    assert_eq!((&seen[0].0, &seen[0].1), (&outcome("written", 2), &json!(2)));
    assert_eq!((&seen[1].0, &seen[1].1), (&outcome("unchanged", 2), &json!(0)));
    let data = ground.line("PUT", "data/");
    let changes = |seen: &[Seen]| {
        let is_change =
            |seen: &&Seen| seen.line.starts_with(&data) || seen.line.ends_with(CREATE) || seen.line.ends_with(UPDATE);
        seen.iter().filter(is_change).count()
    };
    assert!(changes(&seen[0].2) > 0);
    assert_eq!(changes(&seen[1].2), 0);
}

/// Returns the alarm on a metric.
fn alarm<'t>(template: &'t Value, metric: &str) -> &'t Value {
    let alarms = of_type(template, "AWS::CloudWatch::Alarm");
    let name = format!("\"MetricName\":\"{metric}\"");
    let found = alarms.values().find(|alarm| alarm.to_string().contains(&name));
    let alarm = found.unwrap_or_else(|| panic!("expected an alarm on {metric}, found none"));
    assert_eq!(alarm["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{metric}");
    alarm
}

/// Guards: the schedule's retries, its dead-letter queue, and the alarms on both.
#[test]
fn w8_a_run_that_the_schedule_cannot_start_is_retried_queued_and_raises_an_alarm() {
    let template = template();
    let target = &template["Resources"]["Scheduledefault"]["Properties"]["Target"];
    assert_eq!(target["Arn"], json!({"Ref": "StateMachine"}));
    assert_eq!(target["RetryPolicy"]["MaximumRetryAttempts"], 3);
    assert_eq!(target["DeadLetterConfig"]["Arn"], json!({"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}));
    let role = template["Resources"]["ScheduleRole"]["Properties"]["Policies"][0]["PolicyDocument"].clone();
    let statements = role["Statement"].as_array().expect("the policy has statements");
    for (action, resource) in [
        ("states:StartExecution", json!({"Ref": "StateMachine"})),
        ("sqs:SendMessage", json!({"Fn::GetAtt": ["DeadLetterQueue", "Arn"]})),
    ] {
        assert!(statements.iter().any(|found| found["Action"] == action && found["Resource"] == resource), "{action}");
    }
    for metric in ["InvocationDroppedCount", "ApproximateNumberOfMessagesVisible"] {
        let _ = alarm(&template, metric);
    }
}

/// Guard: an alarm that counts hours without data as hours without success. A run that was started by hand has no
/// metric with the schedule's name.
#[test]
fn w9_a_schedule_that_starts_nothing_raises_an_alarm() {
    let template = template();
    let alarm = &template["Resources"]["NoSuccessdefaultAlarm"]["Properties"];
    let (expression, metric) = (&alarm["Metrics"][0]["Expression"], &alarm["Metrics"][1]["MetricStat"]);
    assert_eq!(expression, "FILL(succeeded, 0)");
    assert_eq!(metric["Metric"]["Dimensions"], json!([{"Name": "schedule", "Value": "default"}]));
    assert_eq!(metric["Metric"]["MetricName"], "ScheduledRunsSucceeded");
    let facts = (&alarm["ComparisonOperator"], &alarm["Threshold"], &alarm["TreatMissingData"]);
    assert_eq!(facts, (&json!("LessThanThreshold"), &json!(1), &json!("breaching")));
    assert_eq!((&metric["Period"], &alarm["EvaluationPeriods"]), (&json!(3600), &json!({"Ref": "FreshnessHours"})));
    // More than two intervals of twelve hours, so that a single failure does not raise it.
    assert_eq!(template["Parameters"]["ScheduleExpression"]["Default"], "rate(12 hours)");
    assert_eq!(template["Parameters"]["FreshnessHours"]["Default"], 26);
    assert_eq!(template["Resources"]["NoSuccessdefaultAlarm"]["Condition"], "IsScheduled");
}

/// Guard: the planner validates the request before its first call.
#[test]
fn w10_a_request_that_cannot_run_is_rejected_by_the_planner_with_its_fields() {
    let ground = Ground::new();
    let planner = ground.function("planner");
    for (request, words) in [
        (json!("[2021"), "expected an object such as"),
        (json!({"years": [2021], "grades": ["grade-pk"], "dataset": "none"}), "`dataset`"),
        (json!({"years": "2021-2019", "grades": ["grade-pk"]}), "`years`"),
        (json!({"years": "1-999999", "grades": "all"}), "`years`"),
        (json!({"years": [2021], "grades": ["grade-77"], "mood": "bad"}), "`mood`"),
        (json!({"years": [2021], "grades": []}), "`grades`"),
    ] {
        let (name, message) = planner.call(&plan_event("r1", &request)).failed();
        assert_eq!(name, "InvalidRequest", "{message}");
        assert!(message.contains(words), "{request}: {message}");
    }
    let (name, message) =
        planner.call(&plan_event("no/run", &json!({"years": [2021], "grades": ["grade-pk"]}))).failed();
    assert!(name == "InvalidRequest" && message.contains("execution name"), "{message}");
    assert_eq!(ground.keys(""), Vec::<String>::new());
}

/// Guard: the run and each task have a timeout, and each function a shorter one.
#[test]
fn w11_nothing_waits_longer_than_its_timeout() {
    let (template, machine) = (template(), state_machine());
    let time = |value: &Value| value.as_u64().expect("the timeout is a number of seconds");
    let run = time(&machine["TimeoutSeconds"]);
    let states = &machine["States"];
    let fetch = &states["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"];
    for (task, function) in [
        (&states["PlanPartitions"], "PlannerFunction"),
        (fetch, "PageFetchFunction"),
        (&states["PublishPartitions"], "CatalogFunction"),
    ] {
        assert_eq!(task["Parameters"]["FunctionName"], format!("${{{function}}}"));
        let of_function = time(&template["Resources"][function]["Properties"]["Timeout"]);
        assert!(of_function + 30 <= time(&task["TimeoutSeconds"]) && time(&task["TimeoutSeconds"]) < run, "{function}");
    }
    for state in ["StartCrawler", "ReadCrawler"] {
        assert!(time(&states[state]["TimeoutSeconds"]) < run);
    }
    // A run that times out sends a notice.
    let ended = &template["Resources"]["RunEndedEarlyRule"]["Properties"]["EventPattern"]["detail"]["$or"][0];
    assert_eq!(ended["status"], json!(["TIMED_OUT", "ABORTED"]));
}

/// Guard: events are read by field name. While a deployment replaces the functions, a running execution may pass an
/// event of one version to another. It is understood or rejected by name, and nothing is written.
#[test]
fn w12_an_event_of_another_version_is_understood_or_rejected_by_name() {
    let ground = Ground::with_tables();
    let [page_fetch, catalog] = ["page-fetch", "catalog"].map(|name| ground.function(name));
    let mut older = fetch_event(&ground, "r1", &pre_k());
    let _ = older.as_object_mut().expect("the value is an object").remove("force");
    let (name, message) = page_fetch.call(&older).failed();
    assert!(name == "InvalidRequest" && message.contains("read event: missing field `force`"), "{message}");
    assert_eq!(ground.keys(""), ["ledger/ccd_enrollment/runs/r1/dataset.json"]);
    // A run without its descriptor, as of an older planner, is not fetched with another one.
    let alone = fetch_event_alone("without", &pre_k());
    let (name, message) = page_fetch.call(&alone).failed();
    assert!(name == "StoreFailed" && message.contains("runs/without/dataset.json"), "{name} {message}");
    let mut newer = fetch_event(&ground, "r1", &pre_k());
    newer["encoding"] = json!({"version": 2});
    assert_eq!(page_fetch.call(&newer), finished());
    let mut newer = publish_event(&ground, "r1", &[pre_k()]);
    newer["n_bytes"] = json!(7);
    assert_eq!(catalog.call(&newer).response()["n_published"], 1);
    let mut older = newer;
    let _ = older.as_object_mut().expect("the value is an object").remove("plan");
    let (name, message) = catalog.call(&older).failed();
    assert!(name == "InvalidRequest" && message.contains("missing field `plan`"), "{message}");
}
