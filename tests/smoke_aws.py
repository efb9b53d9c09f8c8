"""Checks on a real account what emulators cannot show: that a deployed stack works under its own roles.

    make smoke-aws ENV=dev

It starts two runs of the state machine (years 2020 and 2021, grade-pk), the second with the crawler, and a query; it
fetches from the portal that the stack was deployed with. That costs a few cents, most of it the crawler, which Glue
bills for at least ten minutes; --without-crawler skips it. --with-failure also starts a run that must fail and redrives
it, which sends notices. It needs credentials that may read the stack, start its state machine, query in its work group
and, for the crawler, delete a partition.

Not yet run against a real account.

Prints a line for each check. Exit codes: 0 if all checks pass, 1 if one fails, 2 without credentials or without a
stack.
"""

import argparse
import datetime
import json
import os
import sys
import time

import boto3
import botocore.exceptions
from botocore.config import Config

REQUEST = {"years": [2020, 2021], "grades": ["grade-pk"]}
TABLE = "us_education_ccd_enrollment_data"
PARTITIONS = {("2020", "grade-pk"), ("2021", "grade-pk")}
QUERY = "top_ten_pk_states"
N_STATES = 10
RUNBOOK = "infra/README.md#"

# An execution can be redriven for 14 days after it ends.
REDRIVE_DAYS = 13

POLL_S = 5
MAX_QUERY_S = 300
MAX_COMMAND_S = 60


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


# --- checks, in order ---


def the_stack_is_deployed(stack, _args):
    status = stack.description["StackStatus"]
    expect(status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), f"expected CREATE_ or UPDATE_COMPLETE, found {status}")
    return f"{status}, {len(stack.resources)} resources"


def every_alarm_exists_and_names_its_runbook(stack, _args):
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


def the_schedules_start_this_state_machine(stack, _args):
    scheduler = stack.client("scheduler")
    group = stack.resources.get("ScheduleGroup")
    names = [found["Name"] for found in scheduler.list_schedules(GroupName=group)["Schedules"]]
    expect(names, f"group {group}: expected schedules, found none")
    schedules = [scheduler.get_schedule(GroupName=group, Name=name) for name in names]
    for schedule in schedules:
        expect(schedule["Target"]["Arn"] == stack.output("StateMachineArn"),
               f"{schedule['Name']}: expected the state machine as its target, found {schedule['Target']['Arn']}")
        event = json.loads(schedule["Target"]["Input"])
        expect(event["schedule"] == schedule["Name"], f"{schedule['Name']}: expected its own name, found {event}")
    return "; ".join(f"{found['Name']} {found['ScheduleExpression']} {found['State']}" for found in schedules)


def the_dead_letter_queue_is_empty(stack, _args):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = stack.client("sqs").get_queue_attributes(QueueUrl=stack.output("DeadLetterQueueUrl"), AttributeNames=names)
    n_messages = sum(int(found["Attributes"][name]) for name in names)
    expect(n_messages == 0, f"expected no messages, found {n_messages}: see {RUNBOOK}undelivered")
    return "no messages"


def a_run_succeeds_under_its_roles(stack, args):
    name, output = run(stack, REQUEST, "run", args.run_minutes * 60)
    expect(output["n_planned"] == len(PARTITIONS) and output["n_failed"] == 0,
           f"run {name}: expected {len(PARTITIONS)} planned and none failed, found {output['n_planned']} and "
           f"{output['n_failed']}: {output['message']}")
    return f"{name}: {output['message']}"


def its_partitions_are_in_the_catalog(stack, _args):
    found = partitions(stack)
    missing = sorted(PARTITIONS - found)
    expect(not missing, f"expected {missing} in {TABLE}, found {len(found)} others")
    return f"{len(found)} partitions of {TABLE}"


def a_shipped_query_returns_its_rows(stack, _args):
    athena = stack.client("athena")
    group = stack.output("WorkGroupName")
    pages = athena.get_paginator("list_named_queries").paginate(WorkGroup=group)
    ids = [query for page in pages for query in page["NamedQueryIds"]]
    named = athena.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"] if ids else []
    query = next((found for found in named if found["Name"] == QUERY), None)
    expect(query, f"work group {group}: expected the named query {QUERY}, found {len(named)} others")
    started = athena.start_query_execution(QueryString=query["QueryString"], WorkGroup=group)["QueryExecutionId"]
    found = wait(lambda: athena.get_query_execution(QueryExecutionId=started)["QueryExecution"],
                 lambda found: found["Status"]["State"] not in ("QUEUED", "RUNNING"), MAX_QUERY_S, f"query {started}")
    reason = found["Status"].get("StateChangeReason", "")
    expect(found["Status"]["State"] == "SUCCEEDED", f"query {started}: {found['Status']['State']} {reason}")
    # The first row has the names of the columns.
    rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"][1:]
    expect(len(rows) == N_STATES, f"query {started}: expected {N_STATES} rows, found {len(rows)}")
    first = [cell.get("VarCharValue", "") for cell in rows[0]["Data"]]
    scanned = found.get("Statistics", {}).get("DataScannedInBytes", 0)
    return f"{len(rows)} rows, first {', '.join(first)}; {scanned} bytes scanned"


def a_run_with_the_crawler_finds_a_lost_partition(stack, args):
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


def a_failed_execution_can_be_redriven(stack, args):
    if args.with_failure:
        states, arn, name = start(stack, {"years": "never"}, "failure")
        found = finish(stack, states, arn, args.run_minutes * 60)
        expect((found["status"], found.get("error")) == ("FAILED", "InvalidRequest"),
               f"{name}: expected FAILED with InvalidRequest, found {found['status']} with {found.get('error')}")
        states.redrive_execution(executionArn=arn)
        found = finish(stack, states, arn, args.run_minutes * 60)
        expect(found.get("redriveCount") == 1, f"{name}: expected one redrive, found {found.get('redriveCount')}")
        return f"{name}: redriven once, and failed again as expected"
    states = stack.client("stepfunctions")
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


CHECKS = [
    the_stack_is_deployed,
    every_alarm_exists_and_names_its_runbook,
    the_schedules_start_this_state_machine,
    the_dead_letter_queue_is_empty,
    a_run_succeeds_under_its_roles,
    its_partitions_are_in_the_catalog,
    a_shipped_query_returns_its_rows,
    a_run_with_the_crawler_finds_a_lost_partition,
    a_failed_execution_can_be_redriven,
]

SKIPPED = {
    "a_run_with_the_crawler_finds_a_lost_partition": "--without-crawler",
    "a_failed_execution_can_be_redriven": "no execution failed recently; --with-failure starts one",
}


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
    parser.add_argument("--with-failure", action="store_true", help="start a run that fails, and redrive it; sends notices")
    args = parser.parse_args()
    try:
        stack = open_stack(args)
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print(f"stack {stack.name} in {stack.region} of account {stack.account}")
    print("note: this costs a few cents, and has not been run on a real account before", flush=True)
    n_failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            message = check(stack, args)
        except (Failed, KeyError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            n_failed += 1
            print(f"FAILED  {name}\n        {error}", flush=True)
            continue
        if message is None:
            print(f"skipped {name}: {SKIPPED[check.__name__]}", flush=True)
        else:
            print(f"ok      {name}: {message}", flush=True)
    print(f"{len(CHECKS)} checks, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
