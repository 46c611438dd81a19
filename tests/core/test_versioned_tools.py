"""The tools of administration on a bucket with versions, delete markers and a null version."""

from contextlib import closing

import pytest

from rgw.core import bucket_check, bucket_owners, radoslist
from rgw.core.orphans import OrphanJob, data_pools
from rgw.core.purge import purge_bucket
from rgw.errors import S3Error
from tests.core.helpers import MIB, body, census, collect, put


@pytest.fixture
async def versions(gateway, bucket, user):
    """``plain`` has a null version from before, ``_large`` two versions with tails, ``gone`` a delete marker."""
    await put(gateway, bucket, "plain", body(10), user)
    await gateway.buckets.set_versioning(bucket, True)
    await put(gateway, bucket, "plain", body(20), user)
    for _ in range(2):
        await put(gateway, bucket, "_large", body(5 * MIB), user)
    await put(gateway, bucket, "gone", body(10), user)
    await gateway.objects.delete(bucket, "gone")
    return bucket


async def test_every_object_is_listed_and_none_is_an_orphan(gateway, versions, tmp_path):
    listed = {found.oid async for found in radoslist.of_bucket(gateway, versions)}
    assert listed == await census(gateway, versions) and len(listed) == 9
    with closing(OrphanJob(OrphanJob.place(tmp_path, "j"), data_pools(gateway)[0], stale=0)) as job:
        await job.run(gateway, lambda text: None)
        assert not [orphan for orphan in job.orphans() if orphan.oid.startswith(versions.marker + "_")]
        assert not [key for name, key in job.unlisted() if name == versions.name]


async def test_check_finds_nothing_where_nothing_is_wrong(gateway, versions):
    report = await bucket_check.check(gateway, versions, check_objects=True)
    assert report.clean and not report.differences


async def test_chown_and_purge(gateway, versions):
    other = await gateway.users.create(f"other{versions.name}", "Other")
    await bucket_owners.chown(gateway, versions.name, "", other)
    page = await gateway.listing.versions(versions)
    heads = [await gateway.objects.head(versions, entry.name, entry.instance or "null") for entry in page.entries if not entry.flags & 4]
    assert len(heads) == 5 and {head.acl.owner.id for head in heads} == {other.user_id.text()}
    await purge_bucket(gateway, await gateway.buckets.get(versions.name))
    await collect(gateway)
    assert await census(gateway, versions) == set()
    with pytest.raises(S3Error, match="NoSuchBucket"):
        await gateway.buckets.get(versions.name)


async def test_many_at_a_time_end_with_the_first_failure_as_it_is():
    import asyncio

    from rgw.core.parallel import each

    running = most = 0
    begun = []

    async def work(number):
        nonlocal running, most
        begun.append(number)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        if number == 7:
            raise S3Error("NoSuchKey")
        return number * 2

    assert await each(range(7), work, 3) == [0, 2, 4, 6, 8, 10, 12] and most == 3
    with pytest.raises(S3Error, match="NoSuchKey"):
        await each(range(1000), work, 3)
    assert running == 0 and len(begun) < 30
    assert await each([], work, 3) == []
    del begun[:]
    refused = work

    async def harder(number):
        if number == 8:
            raise OSError("lost")
        return await refused(number)

    with pytest.raises(OSError, match="lost"):  # whatever is refused, the others are done
        await each(range(100), harder, 3, go_on=True)
    assert len(begun) == 99
