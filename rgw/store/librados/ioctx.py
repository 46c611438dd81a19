"""A pool's compound operations, listing and watches on librados."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

from rgw.store.interface import IoCtx, ObjectName, ReadOp, ReadResult, Watch, WriteOp, WriteResult
from rgw.store.librados import steps
from rgw.store.librados.binding import check, ffi, lib, text
from rgw.store.librados.queue import CompletionQueue

WATCH_TIMEOUT = 15  # seconds without a ping after which the OSD drops a watch; so long a gateway that hangs holds up the others
LIST_BATCH = 1000
FULL_FORCE = 128  # LIBRADOS_OPERATION_FULL_FORCE
_tokens = itertools.count(1)


def _version(op: Any) -> WriteResult:
    return WriteResult(op.version)


def _name(value: str) -> bytes:
    """An object's name or locator: NULs only where librados' C++ functions take them."""
    return value.encode("utf-8", "surrogateescape") if lib.rb_has_nul_names() else text(value, "an object's name")


class RadosWatch(Watch):
    def __init__(self, queue: CompletionQueue, cluster: Any, token: int) -> None:
        self._queue, self._cluster, self._token = queue, cluster, token

    async def close(self) -> None:
        """Takes the watch back; a watch that is lost already closes quietly."""
        self._queue.watches.pop(self._token, None)
        c = self._queue.open_watches.pop(self._token, None)
        if c is not None:
            await asyncio.to_thread(lib.rb_watch_close, self._cluster, c)


class RadosIoCtx(IoCtx):
    """One rados_ioctx_t for plain names and one for located ones, whose locator is set under a lock."""

    def __init__(self, queue: CompletionQueue, cluster: Any, c: Any, pool: str, namespace: str) -> None:
        self.pool, self.namespace = pool, namespace
        self.pool_id = lib.rados_ioctx_get_id(lib.rb_io_ctx(c))
        self._queue, self._cluster, self.c = queue, cluster, c

    def _submit(self, oid: str, locator: str, op: Any, sec: int, nsec: int, flags: int = 0) -> None:
        name, key = _name(oid), _name(locator)
        check(lib.rb_submit(op, self.c, name, len(name), key or ffi.NULL, len(key), sec, nsec, flags), oid)

    async def write(self, oid: str, op: WriteOp, locator: str = "") -> WriteResult:
        queue = self._queue
        sec, nsec = (0, -1) if op.mtime is None else divmod(op.mtime, 1_000_000_000)
        c = lib.rb_op_new(queue.c, 1, len(op.steps), op.mtime is not None or "\0" in oid)
        try:
            steps.build(c, op.steps)
            self._submit(oid, locator, c, sec, nsec, FULL_FORCE if op.urgent else 0)
        except BaseException:
            lib.rb_op_free(c)
            raise
        del op  # librados has copied its data, which may be large
        return await queue.expect(c, _version, oid)

    async def read(self, oid: str, op: ReadOp, locator: str = "") -> ReadResult:
        room = steps.FIRST_ROOM
        while True:
            try:
                return await self._read(oid, op, locator, room)
            except steps.ReadAgain as again:
                room = again.room

    async def _read(self, oid: str, op: ReadOp, locator: str, room: int) -> ReadResult:
        c = lib.rb_op_new(self._queue.c, 0, len(op.steps) + 1, 0)
        try:
            steps.build(c, op.steps or ReadOp().stat().steps, room)
            self._submit(oid, locator, c, 0, 0)
        except BaseException:
            lib.rb_op_free(c)
            raise
        return await self._queue.expect(c, lambda done: steps.result(done, op.steps, room), oid)

    async def list_objects(self) -> AsyncIterator[ObjectName]:
        """Asks librados in a thread, a batch at a time."""
        out = ffi.new("rados_list_ctx_t *")
        check(await asyncio.to_thread(lib.rados_nobjects_list_open, lib.rb_io_ctx(self.c), out), f"listing {self.pool}")
        try:
            while batch := await asyncio.to_thread(self._list_batch, out[0]):
                for name in batch:
                    yield name
        finally:
            lib.rados_nobjects_list_close(out[0])

    def _list_batch(self, listing: Any) -> list[ObjectName]:
        texts, lengths = ffi.new("char *[3]"), ffi.new("size_t[3]")
        t, n = ffi.cast("const char **", texts), lengths
        found: list[ObjectName] = []
        while len(found) < LIST_BATCH:
            code = lib.rados_nobjects_list_next2(listing, t, t + 1, t + 2, n, n + 1, n + 2)
            if code == -2:  # the end
                break
            check(code, f"listing {self.pool}")
            name, locator, namespace = (
                ffi.buffer(texts[i], lengths[i])[:].decode("utf-8", "surrogateescape") if texts[i] and lengths[i] else "" for i in range(3)
            )
            found.append(ObjectName(name, locator, namespace))
        return found

    async def watch(self, oid: str, on_notify: Callable[[bytes], None], on_lost: Callable[[], None]) -> Watch:
        token = next(_tokens)
        self._queue.watches[token] = (on_notify, on_lost)
        try:
            check(await asyncio.to_thread(self._open_watch, oid, token), oid)
        except BaseException:
            self._queue.watches.pop(token, None)
            raise
        return RadosWatch(self._queue, self._cluster, token)

    def _open_watch(self, oid: str, token: int) -> int:
        out = ffi.new("struct rb_watch **")
        code = lib.rb_watch_open(self._queue.c, self.c, text(oid), token, WATCH_TIMEOUT, out)
        if code >= 0:
            self._queue.open_watches[token] = out[0]  # here and not in the loop: a cancelled task must not lose it
        return code

    async def notify(self, oid: str, payload: bytes, timeout_ms: int = 10_000) -> None:
        c = lib.rb_op_new(self._queue.c, 1, 1, 0)
        try:
            check(lib.rb_notify(c, self.c, text(oid), payload, len(payload), timeout_ms), oid)
        except BaseException:
            lib.rb_op_free(c)
            raise
        await self._queue.expect(c, lambda done: None, oid)
