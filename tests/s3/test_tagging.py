"""Tags of objects and buckets, by every way that sets them."""

import asyncio

import pytest
from botocore.exceptions import ClientError

from tests.s3.wire import ask, path


def tags(**values):
    return {"TagSet": [{"Key": key, "Value": value} for key, value in values.items()]}


async def read(s3, key):
    return {t["Key"]: t["Value"] for t in (await s3.run("get_object_tagging", Bucket=s3.bucket, Key=key))["TagSet"]}


async def test_object(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x", Tagging="colour=blue&size=a%20b")
    assert await read(s3, "k") == {"colour": "blue", "size": "a b"}
    reply = await ask(s3, "HEAD", path(s3, "k"))
    assert reply.headers["x-amz-tagging-count"] == "2"
    await s3.run("put_object_tagging", Bucket=s3.bucket, Key="k", Tagging=tags(a="1", ünï="<&>"))
    assert await read(s3, "k") == {"a": "1", "ünï": "<&>"}
    got = await s3.run("get_object", Bucket=s3.bucket, Key="k")
    assert got["TagCount"] == 2 and got["Body"].read() == b"x"
    assert (await ask(s3, "PUT", path(s3, "bare"), {"x-amz-tagging": "a=1&b"}, b"x")).status == 200
    assert await read(s3, "bare") == {"a": "1", "b": ""}
    await s3.run("delete_object_tagging", Bucket=s3.bucket, Key="k")
    await s3.run("delete_object_tagging", Bucket=s3.bucket, Key="k")
    assert await read(s3, "k") == {}
    assert "x-amz-tagging-count" not in (await ask(s3, "HEAD", path(s3, "k"))).headers
    for call in ("get_object_tagging", "delete_object_tagging"):
        with pytest.raises(ClientError) as refusal:
            await s3.run(call, Bucket=s3.bucket, Key="none")
        assert refusal.value.response["Error"]["Code"] == "NoSuchKey"


async def test_the_time_is_the_data_s(s3):
    """Neither tags nor ACLs change Last-Modified, as on AWS."""
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x")

    async def times():
        listed = (await s3.run("list_objects_v2", Bucket=s3.bucket))["Contents"][0]["LastModified"]
        return listed, (await ask(s3, "HEAD", path(s3, "k"))).headers["last-modified"]
    before = await times()
    await asyncio.sleep(1.1)
    await s3.run("put_object_tagging", Bucket=s3.bucket, Key="k", Tagging=tags(a="1"))
    await s3.run("put_object_acl", Bucket=s3.bucket, Key="k", ACL="public-read")
    assert await times() == before


async def test_copies_and_uploads(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x", Tagging="a=1")
    source = {"Bucket": s3.bucket, "CopySource": {"Bucket": s3.bucket, "Key": "k"}}
    await s3.run("copy_object", Key="same", **source)
    await s3.run("copy_object", Key="other", TaggingDirective="REPLACE", Tagging="b=2", **source)
    await s3.run("copy_object", Key="bare", TaggingDirective="REPLACE", **source)
    assert [await read(s3, key) for key in ("same", "other", "bare")] == [{"a": "1"}, {"b": "2"}, {}]
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m", Tagging="c=3"))["UploadId"]
    part = await s3.run("upload_part", Bucket=s3.bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload,
                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert await read(s3, "m") == {"c": "3"}


REFUSED = [
    (b"", "MalformedXML"), (b"<Tagging/>", "MalformedXML"), (b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", "MalformedXML"),
    (b"<Tagging><TagSet><Tag><Key></Key><Value/></Tag></TagSet></Tagging>", "InvalidTag"),
    (b"<Tagging><TagSet>" + b"<Tag><Key>a</Key><Value>b</Value></Tag>" * 2 + b"</TagSet></Tagging>", "InvalidTag"),
    (b"<Tagging><TagSet>" + b"".join(b"<Tag><Key>%d</Key><Value>b</Value></Tag>" % i for i in range(11)) + b"</TagSet></Tagging>", "InvalidTag"),
    (b"<Tagging><TagSet><Tag><Key>a</Key><Value>" + b"v" * 257 + b"</Value></Tag></TagSet></Tagging>", "InvalidTag"),
]


async def test_refused(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x", Tagging="a=1")
    for body, code in REFUSED:
        reply = await ask(s3, "PUT", path(s3, "k") + "?tagging", {}, body)
        assert (reply.status, reply.code) == (400, code), body
    assert await read(s3, "k") == {"a": "1"}


async def test_bucket(s3):
    with pytest.raises(ClientError) as refusal:
        await s3.run("get_bucket_tagging", Bucket=s3.bucket)
    assert refusal.value.response["Error"]["Code"] == "NoSuchTagSet"
    many = {f"k{i:02}": str(i) for i in range(50)}
    await s3.run("put_bucket_tagging", Bucket=s3.bucket, Tagging=tags(**many))
    assert {t["Key"]: t["Value"] for t in (await s3.run("get_bucket_tagging", Bucket=s3.bucket))["TagSet"]} == many
    await s3.run("delete_bucket_tagging", Bucket=s3.bucket)
    with pytest.raises(ClientError):
        await s3.run("get_bucket_tagging", Bucket=s3.bucket)
