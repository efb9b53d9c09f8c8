"""Calls one operation of an AWS service at AWS_ENDPOINT_URL: call.py SERVICE OPERATION < INPUT.json > ANSWER.json"""

import json
import sys

import boto3

service, operation = sys.argv[1:]
answer = getattr(boto3.client(service), operation)(**json.load(sys.stdin))
answer.pop("ResponseMetadata", None)
json.dump(answer, sys.stdout, default=str)
