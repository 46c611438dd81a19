"""Quotas, usage and rate limits as clients meet them."""

import asyncio

import pytest
from botocore.exceptions import ClientError

from rgw.formats.basics import QuotaInfo
from rgw.formats.ratelimit import RateLimitInfo
from tests.s3.wire import ask, connect, head, parse, path, signed, talk

MIB = 1 << 20


async def code_of(call) -> str:
    try:
        await call
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


async def limited(s3, **limits):
    def change(info, _attrs):
        info.quota = QuotaInfo(enabled=True, **limits)
    await s3.gw.buckets.modify(await s3.gw.buckets.get(s3.bucket), change)


async def test_quota(s3):
    """Every way to write is refused, and leaves nothing behind."""
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x" * 4096)
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m"))["UploadId"]
    place = {"Bucket": s3.bucket, "Key": "m", "UploadId": upload}
    part = await s3.run("upload_part", PartNumber=1, Body=b"x" * 4096, **place)
    before = await s3.objects()
    await limited(s3, max_size=5 * 4096)
    assert await code_of(s3.run("put_object", Bucket=s3.bucket, Key="big", Body=b"x" * MIB)) == "QuotaExceeded"
    assert await code_of(s3.run("upload_part", PartNumber=2, Body=b"x" * MIB, **place)) == "QuotaExceeded"
    await s3.run("put_object", Bucket=s3.bucket, Key="k2", Body=b"x" * 4096)
    await limited(s3, max_size=4096)
    source = {"Bucket": s3.bucket, "Key": "k"}
    assert await code_of(s3.run("copy_object", Bucket=s3.bucket, Key="c", CopySource=source)) == "QuotaExceeded"
    assert await code_of(s3.run("upload_part_copy", PartNumber=2, CopySource=source, **place)) == "QuotaExceeded"
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert await code_of(s3.run("complete_multipart_upload", MultipartUpload=parts, **place)) == "QuotaExceeded"
    reply = await ask(s3, "PUT", path(s3, "k3"), {}, b"x")
    assert (reply.status, reply.code) == (403, "QuotaExceeded")
    await s3.run("delete_object", Bucket=s3.bucket, Key="k2")
    assert await s3.objects() == before
    await limited(s3, max_size=MIB)
    await s3.run("complete_multipart_upload", MultipartUpload=parts, **place)
    # a body whose length only its end tells
    await limited(s3, max_size=4 * 4096)
    before = await s3.objects()
    headers = signed(s3, "PUT", path(s3, "chunked"), {"Transfer-Encoding": "chunked"}) | {"Connection": "close"}
    body = b"%x\r\n%b\r\n0\r\n\r\n"
    reply = parse(await talk(s3, head("PUT", path(s3, "chunked"), headers) + body % (MIB, b"x" * MIB)))
    assert (reply.status, reply.code) == (403, "QuotaExceeded") and await s3.objects() == before
    reply = parse(await talk(s3, head("PUT", path(s3, "chunked"), headers) + body % (10, b"x" * 10)))
    assert reply.status == 200


async def test_too_many_buckets(s3):
    def change(info):
        info.max_buckets = 2
        return info

    uid = (await s3.gw.users.get_by_access_key(s3.access_key)).user_id
    await s3.gw.users.change(uid, change)
    await s3.run("create_bucket", Bucket=s3.bucket + "2")
    assert await code_of(s3.run("create_bucket", Bucket=s3.bucket + "3")) == "TooManyBuckets"
    await s3.run("create_bucket", Bucket=s3.bucket)  # one that is there already


async def test_usage(s3):
    s3.gw.options._values["rgw_enable_usage_log"] = True
    uid = (await s3.gw.users.get_by_access_key(s3.access_key)).user_id.text()
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x" * 1000)
    await ask(s3, "PUT", path(s3, "raw"), {}, b"y" * 500)
    await s3.run("put_object", Bucket=s3.bucket, Key="big", Body=b"x" * 3 * MIB)
    (await s3.run("get_object", Bucket=s3.bucket, Key="big"))["Body"].read()
    for _ in range(2):
        (await s3.run("get_object", Bucket=s3.bucket, Key="k"))["Body"].read()
    await s3.run("head_object", Bucket=s3.bucket, Key="k")
    assert await code_of(s3.run("get_object", Bucket=s3.bucket, Key="none")) == "NoSuchKey"
    assert await code_of(s3.run("get_object", Bucket=s3.bucket + "none", Key="none")) == "NoSuchBucket"
    await s3.run("list_buckets")
    await s3.gw.usage.flush()
    found = {entry.bucket: entry for entry in await s3.gw.usage.read(uid)}
    assert set(found) == {"", s3.bucket, "-"}
    got = found[s3.bucket].categories
    assert (got["get_obj"].ops, got["get_obj"].successful_ops, got["get_obj"].bytes_sent) == (4, 4, 2000 + 3 * MIB)
    assert got["put_obj"].ops == 3 and got["put_obj"].bytes_received >= 1500
    assert (found["-"].categories["get_obj"].ops, found["-"].categories["get_obj"].successful_ops) == (1, 0)
    assert found["-"].categories["get_obj"].bytes_sent > 100 and found[""].categories["list_buckets"].bytes_sent > 100
    await s3.gw.usage.trim(uid)


@pytest.mark.parametrize("whose", ["user", "bucket"])
async def test_rate_limit(s3, whose):
    limits, info = s3.gw.rate_limits, RateLimitInfo(max_read_ops=3, max_write_ops=1, enabled=True)
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x")
    if whose == "user":
        await limits.set_user(await s3.gw.users.get_by_access_key(s3.access_key), info)
    else:
        await limits.set_bucket(await s3.gw.buckets.get(s3.bucket), info)
    replies = [await ask(s3, "GET", path(s3, "k")) for _ in range(5)]
    assert [reply.status for reply in replies] == [200] * 3 + [503] * 2
    assert replies[-1].code == "SlowDown" and 1 <= int(replies[-1].headers["retry-after"]) <= 20
    assert [(await ask(s3, "PUT", path(s3, "k"), {}, b"x")).status for _ in range(2)] == [200, 503]


async def test_parts(s3):
    """rgw_multipart_part_upload_limit."""
    s3.gw.options.rgw_multipart_part_upload_limit = 2
    upload_id = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m"))["UploadId"]
    place = {"Bucket": s3.bucket, "Key": "m", "UploadId": upload_id}
    part = {"PartNumber": 2, "ETag": (await s3.run("upload_part", PartNumber=2, Body=b"x", **place))["ETag"]}
    assert await code_of(s3.run("upload_part", PartNumber=3, Body=b"x", **place)) == "InvalidArgument"
    assert await code_of(s3.run("complete_multipart_upload", MultipartUpload={"Parts": [part, {**part, "PartNumber": 3}]}, **place)) == "InvalidArgument"
    await s3.run("complete_multipart_upload", MultipartUpload={"Parts": [part]}, **place)


async def test_requests_at_the_same_time(s3):
    """rgw_max_concurrent_requests: more are told to come later, as by radosgw."""
    target = path(s3, "k")
    opened = []
    try:
        for _ in range(2):  # whose bodies do not come
            opened.append(connect(s3))
            headers = signed(s3, "PUT", target, {"Content-Length": "5"})
            await asyncio.to_thread(opened[-1].sendall, head("PUT", target, headers) + b"1")
        await asyncio.sleep(0.2)
        for limit, status, code in ((2, 503, "SlowDown"), (3, 404, "NoSuchKey"), (0, 404, "NoSuchKey")):
            s3.gw.options.rgw_max_concurrent_requests = limit
            reply = await ask(s3, "GET", target)
            assert (reply.status, reply.code) == (status, code), limit
    finally:
        for sock in opened:
            sock.close()
