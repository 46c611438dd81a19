"""Instances of buckets that nobody uses any more are told, and removed with their indexes; those in use, or about to be, are not."""

from dataclasses import replace

import pytest

from rgw.core import stale_instances
from rgw.core.buckets import entry_oid, instance_oid
from rgw.core.reshard_ending import DONE
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp
from tests.core.helpers import put


async def leave(gateway, bucket, **changes) -> str:
    """Another instance of the bucket, with an index of two shards; its key in metadata."""
    info = type(bucket.info).decode(bucket.info.encode())
    info.bucket = replace(info.bucket, bucket_id=gateway.buckets.new_id())
    info.layout.current_index.layout.normal.num_shards = 2
    for name, value in changes.items():
        setattr(info, name, value)
    await gateway.buckets.create_shards(bucket.index_ioctx, info.bucket.bucket_id, 2)
    await gateway.metadata.create(gateway.zone.meta_root, instance_oid(info.bucket), info.encode(), {})
    return f"{info.bucket.name}:{info.bucket.bucket_id}"


async def stale_of(gateway, bucket) -> list[stale_instances.StaleInstance]:
    return [one for one in await stale_instances.find(gateway) if one.info.bucket.name == bucket.name]


async def has_index(bucket, key: str) -> list[bool]:
    found = []
    for shard in range(2):
        try:
            await bucket.index_ioctx.read(f".dir.{key.partition(':')[2]}.{shard}", ReadOp().assert_exists().omap_get())
            found.append(True)
        except NotFound:
            found.append(False)
    return found


async def test_told_and_removed(gateway, bucket, user):
    await put(gateway, bucket, "k", b"x", user)
    keys = {await leave(gateway, bucket), await leave(gateway, bucket, reshard_status=DONE)}
    found = await stale_of(gateway, bucket)
    assert {one.key for one in found} == keys
    for one in found:
        assert await has_index(bucket, one.key) == [True, True]
        assert await stale_instances.remove(gateway, one)
        assert await has_index(bucket, one.key) == [False, False]
    assert await stale_of(gateway, bucket) == []
    await gateway.buckets.reload(bucket)
    assert [entry.name for entry in (await gateway.listing.objects(bucket)).entries] == ["k"]


async def test_what_a_reshard_is_at_is_left(gateway, bucket):
    key = await leave(gateway, bucket)
    async with gateway.resharder.locked(bucket.info.bucket):
        assert await stale_of(gateway, bucket) == []
    (one,) = await stale_of(gateway, bucket)
    async with gateway.resharder.locked(one.info.bucket):
        assert not await stale_instances.remove(gateway, one)
    assert await has_index(bucket, key) == [True, True]
    assert await stale_instances.remove(gateway, one)


@pytest.mark.parametrize("status", [0, DONE])
async def test_the_instance_in_use_is_never_stale(gateway, bucket, status):
    """Whatever it says of itself, and even though the bucket is unlinked."""
    await gateway.buckets.modify(bucket, lambda info, _attrs: setattr(info, "reshard_status", status))
    assert await stale_of(gateway, bucket) == []


async def test_instances_of_a_bucket_that_is_no_more(gateway, bucket, user):
    """All of them, but not the one of a bucket that is being made."""
    old = await leave(gateway, bucket, creation_time=1)
    await gateway.metadata.remove(gateway.zone.meta_root, entry_oid(bucket.name))
    assert [one.key for one in await stale_of(gateway, bucket)] == [old]
    for one in await stale_of(gateway, bucket):
        assert await stale_instances.remove(gateway, one)
