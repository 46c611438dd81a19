"""The embedded store as a cluster: a folder, its database, its files, and the pools in it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lmdb

from rgw.store.embedded.database import Database, WriteSession, translate
from rgw.store.embedded.files import DataFiles
from rgw.store.embedded.folder import InstanceLock, claim, dead_instances
from rgw.store.embedded.layout import PoolRecord, Record, raw, text
from rgw.store.embedded.pool import EmbeddedIoCtx
from rgw.store.embedded.watch import WatchHub
from rgw.store.embedded.writer import Task, Writer
from rgw.store.errors import InvalidArgument, NotFound, Unavailable
from rgw.store.interface import Capabilities, Cluster, IoCtx, PoolStat

DISK_RESERVE = 16 << 20
_THREADS = 8


class EmbeddedCluster(Cluster):
    """Made by ``open_store``."""

    capabilities = Capabilities(shared_with_radosgw=False, locators_tell_apart=False)

    def __init__(self, folder: Path, *, create: bool, map_size: int | None, max_bytes: int | None, reserve: int) -> None:
        """Blocking."""
        try:
            self.fsid = claim(folder, create)
            self.database = Database.acquire(folder / "lmdb", map_size)
        except OSError as error:
            raise Unavailable(f"cannot open the store in {folder}: {error}") from error
        try:
            self.instance_id = self._next_instance()
            self._lock = InstanceLock(folder / "instances", self.instance_id)
            self.files = DataFiles(folder / "data", self.instance_id)
            self.watches = WatchHub(folder / "watch", self.instance_id, self.incarnation_of)
        except OSError as error:
            self.database.release()
            raise Unavailable(f"cannot open the store in {folder}: {error}") from error
        except lmdb.Error as error:
            self.database.release()
            raise translate(error) from error
        self._sweep(folder)
        self.writer = Writer(self.database, self.files, folder, max_bytes, reserve)
        self.read_threads = ThreadPoolExecutor(_THREADS, "rgw-store-read")
        self.write_threads = ThreadPoolExecutor(_THREADS, "rgw-store-write")
        self._contexts: dict[tuple[str, str], EmbeddedIoCtx] = {}
        self._closed = False

    def _next_instance(self) -> int:
        session = WriteSession(self.database, None)  # type: ignore[arg-type]
        try:
            instance_id = session.counter(b"instance")
            session.commit()
        except BaseException:
            session.abort()
            raise
        return instance_id

    def _sweep(self, folder: Path) -> None:
        """Removes the files that processes which died left behind."""
        for instance_id, strike_off in dead_instances(folder / "instances"):
            with self.database.env.begin() as txn:
                for file_id in list(self.files.of_instance(instance_id)):
                    if txn.get(file_id.to_bytes(8, "big"), db=self.database.files) is None:
                        self.files.unlink(file_id)
            (folder / "watch" / f"{instance_id}.sock").unlink(missing_ok=True)
            strike_off()
        with self.database.env.begin() as txn:
            trash = [int.from_bytes(key, "big") for key in txn.cursor(db=self.database.trash).iternext(values=False)]
        for file_id in trash:
            self.files.unlink(file_id)
        if trash:
            with self.database.env.begin(write=True) as txn:
                for file_id in trash:
                    txn.delete(file_id.to_bytes(8, "big"), db=self.database.trash)

    def check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")

    def incarnation_of(self, key: bytes) -> int | None:
        """The id of the object at a key, None if there is none."""
        with self.database.env.begin(buffers=True) as txn:
            data = txn.get(key, db=self.database.objects)
            return None if data is None else Record.decode(data).id

    def _pool(self, name: str) -> PoolRecord:
        with self.database.env.begin(buffers=True) as txn:
            data = txn.get(raw(name), db=self.database.pools)
            if data is None:
                raise NotFound(f"no pool {name!r}")
            return PoolRecord.decode(data)

    async def open_pool(self, pool: str, namespace: str = "") -> IoCtx:
        self.check_open()
        context = self._contexts.get((pool, namespace))
        if context is None:
            context = EmbeddedIoCtx(self, pool, self._pool(pool).id, namespace)
            self._contexts[pool, namespace] = context
        return context

    async def list_pools(self) -> list[str]:
        self.check_open()
        with self.database.env.begin() as txn:
            pools = [(PoolRecord.decode(data).id, text(name)) for name, data in txn.cursor(db=self.database.pools)]
        return [name for _, name in sorted(pools)]

    async def create_pool(self, pool: str) -> None:
        self.check_open()
        if not 0 < len(raw(pool)) <= 500:
            raise InvalidArgument("a pool's name has 1 to 500 bytes")

        def create(session: WriteSession) -> None:
            if session.txn.get(raw(pool), db=self.database.pools) is None:
                # Index entries keep the id of the pool and the version of the object's head, and a change with an older version of the
                # same pool is ignored. Random ids keep entries that came from another store from ever meeting this store's versions.
                number = (1 + secrets.randbelow(1 << 20)) << 10 | session.counter(b"pool") & 0x3FF
                session.txn.put(raw(pool), PoolRecord(number).encode(), db=self.database.pools)

        await self._task(create)

    async def _task(self, function: Callable[[WriteSession], Any]) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self.writer.submit_soon(Task(loop, future, function))
        return await future

    async def pool_stat(self, pool: str) -> PoolStat:
        self.check_open()
        record = self._pool(pool)
        return PoolStat(record.objects, record.size)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self.watches.close()
        self.writer.hand_over(asyncio.get_running_loop())
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.write_threads.shutdown()  # these still submit
        self.read_threads.shutdown()
        self.writer.close()
        self._lock.close()
        self.database.release()


async def open_store(path: str | os.PathLike[str], *, create: bool = True, map_size: int | None = None, max_bytes: int | None = None,
                     disk_reserve: int = DISK_RESERVE) -> EmbeddedCluster:
    """Opens the store in a folder, and makes it if the folder is new or empty (``create``). Several processes may share it.

    ``max_bytes`` limits its size, ``disk_reserve`` is what it leaves free on the disk (bytes), ``map_size`` LMDB's address space.
    NotFound without ``create``; InvalidArgument if the folder holds something else; Unavailable if it cannot be opened.
    """
    return await asyncio.to_thread(EmbeddedCluster, Path(path), create=create, map_size=map_size, max_bytes=max_bytes,
                                   reserve=disk_reserve)
