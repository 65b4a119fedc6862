"""Moto's S3 on a free port of 127.0.0.1, with the bucket `backups` and the bucket `locked`, which keeps every version
for a day. The first line on standard output is the address."""

import sys
import threading

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)


def as_amazon_does(environ, start_response):
    """A locked bucket takes an object only with a checksum. Amazon wants the checksum itself; Moto wants a header of
    Amazon's own clients that names its algorithm, so whoever sends the one gets the other."""
    if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
        environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
    return moto(environ, start_response)


server = make_server("127.0.0.1", 0, as_amazon_does, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = "127.0.0.1:%d" % server.server_port
s3 = boto3.client(
    "s3",
    endpoint_url="http://" + address,
    region_name="us-east-1",
    aws_access_key_id="key",
    aws_secret_access_key="secret",
)
s3.create_bucket(Bucket="backups")
s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
s3.put_object_lock_configuration(
    Bucket="locked",
    ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
    },
)
print(address, flush=True)
sys.stdout.close()
threading.Event().wait()
