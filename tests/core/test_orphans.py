"""`orphans find`: everything that nothing reaches is found, with its cause; nothing else is, wherever the search is broken off."""

from contextlib import closing

import pytest

from rgw.core import bucket_check
from rgw.core.buckets import entry_oid, instance_oid
from rgw.core.index import OP_DEL, IndexKey
from rgw.core.orphans import OrphanJob, data_pools, jobs, report
from rgw.errors import S3Error
from rgw.formats.index import DirEntryMeta
from rgw.store.interface import WriteOp
from tests.core.helpers import MIB, body, census, completed, fetch, new_upload, put, upload_part


class BrokenOff(Exception):
    pass


async def drop_entry(gateway, bucket, key):
    tag = gateway.new_tag()
    await bucket.index.prepare(OP_DEL, tag, IndexKey.of(key))
    await bucket.index.complete(OP_DEL, tag, IndexKey.of(key), meta=DirEntryMeta())


async def drop_head(gateway, bucket, key):
    state = await gateway.objects.head(bucket, key)
    await state.head_pool.write(state.head_oid, WriteOp().remove(), state.head_locator)
    await drop_entry(gateway, bucket, key)


@pytest.fixture
async def scene(gateway, bucket, user, private):
    """Objects of every kind beside what is left of others: ``good`` are keys and bytes, ``expected`` bytes by cause and bucket."""
    good = {"small": body(10), "_large": body(9 * MIB), "ünï": body(5 * MIB), "unlisted": body(5 * MIB)}
    for key, data in good.items():
        await put(gateway, bucket, key, data, user)
    await drop_entry(gateway, bucket, "unlisted")
    joined = await new_upload(gateway, bucket, "joined", user)
    parts = [await upload_part(gateway, joined, number, body(5 * MIB)) for number in (1, 2)]
    await gateway.multipart.complete(bucket, "joined", joined.upload_id, completed(parts))
    good["joined"] = await fetch(gateway, bucket, "joined")
    # a copy by reference outlives its source; what is deleted waits in the queue
    await put(gateway, bucket, "source", body(9 * MIB), user)
    await gateway.objects.copy(await gateway.objects.get(bucket, "source"), bucket, "copy", owner=user)
    good["copy"] = await fetch(gateway, bucket, "copy")
    for key in ("source", "doomed"):
        if key == "doomed":
            await put(gateway, bucket, key, body(9 * MIB), user)
        await gateway.objects.delete(bucket, key)
    under_way = await new_upload(gateway, bucket, "open", user)
    await upload_part(gateway, under_way, 1, body(6 * MIB))
    # now what nothing reaches
    await put(gateway, bucket, "headless", body(9 * MIB), user)
    await drop_head(gateway, bucket, "headless")
    await upload_part(gateway, under_way, 2, body(6 * MIB))
    await under_way.pool.write(under_way.meta_oid, WriteOp().omap_rm([b"part.00000002"]))
    gone, _ = await gateway.buckets.create(f"gone-{bucket.name}", user, private)
    await put(gateway, gone, "x", body(5 * MIB), user)
    root = gateway.zone.meta_root
    await gateway.metadata.remove(root, entry_oid(gone.name))
    await gateway.metadata.remove(root, instance_oid(gone.info.bucket))
    expected = {
        ("its bucket is gone", ""): 5 * MIB,
        ("part of an upload that has ended, or that was uploaded again", bucket.name): 6 * MIB,
        ("tail of an object that is gone or was overwritten", bucket.name): 5 * MIB,
    }
    yield good, expected, under_way, gone
    for oid in await census(gateway, gone):  # on Ceph the tests share the pool
        ioctx = await gateway.pool(data_pools(gateway)[0])
        await ioctx.write(oid, WriteOp().remove())


def of(job, *buckets) -> dict[tuple[str, str], int]:
    """Bytes by cause and bucket of what bears these markers."""
    sums: dict[tuple[str, str], int] = {}
    for orphan in job.orphans():
        if any(orphan.oid.startswith(bucket.marker + "_") for bucket in buckets):
            key = orphan.cause, orphan.bucket
            sums[key] = sums.get(key, 0) + orphan.size
    return sums


async def test_everything_is_found_and_nothing_else(gateway, bucket, user, scene, tmp_path):
    good, expected, under_way, gone = scene
    pool = data_pools(gateway)[0]
    path = OrphanJob.place(tmp_path, "j")
    runs = 0
    while True:  # broken off at every word of progress, and resumed
        with closing(OrphanJob(path, pool, stale=0)) as job:
            allowed = runs

            def progress(text):
                nonlocal allowed
                allowed -= 1
                if allowed < 0:
                    raise BrokenOff(text)

            try:
                await job.run(gateway, progress)
                break
            except BrokenOff:
                runs += 1
                assert runs < 200
    assert runs >= 3
    before = await census(gateway, bucket)
    with closing(OrphanJob(path)) as job:
        assert of(job, bucket, gone) == expected
        shown = report(job)
        assert shown["step"] == "done" and shown["bytes"] >= sum(expected.values())
        assert {"bucket": bucket.name, "key": "unlisted"} in shown["unlisted_objects"]
        assert await census(gateway, bucket) == before  # so far it only looked
        doomed = {orphan.oid for orphan in job.orphans()}
        assert await job.remove(gateway, lambda text: None) == len(doomed)
        assert all(orphan.removed for orphan in job.orphans())
        assert await job.remove(gateway, lambda text: None) == 0
    assert await census(gateway, bucket) == before - doomed
    assert await census(gateway, gone) == set()
    await gateway.gc.process(include_all=True)
    await bucket_check.check(gateway, bucket, fix=True, check_objects=True)
    for key, data in good.items():
        assert await fetch(gateway, bucket, key) == data
    parts, _ = await gateway.multipart.list_parts(under_way)
    await gateway.multipart.complete(bucket, "open", under_way.upload_id, completed(parts))
    assert len(await fetch(gateway, bucket, "open")) == 6 * MIB


async def test_young_objects_and_what_changed_are_left(gateway, bucket, user, scene, tmp_path):
    pool = data_pools(gateway)[0]
    with closing(OrphanJob(OrphanJob.place(tmp_path, "young"), pool)) as job:
        await job.run(gateway, lambda text: None)
        assert job.orphans() == []
    with closing(OrphanJob(OrphanJob.place(tmp_path, "changed"), pool, stale=0)) as job:
        await job.run(gateway, lambda text: None)
        doomed = next(orphan.oid for orphan in job.orphans() if orphan.oid.startswith(bucket.marker + "_"))
        await (await gateway.pool(pool)).write(doomed, WriteOp().setxattr("user.somebody", b"wants it"))
        await job.remove(gateway, lambda text: None)
        assert [orphan.oid for orphan in job.orphans() if not orphan.removed] == [doomed]
    assert {job["job-id"] for job in jobs(tmp_path)} == {"young", "changed"}


async def test_a_bucket_that_gets_another_name_meanwhile_loses_nothing(gateway, bucket, user, tmp_path):
    await put(gateway, bucket, "k", body(9 * MIB), user)
    with closing(OrphanJob(OrphanJob.place(tmp_path, "j"), data_pools(gateway)[0], stale=0)) as job:
        list_them = job._by_marker

        async def hidden(gw):
            """The moment between a bucket's two names: the search does not see it."""
            found = await list_them(gw)
            if job.step == "buckets":
                del found[bucket.marker]
            return found

        job._by_marker = hidden
        await job.run(gateway, lambda text: None)
        assert not of(job, bucket)


def test_jobs_have_names(tmp_path):
    for bad in ("", "../x", ".x"):
        with pytest.raises(S3Error, match="InvalidArgument"):
            OrphanJob.place(tmp_path, bad)
    with pytest.raises(S3Error, match="name the pool"):
        OrphanJob(OrphanJob.place(tmp_path, "none"))
    OrphanJob(OrphanJob.place(tmp_path, "one"), "a").close()
    with pytest.raises(S3Error, match="searches the pool a"):
        OrphanJob(OrphanJob.place(tmp_path, "one"), "b")
