"""Prints which IAM actions each function's role allows and which it used: actions.py < [NAME, ..]

Output: {NAME: {"allowed": [..], "used": [..]}}. The calls come from the emulator's CloudTrail. It identifies a caller by
its access key, which the emulator derives from the ARNs of the function's version and its role.
"""

import hashlib
import json
import sys

import boto3

# CloudTrail names operations, IAM names permissions. The emulator has no name for a POST to a bucket, which deletes
# several objects.
PERMISSION = {"POST.s3": "DeleteObject", "HeadObject": "GetObject",
              "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket"}

cloudtrail, functions, iam = boto3.client("cloudtrail"), boto3.client("lambda"), boto3.client("iam")


def allowed(role):
    """Yields the actions that the role's inline policies allow."""
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        for statement in document["Statement"]:
            actions = statement["Action"]
            yield from [actions] if isinstance(actions, str) else actions


def operations(action):
    """Returns the operations that an action permits, by their CloudTrail names."""
    name = action.partition(":")[2]
    return {name} | {operation for operation, permission in PERMISSION.items() if permission == name}


def is_called(key, source, operation):
    attributes = {"AccessKeyId": key, "EventSource": f"{source}.amazonaws.com", "EventName": operation}
    attributes = [{"AttributeKey": name, "AttributeValue": value} for name, value in attributes.items()]
    return bool(cloudtrail.lookup_events(LookupAttributes=attributes, MaxResults=1)["Events"])


response = {}
for name in json.load(sys.stdin):
    versions = functions.list_versions_by_function(FunctionName=name)["Versions"]
    digests = [hashlib.sha256(f"{version['FunctionArn']}:{version['Role']}".encode()).hexdigest()
               for version in versions]
    keys = [f"ASIA{digest[:16].upper()}" for digest in digests]
    actions = sorted(set(allowed(versions[0]["Role"].rsplit("/", 1)[-1])))
    used = [action for action in actions
            if any(is_called(key, action.partition(":")[0], operation) for key in keys
                   for operation in operations(action))]
    response[name] = {"allowed": actions, "used": used}
json.dump(response, sys.stdout)
