"""All that the index holds of one key, read together, and edits of it that compare what was read.

The index holds of a key (formats page, 3.7): each version by its id and once more in the order of listings, the entry that says which
version is current and what its log still asks of RADOS objects, and a placeholder at the plain key.

Raw edits compare what was read in the same operation, hence whoever writes meanwhile wins, and are not made during a reshard.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rgw.core import raw_index
from rgw.core.index import GUARD, RESHARDING
from rgw.core.index_repair import TAG_TIMEOUT
from rgw.core.reshard_marks import STATE
from rgw.formats import cls_rgw, index_keys, names
from rgw.formats.index import FLAG_DELETE_MARKER, FLAG_VER_MARKER, CategoryStats, ClsObjKey, DirEntry, DirEntryMeta, OlhEntry
from rgw.store import classes
from rgw.store.errors import Cancelled, ClassError, NotFound
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket

log = logging.getLogger(__name__)

CHANGE_TIMEOUT = TAG_TIMEOUT * 1_000_000_000  # ns after which the gateway that announced a change is taken for dead
_ROUND = 4096  # bytes: statistics count whole blocks


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry where it stands."""

    place: bytes
    raw: bytes
    entry: DirEntry

    @property
    def is_marker(self) -> bool:
        return bool(self.entry.flags & FLAG_DELETE_MARKER)

    @property
    def who(self) -> tuple[str, bool]:
        """A version's id, and whether it is the delete marker that may stand beside a null version."""
        return self.entry.instance, self.is_marker and not self.entry.instance


@dataclass(slots=True)
class KeyIndex:
    """All that the index holds of one key. ``listed`` in the order of listings: the newest version first."""

    plain: Stored | None = None
    listed: list[Stored] = field(default_factory=list)
    versions: list[Stored] = field(default_factory=list)
    olh: OlhEntry | None = None
    olh_raw: bytes = b""

    @property
    def versioned(self) -> bool:
        """Whether the key has, or had, versions; else it is a plain object, if anything."""
        return bool(self.listed or self.versions or self.olh_raw or (self.plain and self.plain.entry.flags & FLAG_VER_MARKER))

    def tells_of(self, instance: str) -> bool:
        """Whether there is an entry of a version, or the plain object's for instance ""."""
        found = [*self.versions, *([self.plain] if self.plain else [])]
        return any(stored.entry.instance == instance and (stored.entry.exists or stored.is_marker) for stored in found)

    @property
    def newer(self) -> bool:
        """Whether a newer release wrote some of it, which must not be written again."""
        found = [*self.listed, *self.versions, *([self.plain] if self.plain else [])]
        return any(stored.entry.newer for stored in found) or (self.olh is not None and self.olh.newer)

    @property
    def busy(self) -> bool:
        """Whether a gateway has announced a change that it may still end."""
        young = time.time_ns() - CHANGE_TIMEOUT
        found = [*self.versions, *([self.plain] if self.plain else [])]
        return any(change.timestamp > young for stored in found for change in stored.entry.pending_map.values())


async def read_key(bucket: Bucket, key: str) -> KeyIndex:
    """S3Error NoSuchBucket."""
    found = KeyIndex()
    async for item in raw_index.of_bucket(bucket, key):
        place = index_keys.raw(item.idx)
        if item.type == raw_index.OLH:
            found.olh, found.olh_raw = OlhEntry.decode(item.data), item.data
            continue
        stored = Stored(place, item.data, DirEntry.decode(item.data))
        if item.type == raw_index.INSTANCE:
            found.versions.append(stored)
        elif b"\0" in place:
            found.listed.append(stored)
        else:
            found.plain = stored
    return found


async def edit(bucket: Bucket, key: str, seen: Iterable[tuple[bytes, bytes]], new: dict[bytes, bytes], gone: Iterable[bytes] = (),
               uncount: DirEntryMeta | None = None) -> None:
    """Sets and removes entries of a key if the index still holds what was seen (b"": nothing). Cancelled if not, or during a reshard.

    Statistics are not touched, for ``bucket check --fix`` counts anew in the end; or what ``uncount`` tells is taken off them.
    """
    op = WriteOp().assert_exists().cmpxattr(STATE, b"").call(GUARD)
    for place, raw in seen:
        op.omap_cmp(place, raw)
    if new:
        op.omap_set(new)
    if dropped := list(gone):
        op.omap_rm(dropped)
    if uncount is not None:
        rounded = (uncount.accounted_size + _ROUND - 1) // _ROUND * _ROUND
        less = CategoryStats(*(-value % (1 << 64) for value in (uncount.accounted_size, rounded, 1, uncount.size)))
        op.call(classes.BUCKET_UPDATE_STATS(cls_rgw.UpdateStatsOp(absolute=False, stats={uncount.category: less})))
    try:
        await bucket.index.ioctx.write(bucket.index.shard(key), op)
    except ClassError as error:
        if error.code != RESHARDING:
            raise
        raise Cancelled("the bucket is being resharded") from error


async def restore_entry(bucket: Bucket, key: str, index: KeyIndex, instance: str) -> bool:
    """Enters a version again that only listings show, by the newest where they show several; whether there is such a one."""
    name = names.index_name(key)
    here = {stored.who for stored in index.versions}
    for listed in index.listed:
        if listed.entry.instance == instance and listed.who not in here:
            place = index_keys.instance_key(ClsObjKey(name, instance), listed.who[1])
            try:
                await edit(bucket, key, [(place, b""), (listed.place, listed.raw)], {place: listed.raw})
            except (Cancelled, NotFound):
                log.debug("%s in bucket %s is being changed", key, bucket.name)
            return True
    return False


async def drop_strays(bucket: Bucket, key: str) -> None:
    """Takes a null version out of listings whose entry went with an object that was removed while it was linked."""
    index = await read_key(bucket, key)
    here = {stored.who for stored in index.versions}
    for listed in index.listed:
        if not listed.entry.instance and listed.who not in here:
            place = index_keys.instance_key(ClsObjKey(names.index_name(key)), listed.is_marker)
            try:
                await edit(bucket, key, [(place, b""), (listed.place, listed.raw)], {}, [listed.place])
            except (Cancelled, NotFound):
                log.debug("%s in bucket %s is being changed", key, bucket.name)
