"""Starts MiniStack for the tests and for `make aws-local`, with two of its answers about concurrency corrected.

The caller's environment has its port, GATEWAY_PORT, and its address for functions, AWS_ENDPOINT_URL.

For a call of a Lambda function that is refused because no concurrency is left, Step Functions reports the error
`Lambda.TooManyRequestsException`. MiniStack 1.5 reports `Lambda.Unknown`, the name for a function that was killed.
A function's reserved concurrency also limits calls of its versions, which MiniStack 1.5 does not limit.
"""

import json
import os
import sys

os.environ |= {
    "BIND_HOST": "127.0.0.1",
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    # Roles are enforced. The key `test` may do anything.
    "AUTH": "true",
    "PYTHONUNBUFFERED": "1",
}
# The state machine's waits are skipped.
os.environ.setdefault("SFN_WAIT_SCALE", "0")

# MiniStack reads its settings when it is imported.
from ministack.app import main
from ministack.services import lambda_svc, stepfunctions

call_lambda = stepfunctions._call_lambda


def is_throttled(cause):
    try:
        return json.loads(cause).get("__type") == "TooManyRequestsException"
    except (AttributeError, TypeError, ValueError):
        return False


def call_lambda_with_throttling(function, event):
    try:
        return call_lambda(function, event)
    except stepfunctions._ExecutionError as error:
        if is_throttled(error.cause):
            raise stepfunctions._ExecutionError("Lambda.TooManyRequestsException", error.cause) from error
        raise


def reserved_concurrency(_version, config):
    function = lambda_svc._functions.get(config["FunctionName"]) or {}
    return of_function(function, config)


of_function = lambda_svc._reserved_concurrency
lambda_svc._reserved_concurrency = reserved_concurrency
lambda_svc._inflight_key = lambda config: config["FunctionName"]
stepfunctions._call_lambda = call_lambda_with_throttling
sys.exit(main())
