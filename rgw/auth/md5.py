"""MD5 of bodies that come in at the same time: what they gathered is hashed together, eight streams to a vector (md5.c), in a thread.

Eight streams cost little more than one, so an upload in parallel parts spends a quarter of hashlib's time. hashlib stands in where md5.c is
not built (rgw.auth._md5_build); then several threads hash, each for one body.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

try:
    from rgw.auth._md5 import ffi, lib  # type: ignore[import-not-found]
except ImportError:  # not built, or for another Python
    ffi = lib = None

_LANES = 8  # of md5.c
_GATHER = 0.001  # seconds that sums wait for more of those that are being computed

class StreamMd5:
    """A running MD5 in C."""

    __slots__ = ("c",)
    alive = 0  # how many there are

    def __init__(self) -> None:
        StreamMd5.alive += 1
        self.c = ffi.new("struct md5 *")
        lib.md5_init(self.c)

    def __del__(self) -> None:
        StreamMd5.alive -= 1

    def update(self, data: bytes) -> None:
        hash_together([(self, [data])])

    def digest(self) -> bytes:
        """Of what came so far."""
        out = ffi.new("unsigned char[16]")
        lib.md5_digest(self.c, out)
        return bytes(ffi.buffer(out))

    def hexdigest(self) -> str:
        return self.digest().hex()


def new() -> Any:
    """A running MD5 for ``update``: ``hashlib``'s methods ``update``, ``digest`` and ``hexdigest``."""
    return hashlib.md5(usedforsecurity=False) if lib is None else StreamMd5()


def hash_together(batch: Sequence[tuple[Any, Sequence[bytes]]]) -> None:
    """Adds its pieces to each of these sums, all different."""
    jobs = ffi.new("struct md5_job[]", len(batch))
    kept = []
    for job, (md5, pieces) in zip(jobs, batch, strict=True):
        data = [ffi.from_buffer("unsigned char[]", piece) for piece in pieces]
        job.pieces = at = ffi.new("unsigned char *[]", data)
        job.sizes = sizes = ffi.new("size_t[]", [len(piece) for piece in pieces])
        job.sum, job.count = md5.c, len(data)
        kept.append((data, at, sizes))
    lib.md5_update(jobs, len(batch))  # without the interpreter's lock
    del kept


class _Lanes:
    """The sums of one event loop that wait to go on. While a thread hashes, more of them gather."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, Sequence[bytes], asyncio.Future[None]]] = []
        self._running = False
        self._timer: asyncio.TimerHandle | None = None

    def update(self, md5: Any, pieces: Sequence[bytes]) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((md5, pieces, done))
        self._start_soon()
        return done

    def _start_soon(self) -> None:
        if self._running or not self._waiting:
            return
        if len(self._waiting) >= min(_LANES, StreamMd5.alive):
            self._start()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        self._running = True
        work = asyncio.get_running_loop().run_in_executor(None, hash_together, [(md5, pieces) for md5, pieces, _ in batch])
        work.add_done_callback(lambda work: self._finish(work, [done for _, _, done in batch]))

    def _finish(self, work: asyncio.Future[None], waiters: list[asyncio.Future[None]]) -> None:
        self._running = False
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        for done in waiters:
            if done.done():  # its request was cancelled
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        self._start_soon()


_lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lanes] = WeakKeyDictionary()


def update(md5: Any, pieces: Sequence[bytes]) -> asyncio.Future[None]:
    """Takes more bytes, off the loop's thread; the future ends when they are hashed. Until then nothing else may be added."""
    loop = asyncio.get_running_loop()
    if lib is None:
        return loop.run_in_executor(None, md5.update, b"".join(pieces))
    lanes = _lanes.get(loop)
    if lanes is None:
        lanes = _lanes[loop] = _Lanes()
    return lanes.update(md5, pieces)
