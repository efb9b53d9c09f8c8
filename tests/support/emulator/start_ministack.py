"""Starts MiniStack, with one response of its Step Functions corrected.

For a call of a Lambda function that is refused because no concurrency is left, Step Functions reports the error
`Lambda.TooManyRequestsException`. MiniStack 1.5 reports `Lambda.Unknown`, the name for a function that was killed.
"""

import json
import sys

from ministack.app import main
from ministack.services import stepfunctions

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


stepfunctions._call_lambda = call_lambda_with_throttling
sys.exit(main())
