"""Calls one operation of an AWS service at AWS_ENDPOINT_URL: call.py SERVICE OPERATION < INPUT.json > RESPONSE.json"""

import json
import sys

import boto3

service, operation = sys.argv[1:]
response = getattr(boto3.client(service), operation)(**json.load(sys.stdin))
response.pop("ResponseMetadata", None)
json.dump(response, sys.stdout, default=str)
