"""Writes are answered before their change of the index is completed: what that may not cost."""

import asyncio

import pytest

from rgw.core import completions
from rgw.core.gateway import Gateway
from rgw.core.index import BucketIndex
from rgw.core.indexed import IndexChange
from rgw.errors import S3Error
from rgw.store.errors import TimedOut
from tests.core.helpers import body, fetch, index_keys, md5
from tests.core.test_index_repair import age, listed, stored, true_stats


async def write(gateway, bucket, key, data, user) -> None:
    """A put that, unlike the helper, leaves the index to itself."""
    writer = gateway.objects.writer(bucket, key, owner=user, attrs={})
    await writer.write(data)
    await writer.complete(md5(data))


@pytest.fixture
def slow(monkeypatch):
    """Completions take some time."""
    complete = BucketIndex.complete

    async def late(self, *args, **kwargs):
        await asyncio.sleep(0.2)
        await complete(self, *args, **kwargs)

    monkeypatch.setattr(BucketIndex, "complete", late)


async def test_own_writes_are_read(gateway, bucket, user, slow) -> None:
    await write(gateway, bucket, "a", b"1", user)
    assert not (await stored(bucket, "a")).exists
    assert await listed(gateway, bucket) == {"a": md5(b"1")}
    assert (await stored(bucket, "a")).exists  # the listing has waited instead of asking the head
    await write(gateway, bucket, "a", b"22", user)
    assert sum(header.stats[1].total_size for header in await gateway.buckets.stats(bucket) if 1 in header.stats) == 2
    assert await gateway.objects.delete(bucket, "a")
    assert await listed(gateway, bucket) == {}
    await gateway.buckets.delete(bucket)


async def test_another_gateway_lists_them_too(cluster, options, gateway, bucket, user, slow) -> None:
    other = await Gateway.open(cluster, options)
    try:
        await write(gateway, bucket, "a", b"1", user)
        theirs = await other.buckets.get(bucket.name)
        assert await listed(other, theirs) == {"a": md5(b"1")}
        await gateway.objects.delete(bucket, "a")
        assert await listed(other, theirs) == {}
    finally:
        await other.close()


async def test_a_failure_is_tried_again(gateway, bucket, user, monkeypatch) -> None:
    """A reply that got lost, too: what was done already is not done twice."""
    complete, failures = BucketIndex.complete, 0

    async def fail(self, *args, **kwargs):
        nonlocal failures
        failures += 1
        if failures == 2:
            await complete(self, *args, **kwargs)
        if failures < 3:
            raise TimedOut("for the test")
        await complete(self, *args, **kwargs)

    monkeypatch.setattr(completions, "_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(BucketIndex, "complete", fail)
    await write(gateway, bucket, "a", b"1", user)
    await gateway.completions.settle(bucket)
    assert failures > 2
    entry = await stored(bucket, "a")
    assert entry.exists and not entry.pending_map
    await true_stats(bucket)


async def test_the_end_waits_for_them(cluster, options, gateway, bucket, user, slow) -> None:
    other = await Gateway.open(cluster, options)
    theirs = await other.buckets.get(bucket.name)
    await write(other, theirs, "a", b"1", user)
    await other.close()
    assert (await stored(bucket, "a")).exists


async def test_only_so_many(gateway, bucket, user, slow, monkeypatch) -> None:
    monkeypatch.setattr(completions, "MOST", 1)
    await write(gateway, bucket, "a", b"1", user)
    await write(gateway, bucket, "b", b"1", user)  # waits for its own
    assert (await stored(bucket, "b")).exists


async def test_one_that_comes_too_late_makes_no_ghost(gateway, bucket, user, monkeypatch) -> None:
    """A listing has settled the entry, and the object was removed, before the completion of its write arrives."""
    complete, held = IndexChange.complete, []

    async def hold(*args, **kwargs):
        held.append((args, kwargs))

    monkeypatch.setattr(IndexChange, "complete", hold)
    for key in ("gone", "there"):
        await write(gateway, bucket, key, body(10), user)
    await gateway.completions.settle(bucket)
    monkeypatch.undo()
    await age(bucket)
    assert sorted(await listed(gateway, bucket)) == ["gone", "there"]
    await gateway.objects.delete(bucket, "gone")
    for args, kwargs in held:
        await complete(*args, **kwargs)
    assert await index_keys(gateway, bucket) == {"there"}
    assert len(await fetch(gateway, bucket, "there")) == 10
    with pytest.raises(S3Error, match="NoSuchKey"):
        await fetch(gateway, bucket, "gone")
    await true_stats(bucket)
