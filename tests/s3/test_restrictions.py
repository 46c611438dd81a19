"""What only radosgw can set and this gateway must not pass over: locks, a second factor, policies that deny, blocks of public access."""

import json
import time

import pytest

from rgw.core.buckets import FLAG_MFA, FLAG_OBJECT_LOCK
from rgw.formats.encoding import STR, map_of
from rgw.formats.obj import ObjectLegalHold, ObjectRetention
from tests.s3.wire import ask

HOUR = 3600 * 10**9
DELETE = '<Delete><Object><Key>k</Key><VersionId>{}</VersionId></Object></Delete>'


async def flagged(s3, flag: int, **changes):
    def change(info, attrs):
        info.flags |= flag
        for name, value in changes.items():
            setattr(info, name, value)
    await s3.gw.buckets.modify(await s3.gw.buckets.get(s3.bucket), change)


async def version_of(s3) -> str:
    await s3.run("put_bucket_versioning", Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    return (await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1"))["VersionId"]


async def removals(s3, version: str) -> list[str]:
    """The codes of both ways to remove the version, "" where it went."""
    many = await ask(s3, "POST", f"/{s3.bucket}?delete", {"x-amz-checksum-algorithm": "CRC32"}, DELETE.format(version).encode())
    return [many.code, (await ask(s3, "DELETE", f"/{s3.bucket}/k?versionId={version}")).code]


@pytest.mark.parametrize(("attrs", "stays"), [
    ({"user.rgw.object-retention": lambda: ObjectRetention("COMPLIANCE", time.time_ns() + HOUR)}, True),
    ({"user.rgw.object-legal-hold": lambda: ObjectLegalHold("ON")}, True),
    ({"user.rgw.object-retention": lambda: ObjectRetention("GOVERNANCE", time.time_ns() - HOUR), "user.rgw.object-legal-hold": lambda: ObjectLegalHold("OFF")},
     False)])
async def test_locked_versions_stay(s3, attrs, stays):
    version = await version_of(s3)
    await flagged(s3, FLAG_OBJECT_LOCK)
    state = await s3.gw.objects.head(await s3.gw.buckets.get(s3.bucket), "k", version)
    await s3.gw.objects.set_attrs(state, {name: make().encode() for name, make in attrs.items()})
    assert await removals(s3, version) == (["AccessDenied"] * 2 if stays else [""] * 2)
    assert (await ask(s3, "GET", f"/{s3.bucket}/k?versionId={version}")).status == (200 if stays else 404)
    if stays:  # a marker may be put on top, and goes again
        marker = (await s3.run("delete_object", Bucket=s3.bucket, Key="k"))["VersionId"]
        assert await removals(s3, marker) == ["", ""]
        suspended = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
        assert (await ask(s3, "PUT", f"/{s3.bucket}?versioning", body=suspended)).code == "InvalidBucketState"


async def test_new_objects_are_not_left_unlocked(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    await flagged(s3, FLAG_OBJECT_LOCK, object_lock=b"\x01\x01\x02\x00\x00\x00\x01\x01")
    for method, target, headers in (("PUT", "n", {}), ("PUT", "n", {"x-amz-copy-source": f"/{s3.bucket}/k"}), ("POST", "n?uploads", {}),
                                    ("POST", "n?uploadId=2~x", {})):
        assert (await ask(s3, method, f"/{s3.bucket}/{target}", headers)).code == "NotImplemented"


async def test_a_second_factor(s3):
    version = await version_of(s3)
    await flagged(s3, FLAG_MFA)
    assert await removals(s3, version) == ["AccessDenied", "AccessDenied"]


@pytest.mark.parametrize(("policy", "refused"), [
    ({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}]}, False),
    ({"Statement": [{"Effect": "Allow"}, {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}]}, True),
    ({"Statement": {"Effect": "Deny"}}, True), ({}, True), ("no policy", True)])
async def test_policies_that_deny(s3, policy, refused):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1", ACL="public-read")
    await s3.run("create_bucket", Bucket=f"{s3.bucket}o")
    await s3.gw.buckets.set_attrs(await s3.gw.buckets.get(s3.bucket), {"user.rgw.iam-policy": json.dumps(policy).encode()})
    for sign in (True, False):
        reply = await ask(s3, "GET", f"/{s3.bucket}/k", sign=sign)
        assert (reply.status, reply.code) == ((501, "NotImplemented") if refused else (200, ""))
    copy = await ask(s3, "PUT", f"/{s3.bucket}o/n", {"x-amz-copy-source": f"/{s3.bucket}/k"})
    assert (copy.status == 501) == refused


@pytest.mark.parametrize(("offset", "reading", "setting"), [(0, "", "AccessDenied"), (1, "AccessDenied", ""), (2, "", ""), (3, "", "")])
async def test_blocks_of_public_access(s3, offset, reading, setting):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1", ACL="public-read")
    block = bytearray(b"\x01\x01\x04\0\0\0\0\0\0\0")
    block[6 + offset] = 1
    await s3.gw.buckets.set_attrs(await s3.gw.buckets.get(s3.bucket), {"user.rgw.public-access": bytes(block)})
    place = f"/{s3.bucket}/k"
    assert (await ask(s3, "GET", place, sign=False)).code == reading and (await ask(s3, "GET", place)).body == b"1"
    everybody = b'<Grant><Grantee><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>'
    document = b"<AccessControlPolicy><AccessControlList>" + everybody + b"</AccessControlList></AccessControlPolicy>"
    for target, headers, body in ((f"{place}2", {"x-amz-copy-source": place, "x-amz-acl": "public-read"}, b""),
                                  (place, {"x-amz-acl": "public-read"}, b"1"), (f"{place}?acl", {"x-amz-acl": "authenticated-read"}, b""),
                                  (f"{place}?acl", {}, document), (f"/{s3.bucket}?acl", {"x-amz-acl": "public-read"}, b"")):
        assert (await ask(s3, "PUT", target, headers, body)).code == setting, (target, headers)
    assert (await ask(s3, "PUT", place, {"x-amz-acl": "private"}, b"1")).status == 200


@pytest.mark.parametrize(("effect", "code"), [("Allow", ""), ("Deny", "NotImplemented")])
async def test_policies_of_users(s3, effect, code):
    user = await s3.gw.users.get_by_access_key(s3.access_key)
    pool, uid = s3.gw.zone.uid_pool, user.user_id.text()
    old = await s3.gw.metadata.get(pool, uid)
    stored = bytearray()
    map_of(STR, STR).enc(stored, {"first": '{"Statement": []}', "second": json.dumps({"Statement": [{"Effect": effect}]})})
    await s3.gw.metadata.replace(pool, uid, old.data, {**old.xattrs, "user.rgw.user-policy": bytes(stored)}, old)
    assert (await ask(s3, "GET", f"/{s3.bucket}")).code == code
    await s3.gw.users.change(uid, lambda info: info)  # which keeps the policy
    assert (await ask(s3, "GET", f"/{s3.bucket}")).code == code
