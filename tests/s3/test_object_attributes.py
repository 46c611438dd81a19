"""GetObjectAttributes tells what HeadObject and the uploads told."""

import asyncio
import base64
import hashlib
import secrets

import pytest

from rgw.ops import attrs
from tests.s3.test_multipart import code, complete, part, start
from tests.s3.wire import ask, path

ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


async def attributes(s3, key, wanted=ALL, **more):
    told = await s3.run("get_object_attributes", Bucket=s3.bucket, Key=key, ObjectAttributes=wanted, **more)
    about = told.pop("ResponseMetadata")
    assert told.pop("LastModified") and about["HTTPStatusCode"] == 200
    return told


async def test_plain_objects_and_versions(s3):
    sent = await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"hello", ChecksumAlgorithm="SHA256")
    etag = sent["ETag"].strip('"')
    whole = {"ETag": etag, "StorageClass": "STANDARD", "ObjectSize": 5,
             "Checksum": {"ChecksumSHA256": sent["ChecksumSHA256"], "ChecksumType": "FULL_OBJECT"}}
    assert await attributes(s3, "k") == whole
    assert await attributes(s3, "k", ["ObjectSize"]) == {"ObjectSize": 5}
    await s3.run("put_bucket_versioning", Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    new = await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"hello!")
    assert await attributes(s3, "k", ["ObjectSize"]) == {"ObjectSize": 6, "VersionId": new["VersionId"]}
    assert await attributes(s3, "k", VersionId="null") == whole | {"VersionId": "null"}
    assert await code(attributes(s3, "none")) == "NoSuchKey"


async def test_parts_by_pages(s3):
    upload = await start(s3)
    pieces = {2: b"a" * (5 << 20), 5: b"b" * (6 << 20), 7: b"end"}
    done = [{"PartNumber": number, "ETag": (await part(s3, upload, number, data))["ETag"]} for number, data in pieces.items()]
    await complete(s3, upload, done)
    rows = [{"PartNumber": number, "Size": len(data)} for number, data in pieces.items()]
    page = (await attributes(s3, "m"))["ObjectParts"]
    assert page == {"TotalPartsCount": 3, "PartNumberMarker": 0, "NextPartNumberMarker": 7, "MaxParts": 1000, "IsTruncated": False, "Parts": rows}
    page = (await attributes(s3, "m", MaxParts=2))["ObjectParts"]
    assert page["Parts"] == rows[:2] and page["IsTruncated"] and page["NextPartNumberMarker"] == 5
    page = (await attributes(s3, "m", MaxParts=2, PartNumberMarker=5))["ObjectParts"]
    assert page["Parts"] == rows[2:] and not page["IsTruncated"] and page["TotalPartsCount"] == 3


@pytest.mark.parametrize(("algorithm", "kind"), [("SHA256", "COMPOSITE"), ("CRC32", "FULL_OBJECT")])
async def test_checksums_of_parts(s3, algorithm, kind):
    """Told of each part, and with it when it is read (which boto3 verifies); a copy tells them too."""
    upload, name = await start(s3, ChecksumAlgorithm=algorithm, ChecksumType=kind), f"Checksum{algorithm}"
    pieces = [b"a" * (5 << 20), b"end"]
    done = [await part(s3, upload, number, data, ChecksumAlgorithm=algorithm) for number, data in enumerate(pieces, 1)]
    await complete(s3, upload, [{"PartNumber": number, "ETag": made["ETag"], name: made[name]} for number, made in enumerate(done, 1)])
    for _ in ("made", "copied onto itself"):
        told = (await attributes(s3, "m"))["ObjectParts"]["Parts"]
        assert [row[name] for row in told] == [made[name] for made in done]
        for number, data in enumerate(pieces, 1):
            got = await s3.run("get_object", Bucket=s3.bucket, Key="m", PartNumber=number, ChecksumMode="ENABLED")
            assert (got[name], got["ChecksumType"]) == (done[number - 1][name], kind) and await asyncio.to_thread(got["Body"].read) == data
        await s3.run("copy_object", Bucket=s3.bucket, Key="m", CopySource=f"{s3.bucket}/m", MetadataDirective="REPLACE")
    await s3.run("copy_object", Bucket=s3.bucket, Key="c", CopySource=f"{s3.bucket}/m", ChecksumAlgorithm="CRC32C")
    assert name not in (await attributes(s3, "c"))["ObjectParts"]["Parts"][0]


def test_checksums_of_too_many_parts_are_not_kept():
    value = base64.b64encode(bytes(32)).decode()
    assert len(attrs.part_sums_attrs("sha256", [value] * 511)) == 1 and not attrs.part_sums_attrs("sha256", [value] * 512)


REFUSED = [
    ({}, "InvalidRequest"), ({"x-amz-object-attributes": " ,"}, "InvalidRequest"), ({"x-amz-object-attributes": "ETag,Colour"}, "InvalidArgument"),
    ({"x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "-1"}, "InvalidArgument"),
    ({"x-amz-object-attributes": "ETag", "If-Match": '"x"'}, "PreconditionFailed"),
]


async def test_refusals(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    for headers, answer in REFUSED:
        assert (await ask(s3, "GET", path(s3, "k") + "?attributes", headers)).code == answer, headers
    unsigned = await ask(s3, "GET", path(s3, "k") + "?attributes", {"x-amz-object-attributes": "ETag"}, sign=False)
    assert unsigned.code == "AccessDenied"  # who may not read learns nothing


async def test_encrypted_objects_want_their_key(s3, monkeypatch):
    monkeypatch.setitem(s3.gw.options.__dict__["_values"], "rgw_crypt_require_ssl", False)
    secret = secrets.token_bytes(32)
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": base64.b64encode(secret).decode(),
           "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(secret).digest()).decode()}
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"hello", **key)
    assert await code(attributes(s3, "k")) == "InvalidArgument"
    assert (await attributes(s3, "k", ["ObjectSize"], **key))["ObjectSize"] == 5
