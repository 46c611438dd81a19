"""Quotas: what fits, what does not, with many at a time; and users' sums."""

import asyncio

import pytest

from rgw.core import quotas, user_stats
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.quota_enforcement import Sums, added, exceeds
from rgw.errors import S3Error
from rgw.formats.basics import QuotaInfo
from rgw.store.errors import TimedOut
from tests.core.helpers import put


@pytest.mark.parametrize(("quota", "sums", "more", "wanted"), [
    (QuotaInfo(max_objects=1), Sums(9, 9, 9), added(1), False),  # not enabled
    (QuotaInfo(enabled=True, max_objects=2), Sums(1, 0, 0), added(0), False),
    (QuotaInfo(enabled=True, max_objects=2), Sums(2, 0, 0), added(0), True),
    (QuotaInfo(enabled=True, max_objects=0), Sums(), added(0), True),
    (QuotaInfo(enabled=True, max_size=8192), Sums(1, 1, 4096), added(1), False),
    (QuotaInfo(enabled=True, max_size=8191), Sums(1, 1, 4096), added(1), True),
    (QuotaInfo(enabled=True, max_size=8191, check_on_raw=True), Sums(1, 1, 4096), added(8190), False),
    (QuotaInfo(enabled=True, max_size=8191, check_on_raw=True), Sums(1, 1, 4096), added(8191), True),
    (QuotaInfo(enabled=True), Sums(9, 9, 9), added(10**12), False),
])
def test_limits(quota, sums, more, wanted):
    assert exceeds(quota, sums, more) is wanted


async def test_the_global_quotas_hold_for_whoever_has_none(gateway, bucket, user, cluster):
    await quotas.set_global(gateway, "bucket", max_objects=1, enabled=True)
    await quotas.set_global(gateway, "user", max_objects=2, enabled=True)
    restarted = await Gateway.open(cluster, Options({"rgw_bucket_quota_ttl": 0}))
    try:
        found = await restarted.buckets.get(bucket.name)
        await write(restarted, found, "1", user)
        assert await refused(write(restarted, found, "2", user))
        found = await limited(restarted, found, max_objects=9)
        await write(restarted, found, "2", user)
        restarted.quotas.touched(found)
        assert await refused(write(restarted, found, "3", user))  # beyond the user's
        await quotas.set_of_user(restarted, user.user_id.text(), "user", max_objects=3, enabled=True)
        await write(restarted, found, "3", user)
        restarted.quotas.touched(found)
        assert await refused(write(restarted, found, "4", user))
    finally:
        await restarted.close()
        for scope in ("bucket", "user"):  # on Ceph other tests work on the same zone
            await quotas.set_global(gateway, scope, max_objects=-1, enabled=False)


async def limited(gateway, bucket, **limits):
    def change(info, _attrs):
        info.quota = QuotaInfo(enabled=True, **limits)
    return await gateway.buckets.modify(bucket, change)


async def write(gateway, bucket, key, user, size=1):
    async with gateway.quotas.room(bucket, size):
        await put(gateway, bucket, key, b"x" * size, user)


async def refused(work) -> bool:
    try:
        await work
    except S3Error as error:
        assert error.code == "QuotaExceeded"
        return True
    return False


async def test_bucket(gateway, bucket, user):
    await limited(gateway, bucket, max_objects=3)
    for number in range(3):
        await write(gateway, bucket, f"k{number}", user)
    assert await refused(write(gateway, bucket, "k3", user))
    await gateway.objects.delete(bucket, "k0")
    await write(gateway, bucket, "k3", user)  # near the limit the index is asked each time
    await limited(gateway, bucket, max_size=4 * 4096)
    assert await refused(write(gateway, bucket, "k4", user, 4097))
    await write(gateway, bucket, "k4", user, 4096)


async def test_many_at_a_time(gateway, bucket, user):
    """No more than the limit gets in, however many try; what failed gives its room back."""
    await limited(gateway, bucket, max_objects=10)
    results = await asyncio.gather(*(refused(write(gateway, bucket, f"k{n}", user)) for n in range(20)))
    stored = len((await gateway.listing.objects(bucket)).entries)
    assert stored == results.count(False) and 9 <= stored <= 10
    await gateway.objects.delete(bucket, next(f"k{n}" for n, out in enumerate(results) if not out))

    async def fails():
        async with gateway.quotas.room(bucket, 1):
            raise ConnectionError

    for _ in range(20):
        with pytest.raises(ConnectionError):
            await fails()
    await write(gateway, bucket, "last", user)


async def test_sums_are_not_read_far_from_the_limit(gateway, bucket, user, monkeypatch):
    await limited(gateway, bucket, max_objects=1000)
    reads = []
    stats = gateway.buckets.stats

    async def counted(which):
        reads.append(which)
        return await stats(which)

    monkeypatch.setattr(gateway.buckets, "stats", counted)
    for number in range(20):
        await write(gateway, bucket, f"k{number}", user)
    assert len(reads) == 1
    await limited(gateway, bucket, max_objects=21)
    await write(gateway, bucket, "near", user)
    assert len(reads) == 2
    assert await refused(write(gateway, bucket, "over", user))


async def test_user(gateway, bucket, user, private):
    """Over all buckets of the owner, whoever writes; also what another gateway wrote and brought in."""
    other, _ = await gateway.buckets.create(bucket.name + "x", user, private)

    def change(info):
        info.user_quota = QuotaInfo(enabled=True, max_objects=3)
        return info

    await gateway.users.change(user.user_id, change)
    for where, key in ((bucket, "1"), (other, "2"), (bucket, "3")):
        await write(gateway, where, key, user)
        gateway.quotas.touched(where)
    for where in (bucket, other):
        assert await refused(write(gateway, where, "4", user))
    await gateway.objects.delete(bucket, "1")
    gateway.quotas.touched(bucket)
    await write(gateway, other, "4", user)


async def test_a_write_that_never_began_takes_no_room(gateway, bucket, user, monkeypatch):
    """The owner's sums could not be read, or the client hung up meanwhile: what was held of the bucket's quota is given back."""
    await limited(gateway, bucket, max_objects=1)

    def change(info):
        info.user_quota = QuotaInfo(enabled=True, max_objects=3)
        return info

    async def silent(_owner):
        raise TimedOut("no answer")

    await gateway.users.change(user.user_id, change)
    with monkeypatch.context() as patch:
        patch.setattr(gateway.quotas, "_user_sums", silent)
        with pytest.raises(TimedOut):
            await write(gateway, bucket, "k", user)
    await write(gateway, bucket, "k", user)


async def test_quota_of_the_owners_buckets(gateway, bucket, user):
    def change(info):
        info.bucket_quota = QuotaInfo(enabled=True, max_objects=1)
        return info

    await gateway.users.change(user.user_id, change)
    await write(gateway, bucket, "1", user)
    assert await refused(write(gateway, bucket, "2", user))
    await limited(gateway, bucket, max_objects=5)  # the bucket's own goes first
    await write(gateway, bucket, "2", user)


async def test_users_sums(gateway, cluster, options, bucket, user):
    """The worker of a gateway that changed a bucket brings it in, at the latest when it stops."""
    async def count():
        return (await user_stats.read(gateway, user)).stats.total_entries

    assert await count() == 0
    other = await Gateway.open(cluster, Options({**options.as_dict(), "rgw_user_quota_bucket_sync_interval": 0.05}))
    try:
        other.quotas.start()
        await put(other, await other.buckets.get(bucket.name), "k", b"x" * 5000, user)
        other.quotas.touched(await other.buckets.get(bucket.name))
        for _ in range(100):
            if await count():
                break
            await asyncio.sleep(0.05)
        stats = (await user_stats.read(gateway, user)).stats
        assert (stats.total_entries, stats.total_bytes, stats.total_bytes_rounded) == (1, 5000, 8192)
        await other.objects.delete(bucket, "k")
        other.quotas.touched(bucket)
    finally:
        await other.close()
    assert await count() == 0
