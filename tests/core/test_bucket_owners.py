"""Buckets that change hands: the lists of both users, the records, the ACLs of the objects."""

import secrets

import pytest

from rgw.core import bucket_owners, user_stats
from rgw.core.bucket_owners import given_to
from rgw.core.raw_index import get as raw_entry
from rgw.errors import S3Error
from rgw.formats.acl import AccessControlPolicy, AclGrant
from rgw.formats.basics import User
from rgw.formats.index import DirEntry
from rgw.formats.user import UserInfo
from tests.core.helpers import body, fetch, put


async def listed(gateway, user) -> list[str]:
    return [entry.bucket.name async for entry in user_stats.bucket_entries(gateway, user)]


@pytest.fixture
async def other(gateway):
    return await gateway.users.create(f"ten${secrets.token_hex(4)}", "Other")


async def test_chown_across_tenants_and_names(gateway, bucket, user, other):
    for key in ("a", "_b"):
        await put(gateway, bucket, key, body(5_000), user)
    assert await bucket_owners.chown(gateway, bucket.name, "", other, new_name="renamed") == 2
    assert await listed(gateway, user) == [] and await listed(gateway, other) == ["renamed"]
    with pytest.raises(S3Error, match="NoSuchBucket"):
        await gateway.buckets.get(bucket.name)
    moved = await gateway.buckets.get("renamed", "ten")
    uid = other.user_id.text()
    assert (moved.owner.text(), moved.acl.owner.id, moved.bucket_id, moved.marker) == (uid, uid, bucket.bucket_id, bucket.marker)
    for key in ("a", "_b"):
        assert (await gateway.objects.head(moved, key)).acl.owner.id == uid
        assert DirEntry.decode((await raw_entry(moved, key)).data).meta.owner == uid
        assert len(await fetch(gateway, moved, key)) == 5_000
    await user_stats.sync(gateway, other)
    assert (await user_stats.read(gateway, other)).stats.total_entries == 2
    await gateway.buckets.create(bucket.name, user, AccessControlPolicy.private(user.user_id.text(), ""))
    with pytest.raises(S3Error, match="BucketAlreadyExists"):
        await bucket_owners.link(gateway, "renamed", "ten", user, new_name=bucket.name)
    assert await listed(gateway, other) == ["renamed"]


async def test_unlink_and_link(gateway, bucket, user, other):
    with pytest.raises(S3Error, match="belongs to"):
        await bucket_owners.unlink(gateway, bucket.name, "", other)
    await bucket_owners.unlink(gateway, bucket.name, "", user)
    assert await listed(gateway, user) == []
    with pytest.raises(S3Error, match="NoSuchBucket"):
        await gateway.buckets.get(bucket.name)
    with pytest.raises(S3Error, match="has the id"):
        await bucket_owners.link(gateway, bucket.name, "", user, bucket_id="x")
    await bucket_owners.link(gateway, bucket.name, "", user, bucket_id=bucket.bucket_id)
    assert await listed(gateway, user) == [bucket.name]
    assert (await gateway.buckets.get(bucket.name)).owner.text() == user.user_id.text()


async def test_a_users_list_is_checked_and_mended(gateway, bucket, user, private):
    assert await user_stats.check(gateway, user) == []
    second, _ = await gateway.buckets.create(f"second-{bucket.name}", user, private)
    entries = {entry.bucket.name: entry.bucket async for entry in user_stats.bucket_entries(gateway, user)}
    await bucket_owners.unlist(gateway, user.user_id, entries[second.name])
    ghost = entries[bucket.name]
    ghost.name = "no-such-bucket"
    from rgw.formats.bucket import BucketEntryPoint

    point = BucketEntryPoint.decode(bucket.entry.data)
    point.bucket.name = "no-such-bucket"
    await gateway.buckets.link(point)
    found = await user_stats.check(gateway, user)
    assert {row["bucket"] for row in found} == {second.name, "no-such-bucket"} and not any(row["fixed"] for row in found)
    assert len(await user_stats.check(gateway, user, fix=True)) == 2
    assert await user_stats.check(gateway, user) == []
    assert await listed(gateway, user) == sorted([bucket.name, second.name])


def test_policies_given_away():
    """A new owner takes the former one's place; grants to others stay."""
    old = AccessControlPolicy.private("old", "Old")
    old.acl.add(AclGrant.user("friend", "Friend", 1))
    old.acl.add(AclGrant.to_group(1, 1))
    new = given_to(old, UserInfo(user_id=User("", "new", ""), display_name="New"))
    assert new.owner.id == "new" and new.acl.user_map == {"new": 15, "friend": 1} and new.acl.group_map == {1: 1}
