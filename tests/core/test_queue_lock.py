"""The locks of the queues: whoever is stopped, at whatever instant, leaves none behind."""

import asyncio
import secrets

import pytest

from rgw.core.queue_lock import acquire, release


@pytest.mark.parametrize("instant", range(4))
async def test_cancelled_while_it_is_taken_or_given_back(gateway, instant):
    ioctx, oid = await gateway.pool(gateway.zone.gc_pool), f"lock.{secrets.token_hex(4)}"

    async def cancelled(work) -> bool:
        task = asyncio.ensure_future(work)
        for _ in range(instant):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    if not await cancelled(acquire(ioctx, oid, "l", "one", 60)):
        assert not await acquire(ioctx, oid, "l", "two", 60)
        await release(ioctx, oid, "l", "one")
    assert await acquire(ioctx, oid, "l", "two", 60)
    await cancelled(release(ioctx, oid, "l", "two"))
    assert await acquire(ioctx, oid, "l", "three", 60) == bool(instant)  # at once: it never began
    await release(ioctx, oid, "l", "three" if instant else "two")


async def test_one_holder(gateway):
    ioctx, oid = await gateway.pool(gateway.zone.gc_pool), f"lock.{secrets.token_hex(4)}"
    assert await acquire(ioctx, oid, "l", "one", 60) and not await acquire(ioctx, oid, "l", "one", 60)
    assert not await acquire(ioctx, oid, "l", "two", 60)
    await release(ioctx, oid, "l", "two")  # not his: nothing happens
    await release(ioctx, oid, "l", "one")
    assert await acquire(ioctx, oid, "l", "two", 60)
    await release(ioctx, oid, "l", "two")
