import asyncio
import secrets

import pytest

from rgw.core.gc_status import status
from rgw.formats import cls_refcount
from rgw.formats.gc import GcObj
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp


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


async def test_nothing_to_enqueue(gateway):
    before = len(await gateway.gc.list(include_all=True))
    await gateway.gc.enqueue(unique(), [])
    assert len(await gateway.gc.list(include_all=True)) == before


async def test_worker(gateway, data):
    name = f"t{unique()}"
    await gateway.gc.enqueue(unique(), await put(data, name), wait=0)
    gateway.gc.start()
    for _ in range(100):
        if not await exists(data, name):
            break
        await asyncio.sleep(0.05)
    await gateway.gc.stop()
    assert not await exists(data, name)


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
