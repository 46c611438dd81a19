"""Bodies that together hold more than the limit wait, and none waits for ever."""

import asyncio

import pytest

from rgw.core.memory import BodyMemory
from rgw.core.stripes import StripeSink

CHUNK, STRIPE = 1 << 10, 16 << 10


class Store:
    """Takes a while for each stripe, and remembers how much memory was in use at most."""

    def __init__(self, limit):
        self.memory = BodyMemory(limit)
        self.peak = 0
        self.stored = 0

    async def put(self, number, data):
        await asyncio.sleep(0.001)
        self.stored += len(data)

    def sink(self):
        return StripeSink(STRIPE, STRIPE, 4 * STRIPE, self.put, self.memory)

    async def upload(self, size, pause=0.0):
        sink = self.sink()
        for _ in range(size // CHUNK):
            await sink.write(bytes(CHUNK))
            self.peak = max(self.peak, self.memory.used)
            await asyncio.sleep(pause)
        await sink.finish()


async def test_many_bodies_stay_near_the_limit():
    store = Store(4 * STRIPE)
    await asyncio.gather(*(store.upload(4 * STRIPE) for _ in range(32)))  # 32 beginnings of stripes would be 8 times the limit
    assert store.stored == 32 * 4 * STRIPE and store.memory.used == 0
    assert store.peak <= 6 * STRIPE


async def test_a_body_whose_client_stalls_stops_no_other():
    store = Store(2 * STRIPE)
    stalled = [store.sink() for _ in range(4)]
    for sink in stalled:  # they hold all there is, and send no more
        await asyncio.wait_for(sink.write(bytes(STRIPE // 2)), 5)
    await asyncio.wait_for(asyncio.gather(*(store.upload(2 * STRIPE) for _ in range(4))), 10)
    for sink in stalled:
        await sink.settle()
    assert store.memory.used == 0


async def test_failures_and_cancellations_give_back():
    store = Store(2 * STRIPE)

    async def fail(number, data):
        raise OSError("no")

    sink = StripeSink(STRIPE, STRIPE, STRIPE, fail, store.memory)
    with pytest.raises(OSError):
        await sink.write(bytes(3 * STRIPE))
    await sink.settle()
    assert store.memory.used == 0
    holders = [store.sink() for _ in range(2)]
    for holder in holders:
        await holder.write(bytes(STRIPE))
    waiting = [asyncio.ensure_future(store.memory.take(object(), 0, CHUNK)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for holder in holders:
        await holder.settle()
    assert store.memory.used == CHUNK  # what the first was given
