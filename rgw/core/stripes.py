"""Cutting a body into stripes and writing them while more of it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rgw.core.memory import BodyMemory


class StripeSink:
    """Takes a body in pieces of any size and hands it out in stripes.

    ``put(number, data)`` stores one. Stripe 0 (``first`` bytes at most) is awaited before any other is put; of the rest, ``window`` bytes
    (at least one stripe) are under way at a time. The first failure is raised by the next ``write`` or by ``finish``.
    What it holds is counted in ``memory``; after a failure ``settle`` must be called.
    """

    def __init__(self, first: int, stripe: int, window: int, put: Callable[[int, bytes], Awaitable[None]], memory: BodyMemory) -> None:
        self._memory = memory
        self._first = first
        self._stripe = stripe
        self._window = max(window, stripe)
        self._put = put
        self._chunks: list[bytes | memoryview] = []
        self._held = 0
        self._flying: dict[asyncio.Future[None], int] = {}
        self._in_flight = 0
        self._next = 0
        self.size = 0

    async def write(self, data: bytes | memoryview) -> None:
        """Takes more of the body; waits while the window is full."""
        view = memoryview(data)
        self.size += len(view)
        while len(view):
            limit = self._stripe if self._next else self._first
            if self._held == limit:  # only now is it sure that the stripe is not the last
                await self._emit()
                continue
            take = min(limit - self._held, len(view))
            await self._memory.take(self, self._held, take)
            self._chunks.append(view[:take])
            self._held += take
            view = view[take:]

    async def finish(self) -> None:
        """Stores what is left (an empty body has an empty stripe 0) and waits for everything."""
        if self._held or self._next == 0:
            await self._emit()
        while self._flying:
            await self._reap()

    async def settle(self) -> None:
        """Drops what is held, and waits until nothing is under way any more, failed or not."""
        self._chunks.clear()
        self._memory.give(self._held)
        self._held = 0
        while self._flying:
            await asyncio.wait(self._flying)
            for task in [task for task in self._flying if task.done()]:
                self._in_flight -= self._flying.pop(task)
                task.exception()  # its failure is what the caller already handles

    async def _emit(self) -> None:
        size = self._held
        number, self._next = self._next, self._next + 1
        if number == 0:
            put = self._put(0, self._take())
            self._memory.fly(self)
            try:
                await put
            finally:
                self._memory.land(size)
            return
        while self._flying and self._in_flight + size > self._window:
            await self._reap()
        self._memory.fly(self)
        task = asyncio.ensure_future(self._put(number, self._take()))
        task.add_done_callback(lambda _: self._memory.land(size))
        self._flying[task] = size
        self._in_flight += size

    def _take(self) -> bytes:
        """The stripe, which only the caller then holds."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        return data

    async def _reap(self) -> None:
        done, _ = await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            self._in_flight -= self._flying.pop(task)
        failures = [error for task in done if (error := task.exception()) is not None]  # of all, lest one be called unheard
        if failures:
            raise failures[0]
