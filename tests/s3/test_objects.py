import asyncio
import gc
import logging
import secrets
import socket
import sys
import urllib.request
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError

from tests.s3.wire import connect, head, path, signed

AWKWARD = ["a//b", "../x", "a+b c", "100%", "é\U0001f600", "_a", "__b", "a&<>\"'", "%2F"]


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (9 << 20) + 7])
async def test_round_trip(s3, size):
    data = secrets.token_bytes(size)
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=data, Metadata={"colour": "blue"}, CacheControl="no-cache")
    got = await s3.run("get_object", Bucket=s3.bucket, Key="k")
    assert await asyncio.to_thread(got["Body"].read) == data
    assert got["Metadata"] == {"colour": "blue"} and got["CacheControl"] == "no-cache"
    if size > 1:
        part = await s3.run("get_object", Bucket=s3.bucket, Key="k", Range=f"bytes={size - 9}-")
        assert await asyncio.to_thread(part["Body"].read) == data[-9:]


async def test_awkward_keys(s3):
    for key in AWKWARD:
        await s3.run("put_object", Bucket=s3.bucket, Key=key, Body=key.encode())
    listed = await s3.run("list_objects_v2", Bucket=s3.bucket)
    assert [row["Key"] for row in listed["Contents"]] == sorted(AWKWARD, key=str.encode)
    for key in AWKWARD:
        got = await s3.run("get_object", Bucket=s3.bucket, Key=key)
        assert await asyncio.to_thread(got["Body"].read) == key.encode()
    reply = await s3.run("delete_objects", Bucket=s3.bucket, Delete={"Objects": [{"Key": key} for key in AWKWARD]})
    assert len(reply["Deleted"]) == len(AWKWARD) and "Errors" not in reply
    await s3.run("delete_bucket", Bucket=s3.bucket)


async def test_multipart(s3):
    parts = [secrets.token_bytes(5 << 20), b"end"]
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m"))["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        etag = (await s3.run("upload_part", Bucket=s3.bucket, Key="m", UploadId=upload, PartNumber=number, Body=data))["ETag"]
        done.append({"PartNumber": number, "ETag": etag})
    for _ in range(2):  # a retry gets the same answer
        reply = await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": done})
        assert reply["ETag"].endswith('-2"')
    got = await s3.run("get_object", Bucket=s3.bucket, Key="m")
    assert await asyncio.to_thread(got["Body"].read) == b"".join(parts)
    part = await s3.run("head_object", Bucket=s3.bucket, Key="m", PartNumber=2)
    assert part["ContentLength"] == 3 and part["PartsCount"] == 2


@pytest.mark.parametrize(("arguments", "code"), [
    ({"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"), ({"ContentMD5": "x"}, "InvalidDigest"),
    ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"), ({"Key": "k" * 1025}, "KeyTooLongError"),
    ({"Metadata": {"m": "v" * 3000}}, "MetadataTooLarge"), ({"IfMatch": "x"}, "NoSuchKey"),
])
async def test_a_refused_put_leaves_nothing(s3, arguments, code):
    before = await s3.objects()
    with pytest.raises(ClientError) as refusal:
        await s3.run("put_object", **{"Bucket": s3.bucket, "Key": "k", "Body": b"x" * (5 << 20), **arguments})
    assert refusal.value.response["Error"]["Code"] == code
    assert await s3.objects() == before


async def test_anonymous_needs_an_acl(s3):
    def fetch(key):
        with urllib.request.urlopen(f"{s3.endpoint}/{s3.bucket}/{key}") as reply:
            return reply.read()
    await s3.run("put_object", Bucket=s3.bucket, Key="public", Body=b"1", ACL="public-read")
    await s3.run("put_object", Bucket=s3.bucket, Key="private", Body=b"2")
    assert await asyncio.to_thread(fetch, "public") == b"1"
    with pytest.raises(HTTPError) as refusal:
        await asyncio.to_thread(fetch, "private")
    assert refusal.value.code == 403


async def test_copy(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="a b", Body=b"x" * (5 << 20))
    await s3.run("copy_object", Bucket=s3.bucket, Key="c", CopySource={"Bucket": s3.bucket, "Key": "a b"})
    await s3.run("delete_object", Bucket=s3.bucket, Key="a b")
    got = await s3.run("get_object", Bucket=s3.bucket, Key="c")
    assert await asyncio.to_thread(got["Body"].read) == b"x" * (5 << 20)
    with pytest.raises(ClientError) as refusal:
        await s3.run("copy_object", Bucket=s3.bucket, Key="c", CopySource={"Bucket": s3.bucket, "Key": "c"})
    assert refusal.value.response["Error"]["Code"] == "InvalidRequest"


async def test_a_client_that_goes_away_is_no_error(s3, caplog):
    await s3.run("put_object", Bucket=s3.bucket, Key="big", Body=bytes(9 << 20))
    caplog.set_level(logging.INFO, "rgw.access")
    target = path(s3, "big")
    sock = await asyncio.to_thread(connect, s3)
    with sock:
        sock.sendall(head("GET", target, signed(s3, "GET", target, {})))
        await asyncio.to_thread(sock.recv, 1000)
    for _ in range(100):
        if " 499 " in caplog.text:
            break
        await asyncio.sleep(0.05)
    assert f"GET {target} 499 " in caplog.text
    await asyncio.sleep(0.05)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_long_get_of_an_object_that_is_deleted_meanwhile_completes(s3, monkeypatch):
    """Its tail waits for a while before it is collected."""
    monkeypatch.setitem(s3.gw.options.__dict__["_values"], "rgw_gc_obj_min_wait", 3600)
    data = secrets.token_bytes(24 << 20)  # more than what is sent ahead
    before = await s3.objects()
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=data)
    answer = (await s3.run("get_object", Bucket=s3.bucket, Key="k"))["Body"]
    start = await asyncio.to_thread(answer.read, 1000)
    await s3.run("delete_object", Bucket=s3.bucket, Key="k")
    await s3.gw.gc.process()
    assert start + await asyncio.to_thread(answer.read) == data
    await s3.gw.gc.process(include_all=True)
    assert await s3.objects() <= before


async def test_a_reader_that_leaves_takes_its_reads_along(s3):
    """A client that hangs up within a large body: nothing goes on, nothing is left for the collector of cycles to complain of."""
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=bytes(24 << 20))

    def leave():
        with connect(s3) as sock:
            sock.sendall(head("GET", path(s3, "k"), signed(s3, "GET", path(s3, "k"), {})))
            sock.recv(1 << 16)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a goodbye
    left: list[str] = []
    old = sys.get_asyncgen_hooks().finalizer

    def finalize(generator):
        left.append(generator.__qualname__)
        old(generator)
    sys.set_asyncgen_hooks(finalizer=finalize)
    before = asyncio.all_tasks()
    for _ in range(3):
        await asyncio.to_thread(leave)
    for _ in range(100):
        if not asyncio.all_tasks() - before:
            break
        await asyncio.sleep(0.02)
    gc.collect()
    sys.set_asyncgen_hooks(finalizer=old)
    assert left == [] and not asyncio.all_tasks() - before
