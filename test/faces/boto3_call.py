"""One call of AWS KMS through boto3. Endpoint as the argument, {"operation", "input"} on stdin, what came of it on stdout."""
import base64
import datetime
import json
import sys

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

BLOBS = ("Plaintext", "CiphertextBlob")


def to_json(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(type(value))


def main():
    request = json.load(sys.stdin)
    members = {
        name: base64.b64decode(value) if name in BLOBS else value
        for name, value in request["input"].items()
    }
    config = Config(retries={"total_max_attempts": 1})
    client = boto3.client("kms", endpoint_url=sys.argv[1], config=config)
    try:
        output = getattr(client, xform_name(request["operation"]))(**members)
        del output["ResponseMetadata"]
        outcome = {"output": output}
    except ClientError as error:
        said = error.response["Error"]
        outcome = {"error": {"code": said["Code"], "message": said["Message"]}}
    json.dump(outcome, sys.stdout, default=to_json)


main()
