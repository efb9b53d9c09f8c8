"""Deploys the template on an emulator and checks its schedules, which runs send a notice, and what the notice says.

    .venv/bin/python tests/infra/check_deployed.py --sam .venv-lint/bin/sam

Functions are placeholders, because no function is called: the state machine gets definitions that end as a run may end.
A queue subscribes to the topic. Prints every notice, and exits with 1 if anything is not as expected.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = ROOT / "tests" / "support" / "emulator"
sys.path.append(str(EMULATOR))
from package import package  # noqa: E402, found there

STACK = "rollcall-dev"
REGION = "us-east-1"
ACCOUNT = "000000000000"
LIMIT_S = 60

DETAIL = {
    "run": "r1", "dataset": "ccd_enrollment", "schedule": "default", "status": "succeeded", "is_news": True,
    "outcomes": {"written": 1, "unchanged": 1}, "changed": ["year=2021/grade=grade-pk"], "failures": [],
    "n_failures": 0, "link": "https://console/r1", "title": "Run r1 of ccd_enrollment succeeded",
    "outcome_line": "1 written, 1 unchanged", "change_line": "Changed: year=2021/grade=grade-pk",
    "failure_line": "Failed: none", "next_line": "Nothing to do.",
}  # fmt: skip
NEWS = """\
"Run r1 of ccd_enrollment succeeded"
"1 written, 1 unchanged"
"Changed: year=2021/grade=grade-pk"
"Failed: none"
"Nothing to do."
"https://console/r1"
"""
FAILURE = DETAIL | {"run": "r2", "status": "failed", "title": "Run r2 of ccd_enrollment failed",
                    "failure_line": "Failed: year=2020/grade=grade-pk, PortalUnavailable"}


def ended(name, status, error):
    """Returns the notice about a run that did not reach its last state."""
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{STACK}-ingest:{name}"
    return f'''\
"Run {name} of {STACK} ended early: {status}"
"Error, if it has one: {error}"
"What to do: infra/README.md#notices"
"https://console.aws.amazon.com/states/home?region={REGION}#/v2/executions/details/{arn}"
'''


def package_with_placeholders(folder):
    """Creates what `sam deploy` packages."""
    package(folder, {})
    for function in ("planner", "page-fetch", "catalog"):
        program = folder / "target" / "lambda" / function / "bootstrap"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")


def start_emulator(folder, environment):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    environment |= {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
                    "AWS_SECRET_ACCESS_KEY": "test", "SAM_CLI_TELEMETRY": "0"}  # fmt: skip
    # One execution waits until it is stopped.
    settings = {"GATEWAY_PORT": str(port), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "SFN_WAIT_SCALE": "1"}
    emulator = subprocess.Popen([sys.executable, EMULATOR / "start_ministack.py"], cwd=folder,
                                env=environment | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)  # fmt: skip
    output = []
    for line in emulator.stdout:
        output.append(line)
        if "Ready" in line:
            # Keep reading, so that it never blocks on a full pipe.
            threading.Thread(target=lambda: output.extend(emulator.stdout), daemon=True).start()
            return emulator, output
    raise SystemExit("the emulator ended early:\n" + "".join(output))


def deploy(sam, folder, environment, *overrides):
    command = [sam, "deploy", "--config-env", "dev", "--resolve-s3", "--no-confirm-changeset", "--parameter-overrides",
               *overrides]  # fmt: skip
    return subprocess.run(command, cwd=folder / "infra", env=environment, capture_output=True, text=True, check=False)


class Stack:
    """The deployed stack, with a queue that receives what is sent to its topic."""

    def __init__(self, environment):
        session = boto3.Session("test", "test", region_name=REGION)
        self.client = lambda service: session.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"])
        self.states, self.sqs, self.events = self.client("stepfunctions"), self.client("sqs"), self.client("events")
        described = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {found["OutputKey"]: found["OutputValue"] for found in described["Outputs"]}
        self.queue = self.sqs.create_queue(QueueName="notices")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = self.outputs["AlarmTopicArn"]
        statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                     "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": policy})
        self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn,
                                     Attributes={"RawMessageDelivery": "true"})  # fmt: skip

    def run(self, name, *states, stop=False):
        """Runs an execution through these states and waits for its end."""
        machine = self.outputs["StateMachineArn"]
        names = [f"state-{number}" for number in range(len(states))]
        ends = [{"Next": following} for following in names[1:]] + [{"End": True}]
        definition = {"StartAt": names[0], "States": {
            state: body if body["Type"] == "Fail" else body | end
            for state, body, end in zip(names, states, ends, strict=True)}}
        self.states.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
        arn = self.states.start_execution(stateMachineArn=machine, name=name, input="{}")["executionArn"]
        if stop:
            self.states.stop_execution(executionArn=arn)
        until = time.monotonic() + LIMIT_S
        while self.states.describe_execution(executionArn=arn)["status"] == "RUNNING":
            if time.monotonic() > until:
                raise SystemExit(f"run {name}: expected an end within {LIMIT_S} s, found none")

    def notices(self, last):
        """Returns everything that was sent up to and including a notice that begins with `last`."""
        found = []
        until = time.monotonic() + LIMIT_S
        while not any(text.startswith(last) for text in found):
            if time.monotonic() > until:
                raise SystemExit(f"expected a notice that begins with {last}, found {found}")
            got = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in got.get("Messages", []):
                found.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def matches(self, rule, event):
        """Returns whether the pattern of a rule matches an event that the emulator cannot be made to send."""
        rules = [found for found in self.events.list_rules()["Rules"] if rule in found["Name"]]
        event = {"id": "1", "account": ACCOUNT, "time": "2026-01-01T00:00:00Z", "region": REGION} | event
        return self.events.test_event_pattern(EventPattern=rules[0]["EventPattern"], Event=json.dumps(event))["Result"]


def send(detail):
    """Returns a state that sends what the last state of the real state machine sends."""
    entry = {"Source": "rollcall", "DetailType": "rollcall run ended", "Detail": detail,
             "Resources.$": "States.Array($$.Execution.Id)"}
    return {"Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "Parameters": {"Entries": [entry]}}


def fail(error):
    return {"Type": "Fail", "Error": error, "Cause": 'a "cause"\nof two lines'}


def check_schedules(stack):
    """Yields one problem per schedule that is not as expected."""
    scheduler, expected = stack.client("scheduler"), {
        "default": ("rate(12 hours)", {"years": [2020, 2021], "grades": ["grade-pk"]}),
        "ccd_directory": ("rate(1 day)", {"dataset": "ccd_directory", "years": "latest-3", "mode": "stale",
                                          "refresh_after_days": 7}),
    }  # fmt: skip
    found = {}
    for listed in scheduler.list_schedules(GroupName=STACK)["Schedules"]:
        schedule = scheduler.get_schedule(GroupName=STACK, Name=listed["Name"])
        target = schedule["Target"]
        found[schedule["Name"]] = (schedule["ScheduleExpression"], schedule["State"], target["Arn"], target["Input"])
    if set(found) != set(expected):
        yield f"expected the schedules {sorted(expected)}, found {sorted(found)}"
        return
    for name, (expression, request) in expected.items():
        *facts, text = found[name]
        event = {"schedule": name, "request": request}
        if facts != [expression, "DISABLED", stack.outputs["StateMachineArn"]] or json.loads(text) != event:
            yield f"schedule {name}: expected {expression} and {event}, found {found[name]}"


def check_notices(stack):
    """Yields one problem per notice that is missing, wrong or superfluous."""
    done = {"Type": "Succeed"}
    stack.run("succeeded-with-news", send(DETAIL), done)
    stack.run("succeeded-without-news", send(DETAIL | {"is_news": False, "title": "Nothing new"}), done)
    stack.run("failed", send(FAILURE), fail("PartialFailure"))
    stack.run("publishing-failed", fail("CatalogFailed"))
    stack.run("aborted", {"Type": "Wait", "Seconds": 3600}, stop=True)
    other = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{STACK}-ingest-2:r1"
    entry = {"Source": "rollcall", "DetailType": "rollcall run ended", "Detail": json.dumps(DETAIL)}
    stack.events.put_events(Entries=[entry | {"Resources": [other]}])
    stack.run("last", fail("InvalidRequest"))
    expected = [
        NEWS,
        NEWS.replace("r1 of ccd_enrollment succeeded", "r2 of ccd_enrollment failed")
        .replace("Failed: none", FAILURE["failure_line"]),
        ended("publishing-failed", "FAILED", "CatalogFailed"),
        ended("aborted", "ABORTED", "null"),
        ended("last", "FAILED", "InvalidRequest"),
    ]
    found = stack.notices(f'"Run last of {STACK}')
    for text in found:
        print(text)
    yield from (f"expected the notice {text!r}, found none" for text in Counter(expected) - Counter(found))
    yield from (f"expected no such notice, found {text!r}" for text in Counter(found) - Counter(expected))

    machine = stack.outputs["StateMachineArn"]
    parent = machine.replace(":stateMachine:", ":execution:")
    for label, arns, status, error, is_match in (
        ("a run that timed out", (machine, f"{parent}:r1"), "TIMED_OUT", None, True),
        ("a run that is redriven", (machine, f"{parent}:r1"), "RUNNING", None, False),
        ("a partition that failed", (f"{machine}/Partitions", f"{parent}/Partitions:r1"), "FAILED", "BadBody", False),
        ("a partition that timed out", (f"{machine}/Partitions", f"{parent}/Partitions:r1"), "TIMED_OUT", None, False),
        ("a run of another stack", (f"{machine}-2", f"{parent}-2:r1"), "ABORTED", None, False),
    ):
        detail = {"stateMachineArn": arns[0], "executionArn": arns[1], "name": "r1", "status": status, "error": error}
        event = {"source": "aws.states", "detail-type": "Step Functions Execution Status Change",
                 "resources": [arns[1]], "detail": detail}
        if stack.matches("RunEndedEarly", event) != is_match:
            yield f"{label}: expected {'a' if is_match else 'no'} notice"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", required=True, type=lambda path: Path(path).absolute(), help="the program sam")
    sam = parser.parse_args().sam
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        package_with_placeholders(Path(folder))
        emulator, output = start_emulator(folder, environment)
        try:
            refused = deploy(sam, Path(folder), environment, "ScheduleState=ENABLED")
            if refused.returncode == 0 or "AlarmEmail=none" not in refused.stderr:
                raise SystemExit("expected a refusal without AlarmEmail, found " + refused.stdout + refused.stderr)
            print(refused.stderr.strip().splitlines()[-1], end="\n\n")
            # Disabled, since a rate() schedule would start a run at once.
            overrides = ["ScheduleState=DISABLED", "Schedules=default,ccd_directory", "CreateDashboard=true"]
            deployed = deploy(sam, Path(folder), environment, *overrides)
            if deployed.returncode != 0:
                raise SystemExit(deployed.stdout + deployed.stderr)
            stack = Stack(environment)
            problems = [*check_schedules(stack), *check_notices(stack)]
        except BaseException:
            print("the emulator's last output:", *output[-40:], sep="\n")
            raise
        finally:
            emulator.kill()
            emulator.wait()
    for problem in problems:
        print(f"FAILED {problem}")
    print("refusal, schedules and notices: " + ("as expected" if not problems else f"{len(problems)} problems"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
