"""Evaluates the bucket policy of the lake as S3 would, for the elements that the template uses.

Only denials: whether a request is allowed otherwise is up to the caller's role. An unknown operator or function is an
error, so that a policy which this file does not understand is never reported as correct.
"""

import fnmatch

from template_json import as_list

LAKE = "arn:aws:s3:::lake"
EXISTING = "arn:${AWS::Partition}:s3:::${ExistingBucket}"


def denials(document, conditions, request):
    """Returns the Sids of the statements that deny a request.

    - conditions: which of the template's conditions hold.
    - request: {"action": "s3:PutObject", "key": "data/...", "context": {condition key: value}}.
    """
    found = []
    for statement in document["Statement"]:
        statement = resolve(statement, conditions)
        if statement is not None and statement["Effect"] == "Deny" and applies(statement, request):
            found.append(statement["Sid"])
    return found


def resolve(node, conditions):
    """Replaces the functions of CloudFormation. None stands for AWS::NoValue."""
    if isinstance(node, list):
        return [resolve(inner, conditions) for inner in node]
    if not isinstance(node, dict):
        return node
    if node == {"Ref": "AWS::NoValue"}:
        return None
    if node == {"Fn::GetAtt": ["Bucket", "Arn"]}:
        return LAKE
    if set(node) == {"Fn::Sub"}:
        return node["Fn::Sub"].replace("${Bucket.Arn}", LAKE).replace(EXISTING, LAKE)
    if set(node) == {"Fn::If"}:
        name, then, otherwise = node["Fn::If"]
        return resolve(then if conditions[name] else otherwise, conditions)
    return {key: resolve(inner, conditions) for key, inner in node.items()}


def applies(statement, request):
    if statement["Principal"] != "*" or "NotAction" in statement or "NotResource" in statement:
        raise ValueError(f"{statement['Sid']}: expected every principal, and no negation")
    actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
    arn = f"{LAKE}/{request['key']}"
    return (
        any(fnmatch.fnmatchcase(request["action"], pattern) for pattern in actions)
        and any(fnmatch.fnmatchcase(arn, pattern) for pattern in resources)
        and all(holds(operator, keys, request["context"]) for operator, keys in statement.get("Condition", {}).items())
    )


def holds(operator, keys, context):
    """Whether an operator holds for all of its keys."""
    test = {
        "Null": lambda key, expected: (key not in context) == expected,
        "Bool": lambda key, expected: key in context and context[key] == expected,
        "BoolIfExists": lambda key, expected: context.get(key, expected) == expected,
        "NumericLessThan": lambda key, expected: key in context and context[key] < expected,
    }[operator]
    return all(test(key, expected) for key, expected in keys.items())
