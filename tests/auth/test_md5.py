"""MD5s of many bodies at once: hashlib's results, however the bytes are cut."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from rgw.auth import md5


@pytest.mark.parametrize("streams", [1, 2, 8, 20])
async def test_as_hashlib(streams: int) -> None:
    """Streams of unequal length in pieces of all sizes around a block's."""
    source = random.Random(streams)
    known = [hashlib.md5(usedforsecurity=False) for _ in range(streams)]
    ours = [md5.new() for _ in range(streams)]

    async def feed(number: int) -> None:
        for _ in range(source.randrange(6)):
            pieces = [source.randbytes(source.choice((0, 1, 55, 56, 63, 64, 65, 128, 1000, 5000))) for _ in range(source.randrange(5))]
            for piece in pieces:
                known[number].update(piece)
            await md5.update(ours[number], pieces)
        assert ours[number].digest() == known[number].digest()
        small = source.randbytes(source.randrange(200))
        known[number].update(small)
        ours[number].update(small)

    for _ in range(10):
        await asyncio.gather(*(feed(number) for number in range(streams)))
    assert [one.hexdigest() for one in ours] == [one.hexdigest() for one in known]


async def test_a_request_that_goes_away_leaves_the_others() -> None:
    """Cancelled waits end neither the hashing under way nor what comes after."""
    data = bytes(1 << 20)
    sums = [md5.new() for _ in range(4)]
    waits = [asyncio.ensure_future(md5.update(one, [data])) for one in sums]
    waits[0].cancel()
    waits[3].cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await md5.update(sums[1], [b"end"])
    assert sums[1].digest() == hashlib.md5(data + b"end", usedforsecurity=False).digest()
    assert sums[2].digest() == hashlib.md5(data, usedforsecurity=False).digest()
