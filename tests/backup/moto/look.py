"""What Amazon's own client sees in a bucket: every version and every delete marker, a line of JSON for each, in the
order of their keys. With `remove` it tries to remove every version for good first, and says what it was answered."""

import json
import sys

import boto3
from botocore.exceptions import ClientError

address, bucket, *wish = sys.argv[1:]
s3 = boto3.client(
    "s3",
    endpoint_url="http://" + address,
    region_name="us-east-1",
    aws_access_key_id="key",
    aws_secret_access_key="secret",
)


def refusal(key, version):
    if wish != ["remove"]:
        return None
    try:
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "removed"


pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket))
lines = []
for found in (found for page in pages for found in page.get("Versions", [])):
    key, version = found["Key"], found["VersionId"]
    versions = {} if version == "null" else {"VersionId": version}
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **versions)
    line = {
        "key": key,
        "marker": False,
        "latest": found["IsLatest"],
        "class": head.get("StorageClass", "STANDARD"),
        "encryption": head.get("ServerSideEncryption"),
        "kmsKey": head.get("SSEKMSKeyId"),
        "sha256": "ChecksumSHA256" in head,
        "lock": head.get("ObjectLockMode"),
        "removal": refusal(key, version),
    }
    lines.append(line)
for marker in (marker for page in pages for marker in page.get("DeleteMarkers", [])):
    lines.append({"key": marker["Key"], "marker": True, "latest": marker["IsLatest"]})
for line in sorted(lines, key=lambda line: line["key"]):
    print(json.dumps(line))
