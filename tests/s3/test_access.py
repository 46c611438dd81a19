"""Who has no right to an object learns nothing of it, whatever he asks and whether it is there or not; and who may list learns that it is not."""

import secrets
from dataclasses import replace

import pytest

from rgw.core import suspension
from tests.s3.wire import ask

VERSION = "v" * 32


@pytest.fixture
async def stranger(s3):
    """A service with another user's key, who has a bucket of his own; and his id."""
    user = await s3.gw.users.create(f"o{secrets.token_hex(4)}", "Other")
    key = next(iter(user.access_keys.values()))
    other = replace(s3, access_key=key.id, secret_key=key.key)
    assert (await ask(other, "PUT", f"/{s3.bucket}o")).status == 200
    return other, user.user_id.text()


def asked(bucket: str, mine: str, key: str, upload: str) -> list[tuple[str, str, dict[str, str], bytes]]:
    tags = b"<Tagging><TagSet/></Tagging>"
    source = {"x-amz-copy-source": f"/{bucket}/{key}"}
    return [("GET", f"/{bucket}/{key}", {}, b""), ("GET", f"/{bucket}/{key}?versionId={VERSION}", {}, b""), ("GET", f"/{bucket}/{key}?acl", {}, b""),
            ("GET", f"/{bucket}/{key}?tagging", {}, b""), ("GET", f"/{bucket}/{key}?acl&versionId={VERSION}", {}, b""),
            ("PUT", f"/{bucket}/{key}?acl", {"x-amz-acl": "public-read"}, b""), ("PUT", f"/{bucket}/{key}?tagging", {}, tags),
            ("DELETE", f"/{bucket}/{key}?tagging", {}, b""), ("GET", f"/{bucket}/{key}?uploadId={upload}", {}, b""), ("PUT", f"/{mine}/n", source, b""),
            ("PUT", f"/{mine}/n", {"x-amz-copy-source": f"/{bucket}/{key}?versionId={VERSION}"}, b""),
            ("PUT", f"/{mine}/up?partNumber=1&uploadId=UP", source, b"")]


async def test_nothing_is_told(s3, stranger):
    other, uid = stranger
    mine = f"{s3.bucket}o"
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="k"))["UploadId"]
    up = (await ask(other, "POST", f"/{mine}/up?uploads")).body.decode().split("<UploadId>")[1].split("<")[0]
    for grant in ({}, {"GrantWrite": f"id={uid}"}, {"GrantRead": f"id={uid}"}):
        await s3.run("put_bucket_acl", Bucket=s3.bucket, **(grant or {"ACL": "private"}))
        for key in ("k", "missing"):
            for method, target, headers, body in asked(s3.bucket, mine, key, upload if key == "k" else "2~x"):
                reply = await ask(other, method, target.replace("UP", up), headers, body)
                told = "GrantRead" in grant and (key == "missing" or VERSION in target + str(headers))
                assert (reply.code in ("NoSuchKey", "NoSuchVersion", "NoSuchUpload")) == told, (grant, key, method, target, headers, reply.code)
                assert told or reply.code == "AccessDenied", (grant, key, method, target, reply.code)


async def test_buckets_of_a_suspended_user(s3, stranger):
    """What was granted to others, to everybody even, is refused with them."""
    other, uid = stranger
    owner = (await s3.gw.users.get_by_access_key(s3.access_key)).user_id.text()
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1", ACL="public-read-write")
    await s3.run("put_bucket_acl", Bucket=s3.bucket, ACL="public-read-write")
    place = f"/{s3.bucket}"
    requests = [("GET", f"{place}/k", {}, 200), ("GET", place, {}, 200), ("PUT", f"{place}/new", {}, 200), ("GET", f"{place}?acl", {}, 403),
                ("DELETE", f"{place}/new", {}, 204), ("PUT", f"{place}o/copy", {"x-amz-copy-source": f"{place}/k"}, 200)]
    for suspended in (True, False):
        await suspension.set_suspended(s3.gw, owner, suspended)
        for method, target, headers, status in requests:
            reply = await ask(other, method, target, headers)
            assert (reply.status, reply.code) == (403, "UserSuspended") if suspended else reply.status == status, (method, target)
        assert (await ask(s3, "GET", f"{place}/k", sign=False)).code == ("UserSuspended" if suspended else "")
        assert (await ask(s3, "GET", f"{place}/k")).code == ("UserSuspended" if suspended else "")
    assert uid != owner
