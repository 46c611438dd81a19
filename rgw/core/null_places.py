"""Null versions that listings show at places which are not theirs: what radosgws leave that write one at once, or suggest one to the index.

A version's own entry tells the epoch of its place in listings (formats page, 3.7). Null versions of all times have the same id, so that
an older place that was not taken away would be shown as a second null version of the key; and so would an entry at the plain key, in the
placeholder's place (rgw.core.null_notes). A listing leaves both out and takes them away.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rgw.core import key_index
from rgw.formats import index_keys, names
from rgw.formats.index import FLAG_DELETE_MARKER, FLAG_VER, FLAG_VER_MARKER, ClsObjKey, DirEntry
from rgw.formats.listed import ListedEntry
from rgw.store.errors import Cancelled, NotFound
from rgw.store.interface import ReadOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket

log = logging.getLogger(__name__)


def is_null(entry: ListedEntry) -> bool:
    """Whether it is the null version of a key that has versions, or the delete marker in its place."""
    return not entry.instance and bool(entry.flags & FLAG_VER)


async def less_misplaced(bucket: Bucket, oid: str, rows: dict[str, ListedEntry]) -> list[ListedEntry]:
    """The rows of a shard, by their omap keys, without null versions at places that are not theirs. These are taken out of the index.

    A null version without an own entry is shown wherever it stands: `bucket check` decides about it.
    """
    entries = {place: entry for place, entry in rows.items() if is_null(entry)}
    places = {entry.name: _places(entry.name) for entry in entries.values()}
    found = await bucket.index.ioctx.read(oid, ReadOp().assert_exists().omap_get_keys([place for both in places.values() for place in both]))
    assert found.omap is not None
    own = found.omap.values
    misplaced = set()
    for place, entry in entries.items():
        there = {key: DirEntry.decode(own[key]) for key in places[entry.name] if key in own}
        right = max(there, key=lambda key: there[key].versioned_epoch, default=None)
        if right is None or (place == index_keys.text(index_keys.list_key(entry.name, there[right].versioned_epoch, ""))
                             and bool(entry.flags & FLAG_DELETE_MARKER) == bool(there[right].flags & FLAG_DELETE_MARKER)):
            continue
        misplaced.add(place)
        await _take_away(bucket, index_keys.raw(place), entry, right, own[right])
    return [entry for place, entry in rows.items() if place not in misplaced]


def _places(name: str) -> list[bytes]:
    """Where the index has the null version's own entry, and that of the delete marker in its place."""
    return [index_keys.instance_key(ClsObjKey(name), is_marker) for is_marker in (False, True)]


async def _take_away(bucket: Bucket, place: bytes, entry: ListedEntry, own_place: bytes, own: bytes) -> None:
    """Unless one of both entries changed meanwhile, or during a reshard."""
    seen = [(place, entry.raw()), (own_place, own)]
    key = names.parse_index_name(entry.name)[1]
    try:
        if place == index_keys.raw(entry.name):
            meta = entry.full().meta
            await key_index.edit(bucket, key, seen, {place: DirEntry(name=entry.name, flags=FLAG_VER_MARKER).encode()},
                                     uncount=meta if entry.exists else None)
        else:
            await key_index.edit(bucket, key, seen, {}, [place])
    except (Cancelled, NotFound):
        log.debug("%s in bucket %s changed while it was listed", entry.name, bucket.name)
