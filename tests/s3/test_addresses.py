"""Where the bucket and the key stand: in the path or, of the bucket, in the host; and that a signature holds for that place alone."""

import boto3
import pytest
from botocore.config import Config

from tests.s3.wire import ask, head, parse, path, talk


def presigned(s3, signature: str, style: str, endpoint: str, key: str) -> tuple[str, str]:
    """(host, target) of a GetObject."""
    client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=s3.access_key, aws_secret_access_key=s3.secret_key,
                          region_name="us-east-1", config=Config(signature_version=signature, s3={"addressing_style": style}))
    host, _, target = client.generate_presigned_url("get_object", Params={"Bucket": s3.bucket, "Key": key}).removeprefix("http://").partition("/")
    return host, "/" + target


async def get(s3, host: str, target: str):
    return parse(await talk(s3, head("GET", target, {"Host": host, "Connection": "close"})))


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
@pytest.mark.parametrize("key", ["a b/é", "admin/user", "admin"])
async def test_bucket_in_the_host(s3, signature, key):
    """Any key, those too that would be the Admin Ops API's in a path."""
    await s3.run("put_object", Bucket=s3.bucket, Key=key, Body=b"1")
    host, target = presigned(s3, signature, "virtual", "http://s3.example.test", key)
    assert host == f"{s3.bucket}.s3.example.test"
    reply = await get(s3, host, target)
    assert (reply.status, reply.body) == (200, b"1")


async def test_a_signed_address_is_not_bent(s3):
    """Version 2 does not cover the host, and both take a path that is encoded otherwise: neither leads to another place."""
    await s3.run("put_object", Bucket=s3.bucket, Key="k/l", Body=b"1")
    hosts = (".s3.example.test", "x.s3.example.test", f"{s3.bucket}.s3.example.test", f"{s3.bucket}/k.s3.example.test")
    for signature, encoded, bent in (("s3", 403, [200, 403, 403, 400]), ("s3v4", 200, [403, 403, 403, 400])):
        host, target = presigned(s3, signature, "path", s3.endpoint, "k/l")
        assert (await get(s3, host, target)).body == b"1"
        assert (await get(s3, host, target.replace("/k/l", "%2Fk%2Fl"))).status == encoded
        replies = [await get(s3, other, target) for other in hosts]
        assert [reply.status for reply in replies] == bent
        assert all(reply.body == b"1" for reply in replies if reply.status == 200)


async def test_a_slash_is_no_part_of_a_bucket(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    assert (await ask(s3, "GET", f"/{s3.bucket}%2Fk")).body == b"1"
    assert (await ask(s3, "GET", f"/x%2F{s3.bucket}/k")).code == "NoSuchBucket"
    for target, code in ((f"/{s3.bucket}%00/k", "NoSuchBucket"), (f"/%00{s3.bucket}/k", "NoSuchBucket"), ("/%ff/k", "InvalidURI"),
                         (f"{path(s3, 'k')}%00", "InvalidURI")):
        assert (await ask(s3, "GET", target)).code == code
