"""One librados client: its handle, and what is under way on it, so that it can be replaced and shut down when nothing is."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

from rgw.store.librados.binding import lib

BLOCKLISTED = -errno.ESHUTDOWN  # what an OSD answers for good to a client on the blocklist


class RadosClient:
    """Belongs to an event loop. ``refused(client)`` is called there each time that an OSD says it is blocklisted."""

    def __init__(self, handle: Any, refused: Callable[[RadosClient], None]) -> None:
        self.handle, self._refused = handle, refused
        self.ios: list[Any] = []  # struct rb_io
        self.watches: dict[int, Any] = {}  # struct rb_watch by token
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """Something uses the handle from now on, until ``end``."""
        self._under_way += 1
        self._idle.clear()

    def end(self, code: int = 0) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()
        self.answered(code)

    def answered(self, code: int) -> None:
        """Looks at what librados answered."""
        if code == BLOCKLISTED:
            self._refused(self)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """``function(*args)`` in a thread. The handle stays until it returns, even if the caller stops waiting."""
        self.begin()
        future = asyncio.get_running_loop().run_in_executor(None, function, *args)
        future.add_done_callback(lambda done: self.end(0 if done.cancelled() or done.exception() else _code(done.result())))
        return await asyncio.shield(future)

    async def close_watch(self, token: int) -> None:
        """Takes a watch back; quietly, if that is done already."""
        watch = self.watches.pop(token, None)
        if watch is not None:
            await self.call(lib.rb_watch_close, self.handle, watch)

    async def close(self) -> None:
        """Waits for what is under way (bounded by librados' own timeouts), then disconnects."""
        await self._idle.wait()
        await asyncio.to_thread(self._shutdown)

    def _shutdown(self) -> None:
        for watch in self.watches.values():  # before their IoCtxs go
            lib.rb_watch_close(self.handle, watch)
        self.watches.clear()
        for io in self.ios:
            lib.rb_io_close(io)
        self.ios.clear()
        lib.rados_shutdown(self.handle)


def _code(result: Any) -> int:
    return result if isinstance(result, int) else 0
