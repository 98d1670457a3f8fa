"""Signs with botocore: a request as one line of JSON on stdin, its headers as one line of JSON on stdout, until stdin ends."""
import base64
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def signed_headers(line):
    request = AWSRequest(
        method="POST",
        url=line["url"],
        headers=line["headers"],
        data=base64.b64decode(line["body"]),
    )
    credentials = Credentials(line["accessKeyId"], line["secretAccessKey"])
    SigV4Auth(credentials, "kms-xks-proxy", line["region"]).add_auth(request)
    return [text for header in request.headers.items() for text in header]


for text in sys.stdin:
    print(json.dumps(signed_headers(json.loads(text))), flush=True)
