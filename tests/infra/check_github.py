"""Checks of infra/github.yaml that no linter has. check_template.py runs them.

Each check also runs on copies of the template that are spoiled on purpose, and must find fault with each.
"""

import copy
import re

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from template_json import as_list, walk

# What SAM makes of its own types. The functions publish an alias.
SERVERLESS = {"AWS::Serverless::Function": ["AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias"],
              "AWS::Serverless::StateMachine": ["AWS::StepFunctions::StateMachine"]}

# Actions that AWS's schemas list for properties that the template does not use.
UNUSED = re.compile(
    r"""(billing|codedeploy|ec2|elasticfilesystem|firehose|s3files|s3tables):
    |glue:(\w*Connection|GetSchemaVersion|GetDatabases)$
    |iam:(Attach|Detach|CreateServiceLinkedRole$)
    |iam:(Delete|Get|Put)(Group|User)Policy$
    |kms:(CreateGrant|Decrypt|Encrypt|GenerateDataKey)$
    |lakeformation:(CreateTable|GetDataAccess)$
    |lambda:(AssociateRuntimeAlias|PassCapacityProvider|GetLayerVersion)$
    |lambda:(Put|Delete)(FunctionCodeSigning|FunctionRecursion|FunctionScaling|ProvisionedConcurrency|RuntimeManagement)
    |logs:(CreateLogDelivery$|PutBearerToken|PutLogGroupDeletion|(Put|Delete)(DataProtection|Index|Resource)Policy)
    |s3:(\w*Metadata\w*Table|\w*(MultipartUploads?|Object|ObjectVersion)$|REST|ListMultipart|ListAllMyBuckets)
    |s3:(Put|Delete)\w*(Abac|Accelerate|Acl|Analytics|CORS|Cors|IntelligentTiering|Inventory|Metrics|Notification)
    |s3:(Put|Delete)\w*(ObjectLock|Replication|Website)
    |sns:PutDataProtectionPolicy""",
    re.VERBOSE,
)

# Actions in schemas that IAM does not have; others cover them.
NO_ACTIONS = {"s3:DeleteBucketEncryption", "s3:DeleteBucketLifecycle"}

# With this action, CloudFormation could remove the boundary of a role.
FORBIDDEN = {"iam:DeleteRolePermissionsBoundary"}

# Actions of the execution role that belong to no type: the packages and the transforms.
OTHER = {"cloudformation:CreateChangeSet", "s3:GetObject", "s3:GetObjectVersion"}

# What inline policies of a role may have in total, and a managed policy, without white space.
MAX_ROLE_CHARACTERS = 10_240


def statements(value):
    """Yields every statement at any depth, including those behind a condition."""
    return (mapping for mapping in walk(value) if "Effect" in mapping)


def policies_of(github, role):
    return list(statements(github["Resources"][role]["Properties"]["Policies"]))


def actions(found):
    return {action for statement in found for action in as_list(statement["Action"])}


def needed(template):
    """Returns the actions that CloudFormation needs for the types of a template, as AWS's schemas list them."""
    types = {found["Type"] for found in template["Resources"].values()}
    types = {made for kind in types for made in SERVERLESS.get(kind, [kind])}
    return {kind: handled(kind) for kind in types}


def handled(kind):
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    listed = {action for name, handler in handlers.items() if name != "list" for action in handler["permissions"]}
    return {action for action in listed if not UNUSED.match(action)} - NO_ACTIONS - FORBIDDEN


def execution_role_allows_what_the_types_need(github, template):
    allowed = actions(policies_of(github, "ExecutionRole"))
    expected = needed(template)
    problems = [f"ExecutionRole: expected `{action}` for {kind}, found none"
                for kind, found in sorted(expected.items()) for action in sorted(found - allowed)]
    known = OTHER.union(*expected.values())
    return problems + [f"ExecutionRole: expected no `{action}`, which no type of template.yaml needs, found it"
                       for action in sorted(allowed - known)]


def boundary_allows_what_the_roles_allow(github, template):
    allowed = actions(statements(github["Resources"]["Boundary"]))
    roles = {name: found for name, found in template["Resources"].items() if found["Type"] == "AWS::IAM::Role"}
    return [f"Boundary: expected `{action}` of {name}, found none" for name, found in sorted(roles.items())
            for action in sorted(actions(statements(found["Properties"]["Policies"])) - allowed)]


def roles_can_be_given_permissions_only_with_the_boundary(github, _template):
    problems = []
    for statement in policies_of(github, "ExecutionRole"):
        bound = statement.get("Condition", {}).get("StringEquals", {}).get("iam:PermissionsBoundary")
        named = set(as_list(statement["Action"]))
        for action in sorted(named & {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"}):
            if bound != {"Ref": "Boundary"}:
                problems.append(f"ExecutionRole: expected the boundary as a condition of `{action}`, found {bound}")
        problems += [f"ExecutionRole: expected no `{action}`, found it" for action in sorted(named & FORBIDDEN)]
    return problems


def the_stacks_own_roles_are_out_of_its_reach(github, _template):
    """Roles of github-rollcall-ENV must not match what the execution role may change."""
    problems = []
    for role in ("PlanRole", "DeployRole", "ExecutionRole"):
        if "RoleName" in github["Resources"][role]["Properties"]:
            problems.append(f"{role}: expected a name that begins with the stack's, found one of its own")
    for statement in policies_of(github, "ExecutionRole"):
        for resource in as_list(statement["Resource"]):
            text = str(resource)
            is_iam = any(action.startswith("iam:") for action in as_list(statement["Action"]))
            if is_iam and not re.search(r":(role|policy)/rollcall-\$\{Environment\}-\*'", text):
                problems.append(f"ExecutionRole: expected roles of rollcall-ENV only, found {text}")
    return problems


def each_workflow_role_trusts_one_environment(github, _template):
    issuer = "token.actions.githubusercontent.com"
    expected = {"PlanRole": "${SubjectPrefix}:environment:${Environment}-plan",
                "DeployRole": "${SubjectPrefix}:environment:${Environment}"}
    problems = []
    for role, subject in expected.items():
        for statement in statements(github["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]):
            condition = {"StringEquals": {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": {"Fn::Sub": subject}}}
            if statement.get("Condition") != condition:
                problems.append(f"{role}: expected the condition {condition}, found {statement.get('Condition')}")
    return problems


def only_one_role_creates_and_only_one_executes(github, _template):
    expected = {"PlanRole": {"cloudformation:CreateChangeSet", "iam:PassRole"},
                "DeployRole": {"cloudformation:ExecuteChangeSet"}}
    risky = set().union(*expected.values(), {"cloudformation:UpdateStack", "cloudformation:CreateStack",
                                             "cloudformation:DeleteStack"})
    problems = []
    for role, allowed in expected.items():
        found = policies_of(github, role)
        if actions(found) & risky != allowed:
            problems.append(f"{role}: expected {sorted(allowed)}, found {sorted(actions(found) & risky)}")
    for statement in policies_of(github, "PlanRole"):
        condition = {"StringEquals": {"cloudformation:RoleArn": {"Fn::GetAtt": ["ExecutionRole", "Arn"]}},
                     "Null": {"cloudformation:ImportResourceTypes": True}}
        if statement["Sid"] == "CreateChangeSet" and statement.get("Condition") != condition:
            problems.append(f"PlanRole: expected the condition {condition}, found {statement.get('Condition')}")
    return problems


def policies_fit_their_size_limit(github, _template):
    found = str([policy["PolicyDocument"] for policy in
                 github["Resources"]["ExecutionRole"]["Properties"]["Policies"]])
    # The names of pseudo parameters are about as long as their values.
    size = len(re.sub(r"\s|'Fn::Sub':", "", found))
    return [] if size <= MAX_ROLE_CHARACTERS else [
        f"ExecutionRole: expected at most {MAX_ROLE_CHARACTERS} characters of inline policies, found {size}"]


def statement_of(github, role, sid):
    return next(found for found in policies_of(github, role) if found.get("Sid") == sid)


# Each check with changes that it must notice.
CHECKS = {
    execution_role_allows_what_the_types_need: [
        lambda github: statement_of(github, "ExecutionRole", "Buckets")["Action"].remove("s3:CreateBucket"),
        lambda github: statement_of(github, "ExecutionRole", "Queues")["Action"].append("ec2:RunInstances"),
    ],
    boundary_allows_what_the_roles_allow: [
        lambda github: github["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"].pop(0),
    ],
    roles_can_be_given_permissions_only_with_the_boundary: [
        lambda github: statement_of(github, "ExecutionRole", "GiveRolesTheBoundary").pop("Condition"),
        lambda github: statement_of(github, "ExecutionRole", "ChangeRoles")["Action"].append(
            "iam:DeleteRolePermissionsBoundary"),
    ],
    the_stacks_own_roles_are_out_of_its_reach: [
        lambda github: github["Resources"]["PlanRole"]["Properties"].update(RoleName="rollcall-dev-plan"),
        lambda github: statement_of(github, "ExecutionRole", "ChangeRoles").update(
            Resource={"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"}),
    ],
    each_workflow_role_trusts_one_environment: [
        lambda github: next(statements(github["Resources"]["DeployRole"])).update(Condition={
            "StringLike": {"token.actions.githubusercontent.com:sub": {"Fn::Sub": "${SubjectPrefix}:*"}}}),
    ],
    only_one_role_creates_and_only_one_executes: [
        lambda github: statement_of(github, "PlanRole", "ReadStacks")["Action"].append(
            "cloudformation:ExecuteChangeSet"),
        lambda github: statement_of(github, "PlanRole", "CreateChangeSet").pop("Condition"),
    ],
    policies_fit_their_size_limit: [
        lambda github: statement_of(github, "ExecutionRole", "Queues")["Action"].extend(["sqs:Wildly"] * 500),
    ],
}  # fmt: skip


def checks(github, template):
    """Yields each check with its problems."""
    for check, spoils in CHECKS.items():
        problems = check(github, template)
        for number, spoil in enumerate(spoils, 1):
            spoiled = copy.deepcopy(github)
            spoil(spoiled)
            if not check(spoiled, template):
                problems.append(f"spoiled copy {number}: expected a fault, found none")
        yield check, problems
