"""A reshard that dies, fails, is late or meets others, at each of its steps: whoever comes next brings the bucket back or forward."""

from __future__ import annotations

import asyncio
import secrets
import signal

import pytest

from rgw.core import index as index_module
from rgw.core import reshard, reshard_copy
from rgw.core.gateway import Gateway
from rgw.core.index import OP_ADD, OP_DEL, IndexKey, shard_names
from rgw.core.options import Options
from rgw.core.reshard_copy import IndexCopy
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.index import BucketInstanceEntry
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import WriteOp
from tests.core.reshard_tools import META, OPTIONS, Killed, add, all_shards, break_lock, dies_at, fill, listed, remove, settled


@pytest.fixture
def options() -> Options:
    return Options(OPTIONS)


STEPS = ["locked", "noted", "created", "fenced", "copying", "copied", "instance made", "caught up", "blocked", "drained", "switched",
         "announced", "old instance done", "listed", "old shards removed", "old instance removed"]


async def test_killed_at_each_step(gateway, bucket):
    """Whoever comes next brings the bucket back or forward; nothing is lost, nothing is left over."""
    names = set(await fill(gateway, bucket, 150))
    shards = bucket.num_shards
    for number, step in enumerate(STEPS):
        wanted = 4 + number
        old_id = bucket.bucket_id
        objects = await all_shards(gateway, bucket)
        dead = await Gateway.open(gateway.cluster, gateway.options)
        with pytest.raises(Killed):
            await dead.resharder.reshard(await dead.buckets.get(bucket.name), wanted, dies_at(step))
        assert not await gateway.resharder.recover(bucket), "recovered although the lock is held"
        await break_lock(gateway, bucket, old_id)
        if STEPS.index(step) < STEPS.index("caught up"):
            await add(gateway, bucket, f"before-{number}")  # the dead reshard does not hinder writers
            names.add(f"before-{number}")
        done = await gateway.resharder.recover_all() if number % 2 else await gateway.resharder.recover(bucket)
        if not done:  # the shards told nothing: what is left is in the note
            await gateway.resharder.recover_all()
        if STEPS.index(step) >= STEPS.index("switched"):
            shards = wanted
        await settled(gateway, bucket, shards)
        if shards != wanted:
            assert await all_shards(gateway, bucket) == objects, step
        else:
            assert not [oid for oid in await all_shards(gateway, bucket) if old_id + "." in oid]
        await add(gateway, bucket, f"after-{number}")
        names.add(f"after-{number}")
        assert set(await listed(gateway, bucket)) == names, step
        await dead.close()
    await gateway.resharder.reshard(bucket, 2)
    await settled(gateway, bucket, 2)
    assert set(await listed(gateway, bucket)) == names


async def test_a_failure_takes_it_back(gateway, bucket):
    names = await fill(gateway, bucket, 50)
    before = await all_shards(gateway, bucket)

    def fails(name: str, copied: int) -> None:
        if name == "blocked":
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError):
        await gateway.resharder.reshard(bucket, 7, fails)
    await settled(gateway, bucket, 3)
    assert await all_shards(gateway, bucket) == before
    assert await listed(gateway, bucket) == names
    await add(gateway, bucket, "more")


async def test_one_who_wakes_up_late_changes_nothing(gateway, bucket):
    """A resharder that stood still in the block while another took its reshard back must not switch any more."""
    names = await fill(gateway, bucket, 50)
    late = await Gateway.open(gateway.cluster, gateway.options)
    reached, wake = asyncio.Event(), asyncio.Event()
    handle = await late.buckets.get(bucket.name)
    original = late.metadata.get

    async def slow(pool, oid, *, fresh=False):
        found = await original(pool, oid, fresh=fresh)
        if oid == bucket.name and reached.is_set() and not wake.is_set():
            await wake.wait()  # between its last look at the entry point and its switch
        return found

    late.metadata.get = slow
    run = asyncio.ensure_future(late.resharder.reshard(handle, 7, lambda name, n: reached.set() if name == "drained" else None))
    await reached.wait()
    await asyncio.sleep(0.05)
    await break_lock(gateway, bucket, bucket.bucket_id)
    assert await gateway.resharder.recover(bucket)
    await add(gateway, bucket, "written after the recovery")
    wake.set()
    with pytest.raises(Exception):  # noqa: B017  refused, whatever it is called
        await run
    await late.close()
    await gateway.resharder.recover_all()
    await settled(gateway, bucket, 3)
    assert await listed(gateway, bucket) == [*names, "written after the recovery"]


async def test_only_one_at_a_time(gateway, bucket):
    await fill(gateway, bucket, 100)
    second = await Gateway.open(gateway.cluster, gateway.options)
    results = await asyncio.gather(gateway.resharder.reshard(bucket, 5), second.resharder.reshard(await second.buckets.get(bucket.name), 7),
                                   return_exceptions=True)
    refused = [error for error in results if isinstance(error, S3Error)]
    assert [error.code for error in refused] == ["OperationAborted"]
    await second.close()
    await settled(gateway, bucket, results[0].new_id and 5 if not isinstance(results[0], S3Error) else 7)


async def test_a_lock_that_cannot_be_kept_ends_the_reshard(gateway, bucket, monkeypatch):
    names = await fill(gateway, bucket, 100)

    async def stolen() -> None:
        await fenced.wait()
        await break_lock(gateway, bucket, bucket.bucket_id)

    fenced = asyncio.Event()
    task = asyncio.ensure_future(stolen())
    gateway.options._values["rgw_reshard_bucket_lock_duration"] = 0.3
    monkeypatch.setattr(IndexCopy, "_pause", lambda self, oid: asyncio.sleep(0.15))
    with pytest.raises(S3Error) as refusal:
        await gateway.resharder.reshard(bucket, 7, lambda name, n: fenced.set() if name == "fenced" else None)
    await task
    assert refusal.value.code == "OperationAborted"
    await gateway.resharder.recover(bucket)
    await gateway.resharder.recover_all()
    await settled(gateway, bucket, 3)
    assert await listed(gateway, bucket) == names


async def test_many_marks_are_worked_off_before_the_block(gateway, bucket, monkeypatch):
    """However much was written during a long copy, little of it is left for the time in which nobody can write."""
    monkeypatch.setattr(reshard_copy, "_MARKS", 2)
    monkeypatch.setattr(reshard, "_FEW_MARKS", 1)
    monkeypatch.setattr(reshard, "_MANY_MARKS", 2)
    catch_up, finish = IndexCopy.catch_up, IndexCopy.finish
    names = [f"n{i:03d}" for i in range(400)]
    left: list[int] = []

    async def first_write(self) -> int:
        if names and not await listed(gateway, bucket):
            await asyncio.gather(*(add(gateway, bucket, name) for name in names))
        return await catch_up(self)

    async def count(self) -> bool:
        left.extend([len((await self._marks(shard.oid))[1]) for shard in self.old])
        return await finish(self)

    monkeypatch.setattr(IndexCopy, "catch_up", first_write)
    monkeypatch.setattr(IndexCopy, "finish", count)
    await gateway.resharder.reshard(await gateway.buckets.get(bucket.name), 7)
    assert left == [0, 0, 0]
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == names


async def test_writers_that_are_faster_end_the_reshard(gateway, bucket, monkeypatch):
    """If the marks do not become fewer the bucket is not blocked for as long as they would take: it stays as it is."""
    monkeypatch.setattr(reshard, "_MAX_ROUNDS", 5)
    catch_up = IndexCopy.catch_up

    async def busy(self) -> int:
        await asyncio.gather(*(add(gateway, bucket, f"n{i:03d}") for i in range(100)))
        return await catch_up(self)

    monkeypatch.setattr(IndexCopy, "catch_up", busy)
    with pytest.raises(S3Error) as refusal:
        await gateway.resharder.reshard(await gateway.buckets.get(bucket.name), 7)
    assert refusal.value.code == "OperationAborted"
    await settled(gateway, bucket, 3)
    assert len(await listed(gateway, bucket)) == 100


async def test_changes_without_marks_are_found(gateway, bucket):
    """A radosgw that gets past the fence leaves no marks: the whole index is compared then."""
    names = await fill(gateway, bucket, 100)
    handle = await gateway.buckets.get(bucket.name)
    pending: list[asyncio.Task] = []

    async def foreign() -> None:
        for name, kind in (("k00001", OP_DEL), ("foreign", OP_ADD)):
            place, oid = IndexKey.of(name), bucket.index.shard(name)
            prepare = cls_rgw.PrepareOp(op=kind, tag="t", key=place.cls_key)
            end = cls_rgw.CompleteOp(op=kind, tag="t", key=place.cls_key, meta=META)
            await bucket.index_ioctx.write(oid, WriteOp().call(classes.BUCKET_PREPARE_OP(prepare)))
            await bucket.index_ioctx.write(oid, WriteOp().call(classes.BUCKET_COMPLETE_OP(end)))

    def on_step(name: str, copied: int) -> None:
        seen.append(name)
        if name == "copied":
            pending.append(asyncio.ensure_future(foreign()))

    seen: list[str] = []
    await gateway.resharder.reshard(handle, 7, on_step)
    await asyncio.gather(*pending)
    assert "comparing" in seen
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == ["foreign", *(name for name in names if name != "k00001")]


async def test_a_change_of_the_bucket_during_the_reshard_stays(gateway, bucket):
    await fill(gateway, bucket, 50)
    second = await Gateway.open(gateway.cluster, gateway.options)
    there = await second.buckets.get(bucket.name)
    changes: list[asyncio.Task] = []

    def on_step(name: str, copied: int) -> None:
        if name in ("fenced", "instance made", "drained", "switched"):
            changes.append(asyncio.ensure_future(second.buckets.set_attrs(there, {f"user.rgw.{name}": b"yes"})))

    await gateway.resharder.reshard(bucket, 7, on_step)
    await asyncio.gather(*changes)
    await gateway.buckets.reload(bucket)
    assert {name for name, value in bucket.attrs.items() if value == b"yes"} == {
        "user.rgw.fenced", "user.rgw.instance made", "user.rgw.drained", "user.rgw.switched"}
    await second.close()
    await settled(gateway, bucket, 7)


async def test_a_gateway_that_was_not_told_yet(gateway, bucket):
    """Between the switch and its notify: it lists the whole old index, and what it writes goes into the new one, which it lists from then on."""
    names = await fill(gateway, bucket, 50)
    second = await Gateway.open(gateway.cluster, gateway.options)
    there, old_id = await second.buckets.get(bucket.name), bucket.bucket_id
    announce, seen = gateway.metadata.announce, []

    async def late(pool, oid):
        if oid == bucket.name and not seen:
            seen.append(oid)
            assert await listed(second, await second.buckets.get(bucket.name)) == names
            assert (await second.buckets.get(bucket.name)).bucket_id == old_id
            await add(second, there, "new")
            await remove(second, there, names.pop(0))
            assert there.bucket_id != old_id
            assert await listed(second, await second.buckets.get(bucket.name)) == [*names, "new"]
        await announce(pool, oid)

    gateway.metadata.announce = late
    await gateway.resharder.reshard(bucket, 7)
    await second.close()
    assert seen
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == [*names, "new"]


async def test_a_bucket_deleted_meanwhile(gateway, user, private):
    bucket, _ = await gateway.buckets.create(f"b{secrets.token_hex(4)}", user, private)
    before = await all_shards(gateway, bucket)
    deletions: list[asyncio.Task] = []
    handle = await gateway.buckets.get(bucket.name)

    def on_step(name: str, copied: int) -> None:
        if name == "fenced":
            deletions.append(asyncio.ensure_future(gateway.buckets.delete(bucket)))

    with pytest.raises((S3Error, NotFound)):
        await gateway.resharder.reshard(handle, 7, on_step)
    await asyncio.gather(*deletions)
    assert not {oid for oid in await all_shards(gateway, bucket) if bucket.bucket_id in oid}
    assert await all_shards(gateway, bucket) < before


async def test_writers_end_the_block_of_one_who_died(gateway, bucket, monkeypatch):
    names = await fill(gateway, bucket, 50)
    old_id = bucket.bucket_id
    dead = await Gateway.open(gateway.cluster, gateway.options)
    with pytest.raises(Killed):
        await dead.resharder.reshard(await dead.buckets.get(bucket.name), 7, dies_at("blocked"))
    monkeypatch.setattr(index_module, "_RECOVERY_DELAY", 0.1)
    write = asyncio.ensure_future(add(gateway, bucket, "waits"))
    await asyncio.sleep(0.2)
    assert not write.done(), "written into a blocked index"
    await break_lock(gateway, bucket, old_id)
    await asyncio.wait_for(write, 10)
    await dead.close()
    await settled(gateway, bucket, 3)
    assert await listed(gateway, bucket) == [*names, "waits"]


async def test_radosgws_fence_of_one_who_died_is_cleared(gateway, bucket, monkeypatch):
    monkeypatch.setattr(index_module, "_RECOVERY_DELAY", 0.1)
    fence = cls_rgw.SetBucketReshardingOp(entry=BucketInstanceEntry(status=1, new_bucket_instance_id="", num_shards=5))
    for oid in shard_names(bucket.bucket_id, bucket.num_shards):
        await bucket.index_ioctx.write(oid, WriteOp().call(classes.SET_BUCKET_RESHARDING(fence)))
    await asyncio.wait_for(add(gateway, bucket, "waits"), 10)
    await settled(gateway, bucket, 3)


async def test_a_write_waits_no_longer_than_it_may(gateway, bucket):
    dead = await Gateway.open(gateway.cluster, gateway.options)
    with pytest.raises(Killed):
        await dead.resharder.reshard(await dead.buckets.get(bucket.name), 7, dies_at("blocked"))
    gateway.options._values["rgw_reshard_wait_timeout"] = 0.2
    with pytest.raises(S3Error) as refusal:
        await add(gateway, bucket, "in vain")
    assert refusal.value.code == "SlowDown"
    await dead.close()
    await break_lock(gateway, bucket, bucket.bucket_id)
    await gateway.resharder.recover_all()


async def test_a_silent_osd(request, gateway, bucket):
    """A store that stands still for longer than the lock lasts: the reshard is given up or goes through, and nothing is lost."""
    if "ceph" not in request.node.name:
        pytest.skip("an embedded store has no OSD")
    osd = request.getfixturevalue("ceph_cluster")
    gateway.options._values["rgw_reshard_bucket_lock_duration"] = 1.5
    names = await fill(gateway, bucket, 150)
    stopped = asyncio.Event()

    async def stop_for_a_while() -> None:
        await stopped.wait()
        osd.signal("osd", signal.SIGSTOP)
        await asyncio.sleep(2)
        osd.signal("osd", signal.SIGCONT)

    task = asyncio.ensure_future(stop_for_a_while())
    shards = 3
    try:
        await gateway.resharder.reshard(bucket, 7, lambda name, n: stopped.set() if name == "fenced" else None)
        shards = 7
    except S3Error as error:
        assert error.code == "OperationAborted"
    await task
    await asyncio.sleep(1.6)  # the lock of a reshard that was given up has expired by now
    await gateway.resharder.recover_all()
    await settled(gateway, bucket, shards)
    assert await listed(gateway, bucket) == names


async def test_an_osd_that_is_restarted(request, gateway, bucket, monkeypatch):
    """The store is gone for seconds in the middle of the copy: the reshard and a writer go on when it is back."""
    if "ceph" not in request.node.name:
        pytest.skip("an embedded store has no OSD")
    osd = request.getfixturevalue("ceph_cluster")
    names = await fill(gateway, bucket, 150)
    back: list[asyncio.Future] = []

    async def pause(self, oid) -> None:
        if not back:
            await asyncio.to_thread(osd.end, "osd", 60)
            back.append(asyncio.ensure_future(asyncio.to_thread(osd.start_osd)))

    async def write() -> None:
        handle = await gateway.buckets.get(bucket.name)
        while not (back and back[0].done()):
            await add(gateway, handle, f"w{len(written):05d}")
            written.append(f"w{len(written):05d}")

    written: list[str] = []
    monkeypatch.setattr(IndexCopy, "_pause", pause)
    writer = asyncio.ensure_future(write())
    await gateway.resharder.reshard(bucket, 7)
    await back[0]
    await writer
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == [*names, *written] and written
