"""The LMDB environment, shared by all stores of a process that lie in one folder, and write sessions in it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import lmdb

from rgw.store.embedded import omap
from rgw.store.embedded.files import DataFiles
from rgw.store.embedded.layout import PoolRecord, raw
from rgw.store.errors import NoSpace, NotFound, StoreError, Unavailable

MAP_SIZES = (1 << 40, 1 << 36, 1 << 32)  # virtual; where addresses are scarce, smaller ones
_NAMES = ("meta", "pools", "objects", "omap", "blobs", "files", "trash", "dropped")
PURGED_AT_ONCE = 500  # entries of a dropped map that one transaction removes


class Database:
    """An open environment and its databases. Blocking."""

    _open: dict[str, Database] = {}
    _lock = threading.Lock()

    def __init__(self, path: str, map_size: int | None) -> None:
        self._path = path
        self._users = 0
        os.makedirs(path, exist_ok=True)
        for size in (map_size,) if map_size else MAP_SIZES:
            try:
                self.env = lmdb.open(path, map_size=size, mode=0o600, max_dbs=16, max_readers=1024, max_spare_txns=16)
                break
            except lmdb.MemoryError as failed:
                error = failed
        else:
            raise Unavailable(f"cannot map the store into memory: {error}")
        self.env.reader_check()
        for name in _NAMES:
            setattr(self, name, self.env.open_db(name.encode()))

    meta: Any
    pools: Any
    objects: Any
    omap: Any
    blobs: Any
    files: Any
    trash: Any
    dropped: Any

    @classmethod
    def acquire(cls, folder: Path, map_size: int | None) -> Database:
        """LMDB must be opened only once by a process; its users count."""
        path = os.path.realpath(folder)
        with cls._lock:
            database = cls._open.get(path)
            if database is None:
                try:
                    database = cls._open[path] = cls(path, map_size)
                except lmdb.Error as error:
                    raise translate(error) from error
            database._users += 1
            return database

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                del self._open[self._path]
                self.env.close()

    def used_bytes(self, txn: Any) -> int:
        """Bytes in use, counting the pages of all databases."""
        stats = [txn.stat(getattr(self, name)) for name in _NAMES]
        return sum((s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"]) * s["psize"] for s in stats)


class WriteSession:
    """A write transaction with the counters that go with it. One thread's."""

    def __init__(self, database: Database, files: DataFiles) -> None:
        self.dbs = database
        self.files = files
        self.txn = database.env.begin(write=True, buffers=True)
        self._next_id: int | None = None
        self._pools: dict[str, PoolRecord] = {}
        self.dropped = False  # whether a map was put off to later transactions

    def counter(self, name: bytes) -> int:
        """The next value of a counter that never goes back; the first is 1."""
        value = int(bytes(self.txn.get(name, b"0", db=self.dbs.meta))) + 1
        self.txn.put(name, b"%d" % value, db=self.dbs.meta)
        return value

    def new_id(self) -> int:
        if self._next_id is None:
            self._next_id = int(bytes(self.txn.get(b"id", b"0", db=self.dbs.meta)))
        self._next_id += 1
        return self._next_id

    def drop_map(self, map_id: int) -> None:
        """Removes a map that nothing uses any more. The rest of a large one goes bit by bit, in later transactions."""
        if omap.purge(self.txn, self.dbs.omap, map_id, PURGED_AT_ONCE) >= PURGED_AT_ONCE:
            self.txn.put(map_id.to_bytes(8, "big"), b"", db=self.dbs.dropped)
            self.dropped = True

    def purge_dropped(self) -> bool:
        """Removes a bit of what was dropped; whether there may be more."""
        with self.txn.cursor(db=self.dbs.dropped) as cursor:
            if not cursor.first():
                return False
            map_id = int.from_bytes(cursor.key(), "big")
            if omap.purge(self.txn, self.dbs.omap, map_id, PURGED_AT_ONCE) < PURGED_AT_ONCE:
                cursor.delete()
        return True

    def pool(self, name: str) -> PoolRecord:
        record = self._pools.get(name)
        if record is None:
            data = self.txn.get(raw(name), db=self.dbs.pools)
            if data is None:
                raise NotFound(f"no pool {name!r}")
            record = self._pools[name] = PoolRecord.decode(data)
        return record

    def commit(self) -> None:
        """Durable when it returns."""
        for name, record in self._pools.items():
            self.txn.put(raw(name), record.encode(), db=self.dbs.pools)
        if self._next_id is not None:
            self.txn.put(b"id", b"%d" % self._next_id, db=self.dbs.meta)
        self.txn.commit()

    def abort(self) -> None:
        self.txn.abort()


def translate(error: Exception) -> StoreError:
    """What a failure of LMDB means."""
    if isinstance(error, (lmdb.MapFullError, lmdb.TxnFullError, lmdb.DiskError)) or os.strerror(errno.ENOSPC) in str(error):
        return NoSpace(f"the store is full: {error}")
    return Unavailable(f"the store's database failed: {error}")
