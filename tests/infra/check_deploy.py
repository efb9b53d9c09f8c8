"""Checks infra/deploy.py on descriptions of stacks, without AWS or sam. check_template.py runs them."""

import argparse
import contextlib
import io
import re
import shlex
import sys
import tomllib
from pathlib import Path
from unittest import mock

from botocore.exceptions import ClientError
from samcli.cli.types import CfnParameterOverridesType

INFRA = Path(__file__).resolve().parents[2] / "infra"
sys.path.append(str(INFRA))
import deploy  # noqa: E402, found there

# The parameters that the README shows with quotes, in samconfig.toml and on the command line.
QUOTED = {"ScheduleExpression": "rate(1 day)", "ScheduleInput": '{"years": "latest-3", "grades": "all"}',
          "ExistingBucket": ""}
ADDED = {"ScheduleExpression": "rate(1 day)"}

OUTPUTS = ["ExecutionRoleArn", "ArtifactsBucketName", "BoundaryArn"]


class CloudFormation:
    """A client that knows these stacks, and which of them were protected."""

    def __init__(self, stacks):
        self.stacks, self.protected = stacks, []

    def describe_stacks(self, StackName):  # noqa: N803, as boto3 names it
        if StackName not in self.stacks:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        return {"Stacks": [self.stacks[StackName]]}

    def update_termination_protection(self, StackName, EnableTerminationProtection):  # noqa: N803
        self.protected += [StackName] if EnableTerminationProtection else []


def run(stacks):
    """Deploys prod, and returns the command, or why there was none, and the stacks that were protected."""
    client = CloudFormation(stacks)
    args = argparse.Namespace(environment="prod", config_file="samconfig.toml", arch="x86_64", profile=None,
                              region=None, parameter_overrides=["AlarmEmail=none"])
    with (mock.patch.object(deploy.boto3, "Session") as session, contextlib.redirect_stdout(io.StringIO()),
          mock.patch.object(deploy.subprocess, "run", return_value=mock.Mock(returncode=0)) as sam):
        session.return_value.client.return_value = client
        try:
            deploy.deploy(args, [])
        except deploy.Refused as error:
            return f"refused: {error}", client.protected
    return " ".join(str(part) for part in sam.call_args.args[0]), client.protected


def deploy_uses_an_account_only_once_it_is_set_up():
    github = {"StackStatus": "CREATE_COMPLETE",
              "Outputs": [{"OutputKey": name, "OutputValue": f"the-{name}"} for name in OUTPUTS]}
    cases = [("none", {}, lambda found: "--role-arn" not in found),
             ("a complete one", {"github-rollcall-prod": github}, lambda found: "--role-arn the-Exec" in found),
             ("one without outputs", {"github-rollcall-prod": {"StackStatus": "ROLLBACK_COMPLETE"}},
              lambda found: found.startswith("refused: ") and "ROLLBACK_COMPLETE" in found)]
    return [f"deploy.py, {label}: expected another command, found {run(stacks)[0]}" for label, stacks, is_right in cases
            if not is_right(run(stacks)[0])]


def deploy_protects_only_what_was_deployed():
    problems = []
    for status in (None, "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_COMPLETE", "UPDATE_COMPLETE"):
        stacks = {"rollcall-prod": {"StackStatus": status}} if status else {}
        expected = ["rollcall-prod"] if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE") else []
        found = run(stacks)[1]
        if found != expected:
            problems.append(f"deploy.py, a stack in {status}: expected to protect {expected}, found {found}")
    return problems


def quoted_parameters_arrive_as_the_readme_shows_them():
    text = (INFRA / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^```toml\n(parameter_overrides = \[\n.*?\n\])\n```", text, re.MULTILINE | re.DOTALL)
    flags = re.search(r'DEPLOY_FLAGS="--parameter-overrides (.*)"\n', text)
    if not shown or not flags:
        return ["infra/README.md: expected parameters with quotes, found none"]
    cases = [(tomllib.loads(shown[1]), [], QUOTED), ({}, shlex.split(flags[1]), ADDED)]
    problems = []
    for settings, added, expected in cases:
        merged = deploy.overrides(settings, added, "x86_64", "rollcall-prod")
        # As sam reads the command line.
        pairs = [deploy.quoted(name, value) for name, value in merged.items()]
        found = CfnParameterOverridesType().convert(pairs, None, None)
        if found != {**expected, "Architecture": "x86_64"}:
            problems.append(f"infra/README.md: expected the parameters {expected}, found {found}")
    return problems


CHECKS = [
    deploy_uses_an_account_only_once_it_is_set_up,
    deploy_protects_only_what_was_deployed,
    quoted_parameters_arrive_as_the_readme_shows_them,
]
