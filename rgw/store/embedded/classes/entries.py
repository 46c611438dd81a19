"""Reading and writing what an index shard holds: header, directory entries, statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from rgw.formats import index_keys as keys
from rgw.formats.index import FLAG_VER_MARKER, CategoryStats, ClsObjKey, DirEntry, DirEntryMeta, DirHeader
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import InvalidArgument, NotFound

_ROUND = 4096  # statistics count whole blocks of this size
_U64 = (1 << 64) - 1
_KEPT = 512  # decoded values of each kind, and once more as many that are older
T = TypeVar("T")


class _Written(Generic[T]):
    """What was written last, by its encoded bytes: most of it is read next, for what is prepared is completed. Each value is handed out
    once, since whoever gets it may change it. The store's bytes decide what is true: a write that was given up is only not found here.
    """

    def __init__(self) -> None:
        self._new: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}

    def keep(self, data: bytes, value: T) -> bytes:
        if len(self._new) >= _KEPT:
            self._new, self._old = {}, self._new
        self._new[data] = value
        return data

    def take(self, data: bytes) -> T | None:
        return self._new.pop(data, None) or self._old.pop(data, None)

    def look(self, data: bytes) -> T | None:
        """As ``take``, for who changes nothing: the value stays."""
        return self._new.get(data) or self._old.get(data)


_headers: _Written[DirHeader] = _Written()
_entries: _Written[DirEntry] = _Written()


def read_header(ctx: ObjectContext) -> DirHeader:
    """NotFound if there is no such shard, InvalidArgument if it was never initialised."""
    data = _header(ctx)
    return _headers.take(data) or DirHeader.decode(data)


def look_at_header(ctx: ObjectContext) -> DirHeader:
    """As ``read_header``; it must not be changed."""
    data = _header(ctx)
    found = _headers.look(data)
    if found is None:
        _headers.keep(data, found := DirHeader.decode(data))
    return found


def _header(ctx: ObjectContext) -> bytes:
    data = ctx.omap_header()
    if not data:
        if not ctx.exists:
            raise NotFound("no such index shard")
        raise InvalidArgument("the index shard has no header")
    return data


def write_header(ctx: ObjectContext, header: DirHeader) -> None:
    """Every header written is a new version of the shard."""
    header.ver += 1
    ctx.set_omap_header(_headers.keep(header.encode(), header))


def read_entry(ctx: ObjectContext, key: bytes) -> DirEntry | None:
    data = ctx.omap_get(key)
    return None if data is None else _entries.take(data) or DirEntry.decode(data)


def write_entry(ctx: ObjectContext, key: bytes, entry: DirEntry) -> None:
    """The entry must not be changed afterwards."""
    ctx.omap_set(key, _entries.keep(entry.encode(), entry))


def find_entry(ctx: ObjectContext, key: ClsObjKey, delete_marker: bool = False) -> tuple[bytes, DirEntry | None]:
    """An object's entry and where it stands. For a null version that is not the plain key; ``delete_marker``: a null
    delete marker is preferred to the null version beside it.
    """
    place = keys.object_key(key)
    entry = read_entry(ctx, place)
    if entry is None or key.instance or not entry.flags & FLAG_VER_MARKER:
        return place, entry
    if delete_marker:
        place = keys.instance_key(key, null_delete_marker=True)
        marker = read_entry(ctx, place)
        if marker is not None:
            return place, marker
    place = keys.instance_key(key)
    return place, read_entry(ctx, place)


def plain_items(ctx: ObjectContext, after: bytes = b"", prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """The shard's items in listing order, without those of the private range amid them."""
    if after < keys.PRIVATE:
        for key, value in ctx.omap_iter(after, prefix):
            if not keys.is_plain(key):
                break
            yield key, value
        else:
            return
        yield from ctx.omap_iter(prefix=prefix, start=keys.AFTER_PRIVATE)
    else:
        yield from ((key, value) for key, value in ctx.omap_iter(after, prefix) if keys.is_plain(key))


def plain_window(ctx: ObjectContext, after: bytes, prefix: bytes, size: int) -> tuple[list[tuple[bytes, bytes]], bool]:
    """At most ``size`` of these items, and whether there is more in the omap (of any kind)."""
    found, more = _window(ctx, after, prefix, size)
    if not found or found[-1][0] < keys.PRIVATE or found[0][0] >= keys.AFTER_PRIVATE:
        return found, more
    found = [item for item in found if keys.is_plain(item[0])]
    if len(found) == size or not more:
        return found, more
    rest, more = _window(ctx, max(keys.AFTER_PRIVATE, found[-1][0] if found else b""), prefix, size - len(found))
    return found + rest, more


def _window(ctx: ObjectContext, after: bytes, prefix: bytes, size: int) -> tuple[list[tuple[bytes, bytes]], bool]:
    found = ctx.omap_page(after, prefix, size + 1)
    return found[:size], len(found) > size


def add_stats(header: DirHeader, meta: DirEntryMeta) -> None:
    _count(header, meta, 1)


def subtract_stats(header: DirHeader, meta: DirEntryMeta) -> None:
    _count(header, meta, -1)


def _count(header: DirHeader, meta: DirEntryMeta, sign: int) -> None:
    stats = header.stats.setdefault(meta.category, CategoryStats())
    rounded = (meta.accounted_size + _ROUND - 1) // _ROUND * _ROUND
    stats.num_entries = (stats.num_entries + sign) & _U64
    stats.total_size = (stats.total_size + sign * meta.accounted_size) & _U64
    stats.total_size_rounded = (stats.total_size_rounded + sign * rounded) & _U64
    stats.actual_size = (stats.actual_size + sign * meta.size) & _U64
