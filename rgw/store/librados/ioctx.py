"""A pool's compound operations, listing and watches on librados."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from rgw.store.classcall import ClassCall
from rgw.store.errors import NotFound, StoreError, Unavailable
from rgw.store.interface import IoCtx, ObjectName, ReadOp, ReadResult, Watch, WriteOp, WriteResult
from rgw.store.librados import steps
from rgw.store.librados.binding import check, ffi, lib, text
from rgw.store.librados.client import RadosClient
from rgw.store.librados.queue import CompletionQueue, Finish

WATCH_TIMEOUT = 15  # seconds without a ping after which the OSD drops a watch; so long a gateway that hangs holds up the others
LIST_BATCH = 1000
LIST_END = -2  # librados' answer after the last name
FULL_FORCE = 128  # LIBRADOS_OPERATION_FULL_FORCE
_NULS = lib is not None and lib.rb_has_nul_names()
_tokens = itertools.count(1)


def _version(op: Any) -> WriteResult:
    return WriteResult(op.version)


def _name(value: str) -> bytes:
    """An object's name or locator: NULs only where librados' C++ functions take them."""
    return value.encode("utf-8", "surrogateescape") if _NULS else text(value, "an object's name")


class RadosWatch(Watch):
    def __init__(self, queue: CompletionQueue, client: RadosClient, token: int) -> None:
        self._queue, self._client, self._token = queue, client, token

    async def close(self) -> None:
        """Takes the watch back; a watch that is lost already closes quietly."""
        self._queue.watches.pop(self._token, None)
        await self._client.close_watch(self._token)


class RadosIoCtx(IoCtx):
    """One rados_ioctx_t for plain names and one for located ones, whose locator is set under a lock.

    The client under it may be replaced (``use``) between operations; each ends on the client that it began on.
    """

    def __init__(self, queue: CompletionQueue, client: RadosClient, c: Any, pool: str, namespace: str) -> None:
        self.pool, self.namespace = pool, namespace
        self._queue = queue
        self.use(client, c)

    def use(self, client: RadosClient, c: Any) -> None:
        """Sends what follows by another client. ``c`` is None if it finds no such pool."""
        self.client, self._c = client, c
        if c is not None:
            self.pool_id = lib.rados_ioctx_get_id(lib.rb_io_ctx(c))

    @property
    def c(self) -> Any:
        """The struct rb_io. NotFound if the pool was gone when the client was replaced."""
        if self._c is None:
            raise NotFound(f"pool {self.pool}")
        return self._c

    def _send(self, oid: str, locator: str, op: Any, finish: Finish, sec: int = 0, nsec: int = 0, flags: int = 0) -> asyncio.Future[Any]:
        name, key = _name(oid), _name(locator)
        return self._queue.send(self.client, finish, oid, op, self.c, name, len(name), key or ffi.NULL, len(key), sec, nsec, flags)

    async def write(self, oid: str, op: WriteOp, locator: str = "") -> WriteResult:
        sec, nsec = (0, -1) if op.mtime is None else divmod(op.mtime, 1_000_000_000)
        c = lib.rb_op_new(self._queue.c, 1, len(op.steps), op.mtime is not None or "\0" in oid)
        try:
            steps.build(c, op.steps)
            done = self._send(oid, locator, c, _version, sec, nsec, FULL_FORCE if op.urgent else 0)
        except BaseException:
            lib.rb_op_free(c)
            raise
        del op  # librados has copied its data, which may be large
        return await done

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
            done = self._send(oid, locator, c, lambda done: steps.result(done, op.steps, room))
        except BaseException:
            lib.rb_op_free(c)
            raise
        return await done

    async def call_each(self, calls: Sequence[tuple[str, ClassCall]]) -> list[Any]:
        replies = await asyncio.gather(*[self._call(oid, call) for oid, call in calls], return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, StoreError):
                raise reply
        return [call.decode_reply(reply) if isinstance(reply, bytes) else reply for (_, call), reply in zip(calls, replies, strict=True)]

    def _call(self, oid: str, call: ClassCall) -> asyncio.Future[bytes]:
        """Sends a class call that reads; a future of its reply as it comes."""
        c = lib.rb_op_new(self._queue.c, 0, 1, 0)
        try:
            steps.build(c, ReadOp().call(call).steps)
            return self._send(oid, "", c, lambda done: steps.output(done.steps[0]))
        except BaseException as error:
            lib.rb_op_free(c)
            if not isinstance(error, StoreError):
                raise
            failed = self._queue.loop.create_future()
            failed.set_exception(error)
            return failed

    async def list_objects(self) -> AsyncIterator[ObjectName]:
        """Asks librados in a thread, a batch at a time."""
        out, client = ffi.new("rados_list_ctx_t *"), self.client
        client.begin()
        try:
            check(await client.call(lib.rados_nobjects_list_open, lib.rb_io_ctx(self.c), out), f"listing {self.pool}")
            try:
                code = 0
                while code == 0:
                    batch, code = await client.call(self._list_batch, out[0])
                    for name in batch:
                        yield name
                if code != LIST_END:
                    client.answered(code)
                    check(code, f"listing {self.pool}")
            finally:
                lib.rados_nobjects_list_close(out[0])
        finally:
            client.end()

    def _list_batch(self, listing: Any) -> tuple[list[ObjectName], int]:
        texts, lengths = ffi.new("char *[3]"), ffi.new("size_t[3]")
        t, n = ffi.cast("const char **", texts), lengths
        found: list[ObjectName] = []
        while len(found) < LIST_BATCH:
            code = lib.rados_nobjects_list_next2(listing, t, t + 1, t + 2, n, n + 1, n + 2)
            if code < 0:
                return found, code
            name, locator, namespace = (
                ffi.buffer(texts[i], lengths[i])[:].decode("utf-8", "surrogateescape") if texts[i] and lengths[i] else "" for i in range(3)
            )
            found.append(ObjectName(name, locator, namespace))
        return found, 0

    async def watch(self, oid: str, on_notify: Callable[[bytes], None], on_lost: Callable[[], None]) -> Watch:
        token, client = next(_tokens), self.client
        self._queue.watches[token] = (on_notify, on_lost, client)
        try:
            check(await client.call(self._open_watch, client, self.c, oid, token), oid)
        except BaseException:
            self._queue.watches.pop(token, None)
            raise
        if token not in self._queue.watches:  # lost already, and reported
            await client.close_watch(token)
            raise Unavailable(f"the watch on {oid} was lost at once")
        return RadosWatch(self._queue, client, token)

    def _open_watch(self, client: RadosClient, c: Any, oid: str, token: int) -> int:
        out = ffi.new("struct rb_watch **")
        code: int = lib.rb_watch_open(self._queue.c, c, text(oid), token, WATCH_TIMEOUT, out)
        if code >= 0:
            client.watches[token] = out[0]  # here and not in the loop: a cancelled task must not lose it
        return code

    async def notify(self, oid: str, payload: bytes, timeout_ms: int = 10_000) -> None:
        c = lib.rb_op_new(self._queue.c, 1, 1, 0)
        try:
            check(lib.rb_notify(c, self.c, text(oid), payload, len(payload), timeout_ms), oid)
        except BaseException:
            lib.rb_op_free(c)
            raise
        await self._queue.expect(self.client, c, lambda done: None, oid)
