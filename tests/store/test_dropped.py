"""The omap of a removed object goes bit by bit, so that a large one holds nobody up."""

from __future__ import annotations

import asyncio

import pytest

from rgw.store.embedded import open_store
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp


async def _entries(store) -> int:
    with store.database.env.begin() as txn:
        return txn.stat(store.database.omap)["entries"]


async def _emptied(store, left: int) -> None:
    async with asyncio.timeout(10):
        while await _entries(store) > left:  # noqa: ASYNC110  the store's own thread does it
            await asyncio.sleep(0.01)


def _many(prefix: bytes) -> dict[bytes, bytes]:
    """Short keys, and long ones that share their first 500 bytes or do not."""
    found = {prefix + b"%05d" % i: b"v" for i in range(1300)}
    found |= {prefix + b"l" * 600 + b"%05d" % i: b"v" for i in range(700)}
    return found | {prefix + b"%05d" % i + b"x" * 1200: b"v" for i in range(200)}


async def test_removed_bit_by_bit(tmp_path):
    store = await open_store(tmp_path / "store")
    await store.create_pool("p")
    pool = await store.open_pool("p")
    await pool.write("kept", WriteOp().omap_set({b"a": b"1"}))
    before = await _entries(store)
    await pool.write("large", WriteOp().omap_set(_many(b"k")))
    await pool.write("large", WriteOp().remove())
    with pytest.raises(NotFound):
        await pool.read("large", ReadOp().omap_get())
    await pool.write("large", WriteOp().omap_set({b"new": b"2"}))  # a new object of that name is another one
    assert (await pool.read("large", ReadOp().omap_get())).omap.values == {b"new": b"2"}
    await _emptied(store, before + 1)
    assert (await pool.read("large", ReadOp().omap_get())).omap.values == {b"new": b"2"}
    assert (await pool.read("kept", ReadOp().omap_get())).omap.values == {b"a": b"1"}
    await store.close()


async def test_the_rest_goes_after_the_next_start(tmp_path):
    store = await open_store(tmp_path / "store")
    await store.create_pool("p")
    pool = await store.open_pool("p")
    await pool.write("large", WriteOp().omap_set(_many(b"k")))
    await asyncio.gather(pool.write("large", WriteOp().remove()), store.close())
    store = await open_store(tmp_path / "store")
    await _emptied(store, 0)
    with store.database.env.begin() as txn:
        assert txn.stat(store.database.dropped)["entries"] == 0
    await store.close()
