"""One object inside an LMDB transaction.

Changes are kept beside the transaction and go into it, all at once, by ``flush``: an operation that fails in its midst leaves
nothing behind, though it shares its transaction with others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from rgw.store.embedded import omap
from rgw.store.embedded.files import DataFiles
from rgw.store.embedded.layout import INLINE_MAX, Extent, PoolRecord, Record
from rgw.store.errors import InvalidArgument, NotFound

MAX_OBJECT_SIZE = 1 << 40


@dataclass(frozen=True, slots=True)
class FileData:
    """Data that already lies in a new file."""

    file_id: int
    length: int


class Session(Protocol):
    """The transaction and what belongs to it."""

    txn: Any
    dbs: Any
    files: DataFiles

    def new_id(self) -> int: ...

    def drop_map(self, map_id: int) -> None: ...


class ObjectTxn:
    """Implements ObjectContext (context.py)."""

    __slots__ = ("_session", "_key", "_now", "_next_version", "_existed", "record", "_was_size", "exists", "changed", "_omap", "_omap_hidden",
                 "_purge", "_dropped", "_dead", "_blobs")

    def __init__(self, session: Session, key: bytes, oid: bytes, namespace: bytes, locator: bytes, now: int, next_version: int) -> None:
        self._session = session
        self._key = key
        self._now = now
        self._next_version = next_version
        data = session.txn.get(key, db=session.dbs.objects)
        self._existed = data is not None
        self.record = Record(oid, namespace, locator) if data is None else Record.decode(data)
        self._was_size = self.record.size
        self.exists = self._existed
        self.changed = False
        self._omap: dict[bytes, bytes | None] = {}  # changes; None: removed
        self._omap_hidden = not self._existed  # the stored omap counts no more
        self._purge: list[int] = []  # omap ids
        self._dropped: list[int] = []  # omap ids that nothing uses any more
        self._dead: list[Extent] = []  # extents of the stored object that are used no more
        self._blobs: dict[int, bytes] = {}  # new ones, under negative ids until the flush

    # -- what classes see -------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        return self.record.size

    @property
    def mtime(self) -> int:
        return self.record.mtime

    @property
    def version(self) -> int:
        return self._next_version or self.record.version

    def now(self) -> int:
        return self._now

    def _change(self) -> Record:
        if not self._next_version:
            raise InvalidArgument("a read operation cannot change the object")
        self.exists = self.changed = True
        return self.record

    def create(self) -> None:
        if not self.exists:
            self._change()

    def remove(self) -> None:
        if not self.exists:
            raise NotFound("no such object")
        old = self._change()
        self._drop_data()
        if old.id:
            self._dropped.append(old.id)
        self.record = Record(old.oid, old.namespace, old.locator)
        self._omap = {}
        self._omap_hidden = True
        self.exists = False

    def get_xattr(self, name: str) -> bytes | None:
        return self.record.xattrs.get(name)

    def set_xattr(self, name: str, value: bytes) -> None:
        self._change().xattrs[name] = bytes(value)

    def rm_xattr(self, name: str) -> None:
        if not self.exists:
            raise NotFound("no such object")
        self._change().xattrs.pop(name, None)

    def xattrs(self) -> dict[str, bytes]:
        return dict(self.record.xattrs)

    # -- omap -------------------------------------------------------------------------------------------------------------------

    def omap_get(self, key: bytes) -> bytes | None:
        if key in self._omap:
            return self._omap[key]
        return None if self._omap_hidden else omap.get(self._session.txn, self._session.dbs.omap, self.record.id, key)

    def omap_set(self, key: bytes, value: bytes) -> None:
        self._change()
        self._omap[key] = bytes(value)

    def omap_rm(self, key: bytes) -> None:
        if not self.exists:
            raise NotFound("no such object")
        self._change()
        self._omap[key] = None

    def omap_clear(self) -> None:
        """Removes all entries and the header."""
        if not self.exists:
            raise NotFound("no such object")
        record = self._change()
        record.omap_header = b""
        self._omap = {}
        if not self._omap_hidden:
            self._purge.append(record.id)
            self._omap_hidden = True

    def omap_iter(self, start_after: bytes = b"", prefix: bytes = b"", *, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        # The successor of a key in byte order is that key and a zero byte.
        first = max(prefix, start if start is not None else start_after + b"\0" if start_after else b"")
        mine = sorted(k for k in self._omap if k >= first and k.startswith(prefix))
        if self._omap_hidden:
            stored: Iterator[tuple[bytes, bytes]] = iter(())
        else:
            stored = omap.iterate(self._session.txn, self._session.dbs.omap, self.record.id, first, prefix)
        if not mine:
            return stored
        return self._merge(iter(mine), stored)

    def omap_page(self, start_after: bytes, prefix: bytes, count: int) -> list[tuple[bytes, bytes]]:
        if self._next_version or self._omap_hidden:  # it may have changes of its own, or has nothing
            return list(islice(self.omap_iter(start_after, prefix), count))
        first = max(prefix, start_after + b"\0" if start_after else b"")
        return omap.page(self._session.txn, self._session.dbs.omap, self.record.id, first, prefix, count)

    def _merge(self, mine: Iterator[bytes], stored: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        changed = next(mine, None)
        for key, value in stored:
            while changed is not None and changed < key:
                if (ours := self._omap.get(changed)) is not None:
                    yield changed, ours
                changed = next(mine, None)
            if changed == key:
                if (ours := self._omap.get(key)) is not None:
                    yield key, ours
                changed = next(mine, None)
            elif key not in self._omap:
                yield key, value
            elif (later := self._omap[key]) is not None:  # changed while we iterate
                yield key, later
        while changed is not None:
            if (ours := self._omap.get(changed)) is not None:
                yield changed, ours
            changed = next(mine, None)

    def omap_header(self) -> bytes:
        return self.record.omap_header

    def set_omap_header(self, data: bytes) -> None:
        self._change().omap_header = bytes(data)

    # -- bytes ------------------------------------------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> bytes:
        return self._session.files.join(self.pieces(offset, length))

    def at_hand(self, offset: int, length: int) -> bytes | None:
        """As ``read``, if the object's bytes are in its record; None if they lie elsewhere."""
        record = self.record
        if record.extents is not None:
            return None
        return record.inline[offset:offset + length] if length else record.inline[offset:]

    def pieces(self, offset: int, length: int) -> Iterator[bytes | Extent]:
        """The bytes of a range (length 0: to the end), and, for those that lie in files, where."""
        record = self.record
        end = min(offset + length, record.size) if length else record.size
        if record.extents is None:
            if offset < end:
                yield record.inline[offset:end]
            return
        for extent in record.extents:
            stop = extent.offset + extent.length
            if stop <= offset:
                continue
            if offset >= end:
                return
            if extent.offset > offset:
                gap = min(extent.offset, end) - offset
                yield bytes(gap)
                offset += gap
                if offset >= end:
                    return
            count = min(stop, end) - offset
            source = extent.source_offset + offset - extent.offset
            if extent.in_file:
                yield Extent(offset, count, True, extent.source, source)
            else:
                yield self._blob(extent.source)[source:source + count]
            offset += count
        if offset < end:
            yield bytes(end - offset)

    def _blob(self, blob_id: int) -> bytes:
        if blob_id in self._blobs:
            return self._blobs[blob_id]
        return bytes(self._session.txn.get(blob_id.to_bytes(8, "big"), db=self._session.dbs.blobs))

    def write_full(self, data: Any) -> None:
        record = self._change()
        self._drop_data()
        if isinstance(data, FileData):
            record.extents = [Extent(0, data.length, True, data.file_id, 0)]
            record.size = data.length
        elif len(data) <= INLINE_MAX:
            record.inline = bytes(data)
            record.size = len(data)
        else:
            record.size = len(data)
            record.extents = []
            self._add_blobs(0, bytes(data))

    def write(self, offset: int, data: Any) -> None:
        length = data.length if isinstance(data, FileData) else len(data)
        record = self.record
        end = offset + length
        if end > MAX_OBJECT_SIZE:
            raise InvalidArgument("an object cannot become that large")
        if offset == 0 and end >= record.size:
            self.write_full(data)
            return
        record = self._change()
        if not length:
            return
        if record.extents is None:
            if end <= INLINE_MAX and not isinstance(data, FileData):
                record.inline = record.inline[:offset].ljust(offset, b"\0") + bytes(data) + record.inline[end:]
                record.size = len(record.inline)
                return
            old, record.inline, record.extents = record.inline, b"", []
            if old:
                self._add_blobs(0, old)
        if not isinstance(data, FileData):
            data = bytes(data)
            offset, data = self._merge_small(offset, data)
        end = offset + (data.length if isinstance(data, FileData) else len(data))
        self._cut(offset, end)
        if isinstance(data, FileData):
            self._insert(Extent(offset, data.length, True, data.file_id, 0))
        else:
            self._add_blobs(offset, data)
        record.size = max(record.size, end)

    def append(self, data: Any) -> None:
        self.write(self.record.size, data)

    def truncate(self, size: int) -> None:
        if not self.exists or size == self.record.size:
            return
        if size > MAX_OBJECT_SIZE:
            raise InvalidArgument("an object cannot become that large")
        record = self._change()
        if record.extents is None:
            if size <= INLINE_MAX:
                record.inline = record.inline[:size].ljust(size, b"\0")
                record.size = size
                return
            old, record.inline, record.extents = record.inline, b"", []
            if old:
                self._add_blobs(0, old)
        if size < record.size:
            self._cut(size, record.size)
        record.size = size

    def _drop_data(self) -> None:
        if self.record.extents is not None:
            self._dead.extend(self.record.extents)
        self.record.extents, self.record.inline, self.record.size = None, b"", 0

    def _merge_small(self, offset: int, data: bytes) -> tuple[int, bytes]:
        """Takes a small neighbour or the blob written into along, so that many small writes do not leave many small blobs."""
        for extent in self.record.extents or ():
            if extent.in_file or extent.offset > offset or extent.offset + extent.length < offset:
                continue
            start = offset - extent.offset
            old = self._blob(extent.source)[extent.source_offset:extent.source_offset + extent.length]
            merged = old[:start] + data + old[start + len(data):]
            if len(merged) <= INLINE_MAX:
                return extent.offset, merged
        return offset, data

    def _add_blobs(self, offset: int, data: bytes) -> None:
        for at in range(0, len(data), INLINE_MAX):
            piece = data[at:at + INLINE_MAX]
            blob_id = -1 - len(self._blobs)
            self._blobs[blob_id] = piece
            self._insert(Extent(offset + at, len(piece), False, blob_id, 0))

    def _insert(self, extent: Extent) -> None:
        extents = self.record.extents
        assert extents is not None
        extents.append(extent)
        if len(extents) > 1 and extents[-2].offset > extent.offset:
            extents.sort()

    def _cut(self, start: int, end: int) -> None:
        """Takes a range out of the extents."""
        kept: list[Extent] = []
        for e in self.record.extents or ():
            stop = e.offset + e.length
            if stop <= start or e.offset >= end:
                kept.append(e)
                continue
            self._dead.append(e)  # flush keeps what another extent still uses
            if e.offset < start:
                kept.append(e._replace(length=start - e.offset))
            if stop > end:
                kept.append(Extent(end, stop - end, e.in_file, e.source, e.source_offset + end - e.offset))
        self.record.extents = kept

    # -- into the transaction ---------------------------------------------------------------------------------------------------

    def flush(self, pool: PoolRecord, mtime: int) -> list[int]:
        """Writes all changes into the transaction and the pool's counters; returns the files to unlink once it is committed."""
        session = self._session
        txn, dbs, record = session.txn, session.dbs, self.record
        freed = self._flush_data()
        for map_id in self._purge:
            omap.purge(txn, dbs.omap, map_id)
        for map_id in self._dropped:
            session.drop_map(map_id)
        pool.version = self._next_version
        pool.objects += self.exists - self._existed
        pool.size += record.size - self._was_size
        if not self.exists:
            if self._existed:
                txn.delete(self._key, db=dbs.objects)
            return freed
        if not record.id:
            record.id = session.new_id()
        for key in sorted(self._omap):
            value = self._omap[key]
            if value is not None:
                omap.put(txn, dbs.omap, record.id, key, value, session.new_id)
            elif not self._omap_hidden:
                omap.delete(txn, dbs.omap, record.id, key)
        record.version = self._next_version
        record.mtime = mtime
        txn.put(self._key, record.encode(), db=dbs.objects)
        return freed

    def _flush_data(self) -> list[int]:
        txn, dbs, record = self._session.txn, self._session.dbs, self.record
        if record.extents:
            ids: dict[int, int] = {}
            for i, e in enumerate(record.extents):
                if e.in_file:
                    if txn.put(e.source.to_bytes(8, "big"), b"", db=dbs.files, overwrite=False):
                        txn.pop(e.source.to_bytes(8, "big"), db=dbs.trash)
                elif e.source < 0:
                    if e.source not in ids:
                        ids[e.source] = self._session.new_id()
                        txn.put(ids[e.source].to_bytes(8, "big"), self._blobs[e.source], db=dbs.blobs)
                    record.extents[i] = e._replace(source=ids[e.source])
        freed: list[int] = []
        if self._dead:
            used = {(e.in_file, e.source) for e in record.extents or ()}
            for in_file, source in {(e.in_file, e.source) for e in self._dead} - used:
                if in_file:
                    txn.delete(source.to_bytes(8, "big"), db=dbs.files)
                    txn.put(source.to_bytes(8, "big"), b"", db=dbs.trash)
                    freed.append(source)
                elif source > 0:
                    txn.delete(source.to_bytes(8, "big"), db=dbs.blobs)
        return freed
