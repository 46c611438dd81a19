"""The memory that the bodies of all uploads of a process may take together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

_TURN = 0.05  # seconds that a body has the turn for


@dataclass(slots=True, eq=False)
class _Wish:
    owner: object
    held: int
    count: int
    granted: asyncio.Future[None]


class BodyMemory:
    """Counts bytes against a limit; bodies wait for it. ``take`` goes before bytes are kept, ``fly`` when a stripe goes to the store,
    ``land`` when it is there.

    What is on its way frees its memory by itself. If nothing is, all that is held are beginnings of stripes, none of which could go on:
    then the body that holds most may go over the limit, one at a time, until its stripe is full. One whose client stalls loses its turn.
    """

    def __init__(self, limit: int) -> None:
        """``limit`` in bytes."""
        self._limit = limit
        self.used = 0
        self._flying = 0
        self._wishes: list[_Wish] = []
        self._turn: object | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, owner: object, held: int, count: int) -> None:
        """Waits until ``owner``, which holds ``held`` bytes, may keep ``count`` more."""
        if owner is self._turn:
            self._turn = None
        if not self._wishes and self.used + count <= self._limit:
            self.used += count
            return
        wish = _Wish(owner, held, count, asyncio.get_running_loop().create_future())
        self._wishes.append(wish)
        self._grant()
        try:
            await wish.granted
        except asyncio.CancelledError:
            if wish in self._wishes:
                self._wishes.remove(wish)
            elif not wish.granted.cancelled():
                self.give(count)
            raise

    def give(self, count: int) -> None:
        """Bytes that are kept no more."""
        self.used -= count
        self._grant()

    def fly(self, owner: object) -> None:
        """A stripe of ``owner`` goes to the store."""
        self._flying += 1
        if owner is self._turn:
            self._turn = None

    def land(self, count: int) -> None:
        """A stripe of ``count`` bytes is stored, or lost."""
        self._flying -= 1
        self.give(count)

    def _grant(self) -> None:
        while self._wishes:
            wish = max(self._wishes, key=lambda each: each.held)
            over = self.used + wish.count > self._limit
            if over and not wish.granted.done() and (self._flying or self._turn is not None):
                return
            self._wishes.remove(wish)
            if wish.granted.done():  # its task was cancelled
                continue
            self.used += wish.count
            wish.granted.set_result(None)
            if over:
                self._turn = wish.owner
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = asyncio.get_running_loop().call_later(_TURN, self._next_turn)

    def _next_turn(self) -> None:
        self._timer = self._turn = None
        self._grant()
