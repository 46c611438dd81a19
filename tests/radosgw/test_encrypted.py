"""What radosgw stored encrypted: we refuse it in clear words, and leave it as it is."""

from __future__ import annotations

import secrets

import pytest
from botocore.exceptions import ClientError

from tests.radosgw.test_crossed import MIB, data_of
from tests.radosgw.tools import collect


def test_customer_keys(crossed):
    if crossed.write is crossed.ours:
        pytest.skip("we do not encrypt")
    secret = secrets.token_bytes(32)
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secret}
    data = data_of(5 * MIB)
    place = {"Bucket": crossed.bucket, "Key": "k"}
    crossed.theirs.put_object(Body=data, **place, **key)
    upload = {"Bucket": crossed.bucket, "Key": "m"}
    upload["UploadId"] = crossed.theirs.create_multipart_upload(**upload, **key)["UploadId"]
    etag = crossed.theirs.upload_part(PartNumber=1, Body=data, **upload, **key)["ETag"]
    calls = [
        lambda: crossed.ours.get_object(**place), lambda: crossed.ours.get_object(**place, **key),
        lambda: crossed.ours.copy_object(Bucket=crossed.other, Key="copy", CopySource=place),
        lambda: crossed.ours.upload_part(PartNumber=2, Body=data, **upload),
        lambda: crossed.ours.upload_part(PartNumber=2, Body=data, **upload, **key),
        lambda: crossed.ours.put_object(Bucket=crossed.bucket, Key="new", Body=data, **key),
    ]
    for call in calls:
        with pytest.raises(ClientError) as refusal:
            call()
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
        assert refusal.value.response["Error"]["Code"] == "NotImplemented"
    crossed.ours.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **upload)
    crossed.ours.put_object_acl(**place, ACL="public-read")
    for name in ("k", "m"):
        assert crossed.theirs.get_object(Bucket=crossed.bucket, Key=name, **key)["Body"].read() == data
    crossed.settled()
    for name in ("k", "m"):
        crossed.ours.delete_object(Bucket=crossed.bucket, Key=name)
    collect(crossed.pair)
    crossed.settled()
