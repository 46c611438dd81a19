"""Run by test_crash.py and killed: writes without end, and prints what was acknowledged.

Worker w writes its objects in rounds; "w round" is printed once a round's changes are acknowledged."""

from __future__ import annotations

import asyncio
import os
import sys

from rgw.store.embedded import open_store
from rgw.store.interface import WriteOp

SIZES = (10, 5_000, 100_000, 700_000)


def content(worker: int, number: int) -> bytes:
    return (b"%d %d;" % (worker, number)).ljust(10, b".") * (SIZES[number % len(SIZES)] // 10)


async def main(folder: str) -> None:
    store = await open_store(folder)
    await store.create_pool("p")
    pool = await store.open_pool("p")

    async def work(worker: int) -> None:
        number = 0
        while True:
            number += 1
            op = WriteOp().write_full(content(worker, number)).setxattr("n", b"%d" % number)
            if number == 1:
                op.omap_clear()  # what the process before left
            op.omap_set({b"%06d" % number: b"x"})
            await pool.write(f"w{worker}", op)
            if number % 7 == 0:
                await pool.write(f"extra{worker}", WriteOp().write_full(content(worker, 2)))
                await pool.write(f"extra{worker}", WriteOp().remove())
            os.write(1, b"%d %d\n" % (worker, number))

    await asyncio.gather(*(work(worker) for worker in range(6)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
