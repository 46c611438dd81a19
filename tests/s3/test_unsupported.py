"""What is not served answers by name."""

import boto3
import pytest

from rgw.errors import S3Error
from rgw.frontend import optable
from tests.s3.wire import ask

UNSUPPORTED = [op for op in optable.OPS if op.handler is None]


@pytest.mark.parametrize("op", UNSUPPORTED, ids=lambda op: op.name)
async def test_501(s3, op):
    target = f"/{s3.bucket}" + ("/k" if op.scope == "object" else "") + "?" + "&".join(op.keys)
    before = await s3.objects()
    reply = await ask(s3, op.method, target.removesuffix("?"), {op.header: "x"} if op.header else {}, b"<x/>")
    assert (reply.status, reply.code) == (501, "NotImplemented")
    assert f"{op.name} is not implemented".encode() in reply.body
    assert await s3.objects() == before


# calls that the request cannot tell from another one, or that S3 serves elsewhere
OTHERS = {"ListDirectoryBuckets", "WriteGetObjectResponse", "GetBucketLifecycle", "PutBucketLifecycle", "GetBucketNotification",
          "PutBucketNotification"}


def test_botocore_knows_no_other_calls():
    """Every S3 call of the client library lands on the row of its name, never on another operation's handler."""
    model = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x").meta.service_model
    wrong = {}
    for name in model.operation_names:
        if name in OTHERS:
            continue
        shape = model.operation_model(name)
        uri, _, raw = shape.http["requestUri"].partition("?")
        query = {part.partition("=")[0]: part.partition("=")[2] or "1" for part in raw.split("&") if part}
        headers = {}
        if shape.input_shape is not None:
            for member in shape.input_shape.required_members:
                about = shape.input_shape.members[member].serialization
                if about.get("location") == "querystring":
                    query[about["name"]] = "1"
                elif about.get("location") == "header":
                    headers[about["name"].lower()] = "1"
        members = shape.input_shape.members if shape.input_shape is not None else {}
        scope = "object" if "{Key" in uri else "bucket" if "Bucket" in members else "service"
        try:
            found = optable.find(shape.http["method"], scope, query, headers).name
        except S3Error as error:
            found = error.code
        if found != name:
            wrong[name] = found
    assert not wrong


async def test_a_preflight_is_not_taken_for_a_forged_request(s3):
    url = s3.client.generate_presigned_url("get_object", Params={"Bucket": s3.bucket, "Key": "k"})
    reply = await ask(s3, "OPTIONS", url.removeprefix(s3.endpoint), {"Origin": "http://a", "Access-Control-Request-Method": "GET"}, sign=False)
    assert (reply.status, reply.code) == (501, "NotImplemented")
    reply = await ask(s3, "OPTIONS", url.removeprefix(s3.endpoint), sign=False)
    assert (reply.status, reply.code) == (400, "BadRequest")


async def test_what_appends_replaces_nothing(s3):
    """radosgw's AppendObject, and S3's for directory buckets."""
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    assert (await ask(s3, "PUT", f"/{s3.bucket}/k?append&position=1", body=b"2")).code == "NotImplemented"
    assert (await ask(s3, "PUT", f"/{s3.bucket}/k", {"x-amz-write-offset-bytes": "1"}, b"2")).code == "NotImplemented"
    assert (await ask(s3, "GET", f"/{s3.bucket}/k")).body == b"1"


async def test_half_a_part_is_no_object(s3):
    """A part's number without its upload must not become an object."""
    before = await s3.objects()
    for query in ("partNumber=1", "uploadId=2~x"):
        reply = await ask(s3, "PUT", f"/{s3.bucket}/k?{query}", {}, b"x")
        assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert await s3.objects() == before


@pytest.mark.parametrize(("method", "target"), [("PATCH", "/b/k"), ("DELETE", "/"), ("PUT", "/"), ("POST", "/b/k")])
async def test_other_methods(s3, method, target):
    reply = await ask(s3, method, target.replace("/b", f"/{s3.bucket}"))
    assert reply.status in (400, 403, 405) and reply.code


async def test_a_resource_that_lacks_the_method_is_not_its_parent(s3):
    """DELETE of ?acl deletes no object and no bucket, PUT of ?uploads writes none."""
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    empty = f"{s3.bucket}2"
    await s3.run("create_bucket", Bucket=empty)
    for method, target, body in (("DELETE", f"/{empty}?acl", b""), ("DELETE", f"/{empty}?uploads", b""), ("DELETE", f"/{empty}?versioning", b""),
                                 ("PUT", f"/{empty}3?versions", b""), ("DELETE", f"/{s3.bucket}/k?acl", b""), ("PUT", f"/{s3.bucket}/k?uploads", b"2"),
                                 ("DELETE", f"/{s3.bucket}/k?torrent", b""), ("GET", f"/{s3.bucket}/k?uploads", b"")):
        reply = await ask(s3, method, target, body=body)
        assert (reply.status, reply.code) == (405, "MethodNotAllowed"), (method, target)
    assert (await ask(s3, "GET", f"/{s3.bucket}/k")).body == b"1"
    assert {row["Name"] for row in (await s3.run("list_buckets"))["Buckets"]} == {s3.bucket, empty}
