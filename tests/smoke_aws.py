"""Shows on a real account what emulators cannot: that a deployed stack works under its own roles, and how AWS behaves.

    make smoke-aws ENV=dev
    make smoke-aws SMOKE_FLAGS=--dry-run     # only lists the steps; needs no account

The riskiest steps come first. They write and delete two small objects below data/smoke/, start two runs of the state
machine (years 2020 and 2021, grade-pk), the second with the crawler, and run every shipped query; the runs fetch from
the portal that the stack was deployed with. That costs a few cents, most of it the crawler, which Glue bills for at
least ten minutes; --without-crawler skips it. An alarm and a notice are sent to the topic, so its subscribers receive
both; a temporary queue subscribes too. --with-failure also blocks the planner until Step Functions has retried it, and
starts a run that must fail and redrives it, which sends notices.

It needs the credentials of an administrator. Not yet run against a real account.

Prints a table: step, what it proves, result. Exit codes: 0 if no step fails, 1 if one fails, 2 without credentials or
without a stack.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import sys
import textwrap
import time

import boto3
import botocore.exceptions
from botocore.config import Config

REQUEST = {"years": [2020, 2021], "grades": ["grade-pk"]}
TABLE = "us_education_ccd_enrollment_data"
PARTITIONS = {("2020", "grade-pk"), ("2021", "grade-pk")}
# The number of rows that a named query must return; the others depend on what has been fetched.
N_ROWS = {"top_ten_pk_states": 10}
RUNBOOK = "infra/README.md#"

# An execution can be redriven for 14 days after it ends.
REDRIVE_DAYS = 13

POLL_S = 5
MAX_QUERY_S = 300
MAX_COMMAND_S = 60
MAX_MESSAGE_S = 180
# CloudWatch extracts metrics from logs within minutes.
MAX_METRICS_S = 600

# No table is here, so neither queries nor the crawler see these objects.
PROBE = "data/smoke/probe"
RACED = "data/smoke/raced"
N_WRITERS = 8

COLUMNS = 120


class Refused(Exception):
    """Nothing can be checked: there are no credentials, no Region or no stack."""


class Failed(Exception):
    """A check failed."""


def expect(holds, what):
    if not holds:
        raise Failed(what)


class Stack:
    """The stack, its resources by logical name, and a client for each service."""

    def __init__(self, name, session):
        # An unreachable endpoint is reported within seconds.
        config = Config(connect_timeout=5, read_timeout=MAX_COMMAND_S, retries={"max_attempts": 3})
        self.client = lambda service: session.client(service, config=config)
        self.name = name
        identity = self.client("sts").get_caller_identity()
        self.account, self.region = identity["Account"], session.region_name
        try:
            self.description = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        except botocore.exceptions.ClientError as error:
            if "does not exist" in str(error):
                raise Refused(f"no stack `{name}` in {self.region} of account {self.account}: `make deploy` creates it; "
                              "--stack names another") from error
            raise
        self.outputs = {found["OutputKey"]: found["OutputValue"] for found in self.description.get("Outputs", [])}
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        found = [resource for page in pages for resource in page["StackResourceSummaries"]]
        self.resources = {resource["LogicalResourceId"]: resource.get("PhysicalResourceId") for resource in found}
        self.types = {resource["LogicalResourceId"]: resource["ResourceType"] for resource in found}

    def output(self, name):
        expect(name in self.outputs, f"output {name} of the stack: expected a value, found none")
        return self.outputs[name]


def wait(describe, is_done, max_s, what):
    """Polls `describe` until `is_done` is true of its result, and returns that."""
    until = time.monotonic() + max_s
    while True:
        found = describe()
        if is_done(found):
            return found
        expect(time.monotonic() < until, f"{what}: expected an end within {max_s} s, found none")
        time.sleep(POLL_S)


def start(stack, request, label):
    name = f"smoke-{label}-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}"
    states = stack.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=stack.output("StateMachineArn"), name=name,
                                 input=json.dumps(request))["executionArn"]
    return states, arn, name


def finish(stack, states, arn, max_s):
    return wait(lambda: states.describe_execution(executionArn=arn), lambda found: found["status"] != "RUNNING", max_s,
                f"execution {arn}")


def run(stack, request, label, max_s):
    """Runs the state machine, which must succeed, and returns the execution's name and output."""
    states, arn, name = start(stack, request, label)
    found = finish(stack, states, arn, max_s)
    cause = f"{found.get('error', '')} {found.get('cause', '')}".strip()
    expect(found["status"] == "SUCCEEDED", f"run {name}: expected SUCCEEDED, found {found['status']} {cause[:500]}")
    return name, json.loads(found["output"])


def partitions(stack):
    """Returns the values of the enrollment table's partitions in Glue."""
    pages = stack.client("glue").get_paginator("get_partitions").paginate(
        DatabaseName=stack.output("DatabaseName"), TableName=TABLE, ExcludeColumnSchema=True)
    return {tuple(partition["Values"]) for page in pages for partition in page["Partitions"]}


# --- steps; the first line of each docstring says what it proves ---


def the_stack_is_deployed(stack, _args):
    """The template's resources can be created and updated"""
    status = stack.description["StackStatus"]
    expect(status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), f"expected CREATE_ or UPDATE_COMPLETE, found {status}")
    return f"{status}, {len(stack.resources)} resources"


def code_of(call, **arguments):
    """Returns the error code of a call, or `none`."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return "none"


def the_bucket_accepts_only_conditional_changes(stack, _args):
    """S3 responds to conditional writes and deletions as commits expect, and the bucket refuses all others"""
    s3, bucket = stack.client("s3"), stack.output("BucketName")
    stale = '"00000000000000000000000000000000"'
    parameters = {found["ParameterKey"]: found["ParameterValue"] for found in stack.description["Parameters"]}
    refused = "none" if parameters.get("CommitProtocol") == "OFF" else "AccessDenied"

    def delete(key, **condition):
        return code_of(s3.delete_object, Bucket=bucket, Key=key, **condition)

    def etag(key):
        try:
            return s3.head_object(Bucket=bucket, Key=key)["ETag"]
        except botocore.exceptions.ClientError:
            return stale

    # What an interrupted test left.
    for key in (PROBE, RACED):
        delete(key, IfMatch=etag(key))
    put = {"Bucket": bucket, "Key": PROBE}
    steps = [
        ("a first write", "none", lambda: code_of(s3.put_object, **put, Body=b"1", IfNoneMatch="*")),
        ("a second first write", "PreconditionFailed",
         lambda: code_of(s3.put_object, **put, Body=b"2", IfNoneMatch="*")),
        ("a write over another version", "PreconditionFailed",
         lambda: code_of(s3.put_object, **put, Body=b"2", IfMatch=stale)),
        ("a write over this version", "none", lambda: code_of(s3.put_object, **put, Body=b"2", IfMatch=etag(PROBE))),
        ("a deletion of another version", "PreconditionFailed", lambda: delete(PROBE, IfMatch=stale)),
        ("a write without a condition", refused, lambda: code_of(s3.put_object, **put, Body=b"3")),
        ("a deletion of this version", "none", lambda: delete(PROBE, IfMatch=etag(PROBE))),
        ("a write over nothing", "NoSuchKey", lambda: code_of(s3.put_object, **put, Body=b"4", IfMatch=stale)),
        ("a deletion without a condition", refused, lambda: delete(PROBE)),
    ]
    wrong = [f"{what}: expected {expected}, found {found}" for what, expected, attempt in steps
             if (found := attempt()) != expected]
    # Some of the writers that lose this race get 409, as long as the winner is not done; the others get 412.
    with concurrent.futures.ThreadPoolExecutor(N_WRITERS) as pool:
        race = [pool.submit(code_of, s3.put_object, Bucket=bucket, Key=RACED, Body=bytes([number]), IfNoneMatch="*")
                for number in range(N_WRITERS)]
        codes = [attempt.result() for attempt in race]
    if set(codes) - {"none", "PreconditionFailed", "ConditionalRequestConflict"} or codes.count("none") != 1:
        wrong.append(f"{N_WRITERS} first writes at once: expected one to succeed, and the others PreconditionFailed or "
                     f"ConditionalRequestConflict, found {', '.join(sorted(codes))}")
    delete(RACED, IfMatch=etag(RACED))
    expect(not wrong, "; ".join(wrong))
    return f"{len(steps)} requests as expected; of {N_WRITERS} writers, 1 won and " \
           f"{codes.count('ConditionalRequestConflict')} got 409"


def a_run_succeeds_under_its_roles(stack, args):
    """Every role allows what its function or state machine does"""
    stack.run_started = datetime.datetime.now(datetime.UTC)
    name, output = run(stack, REQUEST, "run", args.run_minutes * 60)
    expect(output["n_planned"] == len(PARTITIONS) and output["n_failed"] == 0,
           f"run {name}: expected {len(PARTITIONS)} planned and none failed, found {output['n_planned']} and "
           f"{output['n_failed']}: {output['message']}")
    return f"{name}: {output['message']}"


def its_partitions_are_in_the_catalog(stack, _args):
    """The catalog function can change Glue's catalog"""
    found = partitions(stack)
    missing = sorted(PARTITIONS - found)
    expect(not missing, f"expected {missing} in {TABLE}, found {len(found)} others")
    return f"{len(found)} partitions of {TABLE}"


class Subscription:
    """A temporary queue that receives what is sent to the stack's topic."""

    def __init__(self, stack):
        self.sqs, self.sns, self.topic = stack.client("sqs"), stack.client("sns"), stack.output("AlarmTopicArn")
        # The name lets a second attempt follow at once: a deleted queue's name is blocked for a minute.
        name = f"{stack.name}-smoke-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}"
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        found = found["Attributes"]["QueueArn"]
        policy = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": found, "Condition": {"ArnEquals": {"aws:SourceArn": self.topic}}}]}
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": json.dumps(policy)})
        self.arn = self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=found,
                                      ReturnSubscriptionArn=True)["SubscriptionArn"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sns.unsubscribe(SubscriptionArn=self.arn)
        self.sqs.delete_queue(QueueUrl=self.queue)

    def message_with(self, text, what):
        """Waits for a message that contains a text."""
        until = time.monotonic() + MAX_MESSAGE_S
        while time.monotonic() < until:
            found = self.sqs.receive_message(QueueUrl=self.queue, WaitTimeSeconds=20, MaxNumberOfMessages=10)
            for message in found.get("Messages", []):
                body = json.loads(message["Body"])["Message"]
                if text in body:
                    return body
        raise Failed(f"{what}: expected a message with `{text}` within {MAX_MESSAGE_S} s, found none")


def an_alarm_reaches_the_topic(stack, _args):
    """CloudWatch may use the topic and its key"""
    cloudwatch = stack.client("cloudwatch")
    name = min(stack.resources[name] for name, kind in stack.types.items() if kind == "AWS::CloudWatch::Alarm")
    before = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]
    with Subscription(stack) as subscription:
        since = datetime.datetime.now(datetime.UTC)
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="smoke test")
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="smoke test")
        try:
            subscription.message_with(name, f"alarm {name}")
        except Failed as error:
            history = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="Action", StartDate=since)
            found = "; ".join(item["HistorySummary"] for item in history["AlarmHistoryItems"]) or "no action"
            raise Failed(f"{error}; the alarm's history says: {found}") from error
        finally:
            cloudwatch.set_alarm_state(AlarmName=name, StateValue=before, StateReason="smoke test has ended")
    return f"{name} was set to ALARM and back to {before}"


def a_notice_reaches_the_topic(stack, _args):
    """EventBridge may use the topic and its key, and turns an event of a run into text"""
    name = f"smoke-notice-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}"
    execution = f"{stack.output('StateMachineArn').replace(':stateMachine:', ':execution:')}:{name}"
    detail = {"run": name, "dataset": "ccd_enrollment", "schedule": None, "status": "failed", "is_news": True,
              "outcomes": {"failed": 1}, "changed": [], "n_failures": 1, "link": "https://console.aws.amazon.com/",
              "failures": [{"partition": "year=2021/grade=grade-pk", "error": "PortalUnavailable",
                            "message": "a smoke test", "next_step": "none"}],
              "title": f"Smoke test {name}", "outcome_line": "1 partition failed, in a smoke test",
              "change_line": "Nothing changed", "failure_line": "PortalUnavailable, in a smoke test",
              "next_line": "Nothing is to be done"}
    with Subscription(stack) as subscription:
        sent = stack.client("events").put_events(Entries=[{
            "Source": "rollcall", "DetailType": "rollcall run ended", "Resources": [execution],
            "Detail": json.dumps(detail)}])
        expect(sent["FailedEntryCount"] == 0, f"expected the event to be accepted, found {sent['Entries']}")
        body = subscription.message_with(name, "notice")
    return f"received: {' / '.join(body.split(chr(10)))[:200]}"


def the_runs_metrics_arrive(stack, _args):
    """CloudWatch extracts the metrics from the log of the catalog function"""
    if getattr(stack, "run_started", None) is None:
        raise Failed("expected a run before this step, found none")
    namespace, metric = f"rollcall/{stack.name}", "PartitionsFailed"
    # Its value is 0 if all is well, so what counts is that there is one.
    queries = [{"Id": "m", "MetricStat": {"Metric": {"Namespace": namespace, "MetricName": metric}, "Period": 60,
                                          "Stat": "SampleCount"}}]
    since = stack.run_started.replace(second=0, microsecond=0)

    def total():
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
        found = stack.client("cloudwatch").get_metric_data(MetricDataQueries=queries, StartTime=since, EndTime=until)
        return sum(sum(result["Values"]) for result in found["MetricDataResults"])

    found = wait(total, lambda found: found >= 1, MAX_METRICS_S, f"a value of {metric} in {namespace}")
    return f"{found:.0f} values of {metric} in {namespace}"


def rows_of(stack, sql, what):
    """Runs a query in the stack's work group. Returns its first rows as lists of text, and what went wrong, or None."""
    athena = stack.client("athena")
    started = athena.start_query_execution(QueryString=sql, WorkGroup=stack.output("WorkGroupName"))["QueryExecutionId"]
    found = wait(lambda: athena.get_query_execution(QueryExecutionId=started)["QueryExecution"],
                 lambda found: found["Status"]["State"] not in ("QUEUED", "RUNNING"), MAX_QUERY_S, what)
    if found["Status"]["State"] != "SUCCEEDED":
        return [], f"{what}: {found['Status']['State']} {found['Status'].get('StateChangeReason', '')}"
    # The first row has the names of the columns.
    rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"][1:]
    return [[value.get("VarCharValue") for value in row["Data"]] for row in rows], None


def every_named_query_succeeds(stack, _args):
    """Athena accepts the shipped queries, and the work group lets them run"""
    athena = stack.client("athena")
    group = stack.output("WorkGroupName")
    pages = athena.get_paginator("list_named_queries").paginate(WorkGroup=group)
    ids = [query for page in pages for query in page["NamedQueryIds"]]
    named = athena.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"] if ids else []
    missing = set(N_ROWS) - {query["Name"] for query in named}
    expect(not missing, f"work group {group}: expected the named queries {sorted(missing)}, found {len(named)} others")
    counts, wrong = [], []
    for query in sorted(named, key=lambda query: query["Name"]):
        rows, problem = rows_of(stack, query["QueryString"], query["Name"])
        if problem:
            wrong.append(problem)
            continue
        counts.append(f"{query['Name']} {len(rows)}")
        if len(rows) != N_ROWS.get(query["Name"], len(rows)):
            wrong.append(f"{query['Name']}: expected {N_ROWS[query['Name']]} rows, found {len(rows)}")
    expect(not wrong, "; ".join(wrong))
    return f"rows: {', '.join(counts)}"


def the_view_with_labels_can_be_queried(stack, _args):
    """Athena reads a view that the catalog function made, and finds the table's rows in it, with labels"""
    database, view = stack.output("DatabaseName"), "ccd_enrollment_labeled"
    grade = "where year = 2021 and grade = 'grade-pk'"
    rows, problem = rows_of(stack, f'select count(*) from "{database}"."{TABLE}" {grade}', TABLE)
    expect(not problem, problem)
    [[n_rows]] = rows
    sql = ("select grade_label, is_total, count(*), count(enrollment), count(enrollment_note), count(fips_label) "
           f'from "{database}"."{view}" {grade} group by 1, 2')
    rows, problem = rows_of(stack, sql, view)
    expect(not problem, problem)
    expect(len(rows) == 1, f"{view}: expected one label of grade-pk, found {rows}")
    [label, _, found, n_values, n_notes, n_labels] = rows[0]
    expect(found == n_rows, f"{view}: expected {n_rows} rows as in the table, found {found}")
    expect(label and int(n_labels) > 0, f"{view}: expected labels of the grade and of the states, found {rows}")
    expect(int(n_values) + int(n_notes) <= int(n_rows), f"{view}: expected no note beside a value, found {rows}")
    return f"{n_rows} rows; {label}: {n_values} with a value, {n_notes} with a code"


def a_run_with_the_crawler_finds_a_lost_partition(stack, args):
    """The crawler's role suffices, and it accepts catalog targets"""
    if args.without_crawler:
        return None
    lost = ("2020", "grade-pk")
    stack.client("glue").delete_partition(DatabaseName=stack.output("DatabaseName"), TableName=TABLE,
                                          PartitionValues=list(lost))
    hint = "a run without the crawler registers the partition again"
    try:
        name, output = run(stack, REQUEST | {"catalog": "crawler"}, "crawler", args.run_minutes * 60)
    except Failed as error:
        raise Failed(f"{error}; {hint}") from error
    expect(lost in partitions(stack), f"run {name}: expected the crawler to add {lost}, found none; {hint}")
    return f"{name}: {output['message']}"


def a_throttled_call_is_retried_by_its_name(stack, args):
    """Step Functions reports a throttled call by a name that the state machine retries"""
    if not args.with_failure:
        return None
    client, function = stack.client("lambda"), stack.output("PlannerFunctionName")
    before = client.get_function_concurrency(FunctionName=function).get("ReservedConcurrentExecutions")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        states, arn, name = start(stack, REQUEST, "throttle")

        def errors():
            events = states.get_execution_history(executionArn=arn, maxResults=100)["events"]
            return [details["error"] for event in events for details in
                    (event.get("taskFailedEventDetails"), event.get("lambdaFunctionFailedEventDetails")) if details]

        found = wait(errors, bool, MAX_MESSAGE_S, f"run {name}, a throttled call")[0]
    finally:
        if before is None:
            client.delete_function_concurrency(FunctionName=function)
        else:
            client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=before)
    ended = finish(stack, states, arn, args.run_minutes * 60)
    definition = json.loads(states.describe_state_machine_for_execution(executionArn=arn)["definition"])
    retried = {error for retrier in definition["States"]["PlanPartitions"]["Retry"] for error in retrier["ErrorEquals"]}
    expect(found in retried, f"run {name}: expected one of {sorted(retried)}, found {found}")
    expect(ended["status"] == "SUCCEEDED", f"run {name}: expected SUCCEEDED after the retry, found {ended['status']}")
    return f"{name}: {found}, then succeeded"


def a_failed_execution_can_be_redriven(stack, args):
    """Redrive works as the runbook says"""
    states = stack.client("stepfunctions")
    if args.with_failure:
        states, arn, name = start(stack, {"years": "never"}, "failure")
        found = finish(stack, states, arn, args.run_minutes * 60)
        expect((found["status"], found.get("error")) == ("FAILED", "InvalidRequest"),
               f"{name}: expected FAILED with InvalidRequest, found {found['status']} with {found.get('error')}")
        states.redrive_execution(executionArn=arn)
        # For a while, the execution is still described as it was before.
        found = wait(lambda: states.describe_execution(executionArn=arn),
                     lambda found: found.get("redriveCount") == 1 and found["status"] != "RUNNING",
                     args.run_minutes * 60, f"{name}, redriven")
        return f"{name}: redriven once, and {found['status']} again as expected"
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=REDRIVE_DAYS)
    recent = [execution for status in ("FAILED", "TIMED_OUT", "ABORTED")
              for execution in states.list_executions(stateMachineArn=stack.output("StateMachineArn"),
                                                      statusFilter=status)["executions"]
              if execution["stopDate"] > since]
    if not recent:
        return None
    newest = max(recent, key=lambda execution: execution["stopDate"])
    found = states.describe_execution(executionArn=newest["executionArn"])
    expect(found.get("redriveStatus") == "REDRIVABLE",
           f"{newest['name']}: expected REDRIVABLE, found {found.get('redriveStatus')} "
           f"{found.get('redriveStatusReason', '')}")
    return f"{newest['name']}: {found['status']}, can be redriven"


def every_alarm_exists_and_names_its_runbook(stack, _args):
    """Alarms were created as the template says"""
    expected = {stack.resources[name] for name, kind in stack.types.items() if kind == "AWS::CloudWatch::Alarm"}
    expect(expected, "expected alarms in the stack, found none")
    pages = stack.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack.name}-")
    found = {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
    missing = expected - set(found)
    expect(not missing, f"expected the alarms {', '.join(sorted(missing))}, found none")
    for name in sorted(expected):
        expect(RUNBOOK in found[name].get("AlarmDescription", ""), f"{name}: expected {RUNBOOK} in its description")
        expect(found[name]["AlarmActions"] == [stack.output("AlarmTopicArn")], f"{name}: expected the topic as action")
    raised = sorted(name for name in expected if found[name]["StateValue"] == "ALARM")
    return f"{len(expected)} alarms; raised now: {', '.join(raised) or 'none'}"


def every_schedule_starts_this_state_machine(stack, _args):
    """The schedules point to this stack"""
    scheduler = stack.client("scheduler")
    group = stack.resources.get("ScheduleGroup")
    found = scheduler.list_schedules(GroupName=group)["Schedules"]
    expect(found, f"group {group}: expected a schedule, found none")
    schedules = [scheduler.get_schedule(GroupName=group, Name=schedule["Name"]) for schedule in found]
    for schedule in schedules:
        expect(schedule["Target"]["Arn"] == stack.output("StateMachineArn"),
               f"{schedule['Name']}: expected the state machine as its target, found {schedule['Target']['Arn']}")
        event = json.loads(schedule["Target"]["Input"])
        expect(event["schedule"] == schedule["Name"], f"{schedule['Name']}: expected its own name, found {event}")
    return "; ".join(f"{found['Name']} {found['ScheduleExpression']} {found['State']}" for found in schedules)


def the_dead_letter_queue_is_empty(stack, _args):
    """No start by a schedule was lost"""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = stack.client("sqs").get_queue_attributes(QueueUrl=stack.output("DeadLetterQueueUrl"), AttributeNames=names)
    n_messages = sum(int(found["Attributes"][name]) for name in names)
    expect(n_messages == 0, f"expected no messages, found {n_messages}: see {RUNBOOK}undelivered")
    return "no messages"


STEPS = [
    the_stack_is_deployed,
    the_bucket_accepts_only_conditional_changes,
    a_run_succeeds_under_its_roles,
    its_partitions_are_in_the_catalog,
    an_alarm_reaches_the_topic,
    a_notice_reaches_the_topic,
    the_runs_metrics_arrive,
    every_named_query_succeeds,
    the_view_with_labels_can_be_queried,
    a_run_with_the_crawler_finds_a_lost_partition,
    a_throttled_call_is_retried_by_its_name,
    a_failed_execution_can_be_redriven,
    every_alarm_exists_and_names_its_runbook,
    every_schedule_starts_this_state_machine,
    the_dead_letter_queue_is_empty,
]

SKIPPED = {
    a_run_with_the_crawler_finds_a_lost_partition: "--without-crawler",
    a_throttled_call_is_retried_by_its_name: "--with-failure runs it",
    a_failed_execution_can_be_redriven: "no execution failed recently; --with-failure starts one",
}


WIDTH = max(len(step.__name__) for step in STEPS)


def row(number, step, proves):
    """Returns a row of the table. The result follows below it."""
    lines = textwrap.wrap(proves, COLUMNS - WIDTH - 6)
    return "\n".join([f"{number:>2}  {step:<{WIDTH}}  {lines[0]}"] + [" " * (WIDTH + 6) + line for line in lines[1:]])


def result_below(result):
    return textwrap.fill(result, COLUMNS, initial_indent="    ", subsequent_indent="             ",
                         break_long_words=False, break_on_hyphens=False)


def open_stack(args):
    try:
        # boto3 itself only reads AWS_DEFAULT_REGION.
        region = args.region or os.environ.get("AWS_REGION")
        session = boto3.Session(region_name=region, profile_name=args.profile)
        if session.region_name is None:
            raise Refused("no Region: set AWS_REGION or use --region")
        if session.get_credentials() is None:
            raise Refused("no AWS credentials: set AWS_PROFILE, sign in with `aws sso login`, or use --profile")
        return Stack(args.stack, session)
    except botocore.exceptions.ClientError as error:
        raise Refused(f"AWS rejected a call: {error}") from error
    except botocore.exceptions.BotoCoreError as error:
        raise Refused(f"AWS cannot be reached: {error}") from error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="rollcall-dev", help="name of the stack (rollcall-dev)")
    parser.add_argument("--region", help="Region (AWS_REGION, or the Region of the profile)")
    parser.add_argument("--profile", help="profile of the AWS configuration (AWS_PROFILE)")
    parser.add_argument("--run-minutes", type=int, default=60, help="minutes that a run may take (60)")
    parser.add_argument("--without-crawler", action="store_true", help="skip the crawler")
    parser.add_argument("--with-failure", action="store_true",
                        help="block the planner for a while, then redrive a run that fails; sends notices")
    parser.add_argument("--dry-run", action="store_true", help="only list the steps, without an account")
    args = parser.parse_args()
    rows = [row(number, step.__name__.replace("_", " "), step.__doc__) for number, step in enumerate(STEPS, 1)]
    header = row("#", "step", "what it proves")
    if args.dry_run:
        print("\n".join([header, *rows]))
        return 0
    try:
        stack = open_stack(args)
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print(f"stack {stack.name} in {stack.region} of account {stack.account}")
    print("note: this costs a few cents, and has not been run on a real account before", flush=True)
    print(header)
    n_failed = 0
    for step, text in zip(STEPS, rows, strict=True):
        print(text, flush=True)
        try:
            message = step(stack, args)
            result = f"skipped: {SKIPPED[step]}" if message is None else f"ok:     {message}"
        except (Failed, KeyError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            n_failed += 1
            result = f"FAILED: {error}"
        print(result_below(result), flush=True)
    print(f"{len(STEPS)} steps, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
