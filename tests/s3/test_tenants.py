"""Buckets of tenants, and whose bucket a client expects."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.s3.wire import ask


def _client(s3, user):
    key = next(iter(user.access_keys.values()))
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=s3.endpoint, aws_access_key_id=key.id, aws_secret_access_key=key.key, region_name="us-east-1",
                        config=config)


async def test_two_tenants_have_buckets_of_one_name(s3):
    tenant = f"t{secrets.token_hex(3)}"
    client = _client(s3, await s3.gw.users.create(f"{tenant}$u", "Of a tenant"))

    def work():
        client.create_bucket(Bucket=s3.bucket)  # the name is taken in the other tenant
        client.put_object(Bucket=s3.bucket, Key="k", Body=b"theirs")
        client.copy_object(Bucket=s3.bucket, Key="c", CopySource={"Bucket": s3.bucket, "Key": "k"})
        assert client.get_object(Bucket=s3.bucket, Key="c")["Body"].read() == b"theirs"
        assert [b["Name"] for b in client.list_buckets()["Buckets"]] == [s3.bucket]
    await asyncio.to_thread(work)
    assert "Contents" not in await s3.run("list_objects_v2", Bucket=s3.bucket)
    for target, status in ((f"/{tenant}:{s3.bucket}/k", 403), (f"/{tenant}:{s3.bucket}x/k", 404), (f"/:{s3.bucket}/k", 404)):
        assert (await ask(s3, "GET", target)).status == status
    await asyncio.to_thread(client.put_object_acl, Bucket=s3.bucket, Key="k", ACL="public-read")
    assert (await ask(s3, "GET", f"/{tenant}:{s3.bucket}/k", sign=False)).body == b"theirs"
    assert (await ask(s3, "GET", f"/{tenant}:{s3.bucket}/k")).body == b"theirs"
    reply = await ask(s3, "PUT", f"/{s3.bucket}/from", {"x-amz-copy-source": f"{tenant}:{s3.bucket}/k"})
    assert reply.status == 200
    assert (await ask(s3, "GET", f"/{s3.bucket}/from")).body == b"theirs"


async def test_expected_bucket_owner(s3):
    owner = (await s3.run("get_bucket_acl", Bucket=s3.bucket))["Owner"]["ID"]
    before = await s3.objects()
    for expected, code in ((owner, None), (owner + "x", "AccessDenied")):
        for call, arguments in (("put_object", {"Key": "k", "Body": b"x"}), ("list_objects_v2", {}), ("delete_object", {"Key": "k"})):
            if code is None:
                await s3.run(call, Bucket=s3.bucket, ExpectedBucketOwner=expected, **arguments)
                continue
            with pytest.raises(ClientError) as caught:
                await s3.run(call, Bucket=s3.bucket, ExpectedBucketOwner=expected, **arguments)
            assert caught.value.response["Error"]["Code"] == code
    assert await s3.objects() == before


async def test_many_change_a_bucket_at_once(s3):
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(30) as threads:  # not the loop's own threads, which the store needs
        work = [loop.run_in_executor(threads, lambda: s3.client.put_bucket_acl(Bucket=s3.bucket, ACL="public-read")) for _ in range(30)]
        await asyncio.gather(*work)


async def test_a_bucket_made_again_keeps_its_acl(s3):
    with pytest.raises(ClientError) as caught:
        await s3.run("create_bucket", Bucket=s3.bucket, ACL="public-read")
    assert caught.value.response["Error"]["Code"] == "BucketAlreadyExists"
    assert len((await s3.run("get_bucket_acl", Bucket=s3.bucket))["Grants"]) == 1


async def test_the_bucket_owner_is_named_in_grants(s3):
    client = _client(s3, await s3.gw.users.create(f"o{secrets.token_hex(4)}", "Other"))
    await s3.run("put_bucket_acl", Bucket=s3.bucket, ACL="public-read-write")
    await asyncio.to_thread(client.put_object, Bucket=s3.bucket, Key="k", Body=b"x", ACL="bucket-owner-read")
    grants = (await asyncio.to_thread(client.get_object_acl, Bucket=s3.bucket, Key="k"))["Grants"]
    assert [(g["Grantee"]["DisplayName"], g["Permission"]) for g in grants] == [("Other", "FULL_CONTROL"), ("A user", "READ")]
