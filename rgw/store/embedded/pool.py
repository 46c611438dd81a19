"""Pools of the embedded store: compound reads and writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

import lmdb

from rgw.store.classcall import ClassCall
from rgw.store.embedded import steps
from rgw.store.embedded.database import Database, translate
from rgw.store.embedded.files import DataFiles
from rgw.store.embedded.layout import INLINE_MAX, Extent, Record, namespace_prefix, object_key, raw, text
from rgw.store.embedded.objecttxn import FileData, ObjectTxn
from rgw.store.embedded.watch import EmbeddedWatch
from rgw.store.embedded.writer import Change
from rgw.store.errors import InvalidArgument, NotFound, NotSupported, StoreError, Unavailable
from rgw.store.interface import ALL_NAMESPACES, IoCtx, ObjectName, ReadOp, ReadResult, StepKind, Watch, WriteOp, WriteResult

if TYPE_CHECKING:
    from rgw.store.embedded.store import EmbeddedCluster

_DATA_AT = {StepKind.WRITE: 1, StepKind.WRITE_FULL: 0, StepKind.APPEND: 0}
_LIST_CHUNK = 1000
_ATTEMPTS = 100
_NAME_MAX = 4096  # bytes


class ReadSession:
    """A read transaction for an ObjectTxn."""

    __slots__ = ("txn", "dbs", "files")

    def __init__(self, txn: Any, database: Database, files: DataFiles) -> None:
        self.txn = txn
        self.dbs = database
        self.files = files

    def new_id(self) -> int:
        raise NotSupported("a read transaction makes nothing")

    def drop_map(self, map_id: int) -> None:
        raise NotSupported("a read transaction removes nothing")


class EmbeddedIoCtx(IoCtx):
    def __init__(self, cluster: EmbeddedCluster, pool: str, pool_id: int, namespace: str) -> None:
        self._cluster = cluster
        self._database = cluster.database
        self.pool = pool
        self.pool_id = pool_id
        self.namespace = namespace
        self._namespace_raw = raw(namespace)
        self._prefix = namespace_prefix(pool_id, namespace)

    def _key(self, oid: bytes) -> bytes:
        if self.namespace == ALL_NAMESPACES:
            raise InvalidArgument("all namespaces together can only be listed")
        if not oid or len(oid) > _NAME_MAX:
            raise InvalidArgument("an object's name has 1 to 4096 bytes")
        return object_key(self._prefix, oid)

    async def write(self, oid: str, op: WriteOp, locator: str = "") -> WriteResult:
        self._cluster.check_open()
        name = raw(oid)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        change = Change(loop, future, self.pool, self._key(name), name, self._namespace_raw, raw(locator), op.steps, op.mtime)
        if any(kind in _DATA_AT and len(args[_DATA_AT[kind]]) > INLINE_MAX for kind, args in op.steps):
            # The thread submits it, so that a cancelled caller leaves no file that nobody knows of.
            await loop.run_in_executor(self._cluster.write_threads, self._write_files, change)
        else:
            self._cluster.writer.submit_soon(change)
        return WriteResult(await future)

    async def remove_gradually(self, oid: str) -> None:
        """The store itself drops large omaps bit by bit."""
        await self.write(oid, WriteOp().remove())

    def _write_files(self, change: Change) -> None:
        """Puts large data into files and submits the change."""
        made: list[tuple[StepKind, tuple[Any, ...]]] = []
        try:
            for kind, args in change.steps:
                at = _DATA_AT.get(kind)
                if at is not None and len(args[at]) > INLINE_MAX:
                    file_id = self._cluster.files.write(args[at])
                    change.new_files.append(file_id)
                    args = (*args[:at], FileData(file_id, len(args[at])), *args[at + 1:])
                made.append((kind, args))
        except StoreError:
            for file_id in change.new_files:
                self._cluster.files.unlink(file_id)
            raise
        change.steps = made
        self._cluster.writer.submit(change)

    async def read(self, oid: str, op: ReadOp, locator: str = "") -> ReadResult:
        self._cluster.check_open()
        name = raw(oid)
        key = self._key(name)
        for _ in range(_ATTEMPTS):
            result, pieces = self._read(key, name, op)
            if pieces is None:
                return result
            loop = asyncio.get_running_loop()
            try:
                result.data = await loop.run_in_executor(self._cluster.read_threads, self._cluster.files.join, pieces)
            except FileNotFoundError:
                continue  # the object was replaced and its old data freed between the two looks
            return result
        raise Unavailable(f"{oid!r} changes too fast, or its data file is lost")

    async def call_each(self, calls: Sequence[tuple[str, ClassCall]]) -> list[Any]:
        found: list[Any] = []
        for oid, call in calls:
            try:
                found.append((await self.read(oid, ReadOp().call(call))).reply)
            except StoreError as error:
                found.append(error)
        return found

    def _read(self, key: bytes, name: bytes, op: ReadOp) -> tuple[ReadResult, list[bytes | Extent] | None]:
        # In the loop's thread: a look at a record costs some 10 us, its way to a thread and back five times that and the interpreter's lock
        # besides. What is read here is 64 KiB of data or a page of an omap at most; a mapped page that is not in memory holds the loop for
        # one read of the disk. Data files are read in threads.
        try:
            with self._database.env.begin() as txn:
                session = ReadSession(txn, self._database, self._cluster.files)
                obj = ObjectTxn(session, key, name, self._namespace_raw, b"", time.time_ns(), 0)
                return steps.run_read(obj, op.steps)
        except lmdb.Error as error:
            raise translate(error) from error

    async def list_objects(self) -> AsyncIterator[ObjectName]:  # type: ignore[override]
        self._cluster.check_open()
        prefix = self.pool_id.to_bytes(4, "big") if self.namespace == ALL_NAMESPACES else self._prefix
        after = prefix
        while after:
            chunk, after = self._list_chunk(prefix, after)
            for name in chunk:
                yield name
            await asyncio.sleep(0)
            self._cluster.check_open()

    def _list_chunk(self, prefix: bytes, after: bytes) -> tuple[list[ObjectName], bytes]:
        """Some objects after a key, and the key to go on from, or b"" at the end."""
        names: list[ObjectName] = []
        with self._database.env.begin(buffers=True) as txn, txn.cursor(db=self._database.objects) as cursor:
            found = cursor.set_range(after)
            while found:
                key = bytes(cursor.key())
                if not key.startswith(prefix):
                    break
                if len(names) == _LIST_CHUNK:
                    return names, key
                namespace, oid, locator = Record.names(cursor.value())
                names.append(ObjectName(text(oid), text(locator), text(namespace)))
                found = cursor.next()
        return names, b""

    async def watch(self, oid: str, on_notify: Callable[[bytes], None], on_lost: Callable[[], None]) -> Watch:
        self._cluster.check_open()
        key = self._key(raw(oid))
        incarnation = self._cluster.incarnation_of(key)
        if incarnation is None:
            raise NotFound("no such object")
        watch = EmbeddedWatch(self._cluster.watches, key, incarnation, on_notify, on_lost)
        await self._cluster.watches.add(watch)
        return watch

    async def notify(self, oid: str, payload: bytes, timeout_ms: int = 10_000) -> None:
        self._cluster.check_open()
        key = self._key(raw(oid))
        if self._cluster.incarnation_of(key) is None:
            raise NotFound("no such object")
        await self._cluster.watches.notify(key, payload, timeout_ms / 1000)
