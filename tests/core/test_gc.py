import asyncio
import secrets
import time

import pytest

from rgw.core.gateway import Gateway
from rgw.core.gc_status import status
from rgw.core.options import Options
from rgw.core.purge import purge_bucket, without_waiting
from rgw.formats import cls_refcount
from rgw.formats.gc import GcObj
from rgw.formats.names import gc_shard
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp
from tests.core import helpers


@pytest.fixture
async def data(gateway):
    return gateway.data_pool(gateway.zone.default_placement)


async def put(data, *names, locator=""):
    for name in names:
        await data.write(name, WriteOp().create().write_full(b"tail"), locator)
    return [GcObj(pool=data.pool, oid=name, loc=locator) for name in names]


async def exists(data, name, locator=""):
    try:
        await data.read(name, ReadOp().stat(), locator)
    except NotFound:
        return False
    return True


def unique():
    return secrets.token_hex(6)


async def test_collects_what_is_due(gateway, data):
    names = [f"t{unique()}" for _ in range(5)]
    tag = f"{unique()}\0"
    await gateway.gc.enqueue(tag, await put(data, *names))
    assert tag in [entry.tag for entry in await gateway.gc.list(include_all=True)]
    assert await gateway.gc.process(include_all=True) >= 1
    assert not any([await exists(data, name) for name in names])
    assert tag not in [entry.tag for entry in await gateway.gc.list(include_all=True)]
    assert await gateway.gc.process(include_all=True) == 0


async def test_waits(gateway, data):
    (name,) = names = [f"t{unique()}"]
    await gateway.gc.enqueue(unique(), await put(data, *names), wait=1000)
    assert await gateway.gc.process() == 0
    assert await exists(data, name)
    await gateway.gc.process(include_all=True)
    assert not await exists(data, name)


async def test_a_shared_tail_stays(gateway, data):
    name, first, second = f"t{unique()}", f"{unique()}\0", f"{unique()}\0"
    chain = await put(data, name)
    await data.write(name, WriteOp().call(classes.REFCOUNT_GET(cls_refcount.RefcountOp(tag=second, implicit_ref=True))))
    await gateway.gc.enqueue(first, chain)
    await gateway.gc.process(include_all=True)
    assert await exists(data, name)
    await gateway.gc.enqueue(second, chain)
    await gateway.gc.process(include_all=True)
    assert not await exists(data, name)


async def test_locator_and_missing_objects(gateway, data):
    name, locator = f"t{unique()}", f"l{unique()}"
    chain = await put(data, name, locator=locator)
    await gateway.gc.enqueue(unique(), [*chain, GcObj(pool=data.pool, oid=f"none{unique()}", loc="")])
    assert await gateway.gc.process(include_all=True) >= 1
    assert not await exists(data, name, locator)


async def test_many_entries(gateway, data):
    names = [f"t{unique()}" for _ in range(250)]
    chains = await put(data, *names)
    await asyncio.gather(*(gateway.gc.enqueue(unique(), [obj]) for obj in chains))
    assert await gateway.gc.process(include_all=True) >= 250
    assert not any([await exists(data, name) for name in names[::25]])


async def test_a_collector_that_slept_longer_than_its_lock(gateway, cluster, data, monkeypatch):
    """Another one has done its work meanwhile: it must not drop what stands at the front now. While it works, it keeps its lock."""
    tag = unique()
    first, work, after = await put(data, f"f{tag}"), await put(data, *(f"w{tag}{n}" for n in range(30))), await put(data, f"a{tag}")
    monkeypatch.setitem(gateway.options._values, "rgw_gc_processor_max_time", 1)
    release = gateway.gc._give_back
    other = await Gateway.open(cluster, gateway.options)

    async def slept(tag, obj):
        if obj.oid == first[0].oid:
            await asyncio.sleep(1.2)
            assert await other.gc.process(include_all=True) == 1
            await other.gc.enqueue(tag, after)  # into the same queue
        return await release(tag, obj)

    async def slow(tag, obj):
        await asyncio.sleep(0.4)
        if obj.oid == work[-1].oid:
            assert await other.gc.process(include_all=True) == 0, "the queue was free"
        return await release(tag, obj)

    await gateway.gc.process(include_all=True)
    await gateway.gc.enqueue(tag, first)
    monkeypatch.setattr(gateway.gc, "_give_back", slept)
    assert await gateway.gc.process(include_all=True) == 0
    monkeypatch.setattr(gateway.gc, "_give_back", slow)
    await gateway.gc.enqueue(tag, work)
    assert await gateway.gc.process(include_all=True) == 2
    assert not await exists(data, f"a{tag}") and not await exists(data, work[-1].oid)
    await other.close()


async def test_a_full_queue(cluster, monkeypatch):
    """What has no room is released at once. A long chain takes several entries: one write may not be too large."""
    monkeypatch.setattr("rgw.core.gc._ENTRY", 20)
    gateway = await Gateway.open(cluster, Options({"rgw_gc_obj_min_wait": 3600, "rgw_gc_max_objs": 34, "rgw_gc_max_queue_size": 7000}))
    data = gateway.data_pool(gateway.zone.default_placement)
    tag = next(tag for tag in iter(unique, "") if gc_shard(tag, 34) > 31)  # other queues have their size already
    few, many = await put(data, f"f{tag}"), await put(data, *(f"{n:0100}{tag}" for n in range(30)))
    await gateway.gc.enqueue(tag, few)
    await gateway.gc.enqueue(tag, many)
    queued = [[obj.oid for obj in entry.chain.objs] for entry in await gateway.gc.list(include_all=True) if entry.tag == tag]
    assert queued == [[few[0].oid], [obj.oid for obj in many[:20]]]
    assert await exists(data, many[19].oid) and not any([await exists(data, obj.oid) for obj in many[20:]])
    await gateway.gc.process(include_all=True)
    assert not await exists(data, few[0].oid) and not await exists(data, many[19].oid)
    await gateway.close()


async def test_a_long_read_of_a_deleted_object(cluster, user, private):
    """The collection is put off while the object is read, by each half of the time that garbage waits."""
    gateway = await Gateway.open(cluster, Options({"rgw_gc_obj_min_wait": 1, "rgw_gc_max_objs": 4, "rgw_get_obj_window_size": 4 << 20}))
    bucket, _ = await gateway.buckets.create(f"b{unique()}", user, private)
    body = helpers.body(13 << 20)
    await helpers.put(gateway, bucket, "k", body, user)
    state = await gateway.objects.get(bucket, "k")
    reading = gateway.objects.read(state)
    got = await anext(reading)
    await gateway.objects.delete(bucket, "k")
    await asyncio.sleep(0.6)
    got += await anext(reading)
    await asyncio.sleep(0.6)
    await gateway.gc.process()
    got += b"".join([data async for data in reading])
    assert got == body
    tail = [entry for entry in await gateway.gc.list(include_all=True) if entry.tag == state.tail_tag]
    assert len(tail) == 1 and tail[0].time > time.time_ns() + 5_000_000_000
    assert await gateway.gc.defer(state.tail_tag) is False, "there is time enough"
    await gateway.gc.process(include_all=True)
    data = gateway.data_pool(gateway.zone.default_placement)
    assert not [obj for obj in tail[0].chain.objs if await exists(data, obj.oid)]
    await gateway.buckets.delete(bucket)
    await gateway.close()


async def test_what_is_put_off_waits_no_longer_than_others(cluster, data):
    """radosgw drops what stands in a queue before entries that are due earlier."""
    gateway = await Gateway.open(cluster, Options({"rgw_gc_obj_min_wait": 4000, "rgw_gc_max_objs": 4}))
    tag = unique()
    (obj,) = await put(data, f"t{tag}")
    await gateway.gc.enqueue(tag, [obj], wait=3500)
    assert await gateway.gc.defer(tag) is False
    await gateway.gc.enqueue(f"{tag}2", [obj], wait=2900)
    assert await gateway.gc.defer(f"{tag}2") is True
    (entry,) = [entry for entry in await gateway.gc.list(include_all=True) if entry.tag == f"{tag}2"]
    assert 3990 < entry.time / 1e9 - time.time() <= 4000
    assert not await gateway.gc.defer(unique())
    await gateway.gc.process(include_all=True)
    await gateway.close()


async def test_a_purge_that_does_not_wait(gateway, bucket, user, private):
    """The data are gone with the bucket, uploads under way too; but not what a copy refers to."""
    other, _ = await gateway.buckets.create(f"c{unique()}", user, private)
    content = helpers.body(9 * helpers.MIB)
    await helpers.put(gateway, bucket, "gone", helpers.body(9 * helpers.MIB), user)
    await gateway.objects.copy(await helpers.put(gateway, bucket, "copied", content, user), other, "copy", owner=user)
    await helpers.upload_part(gateway, await helpers.new_upload(gateway, bucket, "upload", user), 1, helpers.body(5 * helpers.MIB))
    with without_waiting(gateway):
        assert await purge_bucket(gateway, bucket) == 2
    left = await helpers.census(gateway, bucket)
    assert len(left) == 2 and all("__shadow_" in name for name in left)
    assert [entry for entry in await gateway.gc.list(include_all=True) if any(bucket.marker in obj.oid for obj in entry.chain.objs)] == []
    assert await helpers.fetch(gateway, other, "copy") == content
    await gateway.objects.delete(other, "copy")
    await helpers.collect(gateway)
    assert await helpers.census(gateway, bucket) == set()


async def test_what_cannot_be_released_at_once_is_queued(gateway, data, monkeypatch):
    names = [f"t{unique()}" for _ in range(3)]
    chain, tag = await put(data, *names), unique()
    give_back = gateway.gc._give_back

    async def refusing(tag, obj):
        return False if obj.oid == names[1] else await give_back(tag, obj)

    monkeypatch.setattr(gateway.gc, "_give_back", refusing)
    with without_waiting(gateway):
        await gateway.gc.enqueue(tag, chain)
    assert [await exists(data, name) for name in names] == [False, True, False]
    monkeypatch.undo()
    assert [[obj.oid for obj in entry.chain.objs] for entry in await gateway.gc.list(include_all=True) if entry.tag == tag] == [[names[1]]]
    await gateway.gc.process(include_all=True)
    assert not await exists(data, names[1])


async def test_nothing_to_enqueue(gateway):
    before = len(await gateway.gc.list(include_all=True))
    await gateway.gc.enqueue(unique(), [])
    assert len(await gateway.gc.list(include_all=True)) == before


async def work_until_gone(gateway, data, name):
    """Has the worker run until it has collected the object, for 5 seconds at most."""
    gateway.gc.start()
    for _ in range(100):
        if not await exists(data, name):
            break
        await asyncio.sleep(0.05)
    await gateway.gc.stop()


async def test_worker(gateway, data):
    name = f"t{unique()}"
    await gateway.gc.enqueue(unique(), await put(data, name), wait=0)
    await work_until_gone(gateway, data, name)
    assert not await exists(data, name)


async def test_a_worker_that_fails_begins_again(gateway, data, monkeypatch, caplog):
    monkeypatch.setattr("rgw.core.background.AGAIN", 0.01)
    name, process = f"t{unique()}", gateway.gc.process
    await gateway.gc.enqueue(unique(), await put(data, name), wait=0)

    async def once_broken():
        monkeypatch.setattr(gateway.gc, "process", process)
        raise ValueError("an entry that nobody expected")

    monkeypatch.setattr(gateway.gc, "process", once_broken)
    await work_until_gone(gateway, data, name)
    assert not await exists(data, name) and "the worker gc failed" in caplog.text


async def test_entries_of_a_gateway_that_waits_longer(gateway, data):
    """One that is not due yet stands before one that is: neither may be dropped without being released."""
    tag = unique()
    early, late = await put(data, f"e{tag}", f"l{tag}")
    await gateway.gc.enqueue(tag, [early], wait=3600)
    await gateway.gc.enqueue(tag, [late], wait=0)  # into the same queue
    await asyncio.sleep(0.01)
    await gateway.gc.process()
    assert await exists(data, early.oid)
    assert [entry.chain.objs[0].oid for entry in await gateway.gc.list(include_all=True) if entry.tag == tag][:1] == [early.oid]
    await gateway.gc.process(include_all=True)
    assert not await exists(data, early.oid) and not await exists(data, late.oid)


@pytest.mark.parametrize("busy", [False, True])
async def test_rests_while_requests_come(gateway, data, monkeypatch, busy):
    rests = []

    async def sleep(seconds):
        rests.append(seconds)
        gateway.requests += busy

    await gateway.gc.enqueue(unique(), await put(data, *(f"t{unique()}" for _ in range(35))))
    gateway.requests += busy
    monkeypatch.setattr("rgw.core.gc.asyncio.sleep", sleep)
    await gateway.gc.process(include_all=True)
    monkeypatch.undo()
    assert len(rests) >= 4 if busy else not rests  # of ten objects each
    assert all(0 < seconds <= 0.1 for seconds in rests)


async def test_how_long_it_takes_is_told_by_the_last_collection(gateway, data):
    async def queued(count: int) -> None:
        await gateway.gc.enqueue(unique(), await put(data, *(f"t{unique()}" for _ in range(count))))

    await gateway.gc.process(include_all=True)
    await queued(120)
    await gateway.gc.process(include_all=True)
    released, seconds = await gateway.gc.rate()
    assert released >= 120 and 0 < seconds < 60
    await queued(60)
    found = await status(gateway)
    assert (found.objects, found.bytes, found.rate_from) == (60, 240, released)
    assert found.seconds == pytest.approx(60 * seconds / released) and found.seconds < found.busy_seconds <= found.seconds + 0.6
    await gateway.gc.process(include_all=True)
    assert await gateway.gc.rate() == (released, seconds), "too few objects to tell"
    assert (await status(gateway)).seconds == 0
